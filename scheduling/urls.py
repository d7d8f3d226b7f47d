"""The engine's own pages, and the routes of the API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from scheduling import calendar, calendar_views, views

urlpatterns = [
    path("feeds/schedule/<str:secret>.ics", calendar.feed, name="schedule-calendar"),
    # Most of a secret is a secret too: whatever else is asked for here is kept out of the log.
    path("feeds/schedule/<path:mistyped>", calendar.feed),
]

_router = SimpleRouter()
_router.register("jobs", views.JobViewSet, basename="job")
api = [
    *_router.urls,
    path("calendar/", calendar_views.CalendarView.as_view(), name="calendar"),
]
