"""Expressions of PostgreSQL that Django does not have."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import F, Func


class ClockTimestamp(Func):
    """The database's clock at this very moment, not at the start of the transaction."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = models.DateTimeField()


class ClockNow(ClockTimestamp):
    """
    The same, asked once a statement.

    `clock_timestamp()` may differ from row to row, so PostgreSQL compares it with every row and
    uses no index; the result of a subquery it looks up in the index.
    """

    template = "(SELECT %(function)s())"


class IsOneOf(Func):
    """
    Whether a whole number is among some.

    `IN` with a thousand numbers is spelled out, parsed and planned number by number; this is one
    parameter, however many they are.
    """

    output_field = models.BooleanField()

    def __init__(self, field: str, numbers: Iterable[int]) -> None:
        super().__init__(F(field))
        self.numbers = list(numbers)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        """Return the condition in SQL."""
        field, params = compiler.compile(self.source_expressions[0])
        # Spelled out here: psycopg takes ten times as long over an array.
        return f"{field} = ANY(%s::bigint[])", [*params, f"{{{','.join(map(str, self.numbers))}}}"]
