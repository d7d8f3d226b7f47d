"""Query what the admin's dashboard shows: planned publishes, failed jobs, lateness."""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.backends.utils import CursorWrapper
from django.db.models import (
    Aggregate,
    BooleanField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.fields.json import KT

from scheduling.access.permissions import has_right
from scheduling.models import (
    Job,
    JobEvent,
    JobQuerySet,
    Schedulable,
    SpanOf,
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
# Failures are counted up to this number.
MOST_COUNTED = 1000
A_DAY = timedelta(days=1)
AN_HOUR = timedelta(hours=1)


class Due(NamedTuple):
    """How many publishes are planned within each span of time, and how many jobs are overdue."""

    next_hour: int
    today: int
    this_week: int
    overdue: int


class Planned(NamedTuple):
    """A planned publish."""

    job_id: int
    content_type_id: int
    object_id: int
    title: str
    run_at: datetime


class Failure(NamedTuple):
    """A failed job, with the reason and error of its failure."""

    job_id: int
    content_type_id: int
    object_id: int
    title: str
    kind: str
    failed_at: datetime
    error: str | None
    # As `spoken` reads them.
    reason: str
    reasons: list[Any] | None


class Lateness(NamedTuple):
    """How late publishes were, in milliseconds; None if there were none."""

    number: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    most_ms: float | None = None


class DashboardStats(NamedTuple):
    """All figures of the dashboard, at one moment."""

    now: datetime
    due: Due
    coming: list[Planned]
    # How many failed jobs may be rerun; with `or_more`, among the newest `MOST_COUNTED`.
    failed: int
    or_more: bool
    failures: list[Failure]
    # How many items went live on each day.
    days: dict[date, int]
    # How late publishes were, in the whole period and in each hour, by its start.
    lateness: Lateness
    hours: dict[datetime, Lateness]


def dashboard_stats(jobs: JobQuerySet, *, now: datetime, zone: tzinfo) -> DashboardStats:
    """
    Query everything in one round trip: the statements are sent in a pipeline.

    :param jobs: those that the person may see.
    :param now: the database's clock; aware.
    :param zone: of days and weeks; a week begins on Monday.
    """
    publishes = jobs.filter(kind__in=kinds_leading_to(Status.PUBLISHED))
    done = publishes.filter(state=State.SUCCEEDED)
    ends = _Ends.after(now, zone)
    within_week = publishes.open().filter(run_at__lt=max(ends))
    days = _days_until(now, zone)
    hours = [now - ago * AN_HOUR for ago in range(HOURS, 0, -1)]
    published = done.filter(finished_at__gte=days[0])
    # A publish by hand is recorded as a job that is finished when it is created.
    timed = done.filter(finished_at__gte=hours[0]).exclude(finished_at=F("created_at"))
    latest = jobs.filter(state=State.FAILED).order_by("-finished_at", "-pk")[:MOST_COUNTED]
    with pipeline():
        answers = [
            send(query)
            for query in (
                _per(within_week, "run_at", sorted(ends), number=Count("pk")),
                _per(jobs.overdue(now=now), "run_at", [now], number=Count("pk")),
                _coming(publishes),
                latest.values_list(ExpressionWrapper(rerunnable(), BooleanField())),
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
        failed=sum(is_rerunnable for [is_rerunnable] in failed),
        or_more=len(failed) == MOST_COUNTED,
        failures=[_read_failure(*row) for row in failures],
        days={
            start.astimezone(zone).date(): numbers.get(place, 0)
            for place, start in enumerate(days, 1)
        },
        lateness=_read_lateness(whole).get(1, Lateness()),
        hours={start: lateness.get(place, Lateness()) for place, start in enumerate(hours, 1)},
    )


def _rows(answer: CursorWrapper) -> list[Any]:
    with answer as cursor:
        rows: list[Any] = cursor.fetchall()
    return rows


def _per(
    jobs: JobQuerySet, name: str, borders: Sequence[datetime], **measures: Aggregate
) -> QuerySet[Job, Any]:
    spans = jobs.order_by().annotate(span=SpanOf(name, borders)).values("span")
    return spans.annotate(**measures).values_list("span", *measures)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _days_until(now: datetime, zone: tzinfo) -> list[datetime]:
    """Return the midnights at which the last days began, today included."""
    today = now.astimezone(zone).date()
    return [_midnight(today - ago * A_DAY, zone) for ago in range(DAYS - 1, -1, -1)]


class _Ends(NamedTuple):
    """The ends of the spans that publishes are counted in."""

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

    def read(self, numbers: dict[int, int], *, overdue: int) -> Due:
        """Sum the numbers of the spans up to each end."""
        ends = sorted(self)

        def until(end: datetime) -> int:
            return sum(numbers.get(place, 0) for place in range(1, ends.index(end) + 1))

        return Due(until(self.hour), until(self.today), until(self.week), overdue)


def _coming(publishes: JobQuerySet) -> QuerySet[Job, Any]:
    columns = ("pk", "content_type_id", "object_id", "item_title", "run_at")
    return publishes.open().order_by("run_at", "pk").values_list(*columns)[:ROWS]


def _failures(latest: JobQuerySet) -> QuerySet[Job, Any]:
    lines = JobEvent.objects.filter(job=OuterRef("pk"), what=JobEvent.What.FAILED).order_by("-pk")
    rows = Job.objects.filter(rerunnable(), pk__in=latest.values("pk")).annotate(
        text=Subquery(lines.values("reason")[:1]),
        reasons=Subquery(lines.values(name=KT("detail__reasons"))[:1]),
        error=Subquery(lines.values(name=KT("detail__error"))[:1]),
    )
    columns = ("pk", "content_type_id", "object_id", "item_title", "kind", "finished_at")
    names = (*columns, "error", "text", "reasons")
    return rows.order_by("-finished_at", "-pk").values_list(*names)[:ROWS]


def _read_failure(*row: Any) -> Failure:
    # The pipeline's rows are as PostgreSQL sends them.
    *columns, reason, reasons = row
    stored = None if reasons is None else json.loads(reasons)
    return Failure._make([*columns, reason or "", stored])


class _Percentile(Aggregate):
    """The smallest value that a given part of all values does not exceed."""

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
    return {
        place: Lateness(number, *(late / timedelta(milliseconds=1) for late in measured))
        for place, number, *measured in rows
    }


def own_drafts(user: AbstractBaseUser) -> dict[type[Schedulable], list[Schedulable]]:
    """Query a person's newest drafts, one query for each type that has owners."""
    found: dict[type[Schedulable], list[Schedulable]] = {}
    for model in schedulable_models():
        if model.OWNER is not None and has_right(user, "view", model):
            drafts = model._base_manager.filter(status=Status.DRAFT, **{model.OWNER: user.pk})
            newest = drafts.defer(*model.long_fields()).order_by("-pk")[:DRAFTS]
            found[model] = list(newest)
    return found
