"""The admin's theme, with the types of the classes that it replaces: it has none of its own."""

# mypy: disallow-subclassing-any=false

from typing import TYPE_CHECKING, Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import DataError
from django.http import HttpRequest

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
        except (DataError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error


class ModelAdmin(ThemedModelAdmin):
    """The theme's, with such lists, and look-ups that survive what no field can have."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return List

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Find rows; what is looked up as one types may have a NUL, other than what a list is."""
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))
