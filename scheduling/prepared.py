"""
Statements that PostgreSQL plans once a connection.

For a small statement a plan takes longer than to carry it out, and Django has each planned anew:
scheduling an item spent half of the database's time on that. So the statements of an operation are
prepared; they reach their rows by a key, so that one plan fits all. What looks for whatever is due
is not: its best plan depends on how much that is.
"""

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor


class _PreparedCursor(Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # Django has psycopg prepare nothing, on any of its connections. A pooler hands each
        # transaction another connection, which knows nothing of the last one.
        self.connection.prepare_threshold = 0 if settings.QUEUE_LISTEN else None
        try:
            return super().execute(query, params, **options)
        finally:
            self.connection.prepare_threshold = None


def prepared_cursor() -> CursorWrapper:
    """
    Return a cursor that prepares what it executes; to be used as a context.

    Its parameters go to the server apart from the statement, which has to say their types wherever
    they do not follow from where they stand. Where a migration has changed a column since, the
    statement fails once ("cached plan must not change result type"): psycopg forgets what it has
    prepared when a transaction is rolled back.
    """
    connection.ensure_connection()
    cursor: CursorWrapper = connection._prepare_cursor(  # type: ignore[attr-defined]
        _PreparedCursor(connection.connection)
    )
    return cursor
