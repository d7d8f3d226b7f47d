"""
Versions of rows: `ETag`, `If-None-Match`, `If-Match`, `Last-Modified`.

A tag is strong, and made of values that change whenever the row does, so it is known without
serialising the answer.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256

from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api.fields import utc


def tag(*parts: object) -> str:
    """Return a strong entity tag of some values; equal values of other types give the same tag."""
    text = json.dumps(parts, default=_plain)
    return f'"{sha256(text.encode()).hexdigest()[:24]}"'


def _plain(value: object) -> str:
    return utc(value) if isinstance(value, datetime) else str(value)


def is_named(if_match: str, etag: str) -> bool:
    """Return whether `If-Match` lists a tag. A weak tag matches nothing (RFC 9110)."""
    return if_match.strip() == "*" or etag in parse_etags(if_match)


def stamp(response: Response, *, etag: str, modified_at: datetime | None = None) -> Response:
    """Set the `ETag` and `Last-Modified` of an answer."""
    response["ETag"] = etag
    if modified_at is not None:
        response["Last-Modified"] = http_date(modified_at.astimezone(UTC).timestamp())
    return response


def not_modified(
    request: Request, etag: str, modified_at: datetime | None = None
) -> Response | None:
    """Return an answer 304 if the client has this version already."""
    seconds = None if modified_at is None else int(modified_at.timestamp())
    # Only reads: the preconditions of a write are compared by `is_named`.
    if "If-None-Match" not in request.headers and "If-Modified-Since" not in request.headers:
        return None
    found = get_conditional_response(request._request, etag=etag, last_modified=seconds)
    if found is None or found.status_code != 304:
        return None
    return stamp(Response(status=304), etag=etag, modified_at=modified_at)
