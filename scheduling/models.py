"""
What is scheduled, and the ledger of it.

`Schedulable` is the base of every type of content; a `Job` is one timed change of one item, a
`JobEvent` one line of its history. The Job row is the schedule: `status` and the times of an item
mirror it for readers. The rules here are of one row; what spans rows is in `operations`.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models import F, Func, Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class ClockTimestamp(Func):
    """The database's clock at this very moment, not at the start of the transaction."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = models.DateTimeField()


class ClockNow(ClockTimestamp):
    """
    The same, asked once a statement.

    `clock_timestamp()` may differ from row to row, so PostgreSQL compares it with every row and
    uses no index; the result of a subquery it looks up in the index.
    """

    template = "(SELECT %(function)s())"


class IsOneOf(Func):
    """
    Whether a whole number is among some.

    `IN` with a thousand numbers is spelled out, parsed and planned number by number; this is one
    parameter, however many they are.
    """

    output_field = models.BooleanField()

    def __init__(self, field: str, numbers: Iterable[int]) -> None:
        super().__init__(F(field))
        self.numbers = list(numbers)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        """Return the condition in SQL."""
        field, params = compiler.compile(self.source_expressions[0])
        # Spelled out here: psycopg takes ten times as long over an array.
        return f"{field} = ANY(%s::bigint[])", [*params, f"{{{','.join(map(str, self.numbers))}}}"]


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
ALLOWED: dict[Status, frozenset[Status]] = {
    Status.DRAFT: frozenset({Status.SCHEDULED, Status.PUBLISHED}),
    Status.SCHEDULED: frozenset(
        {Status.PUBLISHED, Status.FAILED, Status.DRAFT, Status.UNPUBLISHED},
    ),
    Status.PUBLISHED: frozenset({Status.UNPUBLISHED}),
    Status.UNPUBLISHED: frozenset({Status.SCHEDULED, Status.PUBLISHED}),
    Status.FAILED: frozenset(
        {Status.SCHEDULED, Status.PUBLISHED, Status.DRAFT, Status.UNPUBLISHED},
    ),
}

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

    def scheduled(self) -> Self:
        """Keep what waits for its moment."""
        return self.filter(status=Status.SCHEDULED)

    def due(self) -> Self:
        """Keep what should be live by the database's clock and is not yet."""
        return self.scheduled().filter(publish_at__lte=ClockNow())

    def publishable(self) -> Self:
        """Keep what has no `publish_problems()`."""
        return self.filter(self.model.publishable_condition())


class Schedulable(models.Model):
    """
    Base of every type of content that goes live at a moment.

    A type adds its own fields, says in `publish_problems()` and `publishable_condition()` what
    keeps an item from going live, and may do work of its own in `before_publish()`.

    `status` and the times are written by `scheduling.operations`. An item saved with another
    status or time than it was read with is followed: its jobs are brought in line in the same
    transaction. Whatever the caller did not change is not written, so that an item which was read
    before its moment and saved after it stays live.
    """

    ENGINE_FIELDS: ClassVar = ("status", "publish_at", "unpublish_at", "published_at")

    # The field that says whose an item is, if the type has one: who may write but not publish sees
    # and changes his own items only.
    OWNER: ClassVar[str | None] = None

    status = models.CharField(
        _("status"), max_length=12, choices=Status, default=Status.DRAFT, editable=False
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
                name="%(app_label)s_%(class)s_known_status",
                condition=Q(status__in=Status.values),
            ),
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

    # Saving: one more door

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **kwargs: Any,
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
                self.has_new_wish = self.status != Status.DRAFT
                super().save(*args, **kwargs)
                self._remember_engine_fields()
                return
            changed = {name for name in self.ENGINE_FIELDS if self._is_changed(name)}
            wanted = kwargs.pop("update_fields", None)
            names = set(self._saved_names() if wanted is None else wanted)
            names -= set(self.ENGINE_FIELDS) - changed
            if not names:
                return
            self.has_new_wish = bool(names & changed)
            self.version = F("version") + 1
            super().save(*args, update_fields=names | {"version"}, **kwargs)
            super().refresh_from_db(fields=["version"])
            self._remember_engine_fields(names)

    @cached_property
    def _as_read(self) -> dict[str, Any]:
        return {}

    # Set by `save()` for `follow_saved_item`: the caller asked for another status or time.
    has_new_wish = False

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


# Jobs


class Kind(models.TextChoices):
    """What a job does to its item."""

    PUBLISH = "publish", pgettext_lazy("kind", "publish")
    UNPUBLISH = "unpublish", pgettext_lazy("kind", "unpublish")


class State(models.TextChoices):
    """How far a job is."""

    WAITING = "waiting", pgettext_lazy("state", "waiting")
    RETRYING = "retrying", pgettext_lazy("state", "retrying")
    SUCCEEDED = "succeeded", pgettext_lazy("state", "succeeded")
    FAILED = "failed", pgettext_lazy("state", "failed")
    CANCELLED = "cancelled", pgettext_lazy("state", "cancelled")


