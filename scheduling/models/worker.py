"""The heartbeat of each running cluster."""

from django.db import models

from scheduling.models.expressions import ClockTimestamp


class Heartbeat(models.Model):
    """One running cluster: its lane, its host, and when a task last passed through it."""

    # `armo_owner` of the queue rows that it has claimed.
    owner = models.IntegerField(primary_key=True)
    lane = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=ClockTimestamp())
    beat_at = models.DateTimeField(db_default=ClockTimestamp())
    # The host's clock minus the database's.
    clock_ahead_ms = models.FloatField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.lane} on {self.host}, process {self.pid}"
