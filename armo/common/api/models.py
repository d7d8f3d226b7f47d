"""The stored answers of repeatable requests."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class KeptAnswer(models.Model):
    """The answer to a POST with an `Idempotency-Key`; see `idempotency`."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=255)
    # Hash of the request: a different one with the same key is refused.
    fingerprint = models.CharField(max_length=64)
    # NULL while the request is carried out, and seen only by its own transaction.
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
            # To delete the oldest first.
            models.Index(fields=["created_at"], name="kept_answer_age")
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
