"""Query which workers run, and of which version they are."""

from datetime import timedelta
from typing import NamedTuple

from scheduling.models import ClockNow, Heartbeat
from scheduling.queue import leases

# A worker whose heartbeat is older may have ended.
FRESH = timedelta(minutes=2)


class RunningWorker(NamedTuple):
    """A worker, with the version of its code; empty if that is before 0.2.0."""

    version: str
    host: str
    pid: int

    def __str__(self) -> str:
        """Return its version, host and process."""
        return f"{self.version or 'before 0.2.0'} on {self.host}, process {self.pid}"


def running_workers() -> list[RunningWorker]:
    """Query which workers have finished anything lately."""
    fresh = Heartbeat.objects.filter(beat_at__gt=ClockNow() - FRESH)
    of_each = fresh.values_list(*RunningWorker._fields).order_by(*RunningWorker._fields)
    return [RunningWorker(*row) for row in of_each.distinct()]


def count_clusters() -> int:
    """
    Query how many clusters claim jobs, one a lane of each worker; 0 when no worker runs.

    Not by the name that PostgreSQL shows of its clients: behind a pooler it is that of whoever was
    served last.
    """
    return leases.count_owners()
