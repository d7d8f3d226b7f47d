"""
Versions of what is read and written: `ETag`, `If-None-Match`, `If-Match`, `Last-Modified`.

A tag is strong and made of what changes with every change of the row, so that it is known without
writing the answer out.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_etags
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api.fields import utc


class VersionConflict(Exception):
    """It has been changed since the client read it."""

    code = "version_conflict"

    def __init__(self, etag: str, version: object) -> None:
        super().__init__(_("It has been changed since you read it."))
        self.version = version
        self.headers: Mapping[str, str] = {"ETag": etag}

    def facts(self) -> dict[str, Any]:
        """Return the version as it is now."""
        return {"current_etag": self.headers["ETag"], "current_version": self.version}


def tag(*parts: object) -> str:
    """Return a strong entity tag of some values, the same for two ways to hold the same value."""
    text = json.dumps(parts, default=_plain)
    return f'"{sha256(text.encode()).hexdigest()[:24]}"'


def _plain(value: object) -> str:
    return utc(value) if isinstance(value, datetime) else str(value)


def require_match(request: Request, etag: str, *, version: object) -> None:
    """
    Go on only when the client knows the present version, or does not say which it knows.

    :raises VersionConflict: `If-Match` names others only. A weak tag matches nothing (RFC 9110).
    """
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*" or etag in parse_etags(wanted):
        return
    raise VersionConflict(etag, version)


def stamp(response: Response, *, etag: str, modified_at: datetime | None = None) -> Response:
    """Say which version an answer is, and when that was made."""
    response["ETag"] = etag
    if modified_at is not None:
        response["Last-Modified"] = http_date(modified_at.astimezone(UTC).timestamp())
    return response


def not_modified(
    request: Request, etag: str, modified_at: datetime | None = None
) -> Response | None:
    """Return the answer 304 to a client that has this version already."""
    seconds = None if modified_at is None else int(modified_at.timestamp())
    # A precondition of a write is `require_match`'s to judge; here, only a reader's.
    if "If-None-Match" not in request.headers and "If-Modified-Since" not in request.headers:
        return None
    found = get_conditional_response(request._request, etag=etag, last_modified=seconds)
    if found is None or found.status_code != 304:
        return None
    return stamp(Response(status=304), etag=etag, modified_at=modified_at)
