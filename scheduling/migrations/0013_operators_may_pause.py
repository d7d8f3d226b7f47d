"""
Let the *Operators* of an existing site pause publishing.

A new site creates the group after `migrate`, with this right; an existing group is not changed
there.
"""

from typing import Any, ClassVar

from django.db import migrations


def grant(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    group = apps.get_model("auth", "Group").objects.using(using).filter(name="Operators").first()
    if group is None:
        return
    types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    job, _ = types.get_or_create(app_label="scheduling", model="job")
    # The same that Django would make only after all migrations.
    permission, _ = (
        apps.get_model("auth", "Permission")
        .objects.using(using)
        .get_or_create(
            content_type=job, codename="pause_job", defaults={"name": "Can pause publishing"}
        )
    )
    group.permissions.add(permission)


class Migration(migrations.Migration):
    """Give the group its new right."""

    dependencies: ClassVar = [
        ("scheduling", "0012_index_of_other_tasks"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations: ClassVar = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=True)]
