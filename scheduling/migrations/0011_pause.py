"""Add the pause, its history, and the permission to pause."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import scheduling.models


class Migration(migrations.Migration):
    """Add the tables, and the permission."""

    dependencies: ClassVar = [
        ("scheduling", "0010_calendar_link"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "default_permissions": ("view", "schedule", "rerun", "prune"),
                "permissions": (("pause_job", "Can pause publishing"),),
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.CreateModel(
            name="Pause",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "paused_at",
                    models.DateTimeField(
                        db_default=scheduling.models.ClockTimestamp(), verbose_name="paused at"
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                (
                    "by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty: a command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="paused by",
                    ),
                ),
            ],
            options={
                "verbose_name": "pause",
                "verbose_name_plural": "pauses",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="pause_is_the_only_one"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PauseEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[("paused", "paused"), ("resumed", "resumed")],
                        max_length=7,
                        verbose_name="what",
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=scheduling.models.ClockTimestamp(), verbose_name="when"
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="why")),
                (
                    "by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty: a command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="who",
                    ),
                ),
            ],
            options={
                "verbose_name": "event of a pause",
                "verbose_name_plural": "events of pauses",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("what__in", ("paused", "resumed"))),
                        name="pauseevent_known_what",
                    )
                ],
            },
        ),
    ]
