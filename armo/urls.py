"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from armo import health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health/live/", health.live, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
    path("health/publisher/", health.publisher, name="health-publisher"),
    path("", include("content.urls")),
]
