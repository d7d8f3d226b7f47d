"""
Ways of sending statements: prepared, in a pipeline, along an index.

Each is used where Django's own way was measured to take most of the time (docs/adr/0010, 0012).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from psycopg import Cursor

from scheduling.pooling import has_session


class _PreparedCursor(Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # Django turns prepared statements off for its connections. Behind a pooler they stay off:
        # each transaction has another session, without the statements of the last.
        self.connection.prepare_threshold = 0 if has_session(connection) else None
        try:
            return super().execute(query, params, **options)
        finally:
            self.connection.prepare_threshold = None


def prepared_cursor() -> CursorWrapper:
    """
    Return a cursor that prepares its statements: each is planned once a connection.

    For small statements that find their rows by key: PostgreSQL takes longer to plan one than to
    run it, and the plan is always the same. Not for statements that look for due rows: their best
    plan depends on how many there are.

    The statement must cast a parameter whose type PostgreSQL cannot infer. After a migration has
    changed a column, a statement fails once ("cached plan must not change result type"): psycopg
    drops its prepared statements when a transaction is rolled back.
    """
    connection.ensure_connection()
    cursor: CursorWrapper = connection._prepare_cursor(  # type: ignore[attr-defined]
        _PreparedCursor(connection.connection)
    )
    return cursor


@contextmanager
def pipeline() -> Iterator[None]:
    """
    Send the statements of the block without waiting for their results.

    :raises django.db.DatabaseError: a failed statement raises later: at another statement, where a
        result is read, or at the end of the block. No statement after the failed one is executed.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def send(rows: QuerySet[Any, Any]) -> CursorWrapper:
    """Send a query; return its cursor, which in a `pipeline` has no result yet."""
    sql, params = rows.query.sql_with_params()
    cursor = connection.cursor()
    cursor.execute(sql, params)
    return cursor


def join_by_hash() -> None:
    """
    Make PostgreSQL join items and jobs by hash, in this transaction.

    Just after a bulk insert its statistics are wrong, and it may choose a nested loop: 5,000 items
    took 18 s that way. Or it merges by the times alone and compares the ids of each pair: of 20,000
    jobs that are due at one instant these are 400 million.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off")


# To be sent before a statement, in one string: PostgreSQL runs such a string as one transaction, so
# this takes no round trip of its own, and nothing of it stays in the session.
ALONG_THE_INDEX = "SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0;\n"


@contextmanager
def along_the_index() -> Iterator[None]:
    """
    Have the statements of the block read along the index in their order, without parallel workers.

    With statistics from before 100,000 jobs were inserted, PostgreSQL expects a handful, and reads
    and sorts all of them for each batch. Of a million open jobs it expects a third to be due, and
    takes 10 ms to start two parallel workers.

    Only in a transaction: a setting of the session would be another client's behind a pooler.
    """
    with connection.cursor() as cursor:
        cursor.execute(ALONG_THE_INDEX)
    try:
        yield
    finally:
        # Not needed, and not possible, after a lost connection or in a failed transaction.
        with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL enable_sort TO DEFAULT;"
                " SET LOCAL max_parallel_workers_per_gather TO DEFAULT"
            )
