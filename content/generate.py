"""
Millions of stories, to test lists, searches and queues at their real size.

The database makes them from their numbers: the same numbers give the same words. Scheduled stories
go through `operations`, so that they have the same jobs, events and queue rows as any other.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction

from content.models import Category, Story, Tag
from scheduling import operations
from scheduling.models import clock

# Not all in one transaction: autovacuum's ANALYZE would find no rows meanwhile, and a million
# foreign keys would be checked by a plan for an empty table. It took more than ten minutes.
AT_ONCE = 20_000
SCHEDULED_AT_ONCE = 1_000
# Scheduled stories are spread over so many days, from tomorrow on.
DAYS = 30

WORDS, CATEGORIES, TAGS, AUTHORS = 20_000, 8, 200, 5

TABLES = (
    *("content_story", "content_storysearch", "content_story_categories", "content_story_tags"),
    *("scheduling_job", "scheduling_jobevent", "django_q_ormq"),
)

# Words by how often they come, as in any language: few of them very often. Nine of ten stories that
# are not to be scheduled are live, since some minute of the last ten years.
WRITE = """
    WITH vocabulary AS MATERIALIZED (
        SELECT word, place FROM unnest(%(words)s::text[]) WITH ORDINALITY AS each (word, place)
    ), pick AS (
        SELECT n, i, 1 + floor(power(
            (hashint8extended(n * 100 + i, 7) & 16777215) / 16777216.0::float8, 3
        ) * %(most)s)::bigint AS place
        FROM generate_series(%(first)s::bigint, %(last)s) AS n, generate_series(1, 40) AS i
    ), text AS (
        SELECT n, string_agg(word, ' ' ORDER BY i) AS words
        FROM pick JOIN vocabulary USING (place)
        GROUP BY n
    ), story AS (
        INSERT INTO content_story
            (status, publish_at, published_at, version, title, body, created_at, updated_at, slug,
             summary, byline, keywords, language, extra, author_id)
        SELECT CASE WHEN is_live THEN 'published' ELSE 'draft' END,
               CASE WHEN is_live THEN at END, CASE WHEN is_live THEN at END,
               CASE WHEN is_live THEN 2 ELSE 1 END,
               array_to_string((string_to_array(words, ' '))[1:5], ' '), words, at, at,
               'made-' || n || '-' || gen_random_uuid(),
               array_to_string((string_to_array(words, ' '))[6:15], ' '), '', '{}',
               CASE WHEN n %% 2 = 0 THEN 'ko' ELSE 'en' END, '{}',
               (%(authors)s::bigint[])[1 + n %% cardinality(%(authors)s::bigint[])]
        FROM text,
             LATERAL (SELECT %(live)s AND n %% 10 > 0 AS is_live,
                             now() - make_interval(mins => (hashint8extended(n, 3) & 4194303)::int)
                             AS at) AS chosen
        RETURNING id
    ), category AS (
        INSERT INTO content_story_categories (story_id, category_id)
        SELECT id, (%(categories)s::bigint[])[1 + id %% cardinality(%(categories)s::bigint[])]
        FROM story
    ), tag AS (
        INSERT INTO content_story_tags (story_id, tag_id)
        SELECT id, (%(tags)s::bigint[])[
            1 + (id + i * (1 + id %% 7)) %% cardinality(%(tags)s::bigint[])]
        FROM story, generate_series(0, 1) AS i
    )
    SELECT id FROM story
"""


class Progress(NamedTuple):
    """Progress of the command."""

    what: str
    done: int
    of: int


def generate(*, stories: int, scheduled: int) -> Iterator[Progress]:
    """
    Make stories, some of them scheduled for the coming month, and analyse their tables.

    :param stories: how many, including the scheduled ones.
    :param scheduled: how many of them to schedule.
    """
    first = Story.objects.count() + 1
    last = first + stories - scheduled - 1
    parts = _parts(scheduled)
    yield from _write(first, last, live=True)
    for done, (one, other) in enumerate(pairwise(parts)):
        ids = _write_some(last + one + 1, last + other, live=False)
        day = timedelta(days=1) + timedelta(days=DAYS) * done / max(1, len(parts) - 1)
        operations.schedule_many(
            items=Story.objects.filter(pk__in=ids).defer("body", "summary", "extra", "imported"),
            run_at=clock.database_now() + day,
            by=None,
        )
        yield Progress("scheduled", other, scheduled)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(TABLES)}")


def _parts(number: int) -> list[int]:
    """Return where each part of that many ends."""
    return [*range(0, number, SCHEDULED_AT_ONCE), number]


def _write(first: int, last: int, *, live: bool) -> Iterator[Progress]:
    for start in range(first, last + 1, AT_ONCE):
        end = min(start + AT_ONCE - 1, last)
        _write_some(start, end, live=live)
        yield Progress("written", end - first + 1, last - first + 1)


@transaction.atomic
def _write_some(first: int, last: int, *, live: bool) -> list[int]:
    params: dict[str, Any] = {
        "words": vocabulary(),
        "most": WORDS,
        "first": first,
        "last": last,
        "live": live,
        "authors": _authors(),
        "categories": _named(Category, vocabulary()[1000 : 1000 + CATEGORIES]),
        "tags": _named(Tag, vocabulary()[2000 : 2000 + TAGS]),
    }
    with connection.cursor() as cursor:
        cursor.execute(WRITE, params)
        return [pk for (pk,) in cursor.fetchall()]


HEADS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "pl")
TAILS = ("a", "e", "i", "o", "u", "ay", "en", "or", "il")


@cache
def vocabulary() -> list[str]:
    """Return words that sound like English and like Korean, in turn."""
    random = Random(1)  # noqa: S311 (nothing of it is a secret)
    words: dict[str, None] = {}
    while len(words) < WORDS:
        is_korean = len(words) % 2
        parts = [
            chr(random.randint(0xAC00, 0xD7A3))
            if is_korean
            else random.choice(HEADS) + random.choice(TAILS)
            for _ in range(random.randint(2, 4))
        ]
        words["".join(parts)] = None
    return list(words)


def _authors() -> list[int]:
    """Return the ids of people who wrote them, and cannot log in."""
    names = [f"generated-{number}" for number in range(AUTHORS)]
    people = [User(username=name, is_active=False) for name in names]
    for one in people:
        one.set_unusable_password()
    User.objects.bulk_create(people, ignore_conflicts=True)
    return list(User.objects.filter(username__in=names).values_list("pk", flat=True))


def _named(model: type[Category] | type[Tag], names: Sequence[str]) -> list[int]:
    rows: Any = model._default_manager
    rows.bulk_create([model(name=name) for name in names], ignore_conflicts=True)
    return list(rows.filter(name__in=names).order_by("name").values_list("pk", flat=True))
