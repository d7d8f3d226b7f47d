"""
Store the names of categories and tags, and slugs, in NFC.

Names that differ by their normal form alone, or by their spaces, become one, with the stories of
all; a name of which nothing can be seen goes. A slug whose NFC another story has gets a number.
"""

import re
import unicodedata
from itertools import count
from typing import Any, ClassVar

from django.db import connection, migrations
from django.db.models import F

# As `scheduling.models.VISIBLE` was: migrations do not follow the code.
BLANK = (
    "\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
)


def as_name(text: str) -> str:
    """Return a name as it is stored from now on."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def compose_names(apps: Any, schema_editor: Any) -> None:
    """Rename, merge or delete each name that is not as it should be."""
    for name, field in (("Category", "categories"), ("Tag", "tags")):
        model = apps.get_model("content", name)
        through = apps.get_model("content", "Story")._meta.get_field(field).remote_field.through
        link = f"{name.lower()}_id"
        for pk, stored in list(model.objects.order_by("pk").values_list("pk", "name")):
            wanted = as_name(stored)
            if wanted == stored and re.search(f"[^{BLANK}]", stored):
                continue
            row = model.objects.filter(pk=pk)
            kept = model.objects.filter(name=wanted).exclude(pk=pk).first()
            if not re.search(f"[^{BLANK}]", wanted):
                row.delete()
            elif kept is None:
                row.update(name=wanted)
            else:
                both = through.objects.filter(**{link: kept.pk}).values("story_id")
                through.objects.filter(**{link: pk}).exclude(story_id__in=both).update(
                    **{link: kept.pk}
                )
                row.delete()


def compose_slugs(apps: Any, schema_editor: Any) -> None:
    """Change each slug that is not in NFC."""
    stories = apps.get_model("content", "Story").objects
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, slug FROM content_story WHERE slug IS NOT NFC NORMALIZED ORDER BY id"
        )
        for pk, slug in cursor.fetchall():
            wanted = free = unicodedata.normalize("NFC", slug)
            numbered = (f"{wanted[:190]}-{number}" for number in count(2))
            while stories.filter(slug=free).exists():
                free = next(numbered)
            stories.filter(pk=pk).update(slug=free, version=F("version") + 1)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0007_open_statuses")]

    operations: ClassVar = [
        migrations.RunPython(compose_names, migrations.RunPython.noop),
        migrations.RunPython(compose_slugs, migrations.RunPython.noop),
    ]
