"""
End the calendar link of an account when its password changes or it is deactivated.

A trigger does, so that no way to write either passes it by. A password that is only hashed anew is
the same password: whoever stores that sets `armo.hashed_anew` to the account's id meanwhile.
"""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import migrations

END = """
    CREATE FUNCTION scheduling_end_calendar_link() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        DELETE FROM scheduling_calendarlink WHERE user_id = NEW.{pk};
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER scheduling_end_calendar_link
    AFTER UPDATE OF {columns} ON {table}
    FOR EACH ROW WHEN ({condition})
    EXECUTE FUNCTION scheduling_end_calendar_link()
"""

CHANGED = """
    (OLD.{password} IS DISTINCT FROM NEW.{password}
        AND current_setting('armo.hashed_anew', true) IS DISTINCT FROM NEW.{pk}::text)
"""
DEACTIVATED = "(OLD.{is_active} AND NOT NEW.{is_active})"


def names(apps: Any, schema_editor: Any) -> dict[str, str]:
    """Return the names in the table of whatever users the project has."""
    meta = apps.get_model(settings.AUTH_USER_MODEL)._meta
    found = {"table": meta.db_table, "pk": meta.pk.column}
    for field in ("password", "is_active"):
        try:
            found[field] = meta.get_field(field).column
        except FieldDoesNotExist:  # a project's own users may do without
            continue
    return {name: schema_editor.quote_name(it) for name, it in found.items()}


def create(apps: Any, schema_editor: Any) -> None:
    named = names(apps, schema_editor)
    conditions = {"password": CHANGED, "is_active": DEACTIVATED}
    watched = [it for it in conditions if it in named]
    if not watched:
        return
    facts = {
        "columns": ", ".join(named[it] for it in watched),
        "condition": " OR ".join(conditions[it].format(**named) for it in watched),
    }
    schema_editor.execute(END.format(**named))
    schema_editor.execute(TRIGGER.format(**named, **facts))


def drop(apps: Any, schema_editor: Any) -> None:
    table = names(apps, schema_editor)["table"]
    schema_editor.execute(f"DROP TRIGGER IF EXISTS scheduling_end_calendar_link ON {table}")
    schema_editor.execute("DROP FUNCTION IF EXISTS scheduling_end_calendar_link()")


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("scheduling", "0018_jobs_by_local_time"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [migrations.RunPython(create, drop)]
