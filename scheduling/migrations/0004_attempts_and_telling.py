"""Add when the current attempt began, and when a failure was mailed."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Add the two times of a job, and an index of the failures to mail."""

    dependencies: ClassVar = [("scheduling", "0003_claims")]

    operations: ClassVar = [
        migrations.AddField(
            "job", "attempt_begun_at", models.DateTimeField(blank=True, editable=False, null=True)
        ),
        migrations.AddField(
            "job",
            "told_at",
            models.DateTimeField(blank=True, editable=False, null=True, verbose_name="told at"),
        ),
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["finished_at"], name="job_untold", condition=Q(state="failed", told_at=None)
            ),
        ),
    ]
