"""Remember the file that an item was imported from: its site, and its path below the site."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

# Django 5.2 cannot say ON DELETE CASCADE.
FOREIGN_KEY = """
    ALTER TABLE content_{type}file
    ADD CONSTRAINT content_{type}file_item_id_fk
    FOREIGN KEY (item_id) REFERENCES content_{type} (id) ON DELETE CASCADE
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0009_text_in_one_normal_form")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="notice",
            name="imported",
            field=models.JSONField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="ImportSite",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("folder", models.TextField()),
                ("title", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        name="content_importsite_name_is_its_own",
                        fields=["name"],
                        condition=~Q(name=""),
                    ),
                    models.UniqueConstraint(
                        name="content_importsite_folder_is_its_own",
                        fields=["folder", "title"],
                        condition=Q(name=""),
                    ),
                ],
            },
        ),
        *(
            operation
            for name in ("story", "notice")
            for operation in (
                migrations.CreateModel(
                    name=f"{name.title()}File",
                    fields=[
                        ("path", models.TextField()),
                        (
                            "item",
                            models.OneToOneField(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                primary_key=True,
                                related_name="file",
                                serialize=False,
                                to=f"content.{name}",
                            ),
                        ),
                        (
                            "site",
                            models.ForeignKey(
                                db_index=False,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="content.importsite",
                            ),
                        ),
                    ],
                    options={
                        "abstract": False,
                        "default_permissions": (),
                        "constraints": [
                            models.UniqueConstraint(
                                name=f"content_{name}file_path_is_its_own", fields=["site", "path"]
                            )
                        ],
                    },
                ),
                # It goes with its table.
                migrations.RunSQL(FOREIGN_KEY.format(type=name), migrations.RunSQL.noop),
            )
        ),
    ]
