"""The routes of the calendar feed and of the engine's API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from scheduling.api import viewsets
from scheduling.ical import feed
from scheduling.ical.api import CalendarView

urlpatterns = [
    path("feeds/schedule/<str:secret>.ics", feed.feed, name="schedule-calendar"),
    # A mistyped secret must not be logged either, so the feed answers all paths below this one.
    path("feeds/schedule/<path:mistyped>", feed.feed),
]

_router = SimpleRouter()
_router.register("jobs", viewsets.JobViewSet, basename="job")
api = [*_router.urls, path("calendar/", CalendarView.as_view(), name="calendar")]
