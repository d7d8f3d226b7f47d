"""The heartbeat of each running cluster."""

from datetime import timedelta

from django.db import models

from scheduling.models.expressions import ClockTimestamp

# By this name PostgreSQL knows the connections of workers.
WORKER_NAME = "armo-worker"
# A running cluster beats every few seconds. Heartbeats older than this are deleted.
HEARTBEAT_KEPT = timedelta(days=1)


class Lease(models.Model):
    """
    A running cluster that reaches PostgreSQL through a pooler, and until when it is taken to run.

    One with a session of its own holds an advisory lock instead: see `scheduling.queue.leases`.
    """

    owner = models.IntegerField(primary_key=True)
    ends_at = models.DateTimeField()

    class Meta:
        # The queue's own: its statements name no table of the engine.
        db_table = "armo_queue_lease"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.owner} until {self.ends_at}"


class Heartbeat(models.Model):
    """One running cluster: its lane, host and version, and when a task last passed through it."""

    # `armo_owner` of the queue rows that it has claimed.
    owner = models.IntegerField(primary_key=True)
    lane = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    # Of its code; empty in versions before 0.2.0, which do not write it.
    version = models.CharField(max_length=100, default="", db_default="")
    started_at = models.DateTimeField(db_default=ClockTimestamp())
    beat_at = models.DateTimeField(db_default=ClockTimestamp())
    # The host's clock minus the database's.
    clock_ahead_ms = models.FloatField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.lane} on {self.host}, process {self.pid}"
