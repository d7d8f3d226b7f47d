"""Find stories by words a person typed."""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import reduce
from operator import and_

from django.contrib.postgres.search import CombinedSearchQuery, SearchQuery
from django.db import connection
from django.db.models import QuerySet

from content.models import Story, StorySearch
from scheduling.models import IsOneOf

Query = SearchQuery | CombinedSearchQuery

# Each word is looked up by itself, so there is a limit to how many.
MOST_WORDS = 20
# So many stories are sorted sooner than all others are looked through for them.
FEW = 8000
# As a share of all stories: of a word without statistics PostgreSQL expects less.
SURELY_MANY = 0.015
# PostgreSQL refuses a word of more than 2,046 bytes; so many signs never come to that.
MOST_SIGNS = 500

_quotes = str.maketrans("“”„", '"""')
_part = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def find(stories: QuerySet[Story], text: str) -> QuerySet[Story]:
    """
    Keep the stories in which every word of a text occurs, whatever the text is.

    A word is found as it is, as the beginning of another (`예약` in `예약을`), and by its English
    stem (`stories` in `story`). Words in double quotes are found side by side, as they are; what a
    minus stands before must not occur. No more than 500 characters and 20 words are looked at.

    :returns: the stories in the order they had; none for a text without a word.
    """
    parts = list(_parts(text))
    if not parts:
        return stories.none()
    query = reduce(and_, parts)
    few = _ids_if_few(query)
    if few is None:
        return stories.filter(search__vector=query)
    return stories.filter(IsOneOf("pk", few))


def _ids_if_few(query: Query) -> list[int] | None:
    """
    Query the stories with these words, unless they are many.

    Of many, the newest are soon found by looking through the newest stories. Of few that takes
    long, a million stories for a rare word; PostgreSQL, which has no statistics of rare words, or
    of how words begin, may do so nevertheless. So they are asked for by themselves.
    """
    found = StorySearch.objects.filter(vector=query)
    [plan] = json.loads(found.explain(format="json"))
    if plan["Plan"]["Plan Rows"] > max(FEW, SURELY_MANY * _number_of_stories()):
        return None
    ids = list(found.values_list("pk", flat=True)[: FEW + 1])
    return ids if len(ids) <= FEW else None


def _number_of_stories() -> float:
    """Query how many PostgreSQL thinks there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [StorySearch._meta.db_table]
        )
        [(number,)] = cursor.fetchall()
    return float(number)


def _parts(text: str) -> Iterator[Query]:
    for found in list(_part.finditer(_clean(text)))[:MOST_WORDS]:
        minus, phrase, word = found.group("minus", "phrase", "word")
        if phrase is not None:
            query = SearchQuery(phrase, config="simple", search_type="phrase")
            yield ~query if minus else query
            continue
        # Within quotes no sign means anything but these two, and what is made of several words, as
        # `well-known`, is a phrase.
        quoted = "'{}'".format(word.replace("\\", r"\\").replace("'", "''"))
        begins = SearchQuery(f"{quoted}:*", config="simple", search_type="raw")
        stem = SearchQuery(quoted, config="english", search_type="raw")
        yield ~begins & ~stem if minus else begins | stem


def _clean(text: str) -> str:
    """Return what can be searched for, in the form in which the words of stories are kept."""
    # PostgreSQL takes neither NUL nor half a character.
    text = text[:MOST_SIGNS].encode(errors="replace").decode().replace("\x00", " ")
    text = unicodedata.normalize("NFC", text)[:MOST_SIGNS]
    return text.translate(_quotes).replace("_", " ").replace("/", " ")
