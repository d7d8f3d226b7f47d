"""Every address of the site."""

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path

import armo.api.urls
import content.urls
import scheduling.urls
from armo import health
from scheduling.admin import planner

# What every type of content and the engine offer to programs; what none of them knows comes last.
api = [
    *content.urls.api.urls,
    *scheduling.urls.api,
    *armo.api.urls.urlpatterns,
    *armo.api.urls.rest,
]


def nowhere(request: HttpRequest, **kwargs: str) -> HttpResponse:
    """Lead nowhere."""
    raise Http404


urlpatterns = [
    # There the admin tells all who may sign in an item's public address: a draft's has its title.
    path("admin/r/<path:rest>", nowhere),
    path("admin/", include("armo.people.urls")),
    path("admin/calendar/", include(planner.urls)),  # the admin's own would match it too
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
    path("api/", include(armo.api.urls.rest)),
    path("health/live/", health.live, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
    path("health/publisher/", health.publisher, name="health-publisher"),
    path("", include("content.urls")),
    path("", include("scheduling.urls")),
]

handler400 = "armo.api.problems.bad_request"
handler403 = "armo.api.problems.forbidden"
handler404 = "armo.api.problems.not_found"
handler500 = "armo.api.problems.server_error"
