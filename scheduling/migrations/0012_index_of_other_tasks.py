"""
Index the queue rows that belong to no job.

While publishing is paused the broker claims only these. Without the index each query would read
all rows of jobs. There are few such rows, so the index costs next to nothing.
"""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Add the index."""

    dependencies: ClassVar = [("scheduling", "0011_pause")]

    operations: ClassVar = [
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS armo_ormq_others ON django_q_ormq (key, lock, id)"
            " WHERE armo_job IS NULL",
            "DROP INDEX IF EXISTS armo_ormq_others",
        )
    ]
