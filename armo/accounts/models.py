"""The preferences of people, and what is kept of them when their accounts are deleted."""

from typing import ClassVar

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext
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


class KeptLogEntry(models.Model):
    """
    One line of the admin's history, of somebody whose account was deleted.

    Django deletes the lines of a user with the user; these are copied first.
    """

    # Read by the index below.
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_index=False)
    object_id = models.TextField()
    object_repr = models.CharField(max_length=200)
    action_time = models.DateTimeField()
    action_flag = models.PositiveSmallIntegerField()
    change_message = models.TextField()
    user_name = models.TextField()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["content_type", "object_id"], name="keptlogentry_object")
        ]

    def __str__(self) -> str:
        return f"{self.object_repr}, by {self.user_name}"

    def as_log_entry(self) -> LogEntry:
        """Return it as one of Django's, not to be saved; its user has a name that says so."""
        model = get_user_model()
        name = gettext("%(name)s (account deleted)") % {"name": self.user_name}
        return LogEntry(
            user=model(**{model.USERNAME_FIELD: name}),
            content_type_id=self.content_type_id,
            object_id=self.object_id,
            object_repr=self.object_repr,
            action_time=self.action_time,
            action_flag=self.action_flag,
            change_message=self.change_message,
        )
