"""
Let applications add kinds of job: kinds are registered, not listed in a constraint.

An item may have several open jobs, with different values of `slot`, of a kind that mirrors no time;
a job may have parameters. No table is rewritten.

Going back needs a ledger without jobs of added kinds: delete them first.
"""

from typing import ClassVar

from django.conf import settings
from django.db import migrations, models

import scheduling.models.transitions


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("scheduling", "0013_operators_may_pause"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.RemoveConstraint(model_name="job", name="job_known_kind"),
        migrations.AddField(
            model_name="job",
            name="params",
            field=models.JSONField(blank=True, null=True, verbose_name="parameters"),
        ),
        migrations.AddField(
            model_name="job",
            name="slot",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=scheduling.models.transitions.kind_choices,
                max_length=32,
                verbose_name="kind",
            ),
        ),
    ]
