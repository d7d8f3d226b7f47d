"""The admin's theme, with the types of the classes that it replaces: it has none of its own."""

# mypy: disallow-subclassing-any=false

from typing import TYPE_CHECKING, Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import DataError, ProgrammingError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ThemedModelAdmin
    from django.contrib.admin import SimpleListFilter as DropdownFilter
    from django.contrib.admin import TabularInline
    from django.contrib.admin.widgets import AdminTextareaWidget as AreaWidget
    from django.forms import CheckboxSelectMultiple as CheckboxesWidget
    from django.forms import Select as SelectWidget

    AutocompleteDropdownForm: Any
else:
    from unfold.admin import ModelAdmin as ThemedModelAdmin
    from unfold.admin import TabularInline
    from unfold.contrib.filters.admin import DropdownFilter
    from unfold.contrib.filters.forms import AutocompleteDropdownForm
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckboxesWidget
    from unfold.widgets import UnfoldAdminSelectWidget as SelectWidget
    from unfold.widgets import UnfoldAdminTextareaWidget as AreaWidget

__all__ = [
    "AreaWidget",
    "AutocompleteDropdownForm",
    "CheckboxesWidget",
    "DropdownFilter",
    "List",
    "ModelAdmin",
    "SelectWidget",
    "TabularInline",
]


# Of look-ups in an address: values that no column can have, a range of one, a year 99999, and
# look-ups whose functions the database lacks, as `__unaccent`.
UNANSWERABLE = (DataError, ProgrammingError, IndexError, OverflowError, ValueError)


class List(ChangeList):
    """A list that PostgreSQL may find unanswerable: its URL may have any look-up of a field."""

    def get_results(self, request: HttpRequest) -> None:
        """
        Read the rows.

        :raises IncorrectLookupParameters: with a value that no column can have, as a NUL, or a
            pattern that is none. Django asks without it, as for values that it cannot read itself.
        """
        try:
            super().get_results(request)
        except UNANSWERABLE as error:
            raise IncorrectLookupParameters(error) from error


class ModelAdmin(ThemedModelAdmin):
    """The theme's, with such lists, and look-ups that survive what no field can have."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return List

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Find rows; what is looked up as one types may have a NUL, other than what a list is."""
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the row; none has a NUL in its key."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name what is deleted with the rows, but nothing that has no name for people."""
        nested, counts, *others = super().get_deleted_objects(objs, request)
        related = [field.related_model for field in self.opts.get_fields(include_hidden=True)]
        nameless = [it._meta for it in related if isinstance(it, type) and _is_nameless(it)]
        for each in nameless:
            counts.pop(str(each.verbose_name_plural), None)
        starts = tuple(f"{capfirst(each.verbose_name)}: " for each in nameless)
        return _without(nested, starts), counts, *others

    def response_action(
        self, request: HttpRequest, queryset: Any, *where: Any, **since_6_1: Any
    ) -> HttpResponse | None:
        """Carry an action out, on those of the chosen rows whose keys can be some."""
        posted = request.POST.copy()
        chosen = [it for it in posted.getlist(ACTION_CHECKBOX_NAME) if self._may_be_key(it)]
        posted.setlist(ACTION_CHECKBOX_NAME, chosen)
        request.POST = posted  # type: ignore[assignment]  # as Django's own is, but for the stubs
        return super().response_action(request, queryset, *where, **since_6_1)

    def _may_be_key(self, text: str) -> bool:
        try:
            self.opts.pk.to_python(text)
        except ValidationError:
            return False
        return "\0" not in text


def _is_nameless(model: type[Model]) -> bool:
    """Return whether it is a many-to-many table, or one that nobody sees in the admin."""
    meta = model._meta
    # The name that Django makes up of the class is a plain text, never a translated one.
    is_hidden = not meta.default_permissions and isinstance(meta.verbose_name, str)
    return bool(meta.auto_created) or is_hidden


def _without(nested: list[Any], starts: tuple[str, ...]) -> list[Any]:
    """Return nested lists of lines without those that start so, and without empty lists."""
    kept = [
        _without(line, starts) if isinstance(line, list) else line
        for line in nested
        if isinstance(line, list) or not str(line).startswith(starts)
    ]
    return [line for line in kept if line != []]
