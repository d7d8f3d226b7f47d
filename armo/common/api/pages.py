"""
Lists, page by page.

A page begins where the last one ended: at the key and the id of its last row. However deep the page
is, the database finds it by an index, and rows that are added or deleted meanwhile make no other
row appear twice or not at all. The REST framework's own cursor has the key alone: it loses some of
a thousand stories that went live at the same moment.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db import models
from django.db.models import F, Func, Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from armo.common.addresses import absolute
from armo.common.api.fields import MAX_ID

PAGE_PARAMETERS = ("cursor", "page_size", "ordering")
PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


class Place(NamedTuple):
    """The position of a row in an order."""

    # None for a row whose key is empty, or when the id alone is the order.
    key: datetime | None
    pk: int


class Cursor(NamedTuple):
    """A position in an order, and whether to read backwards from it."""

    ordering: str
    is_backward: bool
    # None for a row whose key is empty, or when the id alone is the order.
    key: datetime | None
    pk: int

    def encode(self) -> str:
        """Return it as text for a URL."""
        key = None if self.key is None else self.key.astimezone(UTC).isoformat()
        text = json.dumps([self.ordering, int(self.is_backward), key, self.pk])
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, ordering: str) -> "Cursor":
        """
        Return the cursor of a text.

        :raises ValidationError: it is malformed, or for another order.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            made_for, is_backward, key, pk = json.loads(urlsafe_b64decode(padded.encode()))
            # In UTC, as it was encoded: PostgreSQL does not know every offset that Python does.
            at = None if key is None else datetime.fromisoformat(key)
            is_whole = type(pk) is int and 0 <= pk <= MAX_ID and is_backward in (0, 1)
            is_ours = at is None or (at.utcoffset() == timedelta(0) and at.isoformat() == key)
            if not (is_whole and is_ours):
                raise ValueError
        except (ValueError, TypeError, Base64Error, RecursionError) as error:
            raise _wrong("cursor", _("This is not a cursor of this list.")) from error
        if made_for != ordering:
            raise _wrong("cursor", _("This cursor is for another ordering."))
        return cls(ordering, bool(is_backward), at, pk)


def _wrong(parameter: str, message: str) -> ValidationError:
    return ValidationError({parameter: [message]})


class After(Func):
    """True for rows after a position: key and id are compared as one row, as in an index."""

    output_field = models.BooleanField()

    def __init__(self, name: str, *, downwards: bool, key: datetime, pk: int) -> None:
        super().__init__(F(name), F("pk"))
        self.place = [key, pk]
        self.sign = "<" if downwards else ">"

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        """Return the condition in SQL."""
        name, pk = (compiler.compile(each)[0] for each in self.source_expressions)
        return f"({name}, {pk}) {self.sign} (%s, %s)", self.place


class KeysetPages(BasePagination):
    """
    Pages of a list in an order that the view offers.

    The view names its orders in `orderings` (fields of times, or `id`), and in `default_ordering()`
    the one that is used by default. An empty time comes last upwards, first downwards,
    as in PostgreSQL's own indexes. Where no index has the order of all rows, but one of each of
    some groups, `groups_of_rows()` names these.
    """

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Return the rows of the requested page."""
        self.request = request
        self.ordering = self._ordering(request, view)
        size = _page_size(request)
        text = request.query_params.get("cursor", "")
        cursor = Cursor.decode(text, self.ordering) if text else None
        is_backward = cursor is not None and cursor.is_backward
        name = self.ordering.removeprefix("-")
        listing: Any = view
        parts = _parts(
            queryset,
            name,
            downwards=self.ordering.startswith("-") != is_backward,
            cursor=cursor,
            may_be_empty=listing.may_be_empty(name),
        )
        rows, places, has_more = _read(queryset, parts, size, name, listing.groups_of_rows(name))
        if is_backward:
            rows.reverse()
            places.reverse()
        self.next = self.previous = None
        if places and (has_more or is_backward):
            self.next = self._link(places[-1], is_backward=False)
        if places and ((cursor and not is_backward) or (is_backward and has_more)):
            self.previous = self._link(places[0], is_backward=True)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with links to the next and the previous one."""
        return Response({"next": self.next, "previous": self.previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the page's description."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the description of its parameters."""
        orderings = [f"{sign}{name}" for name in view.orderings for sign in ("", "-")]
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page begins: take it from `next` or `previous`.",
                "schema": {"type": "string", "maxLength": 500},
            },
            {
                "name": "page_size",
                "in": "query",
                "description": f"Rows a page, {PAGE_SIZE} by default.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE},
            },
            {
                "name": "ordering",
                "in": "query",
                "description": "The order; with `-`, downwards.",
                "schema": {"type": "string", "enum": orderings},
            },
        ]

    def _ordering(self, request: Request, view: Any) -> str:
        ordering: str = request.query_params.get("ordering") or view.default_ordering()
        if ordering.removeprefix("-") not in view.orderings:
            names = ", ".join(view.orderings)
            raise _wrong(
                "ordering",
                _("Order by one of %(names)s; with - before it, downwards.") % {"names": names},
            )
        return ordering

    def _link(self, place: Place, *, is_backward: bool) -> str:
        cursor = Cursor(self.ordering, is_backward, place.key, place.pk).encode()
        params = {**self.request.query_params.dict(), "cursor": cursor}
        return absolute(self.request, f"{self.request.path}?{urlencode(params)}")


