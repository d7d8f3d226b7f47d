"""Jobs: the ledger of timed changes, with the history of each."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext, gettext_noop, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from scheduling import conf
from scheduling.errors import SHOWN, Reason, spoken
from scheduling.models.expressions import ClockNow, ClockTimestamp
from scheduling.models.fields import name_field, name_for_people, request_field, user_field
from scheduling.models.item import Schedulable, schedulable_models
from scheduling.models.periods import LocalPeriods
from scheduling.models.references import parse_item
from scheduling.models.task_names import task_of
from scheduling.models.times import utc
from scheduling.models.transitions import (
    TRANSITIONS,
    Transition,
    kind_choices,
    transition_of,
    unmirrored,
)
from scheduling.schemas import own_key


class State(models.TextChoices):
    """The state of a job."""

    WAITING = "waiting", pgettext_lazy("state", "waiting")
    RETRYING = "retrying", pgettext_lazy("state", "retrying")
    SUCCEEDED = "succeeded", pgettext_lazy("state", "succeeded")
    FAILED = "failed", pgettext_lazy("state", "failed")
    CANCELLED = "cancelled", pgettext_lazy("state", "cancelled")


def lane_of(model: type[models.Model] | None, kind: str) -> str:
    """Return the lane that runs jobs of that kind for items of that type."""
    transition = TRANSITIONS.get(kind)
    if transition and model and issubclass(model, Schedulable) and transition.has_hook(model):
        return conf.SLOW_LANE
    return conf.PUBLISH_LANE


SHOWN["state"] = lambda state: str(dict(State.choices).get(state, state))

# First key of the advisory locks that attempts hold; the second is the job's id.
ATTEMPT_LOCK = own_key(0x41726D70)
# How long a hook has to end once its time-out has been raised in it.
HOOK_GRACE_SECONDS = 5.0


def longest_attempt() -> timedelta:
    """Return how long an attempt can take; the worker of one that began earlier has died."""
    return timedelta(seconds=conf.HOOK_TIMEOUT + HOOK_GRACE_SECONDS + 5)


def overdue_limit(now: datetime) -> datetime:
    """Return the time at which a job has to be due to be just not overdue at `now`."""
    return now - timedelta(seconds=conf.OVERDUE_AFTER)


# Failures are mailed for this long. If mail did not work for longer, that raised its own alarm.
NOTIFIED_WITHIN = timedelta(days=1)

# The states of a job that has still to run.
OPEN_STATES = (State.WAITING, State.RETRYING)


def rerunnable() -> Q:
    """
    Return the condition of the failed jobs that can be run again.

    `operations.rerun` refuses the others: their item has been published by hand, scheduled again,
    or deleted.
    """
    asking = Q(pk__in=[])
    run_at = OuterRef("run_at")
    for model in schedulable_models():
        items = model._base_manager.filter(pk=OuterRef("object_id"))
        of_kinds = Q(pk__in=[])
        for transition in TRANSITIONS.values():
            of_kinds |= Q(Exists(items.filter(transition.rerunnable(run_at))), kind=transition.name)
        asking |= Q(content_type=ContentType.objects.get_for_model(model)) & of_kinds
    return Q(state=State.FAILED) & asking


class JobQuerySet(LocalPeriods["Job"]):
    """Queries of jobs."""

    def open(self) -> Self:
        """Keep the jobs that have still to run."""
        return self.filter(state__in=OPEN_STATES)

    def finished(self) -> Self:
        """Keep the jobs that have run, failed or been cancelled."""
        return self.exclude(state__in=OPEN_STATES)

    def due(self) -> Self:
        """Keep the jobs due by the database's clock, the oldest first."""
        return self.open().filter(next_attempt_at__lte=ClockNow()).order_by("next_attempt_at", "pk")

    def overdue(self, *, now: datetime) -> Self:
        """
        Keep the open jobs whose time came more than OVERDUE_AFTER seconds ago, for any reason.

        :param now: the database's clock. A value, not `ClockNow()`: for a subquery PostgreSQL has
            no statistics, and expects a third of all jobs to be overdue.
        """
        return self.open().filter(run_at__lt=overdue_limit(now))

    def stuck(self, *, now: datetime) -> Self:
        """
        Keep the overdue jobs that no worker is working on, the longest untouched first.

        An overdue job that waits for its next attempt, or is being tried, is not stuck. A job held
        by a pause is.

        :param now: the database's clock.
        """
        longest = max(timedelta(seconds=conf.OVERDUE_AFTER), longest_attempt())
        untried = Q(attempt_begun_at=None) | Q(attempt_begun_at__lt=now - longest)
        # All are overdue, as no attempt is planned before `run_at`. That is not part of the query,
        # so that PostgreSQL reads the index `job_due` from its start, however many it expects.
        untouched = self.open().filter(untried, next_attempt_at__lt=overdue_limit(now))
        return untouched.order_by("next_attempt_at", "pk")

    def not_notified(self) -> Self:
        """Keep the jobs whose failure has still to be mailed."""
        failed = self.filter(state=State.FAILED, told_at=None)
        return failed.filter(finished_at__gt=ClockNow() - NOTIFIED_WITHIN)

    def of(self, item: Schedulable) -> Self:
        """Keep the jobs of an item."""
        return self.of_type(type(item)).filter(object_id=item.pk)

    def of_type(self, model: type[models.Model]) -> Self:
        """Keep the jobs of items of a type."""
        return self.filter(content_type=ContentType.objects.get_for_model(model))

    def of_named(self, name: str) -> Self:
        """
        Keep the jobs of the item called `story:42`, which may have been deleted since.

        :raises MalformedItem: and what else `parse_item` raises.
        """
        model, pk = parse_item(name)
        return self.of_type(model).filter(object_id=pk)


