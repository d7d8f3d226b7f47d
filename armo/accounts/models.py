"""The preferences of people."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from armo.accounts.zones import require_known


class Preferences(models.Model):
    """A person's time zone and language; empty means the site's, or the browser's."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="preferences",
    )
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[require_known]
    )
    language = models.CharField(
        _("language"), max_length=16, blank=True, choices=settings.LANGUAGES
    )

    class Meta:
        verbose_name = _("preferences")
        verbose_name_plural = _("preferences")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.time_zone or '-'} {self.language or '-'}"
