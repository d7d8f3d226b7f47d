"""
Keep with jobs and events the id of the request that asked for them.

The columns have a constant default, so no row is written, and what an older version inserts is as
before.
"""

from typing import ClassVar

from django.db import migrations, models


def request_id() -> models.Field:
    return models.CharField(
        blank=True,
        db_default="",
        default="",
        editable=False,
        max_length=128,
        verbose_name="request",
    )


class Migration(migrations.Migration):
    """Add the columns."""

    dependencies: ClassVar = [("scheduling", "0028_count_events_from_now")]

    operations: ClassVar = [
        migrations.AddField("job", "request_id", request_id()),
        migrations.AddField("jobevent", "request_id", request_id()),
    ]
