"""`If-Match`, `If-Unmodified-Since`, `If-None-Match` of a write, as what an operation expects."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Model
from django.utils.http import parse_http_date_safe
from rest_framework.request import Request

from armo.common.api import versions
from scheduling.models import Schedulable
from scheduling.operations.rules import ItemRow

HEADERS = ("If-Match", "If-Unmodified-Since", "If-None-Match")


class Changed(NamedTuple):
    """When a row was last changed."""

    at: datetime
    # Whether that is when it was made.
    is_first: bool


@dataclass(frozen=True)
class Preconditions:
    """The preconditions of a request, which are compared with the locked row (RFC 9110, 13.2.2)."""

    headers: Mapping[str, str]
    # The model of the rows to compare: an operation on a job locks its item too.
    of: type[Model]
    etag: Callable[[Any], str]
    # None of rows that do not know when they were changed.
    changed: Callable[[Any], Changed | None]
    # Whether there is already what the request makes.
    is_there: Callable[[Any], bool] = lambda row: True

    @classmethod
    def read(
        cls,
        request: Request,
        of: type[Model],
        etag: Callable[[Any], str],
        changed: Callable[[Any], Changed | None],
        **options: Any,
    ) -> "Preconditions | None":
        """Return what a request expects; None if it may be anything."""
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        return cls(headers, of, etag, changed, **options) if headers else None

    def matches(self, row: Any) -> bool:
        if not isinstance(row, self.of):
            return True
        return self._is_known(row) and not self._is_excluded(row)

    def facts(self, row: Any) -> dict[str, Any]:
        return {"current_etag": self.etag(row), "current_version": getattr(row, "version", None)}

    def _is_known(self, row: Any) -> bool:
        if (tags := self.headers.get("If-Match")) is not None:
            return versions.named_in(tags, self.etag(row)) is not None
        since = parse_http_date_safe(self.headers.get("If-Unmodified-Since", ""))
        changed = None if since is None else self.changed(row)
        if since is None or changed is None:
            return True
        # The header has no fractions of a second. Of several changes within that second nobody
        # knows which one the client has seen, unless there was only one.
        seconds = changed.at.timestamp()
        return (int(seconds) if changed.is_first else seconds) <= since

    def _is_excluded(self, row: Any) -> bool:
        tags = self.headers.get("If-None-Match")
        if tags is None:
            return False
        if tags.strip() == "*":
            return self.is_there(row)
        return versions.named_in(tags, self.etag(row)) is not None


@dataclass(frozen=True)
class OfOneInBulk:
    """The preconditions for one of many items, of which the operation reads a few columns only."""

    preconditions: Preconditions
    # As it was before its row was locked.
    item: Schedulable

    def matches(self, row: Any) -> bool:
        return self.preconditions.matches(self._locked(row))

    def facts(self, row: Any) -> dict[str, Any]:
        return self.preconditions.facts(self._locked(row))

    def _locked(self, row: ItemRow) -> Schedulable:
        if row.version != self.item.version:
            return type(self.item)._default_manager.get(pk=self.item.pk)
        item = copy(self.item)
        vars(item).update(row._asdict())
        return item
