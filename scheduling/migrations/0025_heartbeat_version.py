"""
Store with a heartbeat the version of the worker's code.

Its default is the database's: workers of versions before this one do not write it.
"""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the column."""

    dependencies: ClassVar = [("scheduling", "0024_leases")]

    operations: ClassVar = [
        migrations.AddField(
            "heartbeat", "version", models.CharField(db_default="", default="", max_length=100)
        )
    ]
