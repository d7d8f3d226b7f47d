"""The pause of publishing, and the history of pauses."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from scheduling.models.expressions import ClockTimestamp
from scheduling.models.fields import name_field, name_for_people, user_field
from scheduling.models.times import utc


class Pause(models.Model):
    """The pause: while this row exists, no job is begun."""

    # At most one row.
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(_("paused at"), db_default=ClockTimestamp())
    by = user_field(_("paused by"), _("Empty: a command."))
    by_name = name_field()
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(name="pause_is_the_only_one", condition=Q(pk=1))
        ]

    def __str__(self) -> str:
        return f"pause since {utc(self.paused_at)}"

    @property
    def who(self) -> str:
        """Return who it was, in the active language: a user, or a command."""
        return name_for_people(self, "by", nobody=gettext("a command"))


class PauseEvent(models.Model):
    """One line of the history: what, when, who, and why."""

    class What(models.TextChoices):
        """What happened to publishing."""

        PAUSED = "paused", pgettext_lazy("pause", "paused")
        RESUMED = "resumed", pgettext_lazy("pause", "resumed")

    what = models.CharField(_("what"), max_length=7, choices=What)
    at = models.DateTimeField(_("when"), db_default=ClockTimestamp())
    by = user_field(_("who"), _("Empty: a command."))
    by_name = name_field()
    reason = models.TextField(_("why"), blank=True)

    class Meta:
        verbose_name = _("event of a pause")
        verbose_name_plural = _("events of pauses")
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(
                name="pauseevent_known_what", condition=Q(what__in=("paused", "resumed"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.what} {utc(self.at)}"

    @property
    def who(self) -> str:
        """Return who it was, in the active language: a user, or a command."""
        return name_for_people(self, "by", nobody=gettext("a command"))
