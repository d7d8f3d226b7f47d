"""Count the workers that are connected."""

from django.db import connection

from scheduling.models.worker import WORKER_NAME


def count_worker_connections() -> int:
    """Query how many connections workers have to this database; 0 when no worker runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [WORKER_NAME],
        )
        [count] = cursor.fetchone()
    return int(count)
