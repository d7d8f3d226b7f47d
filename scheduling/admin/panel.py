"""The publishing panel beside an item: its status and times, its buttons and its history."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from scheduling.access.permissions import User, has_right, knows_history, visible_jobs
from scheduling.admin.actions import ACTIONS, Action
from scheduling.admin.display import badge, change_url, due_in, verbose_name
from scheduling.admin.health_lines import health_lines
from scheduling.admin.seen import Page, page_of, signed
from scheduling.models import Job, JobEvent, Schedulable, Status, clock
from scheduling.models.times import distance
from scheduling.models.transitions import kinds_leading_to
from scheduling.queries.health import publisher
from scheduling.queries.problems import problems_of

EVENTS_SHOWN = 20
# Counting stops here.
MOST_COUNTED = 1000


class Clock(NamedTuple):
    """A time as the clocks of one zone show it."""

    zone: str
    shown: str
    iso: str


def clocks(at: datetime) -> list[Clock]:
    """Return a time in the reader's time zone, the site's, and UTC, each zone once."""
    zones = {
        timezone.get_current_timezone_name(): timezone.get_current_timezone(),
        settings.TIME_ZONE: ZoneInfo(settings.TIME_ZONE),
        "UTC": UTC,
    }
    return [
        Clock(name, f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}", at.isoformat())
        for name, zone in zones.items()
    ]


def count_same_minute(at: datetime, *, by: User, but: Schedulable | None = None) -> int:
    """Query how many other items that the person may see go live in the minute of a time."""
    start = at.replace(second=0, microsecond=0)
    jobs = visible_jobs(by, Job.objects.open()).filter(
        kind__in=kinds_leading_to(Status.PUBLISHED),
        run_at__gte=start,
        run_at__lt=start + timedelta(minutes=1),
    )
    if but is not None:
        jobs = jobs.exclude(pk__in=Job.objects.of(but).open().values("pk"))
    return jobs[:MOST_COUNTED].count()


def panel(request: HttpRequest, item: Schedulable, page: Page | None = None) -> dict[str, Any]:
    """
    Query what the panel of an item shows.

    :param page: the text beside the panel, if that may be older than the item's.
    """
    fresh = page_of(item)
    is_text_old = page is not None and page.text != fresh.text
    # Then a button that goes by the text is refused: the page has not shown the new one.
    seen = signed(item, page if is_text_old else fresh)
    now = clock.database_now()
    is_well, lines = health_lines(publisher())
    wanted = [
        (verbose_name(type(item), name), getattr(item, name))
        for name in ("publish_at", "unpublish_at", "published_at")
    ]
    at = item.publish_at
    return {
        "item": item,
        "badge": badge(item.status, item.get_status_display()),
        "due": due_in(item, now),
        "times": [
            {"name": name, "clocks": clocks(time), "distance": distance(time, now)}
            for name, time in wanted
            if time is not None
        ],
        "same_minute": (
            count_same_minute(at, by=request.user, but=item) if at is not None and at > now else 0
        ),
        "failure": problems_of([item]).get(item),
        "problems": [] if item.is_published else item.publish_problems(),
        "health": {"ok": is_well, "lines": lines},
        "buttons": buttons(
            item, ACTIONS, seen, lambda right: has_right(request.user, right, type(item))
        ),
        "is_text_old": is_text_old,
        "url": change_url(type(item), item.pk),
        **(_jobs_and_history(item) if knows_history(request.user, item) else {}),
        "may_see_jobs": has_right(request.user, "view", Job),
    }


def _jobs_and_history(item: Schedulable) -> dict[str, Any]:
    jobs = Job.objects.of(item)
    return {
        "open_jobs": jobs.open().select_related("scheduled_by").order_by("run_at", "pk"),
        "events": history(JobEvent.objects.filter(job__in=jobs))[:EVENTS_SHOWN],
        "has_history": True,
    }


def buttons(
    row: Any, actions: Iterable[Action], seen: str, may: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """
    Return the buttons of an item or a job that the person may press now, each with its form.

    :param seen: what the page shows of the row, for the buttons to send.
    :param may: whether the person has a right, by its name.
    """
    return [
        {
            "action": action,
            "form": action.form(
                initial={**action.form.times_of(row), "seen": seen},
                auto_id=f"{action.name}_%s",
                use_required_attribute=True,
            ),
            "url": reverse(action_url_name(row, action.name), args=[row.pk]),
        }
        for action in actions
        if may(action.right) and action.is_offered(row)
    ]


def action_url_name(row: Schedulable | Job, name: str) -> str:
    """Return the name of the URL that a button posts to."""
    return f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}"


def history(events: QuerySet[JobEvent]) -> QuerySet[JobEvent]:
    """Return events with the rows that the history shows, the newest first."""
    return events.select_related("job", "by").order_by("-at", "-pk")


def when(at: datetime, *, by: User, but: Schedulable | None = None) -> dict[str, Any]:
    """Query what the page shows of a time while a person chooses it."""
    now = clock.database_now()
    return {
        "clocks": clocks(at)[1:],
        "distance": distance(at, now),
        "is_past": at <= now,
        "same_minute": count_same_minute(at, by=by, but=but),
    }
