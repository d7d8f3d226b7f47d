"""
Keep with a job what clocks were to show at its time, if that was chosen in a time zone.

The column has a constant default, so no row is written. The index has no entries yet; it is built
beside the work that goes on.
"""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("scheduling", "0016_names_of_deleted_users")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="job",
            name="local_time",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=100,
                verbose_name="chosen as",
            ),
        )
    ]
