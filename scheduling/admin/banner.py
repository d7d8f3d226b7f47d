"""The banner of every page of the admin: a pause, faults, and whether there is news."""

from math import inf
from time import monotonic
from typing import Any

from django.contrib import admin
from django.db import DatabaseError, InterfaceError
from django.db.models import Sum
from django.http import HttpRequest

from scheduling.access.permissions import has_right
from scheduling.admin.health_lines import fault_lines
from scheduling.models import Job, JobEvent
from scheduling.operations import pause as pausing
from scheduling.queries import health
from scheduling.queries.health import Publisher

# So many events may be of transactions that are open at once: a batch has a thousand.
RECENT_EVENTS = 3000

# For so long a page shows at once what the last open page of this process heard of faults. It
# asks a moment later itself, and would move if it showed them only then.
KNOWN_SECONDS = 60.0


class _Latest:
    """Holds the state of the publisher that was queried last, and when, by this process's clock."""

    known: tuple[Publisher | None, float] = (None, -inf)


def remember(state: Publisher | None) -> None:
    """Have the next pages show the faults of this state at once; with None they show none."""
    _Latest.known = (state, monotonic())


def _latest() -> Publisher | None:
    """Return the state as it is known; query it if no page has lately. None if it has no answer."""
    if monotonic() - _Latest.known[1] >= KNOWN_SECONDS:
        try:
            remember(health.publisher())
        except (DatabaseError, InterfaceError):
            remember(None)
    return _Latest.known[0]


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Query what the banner needs, on every page for people who have signed in; and the news."""
    if not admin.site.has_permission(request):
        return {}
    state = _latest()
    return {
        "publishing_paused": pausing.current(),
        "faults": fault_lines(state) if state else [],
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
