"""Filters of the lists of items and jobs. "After" includes the time itself, "before" does not."""

# mypy: disallow-subclassing-any=false

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError

from armo.common.api.filters import MomentFilter, YesNoFilter
from scheduling.api.serializers import KINDS, STATUSES
from scheduling.models import Job, JobQuerySet, State, clock
from scheduling.models.references import MalformedItem, item_pattern


@extend_schema_field({"type": "string", "pattern": item_pattern()})
class ItemFilter(django_filters.CharFilter):
    """An item by its name, as `story:42`."""


class ItemFilters(django_filters.FilterSet):
    """The filters of items of every type."""

    status = django_filters.ChoiceFilter(choices=STATUSES, help_text="In this status.")
    published_after = MomentFilter(
        "published_at", "gte", help_text="Went live at this time, or later."
    )
    published_before = MomentFilter("published_at", "lt", help_text="Went live before this time.")
    publish_at_after = MomentFilter(
        "publish_at", "gte", help_text="Scheduled for this time, or later."
    )
    publish_at_before = MomentFilter(
        "publish_at", "lt", help_text="Scheduled for before this time."
    )


class JobFilters(django_filters.FilterSet):
    """The filters of jobs."""

    state = django_filters.ChoiceFilter(choices=State.choices, help_text="In this state.")
    kind = django_filters.ChoiceFilter(choices=KINDS, help_text="Of this kind.")
    item = ItemFilter(method="of_item", help_text="Of this item, as `story:42`.")
    run_at_after = MomentFilter("run_at", "gte", help_text="Scheduled for this time, or later.")
    run_at_before = MomentFilter("run_at", "lt", help_text="Scheduled for before this time.")
    overdue = YesNoFilter(
        method="by_overdue",
        help_text="Whether it should have run more than OVERDUE_AFTER seconds ago, and has not.",
    )

    class Meta:
        model = Job
        fields: tuple[str, ...] = ()

    def of_item(self, jobs: JobQuerySet, name: str, value: str) -> JobQuerySet:
        try:
            return jobs.of_named(value)
        except MalformedItem as error:
            raise ValidationError({name: [str(error)]}) from error

    def by_overdue(self, jobs: JobQuerySet, name: str, value: Any) -> JobQuerySet:
        overdue = jobs.overdue(now=clock.database_now())
        return overdue if value else jobs.exclude(pk__in=overdue.values("pk"))
