"""The public pages."""

from django.urls import path

from content import views

urlpatterns = [
    path("", views.front_page, name="front-page"),
    path("stories/<str:slug>/", views.story_page, name="story"),
]
