"""
Find out which of the other items that may be scheduled have a body that a reader sees.

A draft of an earlier version would have gone live by its own job's run, outside the batch, even if
it is scheduled only now. Live items stay as they are. As in the migration before last, a thousand
at a time are written. Only what is scheduled, and begins with something unusual, is rendered, so
that it, too, goes live by the batch.
"""

from hashlib import sha256
from importlib import import_module
from typing import Any, ClassVar

from django.db import migrations

from content import markdown

FILL = """
    UPDATE {table} SET body_is_visible = NULL WHERE id IN (
        SELECT id FROM {table}
        WHERE status <> 'published' AND body_is_visible IS NULL AND id > %s
        ORDER BY id LIMIT %s FOR NO KEY UPDATE
    ) RETURNING id
"""

# Each takes a few milliseconds to render, or a second.
RENDERED_AT_ONCE = 50

UNKNOWN = """
    SELECT id, body FROM {table}
    WHERE status = 'scheduled' AND body_is_visible IS NULL AND id > %s ORDER BY id LIMIT %s
"""

KEEP = """
    INSERT INTO content_rendered (digest, html, is_visible, renderer) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""

_before: Any = import_module("content.migrations.0016_fill_body_is_visible")


def fill(apps: Any, schema_editor: Any) -> None:
    """Have the trigger look at the items that are not live, and render what is scheduled."""
    _before.fill(apps, schema_editor, statement=FILL)
    with schema_editor.connection.cursor() as cursor:
        for table in ("content_story", "content_notice"):
            last = 0
            while True:
                cursor.execute(UNKNOWN.format(table=table), [last, RENDERED_AT_ONCE])
                if not (bodies := dict(cursor.fetchall())):
                    break
                last = max(bodies)
                for body in sorted(set(bodies.values())):
                    digest, made = sha256(body.encode()).digest(), markdown.render(body)
                    row = [digest, made.html, made.is_visible, markdown.RENDERER]
                    cursor.execute(KEEP, row)
                cursor.execute(
                    f"UPDATE {table} SET body_is_visible = NULL WHERE id = ANY(%s)",  # noqa: S608
                    [list(bodies)],
                )


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("content", "0017_more_that_is_not_seen")]

    operations: ClassVar = [migrations.RunPython(fill, migrations.RunPython.noop)]
