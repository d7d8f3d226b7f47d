"""
Index the queue's messages that belong to no job.

While publishing is paused the broker hands out only these. Without an index of their own each look
would walk past every message that is held. Few messages are of this kind, so it costs next to
nothing.
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
