"""The admin's first page: what will go live, what has failed, and the publisher's health."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scheduling.access.permissions import has_right, sees_all, visible_jobs
from scheduling.admin.display import change_url, shown_time
from scheduling.admin.health_lines import health_lines, version_lines
from scheduling.errors import spoken
from scheduling.models import Job, JobQuerySet, State, clock, schedulable_models
from scheduling.models.times import distance, formatted, measured
from scheduling.models.transitions import kind_label
from scheduling.queries import health, workers
from scheduling.queries.dashboard_stats import (
    DashboardStats,
    Failure,
    Lateness,
    Planned,
    dashboard_stats,
    own_drafts,
)

# Units of the plots, which are stretched to the width of the page.
PLOT_HEIGHT = 1000
BAR_WIDTH = 10
# Bars are at least as high, so that small values are visible.
LEAST_HEIGHT = 20


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Query what the first page shows."""
    sees_jobs = has_right(request.user, "view", Job) and any(
        sees_all(request.user, model) for model in schedulable_models()
    )
    shown = _of_publisher(request) if sees_jobs else _of_writer(request)
    return {**context, "title": _("Today"), "dashboard": {"new": _new_items(request), **shown}}


def _of_publisher(request: HttpRequest) -> dict[str, Any]:
    jobs: JobQuerySet = visible_jobs(request.user, Job.objects.all())
    seen = dashboard_stats(jobs, now=clock.database_now(), zone=timezone.get_current_timezone())
    is_well, lines = health_lines(health.publisher())
    lines += version_lines(workers.running_workers())
    list_of_jobs = reverse("admin:scheduling_job_changelist")
    return {
        "is_well": is_well,
        "health": lines,
        "tiles": _tiles(seen),
        "failed": _count(seen.failed, or_more=seen.or_more) if seen.failed else "",
        "failures": [_failure(failure, seen.now) for failure in seen.failures],
        "coming": [_planned(planned, seen) for planned in seen.coming],
        "plots": [_plot_of_days(seen), _plot_of_lateness(seen)],
        "all_jobs": list_of_jobs,
        "all_failed": f"{list_of_jobs}?state={State.FAILED}",
    }


def _of_writer(request: HttpRequest) -> dict[str, Any]:
    assert request.user.is_authenticated  # the admin lets nobody else in
    return {
        "drafts": [
            {
                "title": capfirst(str(model._meta.verbose_name_plural)),
                "items": [{"title": str(item), "url": _url(model, item.pk)} for item in items],
            }
            for model, items in own_drafts(request.user).items()
        ]
    }


def _new_items(request: HttpRequest) -> list[dict[str, str]]:
    buttons = []
    for model in schedulable_models():
        of_model = admin.site._registry.get(model)
        if of_model is not None and of_model.has_add_permission(request):
            opts = model._meta
            label = _("New %(type)s") % {"type": opts.verbose_name}
            url = reverse(f"admin:{opts.app_label}_{opts.model_name}_add")
            buttons.append({"label": label, "url": url})
    return buttons


class Tile(NamedTuple):
    """One number, and what it counts."""

    label: str
    number: str
    hint: str
    is_bad: bool = False


def _tiles(seen: DashboardStats) -> list[Tile]:
    due = seen.due
    return [
        Tile(_("Next hour"), formatted(due.next_hour), _("to go live")),
        Tile(_("Today"), formatted(due.today), _("until midnight")),
        Tile(_("This week"), formatted(due.this_week), _("until Sunday")),
        Tile(_("Overdue"), formatted(due.overdue), _("not done in time"), is_bad=bool(due.overdue)),
    ]


def _count(number: int, *, or_more: bool) -> str:
    return _("%(number)s or more") % {"number": formatted(number)} if or_more else formatted(number)


def _planned(planned: Planned, seen: DashboardStats) -> dict[str, Any]:
    return {
        **_item(planned),
        "time": shown_time(planned.run_at),
        "distance": distance(planned.run_at, seen.now),
        "is_late": planned.run_at <= seen.now,
    }


def _failure(failure: Failure, now: datetime) -> dict[str, Any]:
    return {
        **_item(failure),
        "kind": kind_label(failure.kind),
        "time": shown_time(failure.failed_at),
        "distance": distance(failure.failed_at, now),
        "why": spoken(failure.reason, failure.reasons) or failure.error or "",
        "job_id": failure.job_id,
        "job_url": change_url(Job, failure.job_id),
    }


