"""Jobs: the ledger of every timed change, with the history of each."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from scheduling import conf
from scheduling.models.expressions import ClockNow, ClockTimestamp
from scheduling.models.item import Schedulable, schedulable_models
from scheduling.models.task_names import task_of
from scheduling.models.transitions import TRANSITIONS, Transition, kind_choices, transition_of

# Jobs


class State(models.TextChoices):
    """How far a job is."""

    WAITING = "waiting", pgettext_lazy("state", "waiting")
    RETRYING = "retrying", pgettext_lazy("state", "retrying")
    SUCCEEDED = "succeeded", pgettext_lazy("state", "succeeded")
    FAILED = "failed", pgettext_lazy("state", "failed")
    CANCELLED = "cancelled", pgettext_lazy("state", "cancelled")


def lane_of(model: type[models.Model] | None, kind: str) -> str:
    """Return the lane that runs jobs of that kind for items of that type."""
    transition = TRANSITIONS.get(kind)
    runs_hook = transition is not None and transition.runs_hook
    if runs_hook and model and issubclass(model, Schedulable) and model.has_hook():
        return conf.SLOW_LANE
    return conf.PUBLISH_LANE


# How long a hook has to end once its time-out has been raised in it.
HOOK_GRACE_SECONDS = 5.0


def longest_attempt() -> timedelta:
    """Return how long an attempt may take at most; one that began earlier was cut off."""
    return timedelta(seconds=conf.HOOK_TIMEOUT + HOOK_GRACE_SECONDS + 5)


def overdue_limit(now: datetime) -> datetime:
    """Return the time before which an open job should have run to not be overdue at `now`."""
    return now - timedelta(seconds=conf.OVERDUE_AFTER)


# A failure is mailed for so long; then the news is old, and what kept the mail from going is an
# alarm of its own.
NOTIFIED_WITHIN = timedelta(days=1)

# A job in one of these has still to run.
OPEN_STATES = (State.WAITING, State.RETRYING)


def rerunnable() -> Q:
    """
    Return the condition of the failed jobs whose items still ask for just this.

    `operations.rerun` refuses the others: since then their item was published by hand, scheduled
    anew, or deleted.
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

    def overdue(self, *, now: datetime) -> Self:
        """
        Keep the open jobs whose time came more than OVERDUE_AFTER seconds ago, for any reason.

        :param now: the database's clock. As a value, not as `ClockNow()`: what PostgreSQL has to
            work out itself it cannot look up in its statistics, and it takes a third of all jobs
            for overdue.
        """
        return self.open().filter(run_at__lt=overdue_limit(now))

    def stuck(self, *, now: datetime) -> Self:
        """
        Keep the overdue jobs that no worker has taken up, the longest untouched first.

        An overdue job that waits for its next attempt, or is being tried, is not stuck: the
        publisher does what it can. A job held by a pause is.

        :param now: the database's clock.
        """
        longest = max(timedelta(seconds=conf.OVERDUE_AFTER), longest_attempt())
        untried = Q(attempt_begun_at=None) | Q(attempt_begun_at__lt=now - longest)
        # All are overdue: no attempt is planned before `run_at`. That is not asked for besides, so
        # that PostgreSQL reads `job_due` from its start and stops, however many it expects.
        untouched = self.open().filter(untried, next_attempt_at__lt=overdue_limit(now))
        return untouched.order_by("next_attempt_at", "pk")

    def not_notified(self) -> Self:
        """Keep the failed jobs whose failure has still to be mailed."""
        failed = self.filter(state=State.FAILED, told_at=None)
        return failed.filter(finished_at__gt=ClockNow() - NOTIFIED_WITHIN)

    def of(self, item: Schedulable) -> Self:
        """Keep the jobs of one item."""
        return self.filter(content_type=ContentType.objects.get_for_model(item), object_id=item.pk)


class Job(models.Model):
    """
    One timed change of one item: the schedule while open, the ledger once finished.

    It outlives its item, so the item is named by type and id and by `item_title`.
    """

    kind = models.CharField(_("kind"), max_length=32, choices=kind_choices)
    # 0 of a kind that mirrors a time of its item, which has one such open job then; of any other
    # the job's own id, so that an item may have several.
    slot = models.BigIntegerField(default=0, db_default=0, editable=False)
    # What its kind wants to know beside the item and the time.
    params = models.JSONField(_("parameters"), null=True, blank=True)
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
            # The condition of `due()`, and its order.
            models.Index(
                fields=["next_attempt_at", "id"], name="job_due", condition=Q(state__in=OPEN_STATES)
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
    def task(self) -> str:
        """Return the function that its queue rows name."""
        return task_of(self.kind)

    @property
    def transition(self) -> Transition:
        """
        Return what it does.

        :raises UnknownKind: the application that had its kind is not installed any more.
        """
        return transition_of(self.kind)

    @property
    def is_open(self) -> bool:
        """Whether it has still to run."""
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
