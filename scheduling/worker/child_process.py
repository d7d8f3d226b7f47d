"""
Other people's code in a process of its own.

What hangs, swallows every exception, ends its process, or eats memory until the kernel kills it,
does so in a forked child. The worker sees how it ended, says so, and takes the next job.
"""

import json
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import NoReturn

from django.db import connections
from django_q.exceptions import TimeoutException

from scheduling.models.job import HOOK_GRACE_SECONDS
from scheduling.worker.processes import end_with_parent, offer_to_the_oom_killer

LOOK_SECONDS = 0.25


class FailedInChild(Exception):
    """The work raised something; its `failed` has seen it. The message is the child's traceback."""


class ChildDied(Exception):
    """The child's process ended in the middle of the work."""


class ChildHung(Exception):
    """The work went on beyond its time, and ignored being told so."""


def run(work: Callable[[], None], *, seconds: int, failed: Callable[[BaseException], None]) -> None:
    """
    Do the work in a forked process, for so many seconds at most.

    Must be called outside a transaction: the child has connections of its own.

    :param failed: called in the child with what the work raised, django-q2's `TimeoutException`
        when the time was over.
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
        _be_the_child(work, failed, seconds, parent, writer)
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
            _kill_what_it_started(pid)
    if status is None:
        raise ChildHung(f"It took longer than {seconds} s and did not stop when it was told to.")
    if not report:
        _kill_what_it_started(pid)
        raise ChildDied(_how_it_ended(status))
    if text := json.loads(report):
        raise FailedInChild(text)


def _be_the_child(
    work: Callable[[], None],
    failed: Callable[[BaseException], None],
    seconds: int,
    parent: int,
    writer: int,
) -> NoReturn:
    """Do the work, report, and end without running what belongs to the parent."""
    try:
        # A group of its own: what the work starts is found and ended with it.
        os.setpgid(0, 0)
        end_with_parent(parent)
        offer_to_the_oom_killer()
        _leave_connections_to_the_parent()
        os.write(writer, json.dumps(_do(work, failed, seconds)).encode())
    except BaseException:  # noqa: BLE001 (nothing may return into the parent's code)
        # Reported as a child that died; here is where.
        traceback.print_exc()
        os._exit(1)
    finally:
        logging.shutdown()
        os._exit(0)


def _do(work: Callable[[], None], failed: Callable[[BaseException], None], seconds: int) -> str:
    """Return nothing, or the traceback of what the work raised."""

    def time_is_over(number: int, frame: FrameType | None) -> None:
        raise TimeoutException(f"It took longer than {seconds} s.")

    signal.signal(signal.SIGALRM, time_is_over)
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


def _leave_connections_to_the_parent() -> None:
    """Forget inherited connections without closing them: the sessions behind them are not ours."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None


def _listen(pid: int, reader: int, seconds: float) -> tuple[bytes, int | None]:
    """Return what the child has reported, and how it ended; None when it goes on too long."""
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
        # What the work has started may hold the pipe open, so the end of the pipe is not enough.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            while is_open and select.select([reader], [], [], 0)[0]:
                piece = os.read(reader, 65536)
                report += piece
                is_open = bool(piece)
            return report, status
    return report, None


def _kill_what_it_started(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing is left of the group


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return "Its process was killed (SIGKILL), as the kernel does when memory runs out."
    if code < 0:
        return f"Its process was ended by {signal.Signals(-code).name}."
    return f"Its process ended itself with exit code {code}."
