"""The admin for a project with Django's own theme: items, and jobs to read."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest

from scheduling.models import Job, Schedulable

# The engine's own pages need their theme and Armo's packages; a project may have the theme alone.
HAS_OWN_PAGES = all(apps.is_installed(name) for name in ("unfold", "armo.accounts"))


class PlainItemAdmin(admin.ModelAdmin):
    """A type of content whose status and times are shown; operations alone change them."""

    list_display = ("__str__", "status", "publish_at", "unpublish_at")
    list_filter = ("status",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *Schedulable.ENGINE_FIELDS)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that only operations write, and `prune_jobs` deletes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PlainJobAdmin(ReadOnlyAdmin):
    """Jobs, to read."""

    list_display = ("__str__", "item_title", "kind", "state", "run_at", "finished_at")
    list_filter = ("state", "kind")
    search_fields = ("item_title",)
    ordering = ("-run_at", "-pk")


if not HAS_OWN_PAGES:
    admin.site.register(Job, PlainJobAdmin)
