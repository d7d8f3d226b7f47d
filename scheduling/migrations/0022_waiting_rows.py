"""
Store in a queue row since when its job could not run, because it or its item was locked.

Such a row stays and waits, each time longer. The column may be NULL, so that adding it rewrites
nothing, and a worker of an older version inserts its rows as before.
"""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Add the column."""

    dependencies: ClassVar = [("scheduling", "0021_ledger_start_of_pruned")]

    operations: ClassVar = [
        migrations.RunSQL(
            "ALTER TABLE django_q_ormq ADD COLUMN armo_waiting_since timestamptz",
            "ALTER TABLE django_q_ormq DROP COLUMN armo_waiting_since",
        )
    ]
