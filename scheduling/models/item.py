"""The base of every type of content: status, times, and the rules of one row."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar, Self

from django.apps import apps
from django.core.exceptions import NON_FIELD_ERRORS, ImproperlyConfigured, ValidationError
from django.db import models, transaction
from django.db.models import ExpressionWrapper, F, Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from scheduling.errors import SHOWN, ProblemsError, Why
from scheduling.models.periods import LocalPeriods


class Status(models.TextChoices):
    """The status of an item."""

    DRAFT = "draft", pgettext_lazy("status", "draft")
    SCHEDULED = "scheduled", pgettext_lazy("status", "scheduled")
    PUBLISHED = "published", pgettext_lazy("status", "published")
    UNPUBLISHED = "unpublished", pgettext_lazy("status", "unpublished")
    FAILED = "failed", pgettext_lazy("status", "failed")


# Which status may follow which. When a schedule is cancelled, the item becomes `draft` again, or
# `unpublished` if it has been live before.
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

# What readers see, or will see: a save must add no problem to it.
GUARDED = frozenset({Status.SCHEDULED, Status.PUBLISHED})

STATUSES: dict[str, Any] = {status.value: status.label for status in Status}


def register_status(
    value: str, label: Any, *, after: Collection[str], before: Collection[str]
) -> None:
    """
    Register a status that a site's own transition leads to.

    :param value: as stored, of at most 12 characters.
    :param after: the statuses that it may follow.
    :param before: the statuses that may follow it.
    """
    if len(value) > 12:
        raise ImproperlyConfigured(f"The status {value} is longer than 12 characters.")
    STATUSES[value] = label
    ALLOWED[value] = frozenset(before)
    for status in after:
        ALLOWED[status] |= {value}


def status_choices() -> list[tuple[str, Any]]:
    """Return the statuses with their labels."""
    return list(STATUSES.items())


def status_label(value: str) -> str:
    """Return the label of a status."""
    return str(STATUSES.get(value, value))


SHOWN["status"] = status_label


# White space, and what Unicode shows as nothing (Default_Ignorable_Code_Point): soft hyphen,
# zero-width and direction marks, the Hangul fillers, selectors, tags. Listed, so that Python and
# PostgreSQL agree in every locale.
_BLANK = (
    "\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# A regular expression, for Python and PostgreSQL, that finds a visible character.
VISIBLE = f"[^{_BLANK}]"


class NotPublishable(ProblemsError):
    """It cannot go live as it is."""

    code = "not_publishable"


class WouldBreak(NotPublishable):
    """It is live or scheduled, and cannot be saved like this."""


class SchedulableQuerySet(LocalPeriods[Any]):
    """Queries of items."""

    def published(self) -> Self:
        """Keep the items that readers see."""
        return self.filter(status=Status.PUBLISHED)

    def publishable(self) -> Self:
        """Keep the items without `publish_problems()`."""
        return self.filter(self.model.publishable_condition())


def _time_field(label: Any, help_text: Any) -> "models.DateTimeField[Any, datetime | None]":
    return models.DateTimeField(label, null=True, blank=True, editable=False, help_text=help_text)


def _require(name: str, condition: Q, *, of: Status | None = None) -> models.CheckConstraint:
    """Return the constraint that each row, or each with that status, meets a condition."""
    if of is not None:
        condition = ~Q(status=of) | condition
    return models.CheckConstraint(name=f"%(app_label)s_%(class)s_{name}", condition=condition)


class Schedulable(models.Model):
    """
    Base of every type of content that can be scheduled.

    A type adds its fields, says in `publish_problems()` and `publishable_condition()` what keeps an
    item from going live, and may do its own work in `before_publish()`.

    `status` and the times are written by `scheduling.operations`. If an item is saved with a
    changed status or time, its jobs are updated in the same transaction. A status or time that the
    caller did not change is not written: an item that was read before it went live, and is saved
    afterwards, stays live.
    """

    ENGINE_FIELDS: ClassVar = ("status", "publish_at", "unpublish_at", "published_at")

    # The foreign key to an item's owner, if the type has one: people who may write but not publish
    # see and change only their own items.
    OWNER: ClassVar[str | None] = None

    status = models.CharField(
        _("status"), max_length=12, choices=status_choices, default=Status.DRAFT, editable=False
    )
    publish_at = _time_field(_("goes live at"), _("The moment that was asked for."))
    unpublish_at = _time_field(_("ends at"), _("When it is taken down again."))
    published_at = _time_field(_("live since"), _("When it really went live, last."))
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)

    objects = SchedulableQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ("add", "change", "delete", "view", "schedule", "publish", "rerun")
        constraints: ClassVar = [
            _require("draft_never_was_live", Q(published_at=None), of=Status.DRAFT),
            _require("scheduled_has_publish_at", Q(publish_at__isnull=False), of=Status.SCHEDULED),
            _require("failed_has_publish_at", Q(publish_at__isnull=False), of=Status.FAILED),
            _require(
                "published_has_published_at", Q(published_at__isnull=False), of=Status.PUBLISHED
            ),
            _require("unpublished_was_live", Q(published_at__isnull=False), of=Status.UNPUBLISHED),
            _require(
                "published_never_early",
                Q(publish_at=None) | Q(published_at__gte=F("publish_at")),
                of=Status.PUBLISHED,
            ),
            _require(
                "ends_after_it_starts",
                Q(publish_at=None) | Q(unpublish_at=None) | Q(unpublish_at__gte=F("publish_at")),
            ),
        ]
        indexes: ClassVar = [
            # For the reconciler: the scheduled items, each of which has a job.
            models.Index(
                fields=["publish_at", "id"],
                name="%(class)s_due",
                condition=Q(status=Status.SCHEDULED),
            ),
            # For the reconciler: the items that end, live or scheduled.
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
            # The orders of the API's lists, which are read status by status. One leaves out live
            # items: each index that a publish writes makes publishing slower.
            models.Index(fields=["status", "publish_at", "id"], name="%(class)s_wanted"),
            models.Index(
                fields=["status", "published_at", "id"],
                name="%(class)s_was_live",
                condition=~Q(status=Status.PUBLISHED),
            ),
        ]

    # For types to override

    @property
    def label(self) -> str:
        """Return the item's name in commands and logs, as `story:42`."""
        return f"{self._meta.model_name}:{self.pk}"

    @property
    def is_published(self) -> bool:
        """Return whether readers see it."""
        return self.status == Status.PUBLISHED

    def publish_problems(self) -> list[Why]:
        """
        Return why this item must not go live: reasons, which each reader gets in their language.

        It must not query, and must agree with `publishable_condition()`. Plain sentences are shown
        to everybody as they are.
        """
        return []

    @classmethod
    def publishable_condition(cls) -> Q:
        """Return the condition that only rows without `publish_problems()` meet."""
        return Q()

    def before_publish(self) -> None:
        """
        Do the type's own checks and work just before the item goes live; raise to stop it.

        It runs in the `slow` lane, in its own process, without a lock, for at most `HOOK_TIMEOUT`
        seconds: it may use the network, and delays no other item. If it raises, what it wrote to
        the database is rolled back. It is called again if the item was changed meanwhile, or if the
        process died: it must be safe to repeat.

        A `DomainError` fails the job at once; after any other exception the job is retried, as
        `RETRY_DELAYS` says. docs/extending.md has an example.
        """

    @classmethod
    def has_hook(cls) -> bool:
        """Return whether the type overrides `before_publish()`."""
        return cls.before_publish is not Schedulable.before_publish

    @classmethod
    def long_fields(cls) -> list[str]:
        """Return the fields to `defer()` where many items are read for their titles and times."""
        long = (models.TextField, models.JSONField)
        return [field.name for field in cls._meta.concrete_fields if isinstance(field, long)]

    # Saving, which is an entry point too

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        """Remember the values that were read, to find out in `save()` which the caller changed."""
        item = super().from_db(db, field_names, values, **kwargs)
        item._remember_engine_fields()
        return item

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        """Read the row, or some of its fields, again; changes of other fields are still saved."""
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        self._remember_engine_fields(fields)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save the item; of status and times only those that the caller changed.

        :raises WouldBreak: it adds problems to what is live or scheduled, or makes it so.
        :raises django.db.IntegrityError: the status does not fit the times.
        """
        # The signal receiver `follow_saved_item` updates the jobs in this transaction.
        with transaction.atomic():
            if self._state.adding:
                self.refuse_if_broken()
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
            self._refuse_added_problems(names)
            self.has_requested_change = bool(names & changed)
            self.version = F("version") + 1
            super().save(*args, update_fields=names | {"version"}, **kwargs)
            super().refresh_from_db(fields=["version"])
            self._remember_engine_fields(names)

    def clean(self) -> None:
        """Have forms show, at its field, each problem that `save()` would refuse."""
        super().clean()
        if self._state.adding:
            return
        names = set(self._saved_names()) - set(self.ENGINE_FIELDS)
        errors: dict[str, list[str]] = {}
        for problem in self._added_problems(names):
            # The field that brings it about alone; a problem of several has no place of its own.
            fields = (name for name in sorted(names) if problem in self._added_problems({name}))
            errors.setdefault(next(fields, NON_FIELD_ERRORS), []).append(str(problem))
        if errors:
            raise ValidationError(errors)

    def refuse_if_broken(self) -> None:
        """
        Refuse to create an item as live or scheduled that has problems.

        :raises WouldBreak:
        """
        if self.status in GUARDED and (problems := self.publish_problems()):
            raise WouldBreak(problems)

    def _refuse_added_problems(self, names: Collection[str]) -> None:
        if problems := self._added_problems(names, lock=True):
            raise WouldBreak(problems)

    def _added_problems(self, names: Collection[str], *, lock: bool = False) -> list[Why]:
        """
        Return the problems that saving some fields would add to what is live or scheduled.

        It judges the row as it will be: the stored one with these fields. It queries that, unless
        every field is saved and has no problem.

        :param lock: keep the row as it was judged, to the end of the transaction.
        """
        concrete = [field for field in self._meta.concrete_fields if not field.primary_key]
        saved = [field for field in concrete if {field.name, field.attname} & set(names)]
        values = {field.attname: getattr(self, field.attname) for field in saved}
        computed = {
            field.attname: ExpressionWrapper(values[field.attname], output_field=field)
            for field in saved
            if hasattr(values[field.attname], "resolve_expression")
        }
        rows = type(self)._base_manager.filter(pk=self.pk)
        if computed:
            found = rows.values_list(*computed.values()).first()
            values |= dict(zip(computed, found or (), strict=False))
        if any(values[field.attname] is None and not field.null for field in saved):
            return []  # the database refuses that
        is_partial = {field.name for field in concrete} - set(names) - set(self.ENGINE_FIELDS)
        if not (is_partial or computed or self.publish_problems()):
            return []
        row = (rows.select_for_update() if lock else rows).first()
        if row is None:
            return []
        known = row.publish_problems() if row.status in GUARDED else []
        for field in saved:
            setattr(row, field.attname, field.to_python(values[field.attname]))
        if row.status not in GUARDED:
            return []
        return [problem for problem in row.publish_problems() if problem not in known]

    @cached_property
    def _as_read(self) -> dict[str, Any]:
        return {}

    # Set by `save()` for `follow_saved_item`: the caller has changed status or times.
    has_requested_change = False

    def copy_engine_fields(self, row: Self) -> None:
        """Copy status, times and version from the row as it is in the database."""
        self.take_over(**{name: getattr(row, name) for name in (*self.ENGINE_FIELDS, "version")})

    def take_over(self, **fields: Any) -> None:
        """Set status, times or version to values that the database has, as if just read."""
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
