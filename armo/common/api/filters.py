"""Filters of lists, which refuse malformed values."""

# mypy: disallow-subclassing-any=false

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from drf_spectacular.utils import extend_schema_field

from armo.common.moments import MomentFormField, parse_bound


class _MomentFormField(MomentFormField):
    def parse(self, text: str) -> datetime:
        # A plus sign that was not escaped arrives as a blank.
        return parse_bound(text.replace(" ", "+"))


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentFilter(django_filters.Filter):
    """A time with its offset."""

    field_class = _MomentFormField


class YesNoFormField(forms.TypedChoiceField):
    """True or false, as JSON writes it."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **options)
        self.empty_value = None


@extend_schema_field({"type": "boolean"})
class YesNoFilter(django_filters.Filter):
    """True or false."""

    field_class = YesNoFormField
