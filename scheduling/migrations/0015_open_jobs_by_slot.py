"""
Let an item have several open jobs of one kind, with different values of `slot`.

The unique index of open jobs is built beside the old one, and takes its place: while a large table
is read, jobs are scheduled and run. Started again after it was broken off, it begins anew. On
the way back, jobs of added kinds have to be deleted first.
"""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

OPEN = "WHERE state IN ('waiting', 'retrying')"


def replace_index(columns: str) -> list[str]:
    """Return the statements that build the index anew, over these columns."""
    return [
        "DROP INDEX CONCURRENTLY IF EXISTS job_one_open_new",
        f"CREATE UNIQUE INDEX CONCURRENTLY job_one_open_new ON scheduling_job ({columns}) {OPEN}",
        "DROP INDEX CONCURRENTLY IF EXISTS job_one_open",
        "ALTER INDEX job_one_open_new RENAME TO job_one_open",
    ]


def one_open(*fields: str) -> models.UniqueConstraint:
    """Return the constraint over these fields."""
    is_open = models.Q(("state__in", ("waiting", "retrying")))
    return models.UniqueConstraint(condition=is_open, fields=fields, name="job_one_open")


def refuse_added_kinds(apps: Any, schema_editor: Any) -> None:
    """
    Refuse to go back while there are jobs that the code before cannot run.

    :raises IrreversibleError:
    """
    jobs = apps.get_model("scheduling", "Job").objects.exclude(kind__in=("publish", "unpublish"))
    if number := jobs.count():
        raise IrreversibleError(
            f"{number} jobs are of kinds that the version before does not know."
            " Cancel the open ones, and delete them all, before going back."
        )


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("scheduling", "0014_transitions")]

    operations: ClassVar = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    replace_index("content_type_id, object_id, kind, slot"),
                    replace_index("content_type_id, object_id, kind"),
                )
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="job", name="job_one_open"),
                migrations.AddConstraint(
                    model_name="job",
                    constraint=one_open("content_type", "object_id", "kind", "slot"),
                ),
            ],
        ),
        # The last one forwards is the first on the way back.
        migrations.RunPython(migrations.RunPython.noop, refuse_added_kinds),
    ]
