"""
Keep with a job where the span of what asked for it was.

The column has a constant default, so no row is written, and what an older version inserts is as
before.
"""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the column."""

    dependencies: ClassVar = [("scheduling", "0029_request_ids")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="job",
            name="traceparent",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=55
            ),
        )
    ]
