"""
The heartbeat of a running cluster: that it finishes what it takes up, not only that it is there.

A task that does nothing goes the whole way of every other, pusher, worker, monitor, and only at its
end the beat is written. Where a single process hangs, the beat stops.
"""

import logging
import socket
from datetime import UTC, datetime
from time import monotonic
from typing import ClassVar

from django.db import DatabaseError, InterfaceError, connection
from django_q.conf import Conf

from scheduling.broker import TimedBroker

logger = logging.getLogger(__name__)

BEAT = "scheduling.tasks.beat"

WRITE = """
    INSERT INTO scheduling_heartbeat (owner, lane, host, pid, clock_ahead_ms)
    VALUES (%(owner)s, %(lane)s, %(host)s, %(pid)s,
            1000 * extract(epoch FROM %(here)s - clock_timestamp()))
    ON CONFLICT (owner) DO UPDATE
    SET beat_at = clock_timestamp(), clock_ahead_ms = excluded.clock_ahead_ms
"""


class Pulse:
    """Which cluster this process belongs to."""

    pid: ClassVar[int] = 0
    # When a long drain wrote its last beat, by `monotonic()`.
    last_at: ClassVar[float] = 0


def beat() -> None:
    """Write down that this process's cluster has just finished something; never raises."""
    if TimedBroker.owner is None or connection.in_atomic_block:
        return
    Pulse.last_at = monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                WRITE,
                {
                    "owner": TimedBroker.owner,
                    "lane": Conf.CLUSTER_NAME,
                    "host": socket.gethostname()[:255],
                    "pid": Pulse.pid,
                    "here": datetime.now(UTC),
                },
            )
    except (DatabaseError, InterfaceError) as error:
        # The next one is in seconds.
        logger.debug("No beat: %s", error)


def beat_within_a_batch() -> None:
    """Beat, once a second at most: while a backlog is worked off no other task comes through."""
    if monotonic() - Pulse.last_at > 1:
        beat()


def forget(owner: int) -> None:
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


def count_worker_connections() -> int:
    """Query how many connections workers have to this database; 0 is no worker."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'armo-worker' AND datname = current_database()"
        )
        [count] = cursor.fetchone()
    return int(count)