def _item(row: Planned | Failure) -> dict[str, Any]:
    content_type = ContentType.objects.get_for_id(row.content_type_id)
    model = content_type.model_class()
    label = f"{content_type.model}:{row.object_id}"
    return {
        "label": label,
        "type": label if model is None else f"{model._meta.verbose_name} {row.object_id}",
        "title": row.title or label,
        "url": "" if model is None else _url(model, row.object_id),
    }


def _url(model: type[Any], pk: object) -> str:
    return change_url(model, pk) if admin.site.is_registered(model) else ""


class Bar(NamedTuple):
    """A bar: its place, in whole numbers that need no localisation, and its figures."""

    left: int
    height: int
    label: str
    cells: tuple[str, ...]

    @property
    def top(self) -> int:
        return PLOT_HEIGHT - self.height

    @property
    def width(self) -> int:
        """Return the width of the bar; a fifth is left between two."""
        return BAR_WIDTH - BAR_WIDTH // 5

    @property
    def says(self) -> str:
        return ", ".join(self.cells)


class Plot(NamedTuple):
    """A plot, with its figures as text."""

    name: str
    title: str
    summary: str
    most: str
    first: str
    last: str
    columns: tuple[str, ...]
    bars: list[Bar]
    is_empty: bool
    empty: str
    # Names and figures for the whole period.
    totals: list[tuple[str, str]]

    @property
    def box(self) -> str:
        return f"0 0 {len(self.bars) * BAR_WIDTH} {PLOT_HEIGHT}"


def _bars(values: Sequence[float], lines: Sequence[tuple[str, tuple[str, ...]]]) -> list[Bar]:
    most = max(values) or 1
    return [
        Bar(
            place * BAR_WIDTH,
            max(round(PLOT_HEIGHT * value / most), LEAST_HEIGHT) if value else 0,
            *line,
        )
        for place, (value, line) in enumerate(zip(values, lines, strict=True))
    ]


def _plot_of_days(seen: DashboardStats) -> Plot:
    numbers = list(seen.days.values())
    labels = [date_format(day, "MONTH_DAY_FORMAT") for day in seen.days]
    total, most = sum(numbers), max(numbers)
    text = ngettext(
        "%(number)s item went live in %(days)d days; most on one day: %(most)s.",
        "%(number)s items went live in %(days)d days; most on one day: %(most)s.",
        total,
    )
    return Plot(
        name="days",
        title=_("Went live, by day"),
        summary=text % {"number": formatted(total), "days": len(numbers), "most": formatted(most)},
        most=formatted(most),
        first=labels[0],
        last=_("today"),
        columns=(_("Day"), _("Items")),
        bars=_bars(
            numbers, [(label, (formatted(it),)) for label, it in zip(labels, numbers, strict=True)]
        ),
        is_empty=not total,
        empty=_("Nothing went live in %(days)d days.") % {"days": len(numbers)},
        totals=[(_("in %(days)d days") % {"days": len(numbers)}, formatted(total))],
    )


def _plot_of_lateness(seen: DashboardStats) -> Plot:
    number, whole = seen.lateness.number, _figures(seen.lateness)
    values = [lateness.p99_ms or 0 for lateness in seen.hours.values()]
    times = [date_format(timezone.localtime(start), "H:i") for start in seen.hours]
    lines = [tuple(_figures(lateness).values()) for lateness in seen.hours.values()]
    text = ngettext(
        "%(number)s timed publish in %(hours)d hours; lateness p50 %(p50)s, p99 %(p99)s, the most"
        " %(most)s.",
        "%(number)s timed publishes in %(hours)d hours; lateness p50 %(p50)s, p99 %(p99)s, the"
        " most %(most)s.",
        number,
    )
    return Plot(
        name="lateness",
        title=_("Lateness, by hour"),
        summary=text % {**whole, "hours": len(values)},
        most=_length(max(values)),
        first=times[0],
        last=_("now"),
        columns=(_("From"), _("Items"), _("p50"), _("p99"), _("the most")),
        bars=_bars(values, list(zip(times, lines, strict=True))),
        is_empty=not number,
        empty=_("Nothing that was timed went live in %(hours)d hours.") % {"hours": len(values)},
        totals=[(_("p50"), whole["p50"]), (_("p99"), whole["p99"]), (_("the most"), whole["most"])],
    )


def _figures(lateness: Lateness) -> dict[str, str]:
    return {
        "number": formatted(lateness.number),
        "p50": _length(lateness.p50_ms),
        "p99": _length(lateness.p99_ms),
        "most": _length(lateness.most_ms),
    }


def _length(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else measured(milliseconds)
