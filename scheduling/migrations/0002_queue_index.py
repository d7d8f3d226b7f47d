"""
Index django-q2's queue table as `TimedBroker` queries it.

django-q2 indexes only the primary key: with 100,000 rows in the future each query would read them
all. Each row is inserted, updated and deleted, so the table is also vacuumed early.
"""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Add the index, and vacuum at one part in a hundred."""

    dependencies: ClassVar = [
        ("scheduling", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS armo_ormq_due ON django_q_ormq (key, lock, id)",
            "DROP INDEX IF EXISTS armo_ormq_due",
        ),
        migrations.RunSQL(
            "ALTER TABLE django_q_ormq SET (autovacuum_vacuum_scale_factor = 0.01)",
            "ALTER TABLE django_q_ormq RESET (autovacuum_vacuum_scale_factor)",
        ),
    ]
