"""The URLs of public pages and feeds, and the routes of the API."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from content import feeds, views, viewsets

urlpatterns = [
    path("", views.front_page, name="front-page"),
    path("stories/<str:slug>/", views.story_page, name="story"),
    path("preview/<str:token>/", views.preview, name="preview"),
    # A mistyped secret must not be logged either.
    path("preview/<str:token>/<path:mistyped>", views.preview),
    path("feeds/stories/", feeds.rss, name="stories-rss"),
    path("feeds/stories/atom/", feeds.atom, name="stories-atom"),
]

api = SimpleRouter()
api.register("stories", viewsets.StoryViewSet, basename="story")
api.register("notices", viewsets.NoticeViewSet, basename="notice")
