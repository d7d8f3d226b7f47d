"""
How statements are sent: planned once a connection, without waiting, along an index.

Each is for where Django's way was measured to cost most of the time (docs/adr/0010, 0012).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from psycopg import Cursor

from scheduling import conf


class _PreparedCursor(Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # Django has psycopg prepare nothing, on any of its connections. A pooler hands each
        # transaction another connection, which knows nothing of the last one.
        self.connection.prepare_threshold = 0 if conf.QUEUE_LISTEN else None
        try:
            return super().execute(query, params, **options)
        finally:
            self.connection.prepare_threshold = None


def prepared_cursor() -> CursorWrapper:
    """
    Return a cursor that has each statement planned once a connection.

    For small statements that reach their rows by a key: to plan one takes PostgreSQL longer than to
    carry it out, and one plan fits all. Not for what looks for whatever is due: the best plan
    depends on how much that is.

    Parameters go to the server apart from the statement, which has to say their types wherever they
    do not follow from where they stand. Where a migration has changed a column since, the statement
    fails once ("cached plan must not change result type"): psycopg forgets what it has prepared
    when a transaction is rolled back.
    """
    connection.ensure_connection()
    cursor: CursorWrapper = connection._prepare_cursor(  # type: ignore[attr-defined]
        _PreparedCursor(connection.connection)
    )
    return cursor


@contextmanager
def pipeline() -> Iterator[None]:
    """
    Have statements sent without waiting for their answers, so that Python makes the next meanwhile.

    :raises django.db.DatabaseError: what one of them raises comes later: with another statement,
        where an answer is read, or at the end of the block. None after it was carried out.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def send(rows: QuerySet[Any, Any]) -> CursorWrapper:
    """Return a cursor for the rows of a query, which in a `pipeline` are not waited for."""
    sql, params = rows.query.sql_with_params()
    cursor = connection.cursor()
    cursor.execute(sql, params)
    return cursor


@contextmanager
def along_the_index() -> Iterator[None]:
    """
    Have statements walk along the index that has their order, whatever statistics say, and alone.

    Statistics from before a hundred thousand jobs were put in promise PostgreSQL a handful: it then
    reads all of them, and sorts them, for each batch anew. Of a million open jobs it takes a third
    for due, and starts two processes to help look, for ten milliseconds.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off; SET max_parallel_workers_per_gather = 0")
    try:
        yield
    finally:
        # On a lost connection there is nothing to take back, and a rollback takes it back itself.
        with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
            cursor.execute("RESET enable_sort; RESET max_parallel_workers_per_gather")
