"""The URLs of people's own pages in the admin."""

from django.contrib import admin
from django.urls import path

from armo.accounts import views

urlpatterns = [
    path("preferences/", admin.site.admin_view(views.preferences), name="admin-preferences")
]
