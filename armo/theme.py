"""The admin's theme, with the types of what it stands in for: it has none of its own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin import SimpleListFilter as DropdownFilter
else:
    from unfold.admin import ModelAdmin
    from unfold.contrib.filters.admin import DropdownFilter

__all__ = ["DropdownFilter", "ModelAdmin"]
