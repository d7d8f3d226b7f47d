"""
Find the open jobs whose time was chosen in a time zone.

The index is built while jobs are scheduled and run. Started again after it was broken off, it
begins anew.
"""

from typing import ClassVar

from django.db import migrations, models

DROP = "DROP INDEX CONCURRENTLY IF EXISTS job_local_time"
BUILD = (
    "CREATE INDEX CONCURRENTLY job_local_time ON scheduling_job (local_time, run_at)"
    " WHERE state IN ('waiting', 'retrying') AND NOT (local_time = '')"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("scheduling", "0017_local_time")]

    operations: ClassVar = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL([DROP, BUILD], [DROP])],
            state_operations=[
                migrations.AddIndex(
                    model_name="job",
                    index=models.Index(
                        condition=models.Q(
                            ("state__in", ("waiting", "retrying")),
                            models.Q(("local_time", ""), _negated=True),
                        ),
                        fields=["local_time", "run_at"],
                        name="job_local_time",
                    ),
                )
            ],
        )
    ]
