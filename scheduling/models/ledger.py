"""Where the ledger of finished jobs begins."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from scheduling.models.times import utc


class LedgerStart(models.Model):
    """The time before which finished jobs may have been pruned; no row while none has been."""

    # At most one row.
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(name="ledgerstart_is_the_only_one", condition=Q(pk=1))
        ]

    def __str__(self) -> str:
        return utc(self.at)

    @classmethod
    def find(cls) -> datetime | None:
        """Query when the ledger begins; None if it has everything."""
        return cls.objects.values_list("at", flat=True).first()
