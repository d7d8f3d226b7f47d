"""The banner on every page of the admin that says that publishing is paused."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from scheduling.access.permissions import has_right
from scheduling.models import Job
from scheduling.operations import pause as pausing


def everywhere(request: HttpRequest) -> dict[str, Any]:
    """Query what the banner needs, on every page for people who have signed in."""
    if not admin.site.has_permission(request):
        return {}
    return {
        "publishing_paused": pausing.current(),
        "may_pause": has_right(request.user, "pause", Job),
    }
