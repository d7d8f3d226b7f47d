"""The base of every type of content: its status, its times, and its rules of one row."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, ClassVar, Self

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.db.models import F, Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# Items


class Status(models.TextChoices):
    """Where an item is between written and read."""

    DRAFT = "draft", pgettext_lazy("status", "draft")
    SCHEDULED = "scheduled", pgettext_lazy("status", "scheduled")
    PUBLISHED = "published", pgettext_lazy("status", "published")
    UNPUBLISHED = "unpublished", pgettext_lazy("status", "unpublished")
    FAILED = "failed", pgettext_lazy("status", "failed")


# Which status may follow which. A cancelled schedule goes back to where the item was: `draft`, or
# `unpublished` when it has been live before.
ALLOWED: dict[str, frozenset[str]] = {
    Status.DRAFT: frozenset({Status.SCHEDULED, Status.PUBLISHED}),
    Status.SCHEDULED: frozenset(
        {Status.PUBLISHED, Status.FAILED, Status.DRAFT, Status.UNPUBLISHED}
    ),
    Status.PUBLISHED: frozenset({Status.UNPUBLISHED}),
    Status.UNPUBLISHED: frozenset({Status.SCHEDULED, Status.PUBLISHED}),
    Status.FAILED: frozenset(
        {Status.SCHEDULED, Status.PUBLISHED, Status.DRAFT, Status.UNPUBLISHED}
    ),
}

STATUSES: dict[str, Any] = {status.value: status.label for status in Status}


def register_status(
    value: str, label: Any, *, after: Collection[str], before: Collection[str]
) -> None:
    """
    Make a further status known, that a transition of one's own leads to.

    :param value: as it is stored, of at most 12 characters.
    :param after: the statuses that it may follow.
    :param before: those that may follow it.
    """
    if len(value) > 12:
        raise ImproperlyConfigured(f"The status {value} is longer than 12 characters.")
    STATUSES[value] = label
    ALLOWED[value] = frozenset(before)
    for status in after:
        ALLOWED[status] |= {value}


def status_choices() -> list[tuple[str, Any]]:
    """Return the statuses by name, with what people call them."""
    return list(STATUSES.items())


def status_label(value: str) -> str:
    """Return what people call a status."""
    return str(STATUSES.get(value, value))


# White space, and the characters that look like it: soft hyphen, zero-width and direction marks,
# the Hangul fillers. Spelled out so that Python and PostgreSQL agree whatever the locale.
_BLANK = (
    "\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
# A regular expression, of Python and of PostgreSQL, that finds a character a reader can see.
VISIBLE = f"[^{_BLANK}]"


class SchedulableQuerySet(models.QuerySet[Any]):
    """Items, by what readers and the engine ask of them."""

    def published(self) -> Self:
        """Keep what readers may see."""
        return self.filter(status=Status.PUBLISHED)

    def publishable(self) -> Self:
        """Keep what has no `publish_problems()`."""
        return self.filter(self.model.publishable_condition())


class Schedulable(models.Model):
    """
    Base of every type of content that goes live at a moment.

    A type adds its own fields, says in `publish_problems()` and `publishable_condition()` what
    keeps an item from going live, and may do work of its own in `before_publish()`.

    `status` and the times are written by `scheduling.operations.item`. An item saved with another
    status or time than it was read with is followed: its jobs are brought in line in the same
    transaction. Whatever the caller did not change is not written, so that an item which was read
    before its moment and saved after it stays live.
    """

    ENGINE_FIELDS: ClassVar = ("status", "publish_at", "unpublish_at", "published_at")

    # The field that says whose an item is, if the type has one: who may write but not publish sees
    # and changes his own items only.
    OWNER: ClassVar[str | None] = None

    status = models.CharField(
        _("status"), max_length=12, choices=status_choices, default=Status.DRAFT, editable=False
    )
    publish_at = models.DateTimeField(
        _("goes live at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("The moment that was asked for."),
    )
    unpublish_at = models.DateTimeField(
        _("ends at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When it is taken down again."),
    )
    published_at = models.DateTimeField(
        _("live since"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When it really went live, last."),
    )
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)

    objects = SchedulableQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ("add", "change", "delete", "view", "schedule", "publish", "rerun")
        constraints: ClassVar = [
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_draft_never_was_live",
                condition=~Q(status=Status.DRAFT) | Q(published_at=None),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_scheduled_has_publish_at",
                condition=~Q(status=Status.SCHEDULED) | Q(publish_at__isnull=False),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_failed_has_publish_at",
                condition=~Q(status=Status.FAILED) | Q(publish_at__isnull=False),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_published_has_published_at",
                condition=~Q(status=Status.PUBLISHED) | Q(published_at__isnull=False),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_unpublished_was_live",
                condition=~Q(status=Status.UNPUBLISHED) | Q(published_at__isnull=False),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_published_never_early",
                condition=~Q(status=Status.PUBLISHED)
                | Q(publish_at=None)
                | Q(published_at__gte=F("publish_at")),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_ends_after_it_starts",
                condition=Q(publish_at=None)
                | Q(unpublish_at=None)
                | Q(unpublish_at__gte=F("publish_at")),
            ),
        ]
        indexes: ClassVar = [
            # The condition of `due()`.
            models.Index(
                fields=["publish_at", "id"],
                name="%(class)s_due",
                condition=Q(status=Status.SCHEDULED),
            ),
            # What is live with an end to come: the sweep asks for it.
            models.Index(
                fields=["unpublish_at", "id"],
                name="%(class)s_ending",
                condition=Q(
                    status__in=(Status.SCHEDULED, Status.PUBLISHED), unpublish_at__isnull=False
                ),
            ),
            models.Index(
                fields=["-published_at", "-id"],
                name="%(class)s_published",
                condition=Q(status=Status.PUBLISHED),
            ),
            # The orders of the API's lists, which are read status by status. One leaves out what is
            # live: each index that a publish writes makes publishing slower.
            models.Index(fields=["status", "publish_at", "id"], name="%(class)s_wanted"),
            models.Index(
                fields=["status", "published_at", "id"],
                name="%(class)s_was_live",
                condition=~Q(status=Status.PUBLISHED),
            ),
        ]

    # What a type says of itself

    @property
    def label(self) -> str:
        """Return the item's name in commands and logs, as `story:42`."""
        return f"{self._meta.model_name}:{self.pk}"

    @property
    def is_published(self) -> bool:
        """Whether readers may see it."""
        return self.status == Status.PUBLISHED

    def publish_problems(self) -> list[str]:
        """
        Return why this item may not go live, a sentence each; nothing when it may.

        Reads the row only, never the database. Must agree with `publishable_condition()`.
        """
        return []

    @classmethod
    def publishable_condition(cls) -> Q:
        """Return the condition that holds for just the rows without `publish_problems()`."""
        return Q()

    def before_publish(self) -> None:
        """
        Do the type's own checks and work just before the item goes live; raise to stop it.

        It runs alone, in a process of its own, `HOOK_TIMEOUT` seconds at most, in the `slow` lane:
        it may talk to a network, and whatever it does delays nobody else. No lock is held
        meanwhile. What it writes to the database is undone when it raises. It is called again when
        the item was changed meanwhile, or when its process ended: it must be safe to repeat.

        A `DomainError` fails the job at once; any other exception is retried after
        `RETRY_DELAYS`. docs/extending.md has an example.
        """

    @classmethod
    def has_hook(cls) -> bool:
        """Return whether the type has its own `before_publish()`."""
        return cls.before_publish is not Schedulable.before_publish

    @classmethod
    def long_fields(cls) -> list[str]:
        """Return the fields to `defer()` where many items are read for their titles and times."""
        long = (models.TextField, models.JSONField)
        return [field.name for field in cls._meta.concrete_fields if isinstance(field, long)]

    # Saving: one more door

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        """Remember what was read, to tell later what the caller changed."""
        item = super().from_db(db, field_names, values, **kwargs)
        item._remember_engine_fields()
        return item

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        """Read the row, or some of its fields, again; a change of the others stays a change."""
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        self._remember_engine_fields(fields)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save what the caller changed; see the class for status and times.

        :raises django.db.IntegrityError: status and times do not go together.
        """
        # `follow_saved_item` joins this transaction: the item and its jobs change together.
        with transaction.atomic():
            if self._state.adding:
                self.has_requested_change = self.status != Status.DRAFT
                super().save(*args, **kwargs)
                self._remember_engine_fields()
                return
            changed = {name for name in self.ENGINE_FIELDS if self._is_changed(name)}
            wanted = kwargs.pop("update_fields", None)
            names = set(self._saved_names() if wanted is None else wanted)
            names -= set(self.ENGINE_FIELDS) - changed
            if not names:
                return
            self.has_requested_change = bool(names & changed)
            self.version = F("version") + 1
            super().save(*args, update_fields=names | {"version"}, **kwargs)
            super().refresh_from_db(fields=["version"])
            self._remember_engine_fields(names)

    @cached_property
    def _as_read(self) -> dict[str, Any]:
        return {}

    # Set by `save()` for `follow_saved_item`: the caller asked for another status or time.
    has_requested_change = False

    def copy_engine_fields(self, row: Self) -> None:
        """Take over status, times and version from the row as it is in the database."""
        self.take_over(**{name: getattr(row, name) for name in (*self.ENGINE_FIELDS, "version")})

    def take_over(self, **fields: Any) -> None:
        """Take over values of status, times and version that are in the database by now."""
        self.__dict__.update(fields)
        self._remember_engine_fields(fields)

    def _remember_engine_fields(self, fields: Collection[str] | None = None) -> None:
        for name in self.ENGINE_FIELDS:
            if name in self.__dict__ and (fields is None or name in fields):
                self._as_read[name] = self.__dict__[name]

    def _is_changed(self, name: str) -> bool:
        if name not in self.__dict__:
            return False
        return name not in self._as_read or self.__dict__[name] != self._as_read[name]

    def _saved_names(self) -> Iterator[str]:
        for field in self._meta.concrete_fields:
            if not field.primary_key and field.attname in self.__dict__:
                yield field.name


def schedulable_models() -> list[type[Schedulable]]:
    """Return every type of content of the installed applications."""
    return [model for model in apps.get_models() if issubclass(model, Schedulable)]