# Which time of an item a job of each kind mirrors, and which items ask for one.
WISHES = {
    Kind.PUBLISH: ("publish_at", Q(status=Status.SCHEDULED)),
    Kind.UNPUBLISH: (
        "unpublish_at",
        Q(status__in=(Status.SCHEDULED, Status.PUBLISHED), unpublish_at__isnull=False),
    ),
}


def lane_of(model: type[models.Model] | None, kind: str) -> str:
    """Return the lane that runs jobs of that kind for items of that type."""
    if kind == Kind.PUBLISH and model and issubclass(model, Schedulable) and model.has_hook():
        return str(settings.SLOW_LANE)
    return str(settings.PUBLISH_LANE)


# A job in one of these has still to run.
OPEN_STATES = (State.WAITING, State.RETRYING)


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs, by what the engine and operators ask of them."""

    def open(self) -> Self:
        """Keep what has still to run."""
        return self.filter(state__in=OPEN_STATES)

    def finished(self) -> Self:
        """Keep what has run, failed or been cancelled."""
        return self.exclude(state__in=OPEN_STATES)

    def due(self) -> Self:
        """Keep what should run now by the database's clock, the oldest first."""
        return self.open().filter(next_attempt_at__lte=ClockNow()).order_by("next_attempt_at", "pk")

    def overdue(self) -> Self:
        """Keep what should have run more than OVERDUE_AFTER seconds ago."""
        grace = timedelta(seconds=settings.OVERDUE_AFTER)
        return self.open().filter(run_at__lt=ClockNow() - grace)

    def of(self, item: Schedulable) -> Self:
        """Keep the jobs of one item."""
        return self.filter(content_type=ContentType.objects.get_for_model(item), object_id=item.pk)


class Job(models.Model):
    """
    One timed change of one item: the schedule while open, the ledger once finished.

    It outlives its item, so the item is named by type and id and by `item_title`.
    """

    kind = models.CharField(_("kind"), max_length=9, choices=Kind)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    content_type = models.ForeignKey(
        ContentType, on_delete=models.PROTECT, verbose_name=_("type"), db_index=False
    )
    object_id = models.BigIntegerField(_("item"))
    item = GenericForeignKey("content_type", "object_id")
    item_title = models.CharField(_("title"), max_length=255, blank=True)
    run_at = models.DateTimeField(_("due at"), help_text=_("The moment that was asked for."))
    next_attempt_at = models.DateTimeField(
        _("next attempt at"),
        help_text=_("When a worker takes it up: the due time at first, later that of the retry."),
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    reason = models.TextField(_("reason"), blank=True)
    scheduled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        # Asked for only when a user is deleted; every publish would have to write it.
        db_index=False,
        verbose_name=_("scheduled by"),
    )
    # When the attempt began that is being made now; left standing by a worker that died over it.
    attempt_begun_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When the people concerned were told that it has failed for good.
    told_at = models.DateTimeField(_("told at"), null=True, blank=True, editable=False)
    # Which row of the queue table wakes a worker for this job. No foreign key: messages come and
    # go by themselves, and losing one must not touch the job.
    message_id = models.BigIntegerField(_("message"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=ClockTimestamp())
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        default_permissions = ("view", "schedule", "rerun", "prune")
        permissions = (("pause_job", "Can pause publishing"),)
        constraints: ClassVar = [
            models.CheckConstraint(name="job_known_kind", condition=Q(kind__in=Kind.values)),
            models.CheckConstraint(name="job_known_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="job_finished_when_closed",
                condition=Q(state__in=OPEN_STATES, finished_at=None)
                | (~Q(state__in=OPEN_STATES) & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="job_succeeded_never_early",
                condition=~Q(state=State.SUCCEEDED) | Q(finished_at__gte=F("run_at")),
            ),
            models.UniqueConstraint(
                name="job_one_open",
                fields=["content_type", "object_id", "kind"],
                condition=Q(state__in=OPEN_STATES),
            ),
        ]
        indexes: ClassVar = [
            # The condition of `due()`, and its order.
            models.Index(
                fields=["next_attempt_at", "id"],
                name="job_due",
                condition=Q(state__in=OPEN_STATES),
            ),
            models.Index(fields=["run_at", "id"], name="job_run_at"),
            # What is to come, or overdue, in the order of the time that was asked for.
            models.Index(
                fields=["run_at", "id"], name="job_open", condition=Q(state__in=OPEN_STATES)
            ),
            # The dead letters, few among very many.
            models.Index(fields=["id"], name="job_failed", condition=Q(state=State.FAILED)),
            models.Index(fields=["content_type", "object_id", "id"], name="job_item"),
            # What is over, the oldest first, whatever its due time: pruning asks for it.
            models.Index(
                fields=["finished_at", "id"],
                name="job_finished",
                condition=Q(finished_at__isnull=False),
            ),
            # Failures whose e-mail has still to be sent: the sweep asks for them.
            models.Index(
                fields=["finished_at"],
                name="job_untold",
                condition=Q(state=State.FAILED, told_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.item_label}"

    @property
    def lane(self) -> str:
        """Return the lane whose workers run it: `slow` when its type has a hook."""
        model = ContentType.objects.get_for_id(self.content_type_id).model_class()
        return lane_of(model, self.kind)

    @property
    def is_open(self) -> bool:
        """Whether it has still to run."""
        return self.state in OPEN_STATES

    @property
    def item_label(self) -> str:
        """Return the item's name in commands and logs, as `story:42`."""
        model = ContentType.objects.get_for_id(self.content_type_id).model
        return f"{model}:{self.object_id}"

    def find_item(self) -> Schedulable | None:
        """Query the item as it is now; None when it, or its whole type, is gone."""
        model = ContentType.objects.get_for_id(self.content_type_id).model_class()
        if model is None or not issubclass(model, Schedulable):
            return None
        return model._base_manager.filter(pk=self.object_id).first()

    @property
    def lateness_ms(self) -> float | None:
        """Return the milliseconds from `run_at` until it was done; None unless it succeeded."""
        if self.state != State.SUCCEEDED or self.finished_at is None:
            return None
        return (self.finished_at - self.run_at).total_seconds() * 1000


class JobEvent(models.Model):
    """One line of a job's history: what, when, who, from when to when, and why."""

    class What(models.TextChoices):
        """What happened to the job."""

        SCHEDULED = "scheduled", pgettext_lazy("event", "scheduled")
        MOVED = "moved", pgettext_lazy("event", "moved")
        ATTEMPT_FAILED = "attempt_failed", pgettext_lazy("event", "attempt failed")
        SUCCEEDED = "succeeded", pgettext_lazy("event", "succeeded")
        FAILED = "failed", pgettext_lazy("event", "failed")
        CANCELLED = "cancelled", pgettext_lazy("event", "cancelled")
        RERUN = "rerun", pgettext_lazy("event", "rerun")

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="events", verbose_name=_("job")
    )
    what = models.CharField(_("what"), max_length=14, choices=What)
    at = models.DateTimeField(_("when"), db_default=ClockTimestamp())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("who"),
        help_text=_("Empty: the publisher itself."),
    )
    old_run_at = models.DateTimeField(_("from"), null=True, blank=True)
    new_run_at = models.DateTimeField(_("to"), null=True, blank=True)
    reason = models.TextField(_("why"), blank=True)
    # Of a failed attempt: `error` (the class), `traceback`.
    detail = models.JSONField(_("detail"), null=True, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.what} {self.at:%Y-%m-%dT%H:%M:%S.%fZ}"


# Pausing


class Pause(models.Model):
    """That publishing is paused: while there is this row, no job is run."""

    # One row at most.
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(_("paused at"), db_default=ClockTimestamp())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("paused by"),
        help_text=_("Empty: a command."),
    )
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(name="pause_is_the_only_one", condition=Q(pk=1)),
        ]

    def __str__(self) -> str:
        return f"pause since {self.paused_at:%Y-%m-%dT%H:%M:%S.%fZ}"


