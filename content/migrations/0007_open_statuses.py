"""
Let an application add statuses: they are registered, not listed in a constraint.

Only the constraint goes; the column stays as it is.
"""

from typing import ClassVar

from django.db import migrations, models

import scheduling.models.item


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0006_orders_of_lists")]

    operations: ClassVar = [
        migrations.RemoveConstraint(model_name="notice", name="content_notice_known_status"),
        migrations.RemoveConstraint(model_name="story", name="content_story_known_status"),
        migrations.AlterField(
            model_name="notice",
            name="status",
            field=models.CharField(
                choices=scheduling.models.item.status_choices,
                default="draft",
                editable=False,
                max_length=12,
                verbose_name="status",
            ),
        ),
        migrations.AlterField(
            model_name="story",
            name="status",
            field=models.CharField(
                choices=scheduling.models.item.status_choices,
                default="draft",
                editable=False,
                max_length=12,
                verbose_name="status",
            ),
        ),
    ]
