"""Index jobs by when they were finished: pruning looks for the oldest."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Add the index."""

    dependencies: ClassVar = [("scheduling", "0006_history_index")]

    operations: ClassVar = [
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["finished_at", "id"],
                name="job_finished",
                condition=Q(finished_at__isnull=False),
            ),
        )
    ]
