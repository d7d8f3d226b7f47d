"""
Counting what happens to jobs, for metrics.

Each event is counted once, a while after it was written, and only once every transaction that may
have written one before it has ended. Writing an event takes no longer for it, and prunes take
nothing away (docs/adr/0045-counts-outlive-the-ledger.md).
"""

from typing import Any

from django.db import connection, transaction

from scheduling.models import EventCountMark
from scheduling.queue.sql_files import read_statements

SQL = read_statements(__name__)

# The upper ends of the ranges of lateness in seconds, as Prometheus writes them.
LATENESS_TO = (
    *("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"),
    *("60", "300", "1800", "3600", "+Inf"),
)
# How many events one transaction counts, in some tens of milliseconds.
BATCH = 10_000
# So many classes of errors have a count of their own.
MOST_ERRORS = 100


def count_events(*, rounds: int = 3) -> bool:
    """
    Count the events that have not been counted yet, a batch in each round but the first.

    If another process counts just now, it does nothing.

    :returns: whether it stopped with some left, as all rounds were used up.
    :raises django.db.Error: an error or time-out of the database; what was committed stays.
    """
    return all(_count_next() for _ in range(rounds))


@transaction.atomic
def _count_next() -> bool:
    """Count what is next, and mark what comes then; return whether there is anything."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["mark"])
        mark = cursor.fetchone()
        if mark is None:
            if EventCountMark.objects.exists():
                return False  # another process counts just now
            EventCountMark.objects.bulk_create([EventCountMark()], ignore_conflicts=True)
            return True
        counted_to, next_to, are_there = mark
        params: dict[str, Any] = {"counted_to": counted_to, "next_to": next_to, "limit": BATCH}
        if next_to > counted_to:
            if not are_there:
                return False
            limits = [float(limit) for limit in LATENESS_TO[:-1]]
            # With statistics from before a burst PostgreSQL would read all jobs for a few events.
            cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
            of_statement: dict[str, Any] = {
                "limits": limits,
                "names": list(LATENESS_TO),
                "most": MOST_ERRORS,
            }
            cursor.execute(SQL["count"], {**params, **of_statement})
        cursor.execute(SQL["move_mark"], params)
        return bool(cursor.fetchone()[0])
