"""Days, months and years in which there are rows, by Python's time zone rules."""

from datetime import date, datetime, timedelta, tzinfo
from typing import Any, TypeVar

from django.db.models import Max, Min, Model, QuerySet
from django.utils import timezone

from scheduling.models.expressions import SpanOf

Row = TypeVar("Row", bound=Model)


class LocalPeriods(QuerySet[Row]):
    """A query whose `datetimes()`, which the admin's lists call, leaves time zones to Python."""

    def datetimes(
        self, field_name: str, kind: Any, order: str = "ASC", tzinfo: tzinfo | None = None
    ) -> Any:
        """
        Query when the years, months or days began in which there are rows.

        Django's own has PostgreSQL convert each time, by its own copy of the time zone rules.

        :param tzinfo: the current time zone, if it is left out.
        """
        zone = tzinfo or timezone.get_current_timezone()
        ends = self.order_by().aggregate(first=Min(field_name), last=Max(field_name))
        if ends["first"] is None:
            return []
        first, last = (ends[name].astimezone(zone).date() for name in ("first", "last"))
        days = _starts(kind, first, last)
        borders = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in days]
        spans = self.order_by().annotate(span=SpanOf(field_name, borders))
        numbers = set(spans.values_list("span", flat=True).distinct()) - {None}
        return [borders[it - 1] for it in sorted(numbers, reverse=order == "DESC")]


def _starts(kind: str, first: date, last: date) -> list[date]:
    """Return the first days of the periods from that of one day to that of another."""
    if kind == "year":
        return [date(year, 1, 1) for year in range(first.year, last.year + 1)]
    if kind == "month":
        months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
        return [date(number // 12, number % 12 + 1, 1) for number in months]
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
