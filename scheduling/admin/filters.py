"""Filters of the lists of items and jobs."""

from collections.abc import Callable
from datetime import MAXYEAR, date, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from armo.common.theme import DropdownFilter, ModelAdmin
from scheduling.access.permissions import sees_all
from scheduling.admin.display import start_of
from scheduling.models import (
    IsOneOf,
    Job,
    JobQuerySet,
    Schedulable,
    State,
    Status,
    clock,
    kind_choices,
    status_choices,
)
from scheduling.models.references import parse_id


def start_of_week(day: date) -> date:
    """Return the Monday of a day's week: a week ends on Sunday, as on the admin's first page."""
    return day - timedelta(days=day.weekday())


class LocalDates(ModelAdmin):
    """
    A list whose URL narrows times by the dates above it, and by nothing else.

    Django takes any look-up of a field from the URL: a month without a year would be computed by
    PostgreSQL, with its own time zone rules, and some times it cannot read.
    """

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        name, _parts, kind = lookup.partition("__")
        times = [it.name for it in self.opts.fields if isinstance(it, DateTimeField)]
        if name not in times or kind == "isnull":
            return super().lookup_allowed(lookup, value, request)
        texts = [value] if isinstance(value, str) else list(value)
        return (
            name == self.date_hierarchy
            and kind in ("year", "month", "day")
            and f"{name}__year" in request.GET
            and all(it.isascii() and it.isdigit() and int(it[:5]) < MAXYEAR for it in texts)
        )


class DueFilter(DropdownFilter):
    """Items by when they are due."""

    title, parameter_name = _("due"), "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [
            ("today", _("today")),
            ("week", _("this week")),
            ("overdue", _("overdue")),
            ("failed", _("failed")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        keep = DUE_FILTERS.get(str(self.value()))
        return keep(queryset) if keep else queryset


def _due_from(first: date, days: int) -> Callable[[QuerySet[Any]], QuerySet[Any]]:
    span = (start_of(first), start_of(first + timedelta(days=days)))
    return lambda items: items.filter(
        status=Status.SCHEDULED, publish_at__gte=span[0], publish_at__lt=span[1]
    )


def _overdue(items: QuerySet[Any]) -> QuerySet[Any]:
    """Keep the items that have an overdue job, to go live or to end."""
    jobs = Job.objects.overdue(now=clock.database_now()).of_type(items.model)
    return items.filter(pk__in=jobs.values("object_id"))


DUE_FILTERS: dict[str, Callable[[Any], QuerySet[Any]]] = {
    "today": lambda items: _due_from(timezone.localdate(), 1)(items),
    "week": lambda items: _due_from(start_of_week(timezone.localdate()), 7)(items),
    "overdue": _overdue,
    "failed": lambda items: items.filter(status=Status.FAILED),
}


class ChoiceFilter(DropdownFilter):
    """Rows by a field that has choices."""

    choices_of: Callable[[], list[tuple[str, Any]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return type(self).choices_of()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value not in dict(type(self).choices_of()):
            return queryset
        return queryset.filter(**{str(self.parameter_name): value})


class StatusFilter(ChoiceFilter):
    """Items by status."""

    title, parameter_name = _("status"), "status"
    choices_of = status_choices


class StateFilter(ChoiceFilter):
    """Jobs by state."""

    title, parameter_name = _("state"), "state"
    choices_of = staticmethod(lambda: list(State.choices))


class KindFilter(ChoiceFilter):
    """Jobs by kind."""

    title, parameter_name = _("kind"), "kind"
    choices_of = kind_choices


class OverdueFilter(DropdownFilter):
    """Jobs that should have run by now."""

    title, parameter_name = _("overdue"), "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("1", _("overdue"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "1":
            return queryset
        assert isinstance(queryset, JobQuerySet)
        return queryset.overdue(now=clock.database_now())


def owners(model: type[Schedulable], *, most: int) -> list[int]:
    """
    Query who owns items, with one index look-up a person rather than one an item.

    PostgreSQL has no such scan for `SELECT DISTINCT`: it reads all rows
    (https://wiki.postgresql.org/wiki/Loose_indexscan).
    """
    opts = model._meta
    name = connection.ops.quote_name
    of_model = {
        "table": name(opts.db_table),
        "owner": name(opts.get_field(str(model.OWNER)).attname),  # type: ignore[union-attr]  # a foreign key
    }
    with connection.cursor() as cursor:
        cursor.execute(LOOSE_SCAN.format(**of_model), {"most": most})
        return [pk for (pk,) in cursor]


LOOSE_SCAN = """
    WITH RECURSIVE person (pk) AS (
        SELECT min({owner}) FROM {table}
        UNION ALL
        SELECT (SELECT min({owner}) FROM {table} WHERE {owner} > person.pk)
        FROM person
        WHERE person.pk IS NOT NULL
    )
    SELECT pk FROM person WHERE pk IS NOT NULL LIMIT %(most)s
"""


class OwnerFilter(DropdownFilter):
    """Items by their owner."""

    title, parameter_name = _("author"), "author"
    MOST = 500

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        people = get_user_model()._default_manager.none()
        # Others learn who writes by what is live, not who has drafts.
        if sees_all(request.user, model_admin.model):
            people = get_user_model()._default_manager.filter(
                IsOneOf("pk", owners(model_admin.model, most=self.MOST))
            )
        return [
            ("me", _("me")),
            *((str(person.pk), str(person)) for person in people.order_by("username")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        owner = queryset.model.OWNER
        if value == "me":
            return queryset.filter(**{owner: request.user.pk})
        person = parse_id(value or "")
        return queryset if person is None else queryset.filter(**{owner: person})