class Job(models.Model):
    """
    One timed change of one item: the schedule while open, the ledger once finished.

    It may outlive its item, and so has the item's type, id and title.
    """

    kind = models.CharField(_("kind"), max_length=32, choices=kind_choices)
    # 0 if the kind mirrors a time of the item, so that the item has at most one open job of it; of
    # any other kind the job's id, so that it may have several.
    slot = models.BigIntegerField(default=0, db_default=0, editable=False)
    # What its kind needs besides the item and the time.
    params = models.JSONField(_("parameters"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    content_type = models.ForeignKey(
        ContentType, on_delete=models.PROTECT, verbose_name=_("type"), db_index=False
    )
    object_id = models.BigIntegerField(_("item"))
    item = GenericForeignKey("content_type", "object_id")
    item_title = models.CharField(_("title"), max_length=255, blank=True)
    run_at = models.DateTimeField(_("due at"), help_text=_("The moment that was asked for."))
    # What clocks are to show then, if the time was chosen in a time zone; see `times.in_zone`. When
    # the rules of the zone change, `run_at` stays, and `zone_changes` finds the job.
    local_time = models.CharField(
        _("chosen as"), max_length=100, blank=True, default="", db_default="", editable=False
    )
    next_attempt_at = models.DateTimeField(
        _("next attempt at"),
        help_text=_("When a worker takes it up: the due time at first, later that of the retry."),
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    reason = models.TextField(_("reason"), blank=True)
    scheduled_by = user_field(_("scheduled by"))
    scheduled_by_name = name_field()
    # The request that last scheduled, moved or reran it.
    request_id = request_field()
    # Where its span was, if spans are made (`tracing.traceparent`).
    traceparent = models.CharField(
        max_length=55, blank=True, default="", db_default="", editable=False
    )
    # When the current attempt began; still set if the worker died during it.
    attempt_begun_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Who has begun it, as `armo_owner` of a queue row; empty if a session's lock says so.
    attempt_owner = models.IntegerField(null=True, blank=True, editable=False)
    # When the mail about its failure was sent.
    told_at = models.DateTimeField(_("told at"), null=True, blank=True, editable=False)
    # Its queue row. No foreign key: queue rows come and go, and losing one must not change the job.
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
                fields=["content_type", "object_id", "kind", "slot"],
                condition=Q(state__in=OPEN_STATES),
            ),
        ]
        indexes: ClassVar = [
            # The condition and order of `due()`.
            models.Index(
                fields=["next_attempt_at", "id"], name="job_due", condition=Q(state__in=OPEN_STATES)
            ),
            models.Index(fields=["run_at", "id"], name="job_run_at"),
            # The open jobs by due time: what is to come, and what is overdue.
            models.Index(
                fields=["run_at", "id"], name="job_open", condition=Q(state__in=OPEN_STATES)
            ),
            # The open jobs whose time was chosen in a time zone; of others it has no entries.
            models.Index(
                fields=["local_time", "run_at"],
                name="job_local_time",
                condition=Q(state__in=OPEN_STATES) & ~Q(local_time=""),
            ),
            # The failed jobs, few among very many.
            models.Index(fields=["id"], name="job_failed", condition=Q(state=State.FAILED)),
            models.Index(fields=["content_type", "object_id", "id"], name="job_item"),
            # For pruning: the finished jobs, the oldest first.
            models.Index(
                fields=["finished_at", "id"],
                name="job_finished",
                condition=Q(finished_at__isnull=False),
            ),
            # The condition of `not_notified()`.
            models.Index(
                fields=["finished_at"],
                name="job_untold",
                condition=Q(state=State.FAILED, told_at=None),
            ),
        ]

    def __str__(self) -> str:
        """Return what the job does to which item, in the active language."""
        facts = {"kind": self.get_kind_display(), "title": self.item_title or self.item_label}
        return gettext("%(kind)s: %(title)s") % facts

    @property
    def label(self) -> str:
        """Return what it does to which item in logs, as `publish story:42`."""
        return f"{self.kind} {self.item_label}"

    @property
    def lane(self) -> str:
        """Return the lane whose workers run it: `slow` if its type has a hook."""
        model = ContentType.objects.get_for_id(self.content_type_id).model_class()
        return lane_of(model, self.kind)

    @property
    def task(self) -> str:
        """Return the task that its queue row names."""
        return task_of(self.kind)

    @property
    def transition(self) -> Transition:
        """
        Return what it does.

        :raises UnknownKind: the application with its kind is not installed any more.
        """
        return transition_of(self.kind)

    @property
    def who(self) -> str:
        """Return who scheduled it, in the active language: a user, or the publisher."""
        return self.by_whom(gettext("the publisher"))

    def by_whom(self, nobody: str) -> str:
        """
        Return who scheduled it, in the active language.

        :param nobody: if it was no person.
        """
        return name_for_people(
            self, "scheduled_by", nobody=nobody, is_none=self.reason.startswith(OF_NO_PERSON)
        )

    @property
    def why(self) -> str:
        """Return why it was scheduled, in the active language, or as a person wrote it."""
        return spoken(self.reason)

    # Set by the operation that makes it, on the object that it returns.
    is_new = False

    @property
    def is_open(self) -> bool:
        """Return whether it has still to run."""
        return self.state in OPEN_STATES

    def is_overdue(self, *, now: datetime) -> bool:
        """Return whether `JobQuerySet.overdue()` keeps it."""
        return self.is_open and self.run_at < overdue_limit(now)

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

    def find_earlier(self) -> "Job | None":
        """
        Query the open job of the item that has to run before this one; None if there is none.

        Jobs of kinds that mirror no time run in the order of their times. A mirrored time waits
        only for the first attempt of one before it: what an editor sees on the item, and a
        take-down above all, is not held back by retries. An unknown kind holds back nothing.
        """
        is_mirrored = self.transition.time_field is not None
        kinds = [it.name for it in unmirrored()] if is_mirrored else list(TRANSITIONS)
        if not kinds:
            return None
        earlier = Q(run_at__lt=self.run_at) | Q(run_at=self.run_at, pk__lt=self.pk)
        others = Job.objects.open().filter(
            earlier, content_type=self.content_type_id, object_id=self.object_id, kind__in=kinds
        )
        if is_mirrored:
            others = others.filter(state=State.WAITING)
        return others.order_by("run_at", "pk").first()

    @property
    def lateness_ms(self) -> float | None:
        """Return the milliseconds from `run_at` until it was done; None unless it succeeded."""
        if self.state != State.SUCCEEDED or self.finished_at is None:
            return None
        return (self.finished_at - self.run_at) / timedelta(milliseconds=1)


def items_of(
    jobs: Iterable[Job], *, without_text: bool = False
) -> dict[tuple[int, int], Schedulable]:
    """Query the items of jobs by their type's id and their own, one query for each type."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for job in jobs:
        wanted[job.content_type_id].add(job.object_id)
    found: dict[tuple[int, int], Schedulable] = {}
    for model in schedulable_models():
        type_id = ContentType.objects.get_for_model(model).pk
        if type_id in wanted:
            items = model._base_manager.defer(*(model.long_fields() if without_text else ()))
            found |= {(type_id, it.pk): it for it in items.filter(pk__in=wanted[type_id])}
    return found


# How reasons of the engine and of imports begin, in rows that do not say whether a person had them.
OF_NO_PERSON = ("The item ", "imported from ")

INTERNAL_ERROR = Reason(
    "internal_error",
    gettext_noop("An error in the software stopped it; operators have been notified."),
)


class JobEvent(models.Model):
    """One line of a job's history: what, when, who, old and new time, and why."""

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
    by = user_field(_("who"), _("Empty: the publisher itself."))
    by_name = name_field()
    old_run_at = models.DateTimeField(_("from"), null=True, blank=True)
    new_run_at = models.DateTimeField(_("to"), null=True, blank=True)
    reason = models.TextField(_("why"), blank=True)
    # The request that asked for it; of what a worker does, that of its job.
    request_id = request_field()
    # `reasons`, if `reason` is the English text of some. Of a failed attempt: `error` (the class),
    # `traceback`. Of a failure: who was notified, or why the mail could not be sent.
    detail = models.JSONField(_("detail"), null=True, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.what} {utc(self.at)}"

    @property
    def why(self) -> str:
        """Return the reason in the active language, or what a person wrote."""
        return spoken(self.reason, (self.detail or {}).get("reasons"))

    @property
    def who(self) -> str:
        """Return who did it, in the active language: a user, or the publisher."""
        return self.by_whom(gettext("the publisher"))

    def by_whom(self, nobody: str) -> str:
        """
        Return who did it, in the active language; `job` is read.

        :param nobody: if it was no person.
        """
        # What is done by hand at once has no attempts.
        is_run = self.what == self.What.SUCCEEDED and self.job.attempts > 0
        is_failure = self.what in (self.What.ATTEMPT_FAILED, self.What.FAILED)
        is_none = is_run or is_failure or self.reason.startswith(OF_NO_PERSON)
        return name_for_people(self, "by", nobody=nobody, is_none=is_none)

    @property
    def is_for_operators(self) -> bool:
        """Return whether it is an exception that nobody expected, whose text may be anything."""
        detail = self.detail or {}
        return detail.get("class") == "transient" and "reasons" not in detail

    @property
    def why_for_editors(self) -> str:
        """Return `why`, without the texts of exceptions that are for operators."""
        return str(INTERNAL_ERROR) if self.is_for_operators else self.why

    @property
    def code(self) -> str:
        """Return the code of the reason, for programs; empty if a person wrote it."""
        if self.is_for_operators:
            return INTERNAL_ERROR.code
        stored = (self.detail or {}).get("reasons") or [""]
        return "" if isinstance(stored[0], str) else str(stored[0].get("code", ""))
