"""
Find out which of the other items that may be scheduled have a body that a reader sees.

A draft of an earlier version would have gone live by its own job's run, outside the batch, even if
it is scheduled only now. Live items stay as they are. As in the migration before last, nothing is
rendered, and a thousand at a time are written.
"""

from importlib import import_module
from typing import Any, ClassVar

from django.db import migrations

FILL = """
    UPDATE {table} SET body_is_visible = NULL WHERE id IN (
        SELECT id FROM {table}
        WHERE status <> 'published' AND body_is_visible IS NULL AND id > %s
        ORDER BY id LIMIT %s FOR NO KEY UPDATE
    ) RETURNING id
"""

_before: Any = import_module("content.migrations.0016_fill_body_is_visible")


def fill(apps: Any, schema_editor: Any) -> None:
    """Have the trigger look at the items that are not live."""
    _before.fill(apps, schema_editor, statement=FILL)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("content", "0017_more_that_is_not_seen")]

    operations: ClassVar = [migrations.RunPython(fill, migrations.RunPython.noop)]
