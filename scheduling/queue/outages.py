"""A database that cannot be reached for a while: how that looks, and how to wait for it."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
# Less than a task may take.
PATIENCE_SECONDS = 40.0

# What a statement raises when the connection is lost, or none can be made.
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
    Do something as soon as the database can be reached. It must be safe to repeat.

    :param seconds: how long to try.
    :param using: the database that the work asks; inside a transaction of it nothing is repeated.
    :param disconnect: drops the lost connection; by default it is closed.
    :raises django.db.OperationalError: it could not be reached all that time.
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
    """Return what an error of the database says, without the hints that follow."""
    return str(error).strip().partition("\n")[0]
