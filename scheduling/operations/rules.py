"""What operations refuse, and the checks that refuse it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timezone
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.translation import gettext_noop

from scheduling.errors import DomainError, ProblemsError
from scheduling.models import Schedulable, Status
from scheduling.models.times import find_zone
from scheduling.models.transitions import InvalidParams, InvalidTransition

Time = TypeVar("Time")

# Who asked for a change; None is the publisher itself, or a command.
Actor = AbstractBaseUser | None


class NotInFuture(DomainError):
    """That time has already passed."""

    code = "not_in_future"


class UnknownZone(DomainError):
    """There is no such time zone."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        """Return which field is wrong."""
        return _wrong_zone("unknown_time_zone", self)


class OffsetNotOfZone(DomainError):
    """The time has an offset that its time zone does not have then."""

    code = "validation_error"

    def __init__(self, zone: ZoneInfo, at: datetime) -> None:
        offsets = {"given": at.isoformat()[-6:], "offset": at.astimezone(zone).isoformat()[-6:]}
        super().__init__(
            gettext_noop(
                "At that moment the clocks of %(zone)s have the offset %(offset)s, not %(given)s. "
                "Write it with the offset of the zone, or in UTC with Z."
            ),
            {"zone": zone.key, **offsets},
        )

    def facts(self) -> dict[str, Any]:
        """Return which field is wrong."""
        return _wrong_zone("offset_not_of_zone", self)


def _wrong_zone(code: str, error: DomainError) -> dict[str, Any]:
    return {"errors": [{"field": "zone", "code": code, "detail": str(error)}]}


class SomeRefused(ProblemsError):
    """Some of the items cannot be scheduled, so none was."""

    code = "invalid_transition"

    def __init__(self, refusals: Mapping[Schedulable, DomainError]) -> None:
        # By item, for entry points that list them.
        self.refusals = dict(refusals)
        codes = {refusal.code for refusal in self.refusals.values()}
        if len(codes) == 1:
            self.code = codes.pop()
        super().__init__(
            f"{item} ({item.label}): {refusal}" for item, refusal in self.refusals.items()
        )

    def facts(self) -> dict[str, Any]:
        """Return why each item was refused."""
        return {
            "refusals": [
                {"id": item.pk, "code": refusal.code, "detail": str(refusal), **refusal.facts()}
                for item, refusal in self.refusals.items()
            ]
        }


class JobNotFound(DomainError):
    """There is no such job."""

    code = "not_found"


class ItemHasMovedOn(InvalidTransition):
    """Since the job failed, its item has moved on."""


def kept_end(row: "Schedulable | ItemRow") -> datetime | None:
    """Return the end that an item keeps when it is given another start."""
    # The end of what was live before is that of the last time.
    return None if row.status == Status.UNPUBLISHED else row.unpublish_at


def require_future(run_at: datetime, now: datetime) -> None:
    """Raise `NotInFuture` unless a time lies after the database's clock."""
    if run_at <= now:
        raise NotInFuture


def require_zone(name: str, *times: object) -> ZoneInfo | None:
    """
    Return the time zone of that name; None for no name.

    :param times: that were chosen in it; what is no time is passed over. One in UTC is an instant,
        whatever the zone; any other offset must be the one that the zone has then.
    :raises UnknownZone:
    :raises OffsetNotOfZone:
    """
    zone = find_zone(name)
    if name and zone is None:
        raise UnknownZone
    for at in times:
        # What has a zone of its own is not written with an offset.
        if zone and isinstance(at, datetime) and isinstance(at.tzinfo, timezone):
            offset = at.utcoffset()
            if offset and offset != at.astimezone(zone).utcoffset():
                raise OffsetNotOfZone(zone, at)
    return zone


def in_utc(at: Time) -> Time:
    """
    Return a time in UTC, because PostgreSQL takes no offset of 16 hours; anything else as it is.

    :raises TypeError: it has no offset, and is nobody's to guess.
    """
    if not isinstance(at, datetime):
        return at
    if at.utcoffset() is None:
        raise TypeError("A time needs an offset.")
    return at.astimezone(UTC)


def require_storable(params: object) -> None:
    """Raise `InvalidParams` unless parameters are a JSON object that PostgreSQL can store."""
    try:
        text = json.dumps(params, ensure_ascii=False, allow_nan=False)
        text.encode()  # lone surrogates cannot
        is_kept = isinstance(params, dict) and json.loads(text) == params and not _has_nul(params)
    except (TypeError, ValueError, RecursionError):
        is_kept = False
    if not is_kept:
        raise InvalidParams(
            gettext_noop(
                "The parameters are not a JSON object, or have characters that no text may have."
            )
        )


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, [*value, *value.values()]))
    return any(map(_has_nul, value)) if isinstance(value, list) else "\0" in str(value)


class ItemRow(NamedTuple):
    """What `schedule_many` needs of an item; a model instance takes ten times as long to make."""

    status: str
    publish_at: datetime | None
    unpublish_at: datetime | None
    published_at: datetime | None
    version: int


def nothing_scheduled() -> InvalidTransition:
    """Return the refusal to cancel when nothing is scheduled."""
    return InvalidTransition(gettext_noop("Nothing is scheduled."))
