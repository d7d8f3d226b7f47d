"""
Find out which of the scheduled items have a body that a reader sees.

Only those go live by a batch, which asks for it. Nothing is rendered: nearly every body begins with
a letter. Of the others it stays unknown until they are saved; such an item goes live by its own
job's run, which renders it. A thousand at a time, so that publishing goes on meanwhile.
"""

from typing import Any, ClassVar

from django.db import migrations

AT_ONCE = 1_000

# The trigger puts the right value in the place of the one written here.
FILL = """
    UPDATE {table} SET body_is_visible = NULL WHERE id IN (
        SELECT id FROM {table} WHERE status = 'scheduled' AND id > %s ORDER BY id LIMIT %s
        FOR NO KEY UPDATE
    ) RETURNING id
"""


def fill(apps: Any, schema_editor: Any, statement: str = FILL) -> None:
    """Have the trigger look at the scheduled items."""
    with schema_editor.connection.cursor() as cursor:
        for table in ("content_story", "content_notice"):
            last = 0
            while True:
                cursor.execute(statement.format(table=table), [last, AT_ONCE])
                if not (ids := [pk for (pk,) in cursor.fetchall()]):
                    break
                last = max(ids)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("content", "0015_rendered")]

    operations: ClassVar = [migrations.RunPython(fill, migrations.RunPython.noop)]
