"""
The heartbeat of a cluster: it shows that tasks are finished, not only that processes are running.

A task that does nothing passes through pusher, worker and monitor like any other, and the beat is
recorded only at its end. If any of these processes hangs, the beat stops. The clusters of one
worker record their beats in shared memory, and the first of them writes all in one statement.
"""

import logging
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.sharedctypes import RawArray
from time import monotonic
from typing import Any, ClassVar

from django.db import DatabaseError, InterfaceError, connection

from scheduling import __version__
from scheduling.models.worker import HEARTBEAT_KEPT
from scheduling.queue import leases
from scheduling.queue.outages import retry_while_disconnected
from scheduling.queue.sql_files import read_statements

logger = logging.getLogger(__name__)

SQL = read_statements(__name__)

# How long a beat is tried again; the next follows in seconds.
RETRY_SECONDS = 1.0


class SharedHeartbeats:
    """
    The clusters of one worker, and when each last beat, in memory shared by all its processes.

    Each entry has only one writer at a time, so no lock is needed that a killed process could hold.
    """

    def __init__(self, lanes: Sequence[str], *, pid: int) -> None:
        self.lanes = list(lanes)
        self.pid = pid
        self.owners = RawArray("i", len(lanes))
        # By `monotonic()`, which is one clock for all processes of a host; 0 before the first.
        self.beats = RawArray("d", len(lanes))

    def enter(self, lane: str, owner: int) -> None:
        """Register a new cluster as the lane's."""
        place = self.lanes.index(lane)
        self.beats[place], self.owners[place] = 0, owner

    def beaten(self) -> list[tuple[int, str, float]]:
        """Return owner, lane and age in seconds of every beat."""
        now = monotonic()
        entries = zip(self.owners, self.lanes, self.beats, strict=True)
        return [(owner, lane, now - at) for owner, lane, at in entries if at]


class OwnHeartbeat:
    """Where this process records its beats: nowhere, unless it belongs to a cluster."""

    board: ClassVar[SharedHeartbeats | None] = None
    lane: ClassVar[str] = ""
    # By `monotonic()`.
    last_at: ClassVar[float] = 0


def beat() -> None:
    """Record that this process's cluster has just finished a task; never raises."""
    board = OwnHeartbeat.board
    if board is None:
        return
    place = board.lanes.index(OwnHeartbeat.lane)
    board.beats[place] = OwnHeartbeat.last_at = monotonic()
    if place == 0 and not connection.in_atomic_block:
        _write(board)


def _write(board: SharedHeartbeats) -> None:
    owners, lanes, ages = map(list, zip(*board.beaten(), strict=True))
    params: dict[str, Any] = {
        "owners": owners,
        "lanes": lanes,
        "ages": ages,
        "host": socket.gethostname()[:255],
        "pid": board.pid,
        "version": __version__,
    }

    def write() -> None:
        # Django's check of the connection would double the statements of an idle worker.
        connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own flag
        with connection.cursor() as cursor:
            cursor.execute(SQL["write"], {**params, "here": datetime.now(UTC)})

    try:
        # The first statement after an outage finds out that the connection is lost.
        retry_while_disconnected(write, seconds=RETRY_SECONDS)
    except (DatabaseError, InterfaceError) as error:
        logger.debug("The heartbeat could not be written: %s", error)


def beat_within_a_batch() -> None:
    """Beat at most once a second: during a backlog no other task is finished."""
    if monotonic() - OwnHeartbeat.last_at > 1:
        beat()


def delete_heartbeat(owner: int) -> None:
    """Delete the heartbeats and the lease of a cluster that ends; never raises."""
    try:
        leases.end([owner])
        with connection.cursor() as cursor:
            cursor.execute(SQL["delete"], [owner, HEARTBEAT_KEPT.total_seconds()])
    except (DatabaseError, InterfaceError) as error:
        logger.debug("Heartbeats could not be deleted: %s", error)
