"""What the API remembers."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class KeptAnswer(models.Model):
    """The answer to a POST that came with an `Idempotency-Key`; `idempotency` keeps it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=255)
    # Of the request that it came with: another one is refused.
    fingerprint = models.CharField(max_length=64)
    # Empty while the request is being done, in the one transaction that does it.
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(name="kept_answer_one_a_key", fields=["user", "key"])
        ]
        indexes: ClassVar = [
            # The oldest first: they are forgotten after a day.
            models.Index(fields=["created_at"], name="kept_answer_age")
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