class PauseEvent(models.Model):
    """One line of the history of pauses: what, when, who, and why."""

    class What(models.TextChoices):
        """What happened to publishing."""

        PAUSED = "paused", pgettext_lazy("pause", "paused")
        RESUMED = "resumed", pgettext_lazy("pause", "resumed")

    what = models.CharField(_("what"), max_length=7, choices=What)
    at = models.DateTimeField(_("when"), db_default=ClockTimestamp())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("who"),
        help_text=_("Empty: a command."),
    )
    reason = models.TextField(_("why"), blank=True)

    class Meta:
        verbose_name = _("event of a pause")
        verbose_name_plural = _("events of pauses")
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(
                name="pauseevent_known_what", condition=Q(what__in=("paused", "resumed"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.at:%Y-%m-%dT%H:%M:%S.%fZ}"


# Workers


class Heartbeat(models.Model):
    """One running cluster: which lane, where, and when it last finished something."""

    # The number that its claims in the queue table carry.
    owner = models.IntegerField(primary_key=True)
    lane = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=ClockTimestamp())
    beat_at = models.DateTimeField(db_default=ClockTimestamp())
    # The host's clock minus the database's.
    clock_ahead_ms = models.FloatField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.lane} on {self.host}, process {self.pid}"


# Calendars


class CalendarLink(models.Model):
    """The private address at which a person's calendar program reads what is scheduled."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="calendar_link"
    )
    # SHA-256 of the secret that the address ends with: a stolen table opens no calendar. No salt
    # and no slow hash are needed against guessing, as for a password: it is 256 random bits.
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(db_default=ClockTimestamp())
    # To within an hour: it tells links in use from forgotten ones.
    last_read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(name="calendar_link_digest_is_its_own", fields=["digest"]),
        ]

    def __str__(self) -> str:
        return f"calendar link {self.pk}"
