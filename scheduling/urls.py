"""The engine's own pages, and the routes of the API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from scheduling.api import viewsets
from scheduling.ical import feed
from scheduling.ical.api import CalendarView

urlpatterns = [
    path("feeds/schedule/<str:secret>.ics", feed.feed, name="schedule-calendar"),
    # Most of a secret is a secret too: whatever else is asked for here is kept out of the log.
    path("feeds/schedule/<path:mistyped>", feed.feed),
]

_router = SimpleRouter()
_router.register("jobs", viewsets.JobViewSet, basename="job")
api = [*_router.urls, path("calendar/", CalendarView.as_view(), name="calendar")]
