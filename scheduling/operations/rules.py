"""What an operation refuses, and the checks that say so."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext

from scheduling.errors import DomainError, ProblemsError
from scheduling.models import (
    ALLOWED,
    Schedulable,
    Status,
)

# What may become what; scheduling what is scheduled moves it.
TRANSITIONS = frozenset(
    [(now, wanted) for now, all_wanted in ALLOWED.items() for wanted in all_wanted]
    + [(Status.SCHEDULED, Status.SCHEDULED)]
)


class NotInFuture(DomainError):
    """That time has already passed."""

    code = "not_in_future"


class InvalidTransition(DomainError):
    """That cannot be done in the present status."""

    code = "invalid_transition"


class NotPublishable(ProblemsError):
    """It cannot go live as it is."""

    code = "not_publishable"


class EndNotAfterStart(DomainError):
    """The end must come after the start."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        """Return which field of a request is wrong."""
        error = {"field": "unpublish_at", "code": "ends_too_early", "detail": str(self)}
        return {"errors": [error]}


class SomeRefused(ProblemsError):
    """Some of the items cannot be scheduled, so none was."""

    code = "invalid_transition"

    def __init__(self, refusals: Mapping[Schedulable, DomainError]) -> None:
        # By item, for doors that show them in a list of their own.
        self.refusals = dict(refusals)
        codes = {refusal.code for refusal in self.refusals.values()}
        if len(codes) == 1:
            self.code = codes.pop()
        super().__init__(
            f"{item} ({item.label}): {refusal}" for item, refusal in self.refusals.items()
        )

    def facts(self) -> dict[str, Any]:
        """Return each refusal beside its item's id."""
        return {
            "refusals": [
                {"id": item.pk, "code": refusal.code, "detail": str(refusal), **refusal.facts()}
                for item, refusal in self.refusals.items()
            ]
        }


class JobNotFound(DomainError):
    """There is no such job."""

    code = "not_found"


class ItemHasMovedOn(DomainError):
    """Since the job failed, its item has moved on."""

    code = "invalid_transition"


def kept_end(row: "Schedulable | ItemRow") -> datetime | None:
    """Return the end that an item keeps when it is given another start."""
    # What was live before carries the end of that time.
    return None if row.status == Status.UNPUBLISHED else row.unpublish_at


def require_future(run_at: datetime, now: datetime) -> None:
    """Raise `NotInFuture` unless a time lies after the database's clock."""
    if run_at <= now:
        raise NotInFuture


def require_end_after(run_at: datetime, end: datetime | None) -> None:
    """Raise `EndNotAfterStart` where an end does not come after its start."""
    if end is not None and end <= run_at:
        # It may be an end from before, which nobody has named now.
        raise EndNotAfterStart(f"{EndNotAfterStart.default_message()} ({end:%Y-%m-%d %H:%M:%S %Z})")


class ItemRow(NamedTuple):
    """What `schedule_many` has to know of an item; a whole item takes ten times as long to make."""

    status: str
    publish_at: datetime | None
    unpublish_at: datetime | None
    published_at: datetime | None
    version: int


def nothing_scheduled() -> InvalidTransition:
    """Return the refusal to cancel what is not scheduled."""
    return InvalidTransition(gettext("Nothing is scheduled."))


def require_transition(row: Schedulable | ItemRow, wanted: Status) -> None:
    """Raise `InvalidTransition` unless the item's status may become that one."""
    if (row.status, wanted) not in TRANSITIONS:
        raise invalid_transition(row, wanted)


def invalid_transition(row: Schedulable | ItemRow, wanted: Status) -> InvalidTransition:
    """Return the refusal of a change of status."""
    return InvalidTransition(
        gettext("It is %(now)s and cannot become %(wanted)s.")
        % {"now": Status(row.status).label, "wanted": wanted.label}
    )


def require_publishable(row: Schedulable) -> None:
    """Raise `NotPublishable` where something is missing."""
    if problems := row.publish_problems():
        raise NotPublishable(problems)
