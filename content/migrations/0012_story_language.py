"""Have the field itself accept languages alone; no column changes."""

from typing import ClassVar

from django.db import migrations

import content.text


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0011_old_addresses")]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="story",
            name="language",
            field=content.text.LanguageField(
                blank=True, default="en", max_length=16, verbose_name="language"
            ),
        )
    ]
