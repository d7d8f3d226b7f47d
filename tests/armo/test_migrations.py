"""
Whether the code of the last release works on the schema of this one.

Both run during an upgrade: `migrate` comes first, and workers and web processes of the version
before go on until they are started anew.
"""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

# The newest migrations of the last release. A release sets them to its own.
RELEASED = [
    ("api", "0004_api_keys"),
    ("content", "0018_fill_body_is_visible_of_drafts"),
    ("people", "0002_log_entries_of_deleted_users"),
    ("scheduling", "0030_traceparents"),
    # Not Armo's, but columns of Armo's are in its tables.
    ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
]

COLUMNS = """
    SELECT column_name, is_nullable = 'YES',
           column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS'
    FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = %s
"""


def hindrances() -> Iterator[str]:
    """Yield what keeps the code of the last release from writing rows, a sentence each."""
    apps = MigrationLoader(connection).project_state(RELEASED).apps
    labels = {label for label, _name in RELEASED}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label not in labels or model._meta.proxy:
            continue
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(COLUMNS, [table])
            present = {name: (may_be_null, has) for name, may_be_null, has in cursor.fetchall()}
        known = {str(field.column): field for field in model._meta.local_concrete_fields}
        for name, field in known.items():
            if name not in present:
                yield f"{table}.{name} is gone."
            elif field.null and not present[name][0]:
                yield f"{table}.{name} may not be NULL any more."
        for name, (may_be_null, has_default) in present.items():
            if name not in known and not (may_be_null or has_default):
                yield f"{table}.{name} is needed, and has no default in the database."


@pytest.mark.django_db
class TestTheSchema:
    def test_lets_the_code_of_the_last_release_write(self) -> None:
        assert list(hindrances()) == []

    @pytest.mark.parametrize(
        ("change", "hindrance"),
        [
            (
                "ADD COLUMN colour integer NOT NULL DEFAULT 1, ALTER COLUMN colour DROP DEFAULT",
                "scheduling_job.colour is needed, and has no default in the database.",
            ),
            ("RENAME COLUMN reason TO why", "scheduling_job.reason is gone."),
            (
                "ALTER COLUMN told_at SET NOT NULL",
                "scheduling_job.told_at may not be NULL any more.",
            ),
        ],
    )
    def test_is_known_not_to_when_it_does_not(self, change: str, hindrance: str) -> None:
        with connection.cursor() as cursor:
            # As `AddField` does with a `default` alone.
            for part in change.split(", "):
                cursor.execute(f"ALTER TABLE scheduling_job {part}")

        assert hindrance in list(hindrances())

    @pytest.mark.parametrize(
        "change", ["ADD COLUMN colour integer", "ADD COLUMN colour integer NOT NULL DEFAULT 1"]
    )
    def test_may_have_more_columns_that_need_no_value(self, change: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE scheduling_job {change}")

        assert list(hindrances()) == []
