"""
Have the fields themselves store text in one normal form; no column changes.

Only the constraints are new: something of the name of a category or tag can be seen.
"""

from typing import ClassVar

from django.db import migrations, models

import content.models
import content.text

# As `scheduling.models.VISIBLE` was.
VISIBLE = (
    "[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)


def _visible(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=models.Q(name__regex=VISIBLE),
        name=name,
        violation_error_message="Nothing of this name can be seen.",
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0008_compose_names")]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="category",
            name="name",
            field=content.text.NameField(max_length=100, unique=True, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="notice",
            name="body",
            field=content.text.ComposedTextField(
                blank=True, help_text="Markdown.", verbose_name="body"
            ),
        ),
        migrations.AlterField(
            model_name="notice",
            name="title",
            field=content.text.ComposedCharField(blank=True, max_length=200, verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="story",
            name="body",
            field=content.text.ComposedTextField(
                blank=True, help_text="Markdown.", verbose_name="body"
            ),
        ),
        migrations.AlterField(
            model_name="story",
            name="byline",
            field=content.text.ComposedCharField(blank=True, max_length=200, verbose_name="byline"),
        ),
        migrations.AlterField(
            model_name="story",
            name="keywords",
            field=content.text.NamesField(
                base_field=content.text.NameField(max_length=100),
                blank=True,
                default=list,
                size=None,
                verbose_name="keywords",
            ),
        ),
        migrations.AlterField(
            model_name="story",
            name="slug",
            field=content.models.StorySlugField(
                allow_unicode=True,
                blank=True,
                db_index=False,
                help_text="The end of its address. Left empty, it is made from the title; once the"
                " story has been live, it stays as it is.",
                max_length=200,
                verbose_name="slug",
            ),
        ),
        migrations.AlterField(
            model_name="story",
            name="summary",
            field=content.text.ComposedTextField(blank=True, verbose_name="summary"),
        ),
        migrations.AlterField(
            model_name="story",
            name="title",
            field=content.text.ComposedCharField(blank=True, max_length=200, verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="tag",
            name="name",
            field=content.text.NameField(max_length=100, unique=True, verbose_name="name"),
        ),
        migrations.AddConstraint(
            model_name="category", constraint=_visible("content_category_name_can_be_seen")
        ),
        migrations.AddConstraint(
            model_name="tag", constraint=_visible("content_tag_name_can_be_seen")
        ),
    ]
