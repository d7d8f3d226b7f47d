"""The database's clock, which alone says what is due."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the database's clock, aware, in UTC: the one clock that says what is due."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    return now  # type: ignore[no-any-return]  # a cursor knows no types
