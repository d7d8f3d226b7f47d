"""How often what has happened to jobs; see docs/adr/0045-counts-outlive-the-ledger.md."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class EventCount(models.Model):
    """
    How many events of one sort there have been, pruned ones included: a number that only grows.

    Of successes that a worker made, each range of lateness has a row of its own.
    """

    kind = models.CharField(max_length=32)
    # As `JobEvent.what`.
    what = models.CharField(max_length=14)
    # Of a failed attempt: whether a retry may mend it, and the class of the error.
    error_class = models.CharField(max_length=9, default="", db_default="")
    error = models.CharField(max_length=200, default="", db_default="")
    # The upper end of the range of lateness in seconds, as Prometheus writes it.
    lateness_to = models.CharField(max_length=8, default="", db_default="")
    number = models.BigIntegerField()
    # The sum of their lateness.
    lateness_seconds = models.FloatField(default=0, db_default=0)
    last_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="eventcount_of_each_sort",
                fields=["kind", "what", "error_class", "error", "lateness_to"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.number}"


class EventCountMark(models.Model):
    """Up to which event they have been counted."""

    # At most one row.
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    counted_to = models.BigIntegerField(default=0)
    # Up to which event comes next, and the first transaction that may not write any of those: once
    # all before it have ended, no more of them can appear.
    next_to = models.BigIntegerField(default=0)
    next_from_xid = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(name="eventcountmark_is_the_only_one", condition=Q(pk=1))
        ]

    def __str__(self) -> str:
        return f"up to {self.counted_to}"
