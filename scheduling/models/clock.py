"""The database's clock, by which jobs are due."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Query the database's clock; aware, in UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    return now  # type: ignore[no-any-return]  # a cursor knows no types
