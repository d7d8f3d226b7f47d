"""
What a job does to its item: one object for each kind of job.

All that is particular to a kind is defined here: which time of the item it mirrors, which items ask
for it, which status it leads to, what keeps it from running, what it changes, when a failed job may
run again, and its labels. Operations, batches, single runs, the reconciler and the pages loop over
the registered kinds; none of them compares names of kinds.

A new kind is one subclass, registered when its application is loaded: see CONTRIBUTING.md.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, pgettext_lazy

from scheduling.errors import SHOWN, DomainError, Reason, Why
from scheduling.models.item import ALLOWED, NotPublishable, Schedulable, Status
from scheduling.models.task_names import RUN_BY_RUN_JOB, RUN_JOB, task_of

Text = str | Promise


class Kind(StrEnum):
    """The names of the built-in kinds."""

    PUBLISH = "publish"
    UNPUBLISH = "unpublish"


class InvalidTransition(DomainError):
    """That cannot be done in the present status."""

    code = "invalid_transition"
    # What a program needs to know of the row as it is now; set by entry points that have tags.
    present: Mapping[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        return dict(self.present or {})


class EndNotAfterStart(DomainError):
    """The end must come after the start."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        error = {"field": "unpublish_at", "code": "ends_too_early", "detail": str(self)}
        return {"errors": [error]}


class InvalidParams(DomainError):
    """The parameters are not those of this kind of job."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        return {"errors": [{"field": "params", "code": "invalid", "detail": str(self)}]}


class UnknownKind(DomainError):
    """There is no such kind of job."""

    code = "validation_error"


class Failed(NamedTuple):
    """What `why_not_again` needs of a failed job, and of the item's jobs since."""

    run_at: datetime
    failed_at: datetime
    # Whether the item has an open job of the kind, and whether this one is its newest.
    has_open: bool
    is_newest: bool
    # The database's clock.
    now: datetime


