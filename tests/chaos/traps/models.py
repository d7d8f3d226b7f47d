"""A type of content whose `before_publish()` fails in the way its mode says."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import ClassVar, NoReturn

from django.db import models

from scheduling.models import Schedulable

CHUNK = 16 * 2**20
# A trap that nobody kills must not use up the machine's memory.
MOST_CHUNKS = 100
# A variable of the worker whose host will vanish.
VANISHES = "ARMO_HOST_VANISHES"
# And one that says how many seconds a hook works.
WORKS_SECONDS = "ARMO_HOOK_WORKS_SECONDS"


class Mode(models.TextChoices):
    """What happens when it is about to go live."""

    WORK = "work"  # a little, and all is well
    RAISE = "raise"
    HANG = "hang"
    SWALLOW = "swallow"
    EXIT = "exit"
    KILL = "kill"
    EAT = "eat"


class Trap(Schedulable):
    """An item with a hook."""

    title = models.CharField(max_length=200)
    mode = models.CharField(max_length=7, choices=Mode)

    class Meta(Schedulable.Meta):
        app_label = "traps"
        constraints: ClassVar = [*Schedulable.Meta.constraints]

    def __str__(self) -> str:
        return self.title

    def before_publish(self) -> None:
        """Do what the mode says."""
        SPRING[Mode(self.mode)]()


def work() -> None:
    """Take a moment, as a call over a network does; on the host that will vanish, for ever."""
    if VANISHES in os.environ:
        hang()
    time.sleep(float(os.environ.get(WORKS_SECONDS, "0.1")))


def complain() -> NoReturn:
    """Raise an exception."""
    raise RuntimeError("The trap has sprung.")


def hang() -> NoReturn:
    """Never return."""
    while True:
        time.sleep(60)


def swallow() -> NoReturn:
    """Never return, and ignore every signal."""
    while True:
        with contextlib.suppress(BaseException):
            hang()


def leave() -> NoReturn:
    """End the process without Python's clean-up."""
    os._exit(3)


def die() -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def eat() -> NoReturn:
    """Take memory until the kernel intervenes."""
    kept: list[bytes] = []
    while len(kept) < MOST_CHUNKS:
        # Written to, or the kernel would only promise it.
        kept.append(b"x" * CHUNK)
        time.sleep(0.01)
    raise AssertionError("Nobody minded.")


SPRING: dict[Mode, Callable[[], None]] = {
    Mode.WORK: work,
    Mode.RAISE: complain,
    Mode.HANG: hang,
    Mode.SWALLOW: swallow,
    Mode.EXIT: leave,
    Mode.KILL: die,
    Mode.EAT: eat,
}
