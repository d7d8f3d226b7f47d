"""Full-text search of stories."""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import reduce
from operator import and_, or_

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

# Hangul, kana, and ideographs with their iteration marks: no space is between the parts of a word.
# The function `content_pairs` in the database has the same.
_cjk = re.compile(
    "[\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]+"
)
# More of a word are not looked up.
MOST_PAIRS = 30

_quotes = str.maketrans("“”„", '"""')
_part = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def find(stories: QuerySet[Story], text: str) -> QuerySet[Story]:
    """
    Keep the stories in which every word of a query occurs.

    A word is found as it is, as the beginning of another, and by its English stem (`stories` in
    `story`); in Korean, Japanese and Chinese inside another, too (`발행` in `예약발행을`). Words in
    double quotes must be adjacent; a word after a minus must not occur. Only the first 500
    characters and 20 words count.

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
            ways = [SearchQuery(phrase, config="simple", search_type="phrase")]
            inner = _inside(phrase.strip())
        else:
            # Within quotes only these two characters are special, and a compound such as
            # `well-known` is a phrase.
            quoted = "'{}'".format(word.replace("\\", r"\\").replace("'", "''"))
            ways = [_raw(f"{quoted}:*"), SearchQuery(quoted, config="english", search_type="raw")]
            inner = _inside(word)
        if inner is not None:
            ways.append(inner)
        yield reduce(and_, (~way for way in ways)) if minus else reduce(or_, ways)


def _raw(query: str) -> SearchQuery:
    return SearchQuery(query, config="simple", search_type="raw")


def _inside(word: str) -> SearchQuery | None:
    """
    Return the query that finds a word inside others; None if it has other characters than CJK.

    It is looked for as its pairs of neighbours, adjacent. In a long text not all pairs have places.
    """
    if not _cjk.fullmatch(word):
        return None
    if len(word) == 1:
        return _raw(f"'{word}':*")
    pairs = [f"'{word[at : at + 2]}'" for at in range(min(len(word) - 1, MOST_PAIRS))]
    if len(pairs) == 1:
        return _raw(pairs[0])
    return _raw(f"{' <-> '.join(pairs)} | ({' & '.join(pairs)} & manypairs)")


def _clean(text: str) -> str:
    """Return a query in the normal form in which the words of stories are stored."""
    # PostgreSQL accepts neither NUL nor a lone surrogate.
    text = text[:MOST_SIGNS].encode(errors="replace").decode().replace("\x00", " ")
    text = unicodedata.normalize("NFC", text)[:MOST_SIGNS]
    return text.translate(_quotes).replace("_", " ").replace("/", " ")
