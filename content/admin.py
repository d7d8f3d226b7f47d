"""The admin of what an editor writes. What all types share is in `scheduling.admin`."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from content.models import Category, Notice, Story, Tag, TitledBody
from scheduling.admin import SchedulableAdmin, time_column


@admin.display(description=_("title"), ordering="title")
def title(item: TitledBody) -> str:
    """Show a title that can be clicked, also of an item that has none yet."""
    return str(item)


@admin.register(Story)
class StoryAdmin(SchedulableAdmin):
    """Stories."""

    list_display = (
        title,
        "status_badge",
        time_column(Story, "publish_at"),
        time_column(Story, "unpublish_at"),
        time_column(Story, "published_at"),
        "author",
    )
    list_select_related = ("author",)
    search_fields = ("title", "slug", "byline")
    prepopulated_fields = {"slug": ("title",)}  # noqa: RUF012 (a mapping is what the admin takes)
    autocomplete_fields = ("categories", "tags")
    fieldsets = (
        (None, {"fields": ("title", "slug", "summary", "body")}),
        (_("About"), {"fields": ("author", "byline", "categories", "tags", "language")}),
        (_("More"), {"fields": ("keywords", "extra"), "classes": ("collapse",)}),
    )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Start a story as its writer's own."""
        return {"author": request.user.pk, **super().get_changeform_initial_data(request)}

    def view_on_site(self, story: Story) -> str | None:
        """Return the story's address once readers can open it."""
        return story.get_absolute_url() if story.is_published else None


@admin.register(Notice)
class NoticeAdmin(SchedulableAdmin):
    """Notices."""

    list_display = (
        title,
        "status_badge",
        "severity",
        time_column(Notice, "publish_at"),
        time_column(Notice, "unpublish_at"),
        time_column(Notice, "published_at"),
    )
    list_filter = ("status", "severity")
    search_fields = ("title",)
    fields = ("title", "severity", "body")


@admin.register(Category, Tag)
class WordAdmin(ModelAdmin):
    """Categories and tags: who writes stories may look them up and add new ones."""

    search_fields = ("name",)
    ordering = ("name",)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let whoever sees stories see them."""
        return request.user.has_perm("content.view_story") or super().has_view_permission(
            request, obj
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let whoever writes stories add one."""
        return request.user.has_perm("content.change_story") or super().has_add_permission(request)
