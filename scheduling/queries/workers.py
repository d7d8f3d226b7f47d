"""Count the workers that are connected."""

from django.db import connection


def count_worker_connections() -> int:
    """Query how many connections workers have to this database; 0 when no worker runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'armo-worker' AND datname = current_database()"
        )
        [count] = cursor.fetchone()
    return int(count)
