"""`If-Match`: the versions that a client knows, as what it expects of a locked row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from rest_framework.request import Request

from armo.common.api import versions


@dataclass(frozen=True)
class IfMatch:
    """The entity tags of a request, to be compared with that of a row under its lock."""

    header: str
    # Which rows have such a tag: an operation on a job locks its item too.
    of: type[Model]
    etag: Callable[[Any], str]

    @classmethod
    def read(
        cls, request: Request, of: type[Model], etag: Callable[[Any], str]
    ) -> "IfMatch | None":
        """Return what a request expects; None if it has no such header."""
        header = request.headers.get("If-Match")
        return None if header is None else cls(header, of, etag)

    def matches(self, row: Any) -> bool:
        """Return whether the client knows the version that a row has."""
        return not isinstance(row, self.of) or versions.is_named(self.header, self.etag(row))

    def facts(self, row: Any) -> dict[str, Any]:
        """Return the version that a row has."""
        return {"current_etag": self.etag(row), "current_version": getattr(row, "version", None)}
