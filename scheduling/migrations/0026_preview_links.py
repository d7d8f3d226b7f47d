"""Add the table of links to previews, which were signed and stored nowhere."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import scheduling.models.expressions


class Migration(migrations.Migration):
    """Add the table."""

    dependencies: ClassVar = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("scheduling", "0025_heartbeat_version"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="PreviewLink",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("object_id", models.BigIntegerField()),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                (
                    "made_at",
                    models.DateTimeField(db_default=scheduling.models.expressions.ClockTimestamp()),
                ),
                ("expires_at", models.DateTimeField()),
                ("published_at", models.DateTimeField(null=True)),
                (
                    "content_type",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="contenttypes.contenttype",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["content_type", "object_id"], name="preview_link_of_item"),
                    models.Index(fields=["expires_at"], name="preview_link_end"),
                ],
            },
        )
    ]
