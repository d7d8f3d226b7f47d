"""Add the private addresses at which calendar programs read the schedule."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import scheduling.models


class Migration(migrations.Migration):
    """Add the table."""

    dependencies: ClassVar = [
        ("scheduling", "0009_open_and_failed_jobs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="CalendarLink",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(editable=False, max_length=64)),
                ("created_at", models.DateTimeField(db_default=scheduling.models.ClockTimestamp())),
                ("last_read_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calendar_link",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AddConstraint(
            "calendarlink",
            models.UniqueConstraint(fields=("digest",), name="calendar_link_digest_is_its_own"),
        ),
    ]
