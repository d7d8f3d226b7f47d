"""
Keep the name of who did something when their account is deleted.

No table is rewritten. The rows there are get NULL: if their user is gone already, nobody knows that
it was a person. New ones get an empty text, also from workers that know nothing of the column.
"""

from typing import ClassVar

from django.conf import settings
from django.db import migrations, models

import scheduling.models.fields

FIELDS = (
    ("job", "scheduled_by", "scheduled by", ""),
    ("jobevent", "by", "who", "Empty: the publisher itself."),
    ("pause", "by", "paused by", "Empty: a command."),
    ("pauseevent", "by", "who", "Empty: a command."),
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("scheduling", "0015_open_jobs_by_slot"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        operation
        for model, user, label, help_text in FIELDS
        for operation in (
            migrations.AddField(
                model_name=model,
                name=f"{user}_name",
                field=models.TextField(blank=True, editable=False, null=True),
            ),
            migrations.AlterField(
                model_name=model,
                name=f"{user}_name",
                field=models.TextField(
                    blank=True, db_default="", default="", editable=False, null=True
                ),
            ),
            migrations.AlterField(
                model_name=model,
                name=user,
                field=models.ForeignKey(
                    blank=True,
                    db_index=False,
                    help_text=help_text,
                    null=True,
                    on_delete=scheduling.models.fields.keep_name,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                    verbose_name=label,
                ),
            ),
        )
    ]
