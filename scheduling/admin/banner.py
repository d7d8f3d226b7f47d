"""The banner of every page of the admin: a pause, faults, and whether there is news."""

from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest

from scheduling.access.permissions import has_right
from scheduling.models import Job, JobEvent
from scheduling.operations import pause as pausing

# So many events may be of transactions that are open at once: a batch has a thousand.
RECENT_EVENTS = 3000


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Query what the banner needs, on every page for people who have signed in; and the news."""
    if not admin.site.has_permission(request):
        return {}
    return {
        "publishing_paused": pausing.current(),
        "may_pause": has_right(request.user, "pause", Job),
        "publishing_news": _news(),
    }


def _news() -> str:
    """
    Query a text that differs once any job has changed: of every change there is an event.

    The newest event is not enough: one with a smaller number may be committed after it.
    """
    recent = JobEvent.objects.order_by("-pk")[:RECENT_EVENTS]
    return str(recent.aggregate(total=Sum("pk"))["total"])
