"""
Store with each queue row who has claimed it, how often it was delivered, and its job.

In django-q2 a claim ends only when its time is over: if a worker dies, its rows wait for minutes.
With the owner known, they are released at once; with the job known, a row that cannot be decoded
still wakes a worker for it. The columns are in django-q2's table, not in one of their own, so that
a row and its claim are deleted together, also by `TRUNCATE`; django-q2 reads and writes its own
columns by name, and ignores these.
"""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Add the columns, and an index of what is claimed."""

    dependencies: ClassVar = [("scheduling", "0002_queue_index")]

    operations: ClassVar = [
        migrations.RunSQL(
            "ALTER TABLE django_q_ormq"
            " ADD COLUMN armo_owner integer,"
            " ADD COLUMN armo_deliveries integer NOT NULL DEFAULT 0,"
            " ADD COLUMN armo_job bigint",
            "ALTER TABLE django_q_ormq DROP COLUMN armo_owner, DROP COLUMN armo_deliveries,"
            " DROP COLUMN armo_job",
        ),
        migrations.RunSQL(
            "CREATE INDEX armo_ormq_claimed ON django_q_ormq (armo_owner)"
            " WHERE armo_owner IS NOT NULL",
            "DROP INDEX IF EXISTS armo_ormq_claimed",
        ),
    ]
