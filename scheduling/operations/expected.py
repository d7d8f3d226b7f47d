"""Only if unchanged: what a person saw of a row is compared with the row under its lock."""

from collections.abc import Mapping
from typing import Any, Protocol

from scheduling.errors import DomainError
from scheduling.models import Job, Pause, Schedulable
from scheduling.operations.rules import ItemRow

Row = Schedulable | ItemRow | Job | Pause


class ChangedMeanwhile(DomainError):
    """It has been changed since you read it."""

    code = "version_conflict"

    def __init__(self, row: Row, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.row = row
        self._facts = dict(facts or {})

    def facts(self) -> dict[str, Any]:
        """Return what a program needs to know of the row."""
        return self._facts


class Expected(Protocol):
    """What the person saw of a row."""

    def matches(self, row: Row) -> bool:
        """Return whether a locked row is what they saw; called for an item before its job."""

    def facts(self, row: Row) -> dict[str, Any]:
        """Return what a program needs to know of a row that does not match."""


class Seen:
    """Fields of an item, or of a job, as the person saw them: `Seen(version=3)`."""

    def __init__(self, **fields: Any) -> None:
        self.of_item: Mapping[str, Any] = fields
        self.of_job: Mapping[str, Any] = {}

    @classmethod
    def job(cls, **fields: Any) -> "Seen":
        """Return what the person saw of a job; its item may be anything."""
        seen = cls()
        seen.of_job = fields
        return seen

    def matches(self, row: Row) -> bool:
        """Return whether the fields have the values that the person saw."""
        fields = self.of_job if isinstance(row, Job) else self.of_item
        return all(getattr(row, name) == value for name, value in fields.items())

    def facts(self, row: Row) -> dict[str, Any]:
        """Return nothing: pages, which send fields, show the row itself."""
        return {}


def require_unchanged(expected: Expected | None, row: Row) -> None:
    """
    Check that a locked row is what the person saw.

    :param expected: None if it may be anything.
    :raises ChangedMeanwhile:
    """
    if expected is not None and not expected.matches(row):
        raise ChangedMeanwhile(row, expected.facts(row))
