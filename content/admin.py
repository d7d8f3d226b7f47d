"""The admin of stories and notices. What all types share is in `scheduling.admin`."""

from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch
from django.utils.translation import gettext_lazy as _

from armo.accounts.history import HistoryOfAll
from armo.common.theme import (
    AreaWidget,
    AutocompleteDropdownForm,
    DropdownFilter,
    ModelAdmin,
    TabularInline,
)
from content import markdown, search
from content.models import Category, Notice, OldAddress, Story, Tag, TitledBody
from content.text import compose
from scheduling.access.permissions import may_change
from scheduling.admin import SchedulableAdmin, time_column
from scheduling.admin.filters import DueFilter, OwnerFilter, StatusFilter
from scheduling.models.references import parse_id


@admin.display(description=_("title"), ordering="title")
def title(item: TitledBody) -> str:
    """Show a title as a link, also for an item that has none yet."""
    return str(item)


def preview_text(request: HttpRequest) -> HttpResponse:
    """Show the text in a form as readers would see it."""
    context = {
        "title": request.POST.get("title", ""),
        "summary": request.POST.get("summary", ""),
        "body": markdown.render(request.POST.get("body", "")).html,
    }
    return TemplateResponse(request, "content/preview_text.html", context)


class WordFilter(DropdownFilter):
    """Stories by category or tag, which is found by typing, as there may be thousands."""

    form_class = AutocompleteDropdownForm
    model: type[Category] | type[Tag]

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.request, self.model_admin = request, model_admin
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return whether there are any."""
        return self.model._default_manager.values_list("pk", "name")[:1]

    def choices(self, changelist: Any) -> Any:
        """Show a box that looks names up as one types."""
        name = str(self.parameter_name)
        yield {
            "form": self.form_class(
                request=self.request,
                name=name,
                label=_(" By %(filter_title)s ") % {"filter_title": self.title},
                choices=(),
                field=Story._meta.get_field(name),
                model_admin=self.model_admin,
                data={name: self._chosen()},
            )
        }

    def _chosen(self) -> int | None:
        return parse_id(self.value() or "")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the stories that have it."""
        chosen = self._chosen()
        return queryset if chosen is None else queryset.filter(**{str(self.parameter_name): chosen})


class CategoryFilter(WordFilter):
    """Stories by category."""

    title, parameter_name, model = _("category"), "categories", Category


class TagFilter(WordFilter):
    """Stories by tag."""

    title, parameter_name, model = _("tag"), "tags", Tag


class ComposedSearch:
    """Looks for what is typed in the normal form in which it is stored."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Find rows."""
        term = compose(search_term)
        return super().get_search_results(request, queryset, term)  # type: ignore[misc]


class LinesField(SimpleArrayField):
    """A list of strings, one a line: a keyword may contain a comma."""

    def __init__(self, base_field: Any, **kwargs: Any) -> None:
        kwargs |= {"delimiter": "\n", "help_text": _("One a line.")}
        super().__init__(base_field, **kwargs)

    def to_python(self, value: Any) -> Any:
        """Return the lines that are not empty."""
        if isinstance(value, str):
            value = self.delimiter.join(line for line in value.splitlines() if line.strip())
        return super().to_python(value)


class OldAddressInline(TabularInline):
    """The old addresses of a story: who may change the story may remove them."""

    model = OldAddress
    # Unfold would repeat the path above each row.
    hide_title = True
    fields = readonly_fields = (  # type: ignore[assignment]  # the stubs know names only
        "path",
        time_column(OldAddress, "created_at"),
    )
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Show them to everybody who sees the story."""
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody add one: they come by themselves, or with an import."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those remove them who may change the story."""
        return obj is not None and may_change(request.user, obj)


@admin.register(Story)
class StoryAdmin(SchedulableAdmin):
    """Stories."""

    list_display = (
        title,
        "status_badge",
        "goes_live",
        time_column(Story, "published_at"),
        "author",
    )
    list_filter = (StatusFilter, DueFilter, CategoryFilter, TagFilter, OwnerFilter)
    list_select_related = ("author",)
    list_defer = ("body", "summary", "extra", "imported", "keywords")
    search_fields = ("title",)
    search_help_text = _("Words, “phrases”, -without")
    prepopulated_fields = {"slug": ("title",)}  # noqa: RUF012 (a mapping is what the admin takes)
    autocomplete_fields = ("categories", "tags")
    formfield_overrides = {  # noqa: RUF012 (as above)
        ArrayField: {"form_class": LinesField, "widget": AreaWidget(attrs={"rows": 3})}
    }
    fieldsets = (
        (None, {"fields": ("title", "slug", "summary", "body")}),
        (_("About"), {"fields": ("author", "byline", "categories", "tags", "language")}),
        (_("More"), {"fields": ("keywords", "extra"), "classes": ("collapse",)}),
    )
    preview_text = staticmethod(preview_text)
    preview_name = "preview"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find stories by full text, as the API does."""
        return (search.find(queryset, search_term) if search_term.strip() else queryset), False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Propose the person as the author."""
        return {"author": request.user.pk, **super().get_changeform_initial_data(request)}

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        """Show the old addresses of a story that has some."""
        return [OldAddressInline] if obj is not None and obj.old_addresses.exists() else []

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        """Take a form that was opened before the story had old addresses."""
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if "data" in kwargs and f"{prefix}-TOTAL_FORMS" not in request.POST:
            kwargs["data"] |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
        return kwargs

    def view_on_site(self, story: Story) -> str | None:
        """Return the story's URL once readers can open it; not that of a slug which can be none."""
        with suppress(NoReverseMatch):  # a form with errors: what was typed is in the story
            return story.get_absolute_url() if story.is_published else None
        return None


@admin.register(Notice)
class NoticeAdmin(ComposedSearch, SchedulableAdmin):
    """Notices."""

    list_display = (
        title,
        "status_badge",
        "severity",
        "goes_live",
        time_column(Notice, "unpublish_at"),
        time_column(Notice, "published_at"),
        "author",
    )
    list_filter = (StatusFilter, DueFilter, "severity", OwnerFilter)
    list_select_related = ("author",)
    list_defer = ("body",)
    search_fields = ("title",)
    fields = ("title", "severity", "body", "author")
    preview_text = staticmethod(preview_text)
    preview_name = "preview"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Propose the person as the author."""
        return {"author": request.user.pk, **super().get_changeform_initial_data(request)}


@admin.register(Category, Tag)
class WordAdmin(HistoryOfAll, ComposedSearch, ModelAdmin):
    """Categories and tags: people who write stories may look them up and add new ones."""

    search_fields = ("name",)
    ordering = ("name",)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let everybody who sees stories see them."""
        return request.user.has_perm("content.view_story") or super().has_view_permission(
            request, obj
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let everybody who writes stories add them."""
        return request.user.has_perm("content.change_story") or super().has_add_permission(request)
