"""The admin's theme, with the types of the classes that it replaces: it has none of its own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin import SimpleListFilter as DropdownFilter
    from django.contrib.admin.widgets import AdminTextareaWidget as AreaWidget
    from django.forms import CheckboxSelectMultiple as CheckboxesWidget
    from django.forms import Select as SelectWidget

    AutocompleteDropdownForm: Any
else:
    from unfold.admin import ModelAdmin, TabularInline
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
    "ModelAdmin",
    "SelectWidget",
    "TabularInline",
]
