"""
Spell the languages of stories as BCP 47 does; take away what is none.

Such a story could not be saved any more. A few thousand rows a transaction, so that nobody waits.
"""

from typing import Any, ClassVar

import langcodes
from django.db import migrations

BATCH = 5000


def spell(apps: Any, schema_editor: Any) -> None:
    """Update the stories whose language is spelled otherwise."""
    stories = apps.get_model("content", "Story").objects
    for stored in set(stories.values_list("language", flat=True).distinct()) - {""}:
        is_language = langcodes.tag_is_valid(stored)
        wanted = langcodes.standardize_tag(stored) if is_language else ""
        if wanted == stored:
            continue
        # By id: the field itself would look for the spelling of the standard.
        rows = stories.extra(where=["language = %s"], params=[stored]).order_by("pk")
        while ids := list(rows.values_list("pk", flat=True)[:BATCH]):
            stories.filter(pk__in=ids).update(language=wanted)


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("content", "0012_story_language")]

    operations: ClassVar = [migrations.RunPython(spell, migrations.RunPython.noop, elidable=True)]
