"""Add the heartbeats of running clusters."""

from typing import ClassVar

from django.db import migrations, models

import scheduling.models


class Migration(migrations.Migration):
    """Add the table of heartbeats."""

    dependencies: ClassVar = [("scheduling", "0004_attempts_and_telling")]

    operations: ClassVar = [
        migrations.CreateModel(
            "Heartbeat",
            [
                ("owner", models.IntegerField(primary_key=True, serialize=False)),
                ("lane", models.CharField(max_length=100)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("started_at", models.DateTimeField(db_default=scheduling.models.ClockTimestamp())),
                ("beat_at", models.DateTimeField(db_default=scheduling.models.ClockTimestamp())),
                ("clock_ahead_ms", models.FloatField(default=0)),
            ],
            options={"default_permissions": ()},
        )
    ]
