"""How the database is emptied after a test that has committed."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connection, transaction

# What a table may have on disk to be worth a new file; below it, DELETE is ten times as fast.
LARGE_BYTES = 512 * 1024
KEPT = "after_migrate"


class Command(flush.Command):
    """
    Put the database back to how `migrate` left it.

    Django's own flush gives each table a new file, and then sends `post_migrate`, for which every
    content type, permission and group is looked for and made: 0.2 s after each such test.
    """

    def handle(self, **options: Any) -> None:
        tables = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(pg_table_size(name::regclass)) FROM unnest(%s::text[]) AS name",
                [tables],
            )
            if cursor.fetchone()[0] > LARGE_BYTES:
                cursor.execute(f"TRUNCATE {', '.join(tables)}")
            else:
                cursor.execute("; ".join(f"DELETE FROM {table}" for table in tables))
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [KEPT])
            for (table,) in cursor.fetchall():
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {KEPT}.{table}")
        ContentType.objects.clear_cache()


def keep_what_migrate_made() -> None:
    """Copy the rows that there are into a schema of their own, for `Command` to put back."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {KEPT} CASCADE; CREATE SCHEMA {KEPT}")
        for table in tables:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
            if cursor.fetchone()[0]:
                cursor.execute(f"CREATE TABLE {KEPT}.{table} AS TABLE {table}")
