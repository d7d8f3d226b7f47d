"""A row for the time before which finished jobs may have been pruned."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create the table, empty."""

    dependencies: ClassVar = [("scheduling", "0019_end_calendar_links_with_passwords")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="LedgerStart",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="ledgerstart_is_the_only_one"
                    )
                ],
            },
        )
    ]
