"""Tasks of somebody else, in the same queue, that go wrong."""

import os
import signal
import time
from collections.abc import Callable

from tests.chaos.traps.models import swallow as swallow_for_ever


def work() -> str:
    """Take a while, and succeed: it must not be lost with the others."""
    time.sleep(1)
    return "done"


def unpicklable() -> Callable[[], None]:
    """Return what cannot be pickled."""
    return lambda: None


def swallow() -> None:
    """Ignore the time-out."""
    swallow_for_ever()


def die() -> None:
    """Have the worker killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    """End the worker as if all were well."""
    os._exit(0)
