"""Full-text search of stories."""

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

# Each word is looked up separately, so their number is limited.
MOST_WORDS = 20
# So many matches are sorted faster than all stories are scanned for them.
FEW = 8000
# A share of all stories: for a word without statistics PostgreSQL expects less.
SURELY_MANY = 0.015
# PostgreSQL refuses a word of more than 2,046 bytes; so many characters never reach that.
MOST_SIGNS = 500

_quotes = str.maketrans("“”„", '"""')
_part = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def find(stories: QuerySet[Story], text: str) -> QuerySet[Story]:
    """
    Keep the stories in which every word of a query occurs.

    A word is found as it is, as the beginning of another (`예약` in `예약을`), and by its English
    stem (`stories` in `story`). Words in double quotes must be adjacent; a word after a minus must
    not occur. Only the first 500 characters and 20 words count.

    :returns: the stories in the same order; none for a query without a word.
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

    If there are many, a scan of the newest stories finds the newest of them quickly. If there are
    few, that scan may read a million stories; PostgreSQL, which has no statistics of rare words or
    of prefixes, may choose it nevertheless. So few matches get a query of their own.
    """
    found = StorySearch.objects.filter(vector=query)
    [plan] = json.loads(found.explain(format="json"))
    if plan["Plan"]["Plan Rows"] > max(FEW, SURELY_MANY * _number_of_stories()):
        return None
    ids = list(found.values_list("pk", flat=True)[: FEW + 1])
    return ids if len(ids) <= FEW else None


def _number_of_stories() -> float:
    """Query PostgreSQL's estimate of the number of stories."""
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
        # Within quotes only these two characters are special, and a compound such as `well-known`
        # is a phrase.
        quoted = "'{}'".format(word.replace("\\", r"\\").replace("'", "''"))
        begins = SearchQuery(f"{quoted}:*", config="simple", search_type="raw")
        stem = SearchQuery(quoted, config="english", search_type="raw")
        yield ~begins & ~stem if minus else begins | stem


def _clean(text: str) -> str:
    """Return a query in the normal form in which the words of stories are stored."""
    # PostgreSQL accepts neither NUL nor a lone surrogate.
    text = text[:MOST_SIGNS].encode(errors="replace").decode().replace("\x00", " ")
    text = unicodedata.normalize("NFC", text)[:MOST_SIGNS]
    return text.translate(_quotes).replace("_", " ").replace("/", " ")
