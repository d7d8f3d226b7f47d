"""Index django-q2's history by the time a task ended: pruning looks for the oldest."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Add the index."""

    dependencies: ClassVar = [
        ("scheduling", "0005_heartbeat"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS armo_task_stopped ON django_q_task (stopped)",
            "DROP INDEX IF EXISTS armo_task_stopped",
        )
    ]
