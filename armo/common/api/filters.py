"""Filters of lists, which refuse malformed values."""

# mypy: disallow-subclassing-any=false

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from armo.common.api.fields import MomentField


class _MomentFormField(forms.CharField):
    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            # A plus sign that was not escaped arrives as a blank.
            return MomentField(is_bound=True).to_internal_value(text.strip().replace(" ", "+"))
        except serializers.ValidationError as error:
            [detail] = list(error.detail)
            assert isinstance(detail, ErrorDetail)
            raise ValidationError(str(detail), code=detail.code) from error


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
