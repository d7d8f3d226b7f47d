"""The private address of a person's calendar feed."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from scheduling.models.expressions import ClockTimestamp


class CalendarLink(models.Model):
    """The private address at which a person's calendar program reads their schedule."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="calendar_link"
    )
    # SHA-256 of the secret at the end of the address, so that nobody can use a stolen table. The
    # secret is 256 random bits: unlike a password it needs neither salt nor a slow hash.
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(db_default=ClockTimestamp())
    # To within an hour: it shows which links are in use.
    last_read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(name="calendar_link_digest_is_its_own", fields=["digest"])
        ]

    def __str__(self) -> str:
        return f"calendar link {self.pk}"
