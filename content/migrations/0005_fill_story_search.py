"""
Fill in the words of the stories that exist, then index them.

Apart from the trigger, whose creation keeps everyone from writing stories: this takes long with
many, and publishing goes on meanwhile.
"""

from typing import ClassVar

import django.contrib.postgres.indexes
from django.db import migrations

# The trigger has been there for a moment: what it has written is newer.
FILL = """
    INSERT INTO content_storysearch (story_id, vector)
    SELECT id, content_story_vector(title, summary, byline, body) FROM content_story
    ON CONFLICT (story_id) DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0004_story_search")]

    operations: ClassVar = [
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="storysearch",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["vector"], name="storysearch_vector"
            ),
        ),
    ]
