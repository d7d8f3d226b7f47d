"""
Tables for how often what has happened to jobs, which metrics read.

Workers of the version before write neither; their events are counted all the same.
"""

from typing import ClassVar

from django.db import migrations, models

SORT = ["kind", "what", "error_class", "error", "lateness_to"]


class Migration(migrations.Migration):
    """Create the tables, empty."""

    dependencies: ClassVar = [("scheduling", "0026_preview_links")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="EventCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                ("what", models.CharField(max_length=14)),
                ("error_class", models.CharField(db_default="", default="", max_length=9)),
                ("error", models.CharField(db_default="", default="", max_length=200)),
                ("lateness_to", models.CharField(db_default="", default="", max_length=8)),
                ("number", models.BigIntegerField()),
                ("lateness_seconds", models.FloatField(db_default=0, default=0)),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=SORT, name="eventcount_of_each_sort")
                ],
            },
        ),
        migrations.CreateModel(
            name="EventCountMark",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("counted_to", models.BigIntegerField(default=0)),
                ("next_to", models.BigIntegerField(default=0)),
                ("next_from_xid", models.BigIntegerField(default=0)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="eventcountmark_is_the_only_one"
                    )
                ],
            },
        ),
    ]
