"""
Say on each queue row whose claim it is, how often it was handed out, and for which job.

django-q2 owns a claimed row by a clock alone: when a worker dies, its messages wait for minutes.
With the owner known, they are given back at once; with the job known, a message that cannot be
decoded any more still wakes a worker for it. The columns stand on its table, not beside it, so
that a message and its claim are one row, also for `TRUNCATE`; django-q2 reads and writes its own
columns by name and does not see these.
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
