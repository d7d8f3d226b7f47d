"""Fields that several models have."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

if TYPE_CHECKING:  # models are being loaded
    from django.contrib.auth.models import AbstractUser


def user_field(label: Any, help_text: Any = "") -> "models.ForeignKey[Any, AbstractUser | None]":
    """Return the field of who did something; it is emptied when their account is deleted."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        # Read only when a user is deleted, while every publish would have to write the index.
        db_index=False,
        verbose_name=label,
        help_text=help_text,
    )
