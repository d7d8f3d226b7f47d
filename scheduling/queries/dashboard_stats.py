"""What the first page of the admin draws: what is to come, what has failed, how late it was."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.db.backends.utils import CursorWrapper
from django.db.models import (
    Aggregate,
    BooleanField,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Func,
    IntegerField,
    Max,
    Model,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.fields.json import KT

from scheduling.access.permissions import has_right
from scheduling.models import (
    Job,
    JobEvent,
    JobQuerySet,
    Schedulable,
    State,
    Status,
    overdue_limit,
    rerunnable,
    schedulable_models,
)
from scheduling.models.sql import pipeline, send
from scheduling.models.transitions import kinds_leading_to

DAYS = 30
HOURS = 24
# How many rows a list has.
ROWS = 8
DRAFTS = 10
# Failures are looked at so far: more is no other news.
MOST_LOOKED_AT = 1000
A_DAY = timedelta(days=1)
AN_HOUR = timedelta(hours=1)


class Due(NamedTuple):
    """How many publishes are still to come, each up to its end; how many jobs are overdue."""

    next_hour: int
    today: int
    this_week: int
    overdue: int


class Planned(NamedTuple):
    """A publish that is still to come."""

    job_id: int
    content_type_id: int
    object_id: int
    title: str
    run_at: datetime


class Failure(NamedTuple):
    """A failed job, and what the newest line of its history says."""

    job_id: int
    content_type_id: int
    object_id: int
    title: str
    kind: str
    failed_at: datetime
    reason: str | None
    error: str | None


class Lateness(NamedTuple):
    """How late publishes were, in milliseconds; None where there were none."""

    number: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    most_ms: float | None = None


class Day(NamedTuple):
    """How many items went live on a day."""

    day: date
    number: int


class Hour(NamedTuple):
    """How late publishes were in the hour from a moment on."""

    start: datetime
    lateness: Lateness


class DashboardStats(NamedTuple):
    """All of it, at one moment."""

    now: datetime
    due: Due
    coming: list[Planned]
    # How many failures wait for somebody; with `or_more`, as far as was looked.
    failed: int
    or_more: bool
    failures: list[Failure]
    days: list[Day]
    lateness: Lateness
    hours: list[Hour]


def dashboard_stats(jobs: JobQuerySet, *, now: datetime, zone: tzinfo) -> DashboardStats:
    """
    Query everything in one round: no statement waits for another's answer.

    :param jobs: those that the person may see.
    :param now: the database's clock; aware.
    :param zone: whose days and weeks are meant; a week begins on Monday.
    """
    publishes = jobs.filter(kind__in=kinds_leading_to(Status.PUBLISHED))
    done = publishes.filter(state=State.SUCCEEDED)
    ends = _Ends.after(now, zone)
    days = _days_until(now, zone)
    hours = [now - ago * AN_HOUR for ago in range(HOURS, 0, -1)]
    published = done.filter(finished_at__gte=days[0])
    # A publish by hand is recorded by a job that was over when it began.
    timed = done.filter(finished_at__gte=hours[0]).exclude(finished_at=F("created_at"))
    latest = _latest_failed(jobs)
    with pipeline():
        answers = [
            send(query)
            for query in (
                _per(ends.limit(publishes.open()), "run_at", sorted(ends), number=Count("pk")),
                _per(jobs.overdue(now=now), "run_at", [now], number=Count("pk")),
                _coming(publishes),
                _settling(latest),
                _failures(latest),
                _per(published, "finished_at", days, number=Count("pk")),
                _per(timed, "finished_at", hours[:1], **_MEASURES),
                _per(timed, "finished_at", hours, **_MEASURES),
            )
        ]
        due, overdue, coming, failed, failures, by_day, whole, by_hour = map(_rows, answers)
    numbers = dict(by_day)
    lateness = _read_lateness(by_hour)
    return DashboardStats(
        now=now,
        due=ends.read(dict(due), overdue=sum(number for _span, number in overdue)),
        coming=[Planned(*row) for row in coming],
        failed=sum(is_unsettled for [is_unsettled] in failed),
        or_more=len(failed) == MOST_LOOKED_AT,
        failures=[Failure(*row) for row in failures],
        days=[
            Day(start.astimezone(zone).date(), numbers.get(place, 0))
            for place, start in enumerate(days, 1)
        ],
        lateness=_read_lateness(whole).get(1, Lateness()),
        hours=[
            Hour(start, lateness.get(place, Lateness())) for place, start in enumerate(hours, 1)
        ],
    )


def _rows(answer: CursorWrapper) -> list[Any]:
    with answer as cursor:
        rows: list[Any] = cursor.fetchall()
    return rows


# Spans of time


class _SpanOf(Func):
    """
    In which span a time lies: 1 from the first border on, 2 from the second, ...; 0 before it.

    Days are told apart by their borders, which Python reckons: its time zones are the person's, and
    PostgreSQL may know others.
    """

    function = "width_bucket"
    output_field = IntegerField()

    def __init__(self, name: str, borders: Sequence[datetime]) -> None:
        super().__init__(F(name), Value(list(borders), ArrayField(DateTimeField())))


def _per(
    jobs: JobQuerySet, name: str, borders: Sequence[datetime], **measures: Aggregate
) -> QuerySet[Job, Any]:
    """Return a query of measures of each span in which a time of the jobs lies."""
    spans = jobs.order_by().annotate(span=_SpanOf(name, borders)).values("span")
    return spans.annotate(**measures).values_list("span", *measures)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _days_until(now: datetime, zone: tzinfo) -> list[datetime]:
    """Return where each of the last days begins, the present one among them."""
    today = now.astimezone(zone).date()
    return [_midnight(today - ago * A_DAY, zone) for ago in range(DAYS - 1, -1, -1)]


# What is to come


class _Ends(NamedTuple):
    """Until when things are counted."""

    grace: datetime
    hour: datetime
    today: datetime
    week: datetime

    @classmethod
    def after(cls, now: datetime, zone: tzinfo) -> "_Ends":
        today = now.astimezone(zone).date()
        return cls(
            grace=overdue_limit(now),
            hour=now + AN_HOUR,
            today=_midnight(today + A_DAY, zone),
            week=_midnight(today + (7 - today.weekday()) * A_DAY, zone),
        )

    def limit(self, jobs: JobQuerySet) -> JobQuerySet:
        """Keep the jobs up to the last end."""
        return jobs.filter(run_at__lt=max(self))

    def read(self, numbers: dict[int, int], *, overdue: int) -> Due:
        """Add up how many lie in the spans between the ends."""
        ends = sorted(self)

        def until(end: datetime) -> int:
            return sum(numbers.get(place, 0) for place in range(1, ends.index(end) + 1))

        return Due(until(self.hour), until(self.today), until(self.week), overdue)


def _coming(publishes: JobQuerySet) -> QuerySet[Job, Any]:
    columns = ("pk", "content_type_id", "object_id", "item_title", "run_at")
    return publishes.open().order_by("run_at", "pk").values_list(*columns)[:ROWS]


# What has failed


def _latest_failed(jobs: JobQuerySet) -> JobQuerySet:
    """Return a query of the newest failed jobs."""
    return jobs.filter(state=State.FAILED).order_by("-finished_at", "-pk")[:MOST_LOOKED_AT]


def _settling(latest: JobQuerySet) -> QuerySet[Job, Any]:
    """Return a query of whether each is still to be settled."""
    return latest.values_list(ExpressionWrapper(rerunnable(), BooleanField()))


def _failures(latest: JobQuerySet) -> QuerySet[Job, Any]:
    lines = JobEvent.objects.filter(job=OuterRef("pk"), what=JobEvent.What.FAILED).order_by("-pk")
    rows = Job.objects.filter(rerunnable(), pk__in=latest.values("pk")).annotate(
        why=Subquery(lines.values("reason")[:1]),
        error=Subquery(lines.values(name=KT("detail__error"))[:1]),
    )
    columns = ("pk", "content_type_id", "object_id", "item_title", "kind", "finished_at")
    return rows.order_by("-finished_at", "-pk").values_list(*columns, "why", "error")[:ROWS]


def _type_id(model: type[Model]) -> int:
    return ContentType.objects.get_for_model(model).pk


# How late


class _Percentile(Aggregate):
    """The smallest measured value that so large a part of all does not exceed."""

    function = "percentile_disc"
    template = "%(function)s(%(part)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: Any, *, part: float) -> None:
        super().__init__(expression, part=part)


_LATE = ExpressionWrapper(F("finished_at") - F("run_at"), DurationField())
_MEASURES: dict[str, Aggregate] = {
    "number": Count("pk"),
    "p50": _Percentile(_LATE, part=0.5),
    "p99": _Percentile(_LATE, part=0.99),
    "most": Max(_LATE),
}


def _read_lateness(rows: list[Any]) -> dict[int, Lateness]:
    """Return the lateness of each span, by its place."""
    return {
        place: Lateness(number, *(late / timedelta(milliseconds=1) for late in measured))
        for place, number, *measured in rows
    }


# What somebody writes


class Drafts(NamedTuple):
    """The newest drafts of a type that are a person's own."""

    model: type[Schedulable]
    items: list[Schedulable]


def own_drafts(user: AbstractBaseUser) -> list[Drafts]:
    """Query the newest drafts of a person, one query for each type whose items are somebody's."""
    return [
        Drafts(model, list(_drafts_of(model, model.OWNER, user)))
        for model in schedulable_models()
        if model.OWNER is not None and has_right(user, "view", model)
    ]


def _drafts_of(
    model: type[Schedulable], owner: str, user: AbstractBaseUser
) -> QuerySet[Schedulable]:
    drafts = model._base_manager.filter(status=Status.DRAFT, **{owner: user.pk})
    return drafts.defer(*model.long_fields()).order_by("-pk")[:DRAFTS]
