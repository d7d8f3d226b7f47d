"""The table of the cache that all web processes share."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.management import call_command
from django.db import migrations


def create(apps: Any, schema_editor: Any) -> None:
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


def drop(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(f"DROP TABLE IF EXISTS {settings.CACHES['shared']['LOCATION']}")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("api", "0001_kept_answers")]
    operations: ClassVar = [migrations.RunPython(create, drop)]
