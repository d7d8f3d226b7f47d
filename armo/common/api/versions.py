"""
Versions of rows: `ETag`, `Last-Modified`, and the headers that compare them.

A tag is strong, and made of values that change whenever the row does, so it is known without
serialising the answer.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from math import ceil
from time import time
from typing import Any

from django.http import HttpRequest
from django.utils.http import http_date, parse_http_date_safe
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api.fields import utc


def tag(*parts: object) -> str:
    """Return a strong entity tag of some values; equal values of other types give the same tag."""
    text = json.dumps(parts, default=_plain)
    return f'"{sha256(text.encode()).hexdigest()[:24]}"'


def _plain(value: object) -> str:
    return utc(value) if isinstance(value, datetime) else str(value)


def named_in(tags: str, etag: str) -> str | None:
    """
    Return how `If-Match` or `If-None-Match` names a tag; None if it does not.

    Proxies that compress an answer change its tag: nginx, Varnish and Cloudflare make it weak,
    Apache, Caddy, Jetty and others append the encoding: `"…-gzip"`, `"…--gzip"`, `"…;br"`. Our tags
    are digests, so one that begins with all of ours is ours (ADR 30).
    """
    if tags.strip() == "*":
        return etag
    ours = re.escape(etag.strip('"'))
    pattern = rf'(?:^|,)\s*((?:W/)?"{ours}(?:[^0-9A-Za-z"][^"]*)?")\s*(?=,|$)'
    found = re.search(pattern, tags)
    return found and found[1]


def stamp(response: Response, *, etag: str, modified_at: datetime | None = None) -> Response:
    """Set the `ETag` and `Last-Modified` of an answer."""
    response["ETag"] = etag
    if modified_at is not None:
        response["Last-Modified"] = http_date(_last_modified(modified_at))
    return response


def _last_modified(at: datetime) -> int:
    """
    Return a time in whole seconds for `Last-Modified`.

    Rounded up, so that a later change is later than this; but never in the future, which RFC 9110,
    8.8.2.1 forbids: within the second of a change it is the beginning of that.
    """
    return min(ceil(at.timestamp()), int(time()))


def not_modified(
    request: Request | HttpRequest, etag: str, modified_at: datetime | None = None
) -> str | None:
    """
    Return the tag for an answer 304 to a read; None if the client has another version, or none.

    It is the client's own spelling of the tag: by that, caches find what they keep.
    """
    if "If-None-Match" in request.headers:
        return named_in(request.headers["If-None-Match"], etag)
    since = parse_http_date_safe(request.headers.get("If-Modified-Since", ""))
    if since is None or modified_at is None or _last_modified(modified_at) > since:
        return None
    return etag


def unless_known(
    request: Request, describe: Callable[[], Any], *, etag: str, modified_at: datetime | None = None
) -> Response:
    """Return an answer with its version, or 304 if the client has that already."""
    known = not_modified(request, etag, modified_at)
    response = Response(status=304) if known else Response(describe())
    return stamp(response, etag=known or etag, modified_at=modified_at)
