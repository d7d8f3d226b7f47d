"""What every page of the admin says of the publisher."""

from typing import Any

from django.contrib import admin
from django.db.models import Max
from django.http import HttpRequest

from scheduling.access.permissions import has_right
from scheduling.models import Job, JobEvent
from scheduling.operations import pause as pausing


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Query what the banner needs, on every page for people who have signed in; and the news."""
    if not admin.site.has_permission(request):
        return {}
    return {
        "publishing_paused": pausing.current(),
        "may_pause": has_right(request.user, "pause", Job),
        # Of every change of a job there is an event.
        "publishing_news": str(JobEvent.objects.aggregate(newest=Max("pk"))["newest"]),
    }