def _read(
    rows: QuerySet[Any], parts: Iterator[QuerySet[Any]], size: int, name: str, groups: Sequence[Q]
) -> tuple[list[Any], list[Place], bool]:
    """Query a page's rows, part by part, their places in the order, and whether there are more."""
    found: list[Any] = []
    for part in parts:
        wanted = size + 1 - len(found)
        found += first_of_groups(part, groups, wanted) if groups else part[:wanted]
        if len(found) > size:
            break
    has_more = len(found) > size
    if groups:
        # Their places until here. One that has been deleted since is left out; one that has been
        # moved leaves its place to the page, or the next would begin elsewhere.
        places = found[:size]
        by_id = {row.pk: row for row in rows.filter(pk__in=[place.pk for place in places])}
        return [by_id[pk] for _, pk in places if pk in by_id], places, has_more
    page = found[:size]
    return (
        page,
        [Place(None if name == "id" else getattr(row, name), row.pk) for row in page],
        has_more,
    )


def _parts(
    rows: QuerySet[Any], name: str, *, downwards: bool, cursor: Cursor | None, may_be_empty: bool
) -> Iterator[QuerySet[Any]]:
    """Return the rows from the cursor on, in order: those with a time and those without apart."""
    sign, compare = ("-", "lt") if downwards else ("", "gt")
    if name == "id":
        if cursor:
            rows = rows.filter(**{f"pk__{compare}": cursor.pk})
        yield rows.order_by(f"{sign}pk")
        return
    # With one query PostgreSQL would read all rows before the page.
    for has_time in (False, True) if downwards else (True, False):
        if not (has_time or may_be_empty):
            continue
        part = rows.filter(**{f"{name}__isnull": not has_time})
        if cursor:
            is_in = has_time == (cursor.key is not None)
            if is_in and cursor.key:
                part = part.filter(After(name, downwards=downwards, key=cursor.key, pk=cursor.pk))
            elif is_in:
                part = part.filter(**{f"pk__{compare}": cursor.pk})
            elif has_time != downwards:
                continue  # no rows are left
        yield part.order_by(f"{sign}{name}", f"{sign}pk")


def first_of_groups(part: QuerySet[Any], groups: Sequence[Q], number: int) -> list[Place]:
    """Query the places of the first rows of all groups, of each from an index of its own."""
    if part.query.is_empty():
        return []
    order = [str(name) for name in part.query.order_by]
    names = [name.removeprefix("-") for name in order]
    firsts = [part.filter(group).values_list(*names)[:number] for group in groups]
    merged = firsts[0].union(*firsts[1:], all=True).order_by(*order)[:number]
    return [Place(row[0] if len(row) > 1 else None, row[-1]) for row in merged]


def _page_size(request: Request) -> int:
    text = request.query_params.get("page_size")
    if text is None:
        return PAGE_SIZE
    if not (
        text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE_SIZE
    ):
        raise _wrong("page_size", _("A whole number from 1 to %(most)d.") % {"most": MAX_PAGE_SIZE})
    return int(text)
