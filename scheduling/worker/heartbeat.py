"""
The heartbeat of a running cluster: that it finishes what it takes up, not only that it is there.

A task that does nothing goes the whole way of every other, pusher, worker, monitor, and only at its
end the beat is noted. Where a single process hangs, the beat stops. The clusters of one worker note
their beats in memory that they share, and the first of them writes all down, in one statement.
"""

import logging
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.sharedctypes import RawArray
from time import monotonic
from typing import ClassVar

from django.db import DatabaseError, InterfaceError, connection

logger = logging.getLogger(__name__)

WRITE = """
    INSERT INTO scheduling_heartbeat (owner, lane, host, pid, beat_at, clock_ahead_ms)
    SELECT owner, lane, %(host)s, %(pid)s, clock_timestamp() - make_interval(secs => age),
           1000 * extract(epoch FROM %(here)s - clock_timestamp())
    FROM unnest(%(owners)s::int[], %(lanes)s::text[], %(ages)s::float8[]) AS w(owner, lane, age)
    ON CONFLICT (owner) DO UPDATE
    SET beat_at = excluded.beat_at, clock_ahead_ms = excluded.clock_ahead_ms
"""


class SharedHeartbeats:
    """
    The clusters of one worker, and when each last beat, in memory shared by all its processes.

    Each entry has one writer at a time, so that no lock can die with its holder.
    """

    def __init__(self, lanes: Sequence[str], *, pid: int) -> None:
        self.lanes = list(lanes)
        self.pid = pid
        self.owners = RawArray("i", len(lanes))
        # By `monotonic()`, which is one clock for all processes of a host; 0 is not yet.
        self.beats = RawArray("d", len(lanes))

    def enter(self, lane: str, owner: int) -> None:
        """Note that another cluster has taken the lane."""
        place = self.lanes.index(lane)
        self.beats[place], self.owners[place] = 0, owner

    def beaten(self) -> list[tuple[int, str, float]]:
        """Return owner, lane and the age in seconds of every beat there is."""
        now = monotonic()
        entries = zip(self.owners, self.lanes, self.beats, strict=True)
        return [(owner, lane, now - at) for owner, lane, at in entries if at]


class OwnHeartbeat:
    """Where this process notes its beats: nowhere, unless it is of a cluster."""

    board: ClassVar[SharedHeartbeats | None] = None
    lane: ClassVar[str] = ""
    # When a long drain wrote its last beat, by `monotonic()`.
    last_at: ClassVar[float] = 0


def beat() -> None:
    """Note that this process's cluster has just finished something; never raises."""
    board = OwnHeartbeat.board
    if board is None:
        return
    place = board.lanes.index(OwnHeartbeat.lane)
    board.beats[place] = OwnHeartbeat.last_at = monotonic()
    if place == 0 and not connection.in_atomic_block:
        _write(board)


def _write(board: SharedHeartbeats) -> None:
    owners, lanes, ages = zip(*board.beaten(), strict=True)
    try:
        # The next beat is in seconds: asking first whether the connection is there would double
        # what an idle worker asks.
        connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own flag
        with connection.cursor() as cursor:
            cursor.execute(
                WRITE,
                {
                    "owners": list(owners),
                    "lanes": list(lanes),
                    "ages": list(ages),
                    "host": socket.gethostname()[:255],
                    "pid": board.pid,
                    "here": datetime.now(UTC),
                },
            )
    except (DatabaseError, InterfaceError) as error:
        logger.debug("No beat: %s", error)


def beat_within_a_batch() -> None:
    """Beat, once a second at most: while a backlog is worked off no other task comes through."""
    if monotonic() - OwnHeartbeat.last_at > 1:
        beat()


def delete_heartbeat(owner: int) -> None:
    """Delete the beat of a cluster that ends, and those that ended long ago; never raises."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM scheduling_heartbeat"
                " WHERE owner = %s OR beat_at < clock_timestamp() - interval '1 day'",
                [owner],
            )
    except (DatabaseError, InterfaceError) as error:
        logger.debug("Beats are left: %s", error)
