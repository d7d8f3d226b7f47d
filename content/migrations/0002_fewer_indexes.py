from typing import ClassVar

from django.conf import settings
from django.db import migrations, models

import content.models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("content", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="story",
            name="slug",
            field=content.models.StorySlugField(
                allow_unicode=True,
                blank=True,
                db_index=False,
                help_text="The end of its address. Left empty, it is made from the title.",
                max_length=200,
                verbose_name="slug",
            ),
        ),
        migrations.AddConstraint(
            model_name="story",
            constraint=models.UniqueConstraint(
                fields=("slug",), name="content_story_slug_is_its_own"
            ),
        ),
    ]
