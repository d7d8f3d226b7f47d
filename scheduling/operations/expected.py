"""Only if unchanged: what a person saw of a row, compared with the row under its lock."""

from collections.abc import Mapping
from typing import Any, Protocol

from scheduling.errors import DomainError
from scheduling.models import Job, Schedulable
from scheduling.operations.rules import ItemRow


class ChangedMeanwhile(DomainError):
    """It has been changed since you read it."""

    code = "version_conflict"

    def __init__(
        self, row: Schedulable | ItemRow | Job, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        # As it is now.
        self.row = row
        self._facts = dict(facts or {})

    def facts(self) -> dict[str, Any]:
        """Return what a program needs to know of the row as it is now."""
        return self._facts


class Expected(Protocol):
    """What a row has to be for an operation to change it."""

    def matches(self, row: Schedulable | ItemRow | Job) -> bool:
        """Return whether a locked row is what the person saw; an item is asked before its job."""

    def facts(self, row: Schedulable | ItemRow | Job) -> dict[str, Any]:
        """Return what a program needs to know of a row that does not match."""


class Seen:
    """Fields of an item, or of a job, as a person saw them: `Seen(version=3)`."""

    def __init__(self, **fields: Any) -> None:
        self.of_item: Mapping[str, Any] = fields
        self.of_job: Mapping[str, Any] = {}

    @classmethod
    def job(cls, **fields: Any) -> "Seen":
        """Return fields of a job; its item may be anything."""
        seen = cls()
        seen.of_job = fields
        return seen

    def matches(self, row: Schedulable | ItemRow | Job) -> bool:
        """Return whether each field that the person saw is still the same."""
        fields = self.of_job if isinstance(row, Job) else self.of_item
        return all(getattr(row, name) == value for name, value in fields.items())

    def facts(self, row: Schedulable | ItemRow | Job) -> dict[str, Any]:
        """Return nothing: who sends fields has a page to show the row on."""
        return {}


def require_unchanged(expected: Expected | None, row: Schedulable | ItemRow | Job) -> None:
    """
    Go on only if a locked row is what the person saw.

    :param expected: None if the change is wanted whatever the row is by now.
    :raises ChangedMeanwhile:
    """
    if expected is not None and not expected.matches(row):
        raise ChangedMeanwhile(row, expected.facts(row))
