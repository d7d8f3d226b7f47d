"""Filters of the API's lists of items and jobs. "After" includes the time itself, "before" not."""

# mypy: disallow-subclassing-any=false

from typing import Any

import django_filters
from django.contrib.contenttypes.models import ContentType
from django.utils.choices import CallableChoiceIterator
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError

from armo.common.api.filters import MomentFilter, YesNoFilter
from scheduling.models import Job, JobQuerySet, State, clock, kind_choices, status_choices
from scheduling.models.references import MalformedItem, item_pattern, parse_item


@extend_schema_field({"type": "string", "pattern": item_pattern()})
class ItemFilter(django_filters.CharFilter):
    """An item by its name, as `story:42`."""


class ItemFilters(django_filters.FilterSet):
    """What items of every type can be filtered by."""

    status = django_filters.ChoiceFilter(
        choices=CallableChoiceIterator(status_choices), help_text="In this status."
    )
    published_after = MomentFilter(
        field_name="published_at", lookup_expr="gte", help_text="Went live then, or later."
    )
    published_before = MomentFilter(
        field_name="published_at", lookup_expr="lt", help_text="Went live before."
    )
    publish_at_after = MomentFilter(
        field_name="publish_at", lookup_expr="gte", help_text="Was asked for then, or later."
    )
    publish_at_before = MomentFilter(
        field_name="publish_at", lookup_expr="lt", help_text="Was asked for before."
    )


class JobFilters(django_filters.FilterSet):
    """What jobs can be filtered by."""

    state = django_filters.ChoiceFilter(choices=State.choices, help_text="In this state.")
    kind = django_filters.ChoiceFilter(
        choices=CallableChoiceIterator(kind_choices), help_text="Of this kind."
    )
    item = ItemFilter(method="of_item", help_text="Of this item, as `story:42`.")
    run_at_after = MomentFilter(
        field_name="run_at", lookup_expr="gte", help_text="For this time, or later."
    )
    run_at_before = MomentFilter(
        field_name="run_at", lookup_expr="lt", help_text="For a time before."
    )
    overdue = YesNoFilter(
        method="by_overdue",
        help_text="Whether it should have run more than OVERDUE_AFTER seconds ago, and has not.",
    )

    class Meta:
        model = Job
        fields: tuple[str, ...] = ()

    def of_item(self, jobs: JobQuerySet, name: str, value: str) -> JobQuerySet:
        """Keep the jobs of one item, which may have been deleted since."""
        try:
            return of_item(jobs, value)
        except MalformedItem as error:
            raise ValidationError({name: [str(error)]}) from error

    def by_overdue(self, jobs: JobQuerySet, name: str, value: Any) -> JobQuerySet:
        """Keep what is overdue, or what is not."""
        overdue = jobs.overdue(now=clock.database_now())
        return overdue if value else jobs.exclude(pk__in=overdue.values("pk"))


def of_item(jobs: JobQuerySet, name: str) -> JobQuerySet:
    """
    Keep the jobs of the item called `story:42`, which may have been deleted since.

    :raises MalformedItem:
    :raises UnknownModel:
    """
    model, pk = parse_item(name)
    return jobs.filter(content_type=ContentType.objects.get_for_model(model), object_id=pk)
