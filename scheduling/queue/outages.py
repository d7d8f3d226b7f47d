"""Waiting for a database that cannot be reached for a while."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
# Less than the time-out of a task.
PATIENCE_SECONDS = 40.0

# What a statement raises if the connection is lost, or the database cannot be reached.
DISCONNECTED = (OperationalError, InterfaceError)

Answer = TypeVar("Answer")


def retry_while_disconnected(
    work: Callable[[], Answer],
    *,
    seconds: float = PATIENCE_SECONDS,
    using: str = DEFAULT_DB_ALIAS,
    disconnect: Callable[[], None] | None = None,
) -> Answer:
    """
    Call a function, and repeat it while the database cannot be reached.

    :param work: must be safe to repeat. In a transaction it is not repeated.
    :param seconds: how long to try.
    :param using: the database that the function uses.
    :param disconnect: drops the lost connection; by default it is closed.
    :raises django.db.OperationalError: the database could not be reached in all that time.
    :raises django.db.InterfaceError: likewise.
    """
    pause, deadline = FIRST_PAUSE_SECONDS, monotonic() + seconds
    while True:
        try:
            return work()
        except DISCONNECTED as error:
            if connections[using].in_atomic_block or monotonic() > deadline:
                raise
            logger.warning("The database cannot be reached: %s", first_line(error))
            (disconnect or connections[using].close)()
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def first_line(error: Exception) -> str:
    """Return the message of a database error, without the hints after it."""
    return str(error).strip().partition("\n")[0]
