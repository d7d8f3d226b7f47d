"""
The table of a cache in which attempts to log in were counted.

Nothing uses it any more, but web processes of the version before do while they are replaced.
"""

from typing import Any, ClassVar

from django.core.management import call_command
from django.db import migrations


def create(apps: Any, schema_editor: Any) -> None:
    call_command(
        "createcachetable", "api_cache", database=schema_editor.connection.alias, verbosity=0
    )


def drop(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute("DROP TABLE IF EXISTS api_cache")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("api", "0001_kept_answers")]
    operations: ClassVar = [migrations.RunPython(create, drop)]
