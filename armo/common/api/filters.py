"""Filters of lists, which refuse unknown parameters and malformed values."""

# mypy: disallow-subclassing-any=false

from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.views import APIView

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


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses a parameter without a value, and one that neither filters nor pages know."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        """Return the rows that match."""
        if not request.query_params:
            return queryset
        filterset = self.get_filterset_class(view, queryset)
        known = {"cursor", "page_size", "ordering", *(filterset.base_filters if filterset else ())}
        view.refuse_odd_parameters(known)  # type: ignore[attr-defined]  # an ApiView
        found: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return found