class Transition:
    """
    What one kind of job does to its item.

    The defaults are for a kind that mirrors no time of the item: only the job has its time, and an
    item may have several open jobs, which run in the order of their times.
    """

    # As stored in jobs and used by commands and the API; at most 32 characters. It never changes.
    name: ClassVar[str]
    # For people: the verb, as "publish"; in calendars, the title of an entry, and the legend.
    label: ClassVar[Text]
    summary: ClassVar[Text] = _("%(kind)s: %(title)s")
    legend: ClassVar[Text] = ""

    # The time of the item that its jobs mirror, if any: an item then has one open job of the kind.
    time_field: ClassVar[str | None] = None
    # The statuses in which it can be scheduled; None is all.
    scheduled_from: ClassVar[Collection[str] | None] = None
    # The statuses in which it can run, the status after it, and the status after a failure; None
    # leaves the status as it is.
    runs_from: ClassVar[Collection[str]]
    leads_to: ClassVar[str | None] = None
    on_failure: ClassVar[str | None] = None
    # Whether the type's `before_publish()` runs before it.
    runs_hook: ClassVar[bool] = False
    # The kind that reverses it: if that is due too, both run in one transaction, so that readers
    # never see the status in between.
    ended_by: ClassVar[str | None] = None

    def is_for(self, model: type[Schedulable]) -> bool:
        """Return whether a type has jobs of this kind; one without the fields it sets must not."""
        return True

    # Scheduling

    def check_schedule(self, row: Schedulable, run_at: datetime, end: datetime | None) -> None:
        """
        Raise why it cannot be scheduled for the row; do not query.

        :param end: of a publish: when it is taken down again.
        """
        if self.scheduled_from is not None and row.status not in self.scheduled_from:
            raise InvalidTransition(
                gettext_noop("Nothing of this kind can be scheduled for what is %(status)s."),
                {"status": {"status": row.status}},
            )

    def check_params(self, params: Mapping[str, Any]) -> None:
        """Raise `InvalidParams` for parameters that it cannot use; a mirrored time needs none."""
        if params and self.time_field is not None:
            raise InvalidParams

    def planned(self, run_at: datetime, end: datetime | None) -> dict[str, Any]:
        """Return what scheduling it writes to the item."""
        return {}

    def unplanned(self, row: Schedulable) -> dict[str, Any]:
        """Return what cancelling it writes to the item."""
        return {}

    def is_cancellable(self, row: Schedulable) -> bool:
        """Return whether it can be cancelled even if the item has no open job of the kind."""
        return False

    # Which items ask for one

    def asking(self) -> Q:
        """Return the condition of the items that ask for a job; of kinds that mirror a time."""
        return Q(pk__in=[])

    def asked_at(self, row: Schedulable) -> datetime | None:
        """Return the time at which the item asks for a job; None if it asks for none."""
        return None

    # Running

    def has_hook(self, model: type[Schedulable]) -> bool:
        """Return whether code of the type comes before it: it runs alone, in the slow lane."""
        return self.runs_hook and model.has_hook()

    def can_run(self, row: Schedulable, run_at: datetime) -> bool:
        """Return whether the item has a status for it and, if it mirrors a time, that time."""
        return row.status in self.runs_from and (
            self.time_field is None or getattr(row, self.time_field) == run_at
        )

    def runnable(self, run_at: Any) -> Q:
        """
        Return the condition of the items that `can_run` accepts.

        :param run_at: a time, or an expression.
        """
        time = Q() if self.time_field is None else Q(**{self.time_field: run_at})
        return Q(status__in=list(self.runs_from)) & time

    def ready(self, model: type[Schedulable]) -> Q:
        """Return the condition that only rows without `problems()` meet."""
        return Q()

    def problems(self, row: Schedulable) -> list[Why]:
        """Return why it cannot run; do not query."""
        return []

    def require_ready(self, row: Schedulable) -> None:
        """Raise `NotPublishable` if there are problems."""
        if problems := self.problems(row):
            raise NotPublishable(problems)

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the new values of the item's fields, without the version.

        A batch uses them in one statement for many items: `at` and `params` are expressions then,
        which can be assigned, but not compared or called.

        :param at: the time of the change.
        :param params: of the job; in a batch each is text, or NULL if the job does not have it.
        """
        return {} if self.leads_to is None else {"status": self.leads_to}

    # After a failure

    def rerunnable(self, run_at: Any) -> Q:
        """
        Return the condition of the items whose failed job can be run again.

        :param run_at: of the job: a time, or an expression.
        """
        time = Q() if self.time_field is None else Q(**{self.time_field: run_at})
        return Q(status__in=list(self._after_failure())) & time

    def _after_failure(self) -> Collection[str]:
        return self.runs_from if self.on_failure is None else [self.on_failure]

    def why_not_again(self, row: Schedulable, past: Failed) -> Why:
        """Return why a failed job of the item cannot be run again; empty if it can."""
        return "" if row.status in self._after_failure() else is_by_now(row)

    def reopened(self) -> dict[str, Any]:
        """Return what running a failed job again writes to the item."""
        return {} if self.on_failure is None else {"status": next(iter(self.runs_from))}


class Publish(Transition):
    """The item goes live."""

    name = "publish"
    label = pgettext_lazy("kind", "publish")
    summary = _("Publish: %(title)s")
    legend = _("goes live")
    time_field = "publish_at"
    runs_from = (Status.SCHEDULED,)
    leads_to = Status.PUBLISHED
    on_failure = Status.FAILED
    runs_hook = True
    ended_by = "unpublish"

    def check_schedule(self, row: Schedulable, run_at: datetime, end: datetime | None) -> None:
        require_transition(row.status, Status.SCHEDULED)
        self.require_ready(row)
        require_end_after(run_at, end)

    def planned(self, run_at: datetime, end: datetime | None) -> dict[str, Any]:
        return {"status": Status.SCHEDULED, "publish_at": run_at, "unpublish_at": end}

    def unplanned(self, row: Schedulable) -> dict[str, Any]:
        if not self.is_cancellable(row):
            return {}
        before = Status.DRAFT if row.published_at is None else Status.UNPUBLISHED
        return {"status": before, "publish_at": None, "unpublish_at": None}

    def is_cancellable(self, row: Schedulable) -> bool:
        return row.status in (Status.SCHEDULED, Status.FAILED)

    def asking(self) -> Q:
        return Q(status=Status.SCHEDULED)

    def asked_at(self, row: Schedulable) -> datetime | None:
        return row.publish_at if row.status == Status.SCHEDULED else None

    def ready(self, model: type[Schedulable]) -> Q:
        return model.publishable_condition()

    def problems(self, row: Schedulable) -> list[Why]:
        return row.publish_problems()

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"status": Status.PUBLISHED, "published_at": at}

    def why_not_again(self, row: Schedulable, past: Failed) -> Why:
        was_live_since = row.published_at is not None and row.published_at >= past.failed_at
        if past.has_open or row.status == Status.SCHEDULED:
            return Reason("scheduled_since", gettext_noop("It has been scheduled anew since."))
        if row.status == Status.PUBLISHED or was_live_since:
            return Reason("published_since", gettext_noop("It has been published since."))
        if row.status != Status.FAILED:
            return Reason("unscheduled_since", gettext_noop("It has been unscheduled since."))
        if row.publish_at != past.run_at or not past.is_newest:
            return Reason("moved_since", gettext_noop("It has been given another time since."))
        if row.unpublish_at is not None and row.unpublish_at <= past.now:
            # It would be taken down as soon as it went live.
            return Reason(
                "ended_since", gettext_noop("Its end has passed since. Schedule it anew.")
            )
        return ""

    def reopened(self) -> dict[str, Any]:
        return {"status": Status.SCHEDULED}


class Unpublish(Transition):
    """The item is taken down."""

    name = "unpublish"
    label = pgettext_lazy("kind", "unpublish")
    summary = _("Take down: %(title)s")
    legend = _("ends")
    time_field = "unpublish_at"
    scheduled_from = (Status.SCHEDULED, Status.PUBLISHED)
    runs_from = (Status.PUBLISHED,)
    leads_to = Status.UNPUBLISHED

    def check_schedule(self, row: Schedulable, run_at: datetime, end: datetime | None) -> None:
        if row.status not in self.scheduled_from:
            raise InvalidTransition(
                gettext_noop(
                    "Only what is live or scheduled can be given an end; it is %(status)s."
                ),
                {"status": {"status": row.status}},
            )
        if row.publish_at is not None and run_at <= row.publish_at:
            raise EndNotAfterStart

    def planned(self, run_at: datetime, end: datetime | None) -> dict[str, Any]:
        return {"unpublish_at": run_at}

    def unplanned(self, row: Schedulable) -> dict[str, Any]:
        return {"unpublish_at": None}

    def asking(self) -> Q:
        return Q(status__in=self.scheduled_from, unpublish_at__isnull=False)

    def asked_at(self, row: Schedulable) -> datetime | None:
        return row.unpublish_at if row.status in self.scheduled_from else None

    def why_not_again(self, row: Schedulable, past: Failed) -> Why:
        if row.status != Status.PUBLISHED:
            return Reason("taken_down_since", gettext_noop("It has been taken down since."))
        if past.has_open or row.unpublish_at not in (None, past.run_at):
            return Reason("end_moved_since", gettext_noop("It has been given another end since."))
        if row.unpublish_at is None:
            return Reason("end_removed_since", gettext_noop("Its end has been removed since."))
        return ""


# The registered kinds, in the order in which batches run them.
TRANSITIONS: dict[str, Transition] = {}

Registered = TypeVar("Registered", bound=type[Transition])


def register(transition: Registered) -> Registered:
    """
    Register a kind of job; a class decorator, for a module that loads with its application.

    :raises django.core.exceptions.ImproperlyConfigured: the name is taken or malformed.
    """
    name = str(transition.name)
    known = TRANSITIONS.get(name)
    if known is not None and type(known) is not transition:
        raise ImproperlyConfigured(f"Two kinds of job are called {name}.")
    if name not in RUN_BY_RUN_JOB and task_of(name) == RUN_JOB:
        raise ImproperlyConfigured(f"{name} cannot name a kind of job: its task runs publishes.")
    if not name.isidentifier() or len(name) > 32:
        raise ImproperlyConfigured(f"{name} cannot name a kind of job: see Transition.name.")
    TRANSITIONS[name] = transition()
    return transition


register(Publish)
register(Unpublish)


def transition_of(kind: str) -> Transition:
    """
    Return the transition of that name.

    :raises UnknownKind: also for a stored job whose application is not installed any more.
    """
    try:
        return TRANSITIONS[kind]
    except KeyError:
        raise UnknownKind(
            gettext_noop("There is no such kind of job. (%(kind)s)"), {"kind": kind}
        ) from None


def kind_label(kind: str) -> str:
    """Return the label of a kind."""
    transition = TRANSITIONS.get(kind)
    return kind if transition is None else str(transition.label)


def mirrored() -> list[Transition]:
    """Return the kinds that mirror a time of their items."""
    return [it for it in TRANSITIONS.values() if it.time_field is not None]


def unmirrored() -> list[Transition]:
    """Return the kinds that mirror no time of their items."""
    return [it for it in TRANSITIONS.values() if it.time_field is None]


def kinds_leading_to(status: str) -> list[str]:
    """Return the names of the kinds that lead to that status."""
    return [it.name for it in TRANSITIONS.values() if it.leads_to == status]


SHOWN["kind"] = kind_label


def kind_choices() -> list[tuple[str, Text]]:
    """Return the kinds with their labels."""
    return [(it.name, it.label) for it in TRANSITIONS.values()]


# Rules of one row


def require_transition(status: str, wanted: str) -> None:
    """Raise `InvalidTransition` unless the status may follow; a scheduled item may be moved."""
    if wanted not in ALLOWED.get(status, ()) and not status == wanted == Status.SCHEDULED:
        raise invalid_transition(status, wanted)


def is_by_now(row: Schedulable) -> Reason:
    """Return the reason that the item has come to another status."""
    return Reason(
        "status_is_another",
        gettext_noop("It is %(status)s by now."),
        {"status": {"status": row.status}},
    )


def invalid_transition(status: str, wanted: str) -> InvalidTransition:
    """Return the error for a change of status."""
    return InvalidTransition(
        gettext_noop("It is %(now)s and cannot become %(wanted)s."),
        {"now": {"status": status}, "wanted": {"status": wanted}},
    )


def require_end_after(run_at: datetime, end: datetime | None) -> None:
    """Raise `EndNotAfterStart` if the end is not after the start."""
    if end is not None and end <= run_at:
        # With the end, which may be one set earlier and not part of this request.
        raise EndNotAfterStart(
            gettext_noop("The end must come after the start. (%(end)s)"), {"end": end}
        )
