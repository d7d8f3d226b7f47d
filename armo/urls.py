"""The URLs of the site."""

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path

import armo.common.api.urls
import content.urls
import scheduling.urls
from armo import health, metrics
from armo.common import policy_reports
from armo.common.api.docs import IndexView
from scheduling.admin import calendar, live

# The API of the types of content, of the engine, and of neither.
routes = [*content.urls.api.urls, *scheduling.urls.api, *armo.common.api.urls.urlpatterns]
paths = [it for route in routes if not set(it := str(route.pattern).strip("^$")) & set("(<")]
# The answer to unknown routes comes last.
api = [
    path("", IndexView.as_view(paths=paths), name="api-index"),
    *routes,
    *armo.common.api.urls.rest,
]


def nowhere(request: HttpRequest, **kwargs: str) -> HttpResponse:
    """Answer 404."""
    raise Http404


urlpatterns = [
    # The admin's own view shows an item's public URL to everyone who may sign in: that of a draft
    # contains its title.
    path("admin/r/<path:rest>", nowhere),
    path("admin/", include("armo.accounts.urls")),
    path("admin/calendar/", include(calendar.urls)),  # before the admin, which would match
    path("admin/live/", include(live.urls)),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
    path("api/", include(armo.common.api.urls.rest)),
    path("health/live/", health.live, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
    path("health/publisher/", health.publisher, name="health-publisher"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("content.urls")),
    path("", include("scheduling.urls")),
]

if settings.DEBUG:
    urlpatterns.append(path("csp-report/", policy_reports.report))

handler400 = "armo.common.api.problems.bad_request"
handler403 = "armo.common.api.problems.forbidden"
handler404 = "armo.common.api.problems.not_found"
handler500 = "armo.common.api.problems.server_error"
