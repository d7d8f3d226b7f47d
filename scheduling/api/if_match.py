"""`If-Match` as the `expected` of an operation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from rest_framework.request import Request

from armo.common.api import versions


@dataclass(frozen=True)
class IfMatch:
    """The entity tags of a request, which are compared with that of the locked row."""

    header: str
    # The model of the rows to compare: an operation on a job locks its item too.
    of: type[Model]
    etag: Callable[[Any], str]

    @classmethod
    def read(
        cls, request: Request, of: type[Model], etag: Callable[[Any], str]
    ) -> "IfMatch | None":
        """Return what a request expects; None if it has no `If-Match`."""
        header = request.headers.get("If-Match")
        return None if header is None else cls(header, of, etag)

    def matches(self, row: Any) -> bool:
        return not isinstance(row, self.of) or versions.is_named(self.header, self.etag(row))

    def facts(self, row: Any) -> dict[str, Any]:
        return {"current_etag": self.etag(row), "current_version": getattr(row, "version", None)}
