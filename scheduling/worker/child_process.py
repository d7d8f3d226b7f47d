"""
Run hooks, which are not the engine's code, in a forked process.

A hook that hangs, catches every exception, exits, or uses up the memory affects only that child.
The worker reports how it ended, and runs the next job.
"""

import json
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import NoReturn

from django.db import connections
from django.utils.translation import gettext_noop
from django_q.exceptions import TimeoutException

from scheduling.errors import Reason
from scheduling.models.job import HOOK_GRACE_SECONDS
from scheduling.worker.processes import end_with_parent, offer_to_the_oom_killer

LOOK_SECONDS = 0.25


class FailedInChild(Exception):
    """The work raised; `failed` was called with the error. The message is the child's traceback."""


class ChildDied(Exception):
    """The child process ended in the middle of the work."""


class ChildHung(Exception):
    """The work ran too long, and went on after `TimeoutException` was raised in it."""


def run(work: Callable[[], None], *, seconds: int, failed: Callable[[BaseException], None]) -> None:
    """
    Run the work in a forked process, for so many seconds at most.

    Must be called outside a transaction: the child opens its own connections.

    :param failed: called in the child with what the work raised; that is django-q2's
        `TimeoutException` when the time was over.
    :raises FailedInChild:
    :raises ChildDied:
    :raises ChildHung:
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run_in_child(work, failed, seconds, parent, writer)
    os.close(writer)
    status = None
    try:
        report, status = _listen(pid, reader, seconds + HOOK_GRACE_SECONDS)
    finally:
        os.close(reader)
        if status is None:
            # It hangs, or this process was itself interrupted.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            _kill_group(pid)
    if status is None:
        raise ChildHung(
            Reason(
                "hook_hung",
                gettext_noop("It took longer than %(seconds)s s and ignored the time-out."),
                {"seconds": seconds},
            )
        )
    if not report:
        _kill_group(pid)
        raise ChildDied(_how_it_ended(status))
    if text := json.loads(report):
        raise FailedInChild(text)


def _run_in_child(
    work: Callable[[], None],
    failed: Callable[[BaseException], None],
    seconds: int,
    parent: int,
    writer: int,
) -> NoReturn:
    """Run the work, report, and exit without the parent's exit handlers."""
    try:
        # In its own process group the processes that the work starts are killed with it.
        os.setpgid(0, 0)
        end_with_parent(parent)
        offer_to_the_oom_killer()
        # The sessions of inherited connections are the parent's: drop them without closing.
        for connection in connections.all(initialized_only=True):
            connection.connection = None
        os.write(writer, json.dumps(_run_in_time(work, failed, seconds)).encode())
    except BaseException:  # noqa: BLE001 (nothing may return into the parent's code)
        # The parent reports only that the child died.
        traceback.print_exc()
        os._exit(1)
    finally:
        logging.shutdown()
        os._exit(0)


def _run_in_time(
    work: Callable[[], None], failed: Callable[[BaseException], None], seconds: int
) -> str:
    """Run the work; return an empty text, or the traceback of what it raised."""

    def raise_timeout(number: int, frame: FrameType | None) -> None:
        raise TimeoutException(
            Reason(
                "hook_timed_out",
                gettext_noop("It took longer than %(seconds)s s."),
                {"seconds": seconds},
            )
        )

    signal.signal(signal.SIGALRM, raise_timeout)
    signal.alarm(seconds)
    try:
        work()
    except (Exception, TimeoutException) as error:  # noqa: BLE001 (a type's own code; it is recorded)
        signal.alarm(0)
        failed(error)
        return "".join(traceback.format_exception(error))
    finally:
        signal.alarm(0)
    return ""


def _listen(pid: int, reader: int, seconds: float) -> tuple[bytes, int | None]:
    """Return the child's report and its wait status; None while it still runs after that time."""
    report = b""
    is_open = True
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        watched = [reader] if is_open else []
        pause = LOOK_SECONDS if is_open else 0.01
        if select.select(watched, [], [], min(left, pause))[0]:
            piece = os.read(reader, 65536)
            report += piece
            is_open = bool(piece)
            continue
        # Processes that the work has started may keep the pipe open after the child's end.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            while is_open and select.select([reader], [], [], 0)[0]:
                piece = os.read(reader, 65536)
                report += piece
                is_open = bool(piece)
            return report, status
    return report, None


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _how_it_ended(status: int) -> Reason:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        text = gettext_noop(
            "Its process was killed (SIGKILL), as the kernel does when memory runs out."
        )
        return Reason("hook_killed", text)
    if code < 0:
        by = {"signal": signal.Signals(-code).name}
        return Reason("hook_ended", gettext_noop("Its process was ended by %(signal)s."), by)
    text = gettext_noop("Its process ended itself with exit code %(exit_code)s.")
    return Reason("hook_exited", text, {"exit_code": code})
