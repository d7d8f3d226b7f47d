"""Give clusters behind a pooler a lease in place of a session's lock, and attempts their owner."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the table, and a column that may be empty, so that no row is rewritten."""

    dependencies: ClassVar = [("scheduling", "0023_no_attempt_in_a_pause")]

    operations: ClassVar = [
        migrations.CreateModel(
            "Lease",
            [
                ("owner", models.IntegerField(primary_key=True, serialize=False)),
                ("ends_at", models.DateTimeField()),
            ],
            options={"db_table": "armo_queue_lease", "default_permissions": ()},
        ),
        migrations.AddField(
            "job", "attempt_owner", models.IntegerField(blank=True, editable=False, null=True)
        ),
    ]
