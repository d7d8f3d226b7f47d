"""Waiting for a database that cannot be reached, or accepts no writes, for a while."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from psycopg.errors import DiskFull, ReadOnlySqlTransaction

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
# How often an outage is logged that lasts, such as one by a wrong password.
REMIND_SECONDS = 60.0
# Less than the time-out of a task.
PATIENCE_SECONDS = 40.0

Answer = TypeVar("Answer")


def is_outage(error: BaseException) -> bool:
    """
    Return whether an error says that the database cannot be reached, or accepts no writes.

    A server accepts none after it was demoted, or fenced by `default_transaction_read_only`: then
    a new connection may reach the one that took its place.
    """
    return isinstance(error, OperationalError | InterfaceError) or isinstance(
        error.__cause__, ReadOnlySqlTransaction
    )


def accepts_no_writes(error: BaseException) -> bool:
    """Return whether an error says that the server is read-only, or that its disk is full."""
    return isinstance(error.__cause__, ReadOnlySqlTransaction | DiskFull)


def retry_while_disconnected(
    work: Callable[[], Answer],
    *,
    seconds: float = PATIENCE_SECONDS,
    using: str = DEFAULT_DB_ALIAS,
    disconnect: Callable[[], None] | None = None,
) -> Answer:
    """
    Call a function, and repeat it while the database cannot be reached or accepts no writes.

    :param work: must be safe to repeat. In a transaction it is not repeated.
    :param seconds: how long to try.
    :param using: the database that the function uses.
    :param disconnect: drops the connection; by default it is closed.
    :raises django.db.Error: of which `is_outage`, if it lasted for all that time; or another.
    """
    pause, deadline = FIRST_PAUSE_SECONDS, monotonic() + seconds
    while True:
        try:
            return work()
        except Error as error:
            if not is_outage(error) or connections[using].in_atomic_block or monotonic() > deadline:
                raise
            logger.warning("The database cannot be used: %s", first_line(error))
            (disconnect or connections[using].close)()
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def first_line(error: Exception) -> str:
    """Return the message of a database error, without the hints after it."""
    return str(error).strip().partition("\n")[0]
