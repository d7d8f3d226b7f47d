"""A private iCalendar feed of the open jobs, which calendar programs subscribe to."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Max, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from icalendar import Calendar, Event, vDuration

from scheduling import conf
from scheduling.access.permissions import conditions_of_visible_jobs
from scheduling.ical.tokens import find_calendar_user, note_reading
from scheduling.models import TRANSITIONS, IsOneOf, Job, JobEvent, JobQuerySet, Transition
from scheduling.models.job import items_of
from scheduling.models.references import title_of

MOST_EVENTS = 1000
REFRESH_EVERY = timedelta(minutes=15)

# A job is an instant, and RFC 5545, 3.6.1, has a word for it: an event without an end. But Exchange
# fails to import one that has neither DTEND nor DURATION ([MS-STANXICAL] on 3.6.1), iCloud refuses
# it (https://github.com/pimutils/vdirsyncer/issues/1200), and others show a line too thin to see,
# an hour, or a day. No length at all is not allowed either: DTEND must be later than DTSTART
# (3.8.2.2), a DURATION positive (3.8.2.5). So it lasts a moment that can be seen and clicked, as
# DTEND, which more programs read than DURATION; TRANSP says that it takes up nobody's time.
SHOWN_LENGTH = timedelta(minutes=5)

# What a line of iCalendar cannot hold (RFC 5545, 3.1: CONTROL, all but the tab).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def jobs_to_show(user: User) -> JobQuerySet:
    """Query the open jobs that this user may see, the earliest first."""
    whole, *own = conditions_of_visible_jobs(user)
    open_jobs = Job.objects.open()
    # Separate unordered queries make PostgreSQL start from the user's items: in one query it may
    # read all open jobs in the order of time, and look up the owner of each.
    ids = [pk for jobs in own for pk in open_jobs.filter(jobs).values_list("pk", flat=True)]
    seen = whole | Q(IsOneOf("pk", ids)) if ids else whole
    return open_jobs.filter(seen).order_by("run_at", "pk")


class History(NamedTuple):
    """How often a job was moved, and when its last event was."""

    moved: int
    changed_at: datetime


def histories(jobs: Sequence[Job]) -> dict[int, History]:
    """Query the history of each job."""
    events = JobEvent.objects.filter(IsOneOf("job_id", [job.pk for job in jobs]))
    found = events.values_list("job_id").annotate(
        moved=Count("pk", filter=Q(what=JobEvent.What.MOVED)), changed_at=Max("at")
    )
    return {job_id: History(*past) for job_id, *past in found}


def titles(jobs: Sequence[Job]) -> dict[tuple[int, int], str]:
    """
    Query the present titles of the jobs' items, one query for each type.

    A job itself keeps the title that its item had when it was scheduled.
    """
    return {name: title_of(item) for name, item in items_of(jobs, without_text=True).items()}


def one_line(text: str) -> str:
    """Return a text as one line that iCalendar can hold."""
    return _CONTROL.sub("", " ".join(text.split()))


def lines(text: str) -> str:
    """Return a text without the characters that iCalendar cannot hold, its line breaks kept."""
    return "\n".join(_CONTROL.sub("", line) for line in text.splitlines())


def write_calendar(jobs: Sequence[Job]) -> bytes:
    """Return the calendar of these jobs, or of the first `MOST_EVENTS` of them."""
    calendar = Calendar()
    calendar.add("prodid", "-//Armo//Armo//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Armo")
    # Two names of one property: the standard's (RFC 7986) and, for Outlook, Microsoft's.
    calendar.add("refresh-interval", REFRESH_EVERY, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", vDuration(REFRESH_EVERY))
    if len(jobs) > MOST_EVENTS:
        jobs = jobs[:MOST_EVENTS]
        text = gettext("There is more than this: only the nearest %(count)d are shown.")
        calendar.add("x-wr-caldesc", text % {"count": MOST_EVENTS})
    called, pasts = titles(jobs), histories(jobs)
    for job in jobs:
        title = called.get((job.content_type_id, job.object_id)) or job.item_title or job.item_label
        past = pasts.get(job.pk) or History(0, job.created_at)
        calendar.add_component(_event(job, title, past))
    content: bytes = calendar.to_ical()
    return content


def _event(job: Job, title: str, past: History) -> Event:
    event = Event()
    event.add("uid", f"armo-job-{job.pk}@{urlsplit(conf.SITE_URL).hostname}")
    # With METHOD this is the time the text was made (RFC 5545, 3.8.7.2). It does not change at each
    # fetch, so that an unchanged calendar is the same text and need not be sent again.
    event.add("dtstamp", _second(past.changed_at))
    event.add("last-modified", _second(past.changed_at))
    event.add("dtstart", _second(job.run_at))
    event.add("dtend", _second(job.run_at) + SHOWN_LENGTH)
    event.add("sequence", past.moved)
    summary = str(TRANSITIONS.get(job.kind, Transition).summary)
    facts = {"title": one_line(title), "kind": capfirst(job.get_kind_display())}
    event.add("summary", summary % facts)
    event.add("description", _description(job))
    with suppress(NoReverseMatch):  # the type has no admin, or is gone
        event.add("url", _admin_url(job))
    event.add("status", "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    return event


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _description(job: Job) -> str:
    facts = [(gettext("state"), job.get_state_display())]
    if job.reason:
        facts.append((gettext("reason"), job.why))
    facts.append((gettext("scheduled by"), one_line(job.who)))
    return "\n".join(f"{capfirst(name)}: {lines(text)}" for name, text in facts)


def _admin_url(job: Job) -> str:
    type_ = ContentType.objects.get_for_id(job.content_type_id)
    name = f"admin:{type_.app_label}_{type_.model}_change"
    return conf.SITE_URL + reverse(name, args=[job.object_id])


@csrf_exempt  # a refusal would log the path, and there is nothing to forge
def feed(request: HttpRequest, secret: str = "", mistyped: str = "") -> HttpResponseBase:
    """Answer with the calendar of the secret, or 404 if it is not valid."""
    # Django logs the path of a request that is refused or fails: here it contains a secret.
    request.path = request.path_info = "/feeds/schedule/"
    return _feed(request, secret)


@require_safe
def _feed(request: HttpRequest, secret: str) -> HttpResponseBase:
    user = find_calendar_user(secret)
    if user is None:
        raise Http404
    note_reading(user)
    # Calendar programs ask in no language, or in that of their maker.
    with conf.locale_of(user):
        jobs = jobs_to_show(user).select_related("scheduled_by")
        content = write_calendar(list(jobs[: MOST_EVENTS + 1]))
    digest = sha256(content).hexdigest()[:32]
    etag = quote_etag(digest)
    if digest in request.headers.get("If-None-Match", ""):
        # A proxy that compresses may have appended the encoding to the tag.
        request.META["HTTP_IF_NONE_MATCH"] = etag
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        # Neither a followed link nor a search engine may reveal the address.
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    response = HttpResponse(content, content_type="text/calendar; charset=utf-8", headers=headers)
    return get_conditional_response(request, etag, None, response) or response


def calendar_url(secret: str) -> str:
    """Return the URL to subscribe to."""
    return conf.SITE_URL + reverse("schedule-calendar", kwargs={"secret": secret})
