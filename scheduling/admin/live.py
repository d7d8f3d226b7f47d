"""What open pages of the admin ask for again and again: the publisher's state, and any news."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import lookup_field
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.template.loader import render_to_string
from django.urls import path
from django.utils.html import conditional_escape
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from scheduling.admin.banner import everywhere, remember
from scheduling.queries import health

# A page that somebody looks at asks this often; it asks for its own rows when there is news.
LIVE_SECONDS = 5.0
# Without news it asks for its rows this often; sooner when one of them is due.
WATCH_SECONDS = 10.0
SOONEST_SECONDS = 0.25


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer with the banner of all pages, and a text that differs when any job has changed."""
    try:
        remember(health.publisher())
        context = everywhere(request)
    except (DatabaseError, InterfaceError):
        return JsonResponse({}, status=503)
    banner = render_to_string("scheduling/banner.html", context).strip()
    return JsonResponse(
        {"banner": banner, "news": context["publishing_news"], "again": LIVE_SECONDS}
    )


def live_rows(
    model_admin: Any, request: HttpRequest, rows: Iterable[Any]
) -> dict[int, dict[str, str]]:
    """Return the cells of a list that change by themselves, by row and column."""
    columns = {
        column if isinstance(column, str) else column.__name__: column
        for column in model_admin.get_list_display(request)
    }
    shown = {name: columns[name] for name in model_admin.live_columns if name in columns}
    return {
        row.pk: {
            name: conditional_escape(lookup_field(column, row, model_admin)[2])
            for name, column in shown.items()
        }
        for row in rows
    }


def seconds_until_news(times: Iterable[datetime], now: datetime) -> float:
    """Return in how many seconds something that is due at one of the times may have changed."""
    waits = [WATCH_SECONDS, *(_wait((at - now).total_seconds()) for at in times)]
    return max(min(waits), SOONEST_SECONDS)


def _wait(left: float) -> float:
    """Return the seconds to wait: just past the time; if that has passed, longer and longer."""
    return left + 0.1 if left > 0 else max(1.0, -left / 10)


urls = [path("", admin.site.admin_view(live), name="admin-live")]
