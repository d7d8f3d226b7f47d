"""Expressions of PostgreSQL that Django does not have."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Value


class ClockTimestamp(Func):
    """The database's clock now, not at the start of the transaction."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = models.DateTimeField()


class ClockNow(ClockTimestamp):
    """
    The database's clock, read once a statement.

    The bare function is volatile: PostgreSQL calls it for every row and uses no index. The result
    of a subquery it looks up in an index.
    """

    template = "(SELECT %(function)s())"


class IsOneOf(Func):
    """
    Whether an integer field is one of many numbers.

    An `IN` with a thousand numbers has a thousand parameters to parse and plan; this has one.
    """

    output_field = models.BooleanField()

    def __init__(self, field: str, numbers: Iterable[int]) -> None:
        super().__init__(F(field))
        self.numbers = list(numbers)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        """Return the statement's part with its parameters."""
        field, params = compiler.compile(self.source_expressions[0])
        # As text: psycopg takes ten times as long to adapt a list.
        return f"{field} = ANY(%s::bigint[])", [*params, f"{{{','.join(map(str, self.numbers))}}}"]


class SpanOf(Func):
    """
    The number of the span that a time lies in: 1 from the first border on, 0 before it.

    The borders of days, months and years are computed in Python: PostgreSQL has time zone rules of
    its own, which may be older.
    """

    function = "width_bucket"
    output_field = models.IntegerField()

    def __init__(self, name: str, borders: Sequence[datetime]) -> None:
        super().__init__(F(name), Value(list(borders), ArrayField(models.DateTimeField())))
