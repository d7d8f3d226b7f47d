"""
Find words inside compounds: Korean, Japanese and Chinese put no space between the parts of a word.

Each pair of neighbours in a run of such characters is a word as well (`예약`, `약발`, `발행` of
`예약발행`), and so is its last character. The pairs of a run are adjacent, so what is longer is
found as a phrase of pairs. English stems are kept without their places, for which no phrase asks:
that makes room for those of the pairs.

The rows are written anew in small transactions; publishing and saving go on meanwhile, and a search
finds what is not written yet as it did before.
"""

from importlib import import_module
from typing import Any, ClassVar

from django.db import connection, migrations, transaction

BATCH = 200

# Hangul, kana, and ideographs with their iteration marks; `content.search` has the same.
CJK = (
    r"\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)

# A window over the characters would take twice as long as the array.
PAIRS = f"""
    CREATE OR REPLACE FUNCTION content_pairs(text text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
    DECLARE
        signs text[];
    BEGIN
        IF text !~ '[{CJK}]' THEN
            RETURN '';
        END IF;
        signs := string_to_array(regexp_replace(text, '[^{CJK}]+', ' ', 'g'), NULL);
        RETURN to_tsvector('simple', (
            SELECT string_agg(sign || coalesce(signs[place + 1], ''), ' ')
            FROM unnest(signs) WITH ORDINALITY AS each (sign, place)
            WHERE sign <> ' '
        ));
    END
    $$
"""  # noqa: S608 (constants)

# `manypairs` marks a text in which not every pair has a place of its own: there are 16,383.
WORDS = """
    CREATE OR REPLACE FUNCTION content_story_words
        (title text, summary text, byline text, body text, most integer)
    RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        WITH part AS (
            SELECT normalize(translate(title, '_/', '  ')) AS a,
                   normalize(translate(left(summary, most) || ' ' || byline, '_/', '  ')) AS b,
                   normalize(translate(left(body, most), '_/', '  ')) AS c
        ), whole AS (
            SELECT a, b, c, a || ' ' || b || ' ' || c AS text FROM part
        )
        SELECT setweight(to_tsvector('simple', a), 'A')
            || setweight(to_tsvector('simple', b), 'B')
            || setweight(to_tsvector('simple', c), 'C')
            || content_pairs(text)
            || CASE WHEN length(text) > 16000 THEN 'manypairs' ELSE '' END::tsvector
            || strip(to_tsvector('english', text))
        FROM whole
    $$
"""

BEFORE = import_module("content.migrations.0004_story_search").WORDS.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)

# The second statement sees what was saved before the rows were locked; whoever saves later waits
# for them, and writes after it.
LOCK = "SELECT FROM content_storysearch WHERE story_id > %s AND story_id <= %s FOR UPDATE"
FILL = f"""
    UPDATE content_storysearch AS words
    SET vector = content_story_vector(title, summary, byline, body)
    FROM content_story AS story
    WHERE story.id = words.story_id AND story.id > %s AND story.id <= %s
    AND concat(title, summary, byline, body) ~ '[{CJK}]'
"""  # noqa: S608 (a constant)
NEXT = """
    SELECT max(story_id) FROM (
        SELECT story_id FROM content_storysearch WHERE story_id > %s ORDER BY story_id LIMIT %s
    ) AS batch
"""


def fill(apps: Any, schema_editor: Any) -> None:
    """Write the words of the stories that have pairs."""
    last = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(NEXT, [last, BATCH])
            [(end,)] = cursor.fetchall()
            if end is None:
                return
            cursor.execute(LOCK, [last, end])
            cursor.execute(FILL, [last, end])
        last = end


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("content", "0013_spell_languages")]

    operations: ClassVar = [
        migrations.RunSQL(PAIRS, "DROP FUNCTION content_pairs(text)"),
        migrations.RunSQL(WORDS, BEFORE),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
