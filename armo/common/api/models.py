"""The keys of programs, and the stored answers of repeatable requests."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class ApiKey(models.Model):
    """
    A key by which a program asks, with its owner's rights as far as its scopes go.

    It outlives a change of the password; the migration's trigger deletes it with its account, or
    when that is deactivated.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="api_keys",
        db_index=False,  # the constraint's index serves
        verbose_name=_("owner"),
    )
    name = models.CharField(_("name"), max_length=100)
    scopes = ArrayField(models.CharField(max_length=20), verbose_name=_("scopes"))
    # As `content.story`.
    type = models.CharField(_("only for"), max_length=200, blank=True)
    prefix = models.CharField(_("first characters"), max_length=15, editable=False)
    # SHA-512 of the secret. That is 256 random bits: unlike a password it needs no slow hash.
    digest = models.CharField(max_length=128, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    expires_at = models.DateTimeField(_("ends at"), null=True, blank=True)
    # To within a minute.
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        # Those of others; one's own need no right.
        default_permissions = ("view", "delete")
        constraints: ClassVar = [
            models.UniqueConstraint(name="api_key_name_of_one_owner", fields=["owner", "name"]),
            models.UniqueConstraint(name="api_key_digest_is_its_own", fields=["digest"]),
        ]

    def __str__(self) -> str:
        return self.name


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
