"""
Keep the words of each story in a table that a publish does not write.

A trigger fills it. It is defined on the columns of the text, so that a change of status does not
fire it and publishing costs no more than before.
"""

from typing import ClassVar

import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# 'simple' keeps words as they are, so that Korean is found, and by how a word begins; 'english'
# their stems. Phrases are looked for among the simple ones, which come first: no word has a place
# beyond 16,383.
#
# The parser takes minutes over a long text of nothing but `a_a_a_` or `./././`, because it tries
# from each of them whether a path begins there; so neither of the two signs reaches it.
WORDS = """
    CREATE FUNCTION content_story_words
        (title text, summary text, byline text, body text, most integer)
    RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        WITH part AS (
            SELECT normalize(translate(title, '_/', '  ')) AS a,
                   normalize(translate(left(summary, most) || ' ' || byline, '_/', '  ')) AS b,
                   normalize(translate(left(body, most), '_/', '  ')) AS c
        )
        SELECT setweight(to_tsvector('simple', a), 'A')
            || setweight(to_tsvector('simple', b), 'B')
            || setweight(to_tsvector('simple', c), 'C')
            || setweight(to_tsvector('english', a), 'A')
            || setweight(to_tsvector('english', b), 'B')
            || setweight(to_tsvector('english', c), 'C')
        FROM part
    $$
"""

# A tsvector is at most 1 MB, and a text that breaks that must not keep a story from being saved.
# A hundred thousand signs seldom do; ten thousand cannot, whatever they are.
VECTOR = """
    CREATE FUNCTION content_story_vector(title text, summary text, byline text, body text)
    RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        RETURN content_story_words(title, summary, byline, body, 100000);
    EXCEPTION WHEN program_limit_exceeded THEN
        RETURN content_story_words(title, summary, byline, body, 10000);
    END
    $$
"""

FOLLOW = """
    CREATE FUNCTION content_story_follow_text() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        INSERT INTO content_storysearch (story_id, vector)
        VALUES (NEW.id, content_story_vector(NEW.title, NEW.summary, NEW.byline, NEW.body))
        ON CONFLICT (story_id) DO UPDATE SET vector = EXCLUDED.vector;
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER content_story_text
    AFTER INSERT OR UPDATE OF title, summary, byline, body ON content_story
    FOR EACH ROW EXECUTE FUNCTION content_story_follow_text()
"""

# Django 5.2 cannot say ON DELETE CASCADE.
FOREIGN_KEY = """
    ALTER TABLE content_storysearch
    ADD CONSTRAINT content_storysearch_story_id_fk
    FOREIGN KEY (story_id) REFERENCES content_story (id) ON DELETE CASCADE
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0003_notice_author")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="StorySearch",
            fields=[
                (
                    "story",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="search",
                        serialize=False,
                        to="content.story",
                    ),
                ),
                ("vector", django.contrib.postgres.search.SearchVectorField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunSQL(FOREIGN_KEY, migrations.RunSQL.noop),  # it goes with its table
        migrations.RunSQL(
            WORDS, "DROP FUNCTION content_story_words(text, text, text, text, integer)"
        ),
        migrations.RunSQL(VECTOR, "DROP FUNCTION content_story_vector(text, text, text, text)"),
        migrations.RunSQL(FOLLOW, "DROP FUNCTION content_story_follow_text()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER content_story_text ON content_story"),
    ]
