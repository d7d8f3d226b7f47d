"""Times and durations as text."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

UNITS = (
    (86400, gettext_noop("%(number)d d")),
    (3600, gettext_noop("%(number)d h")),
    (60, gettext_noop("%(number)d min")),
    (1, gettext_noop("%(number)d s")),
)


# For programs and logs


# Not 24:00, which newer versions of Python read, and RFC 3339 does not have.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)


def parse_moment(text: str) -> datetime:
    """
    Return the time of an RFC 3339 text, with the offset that it is written with.

    Digits beyond microseconds are cut off. A leap second is refused: no time after it is counted
    that way. A query needs it in UTC: PostgreSQL takes no offset of 16 hours or more.

    :raises ValueError: its text is `invalid`, `no_offset` or `out_of_range`.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError("invalid")
    try:
        # Python has no year 0; the calendar of 2000 is the same.
        at = datetime.fromisoformat(re.sub("^0000", "2000", text).upper())
    except ValueError:
        raise ValueError("invalid") from None
    if found[1] is None:
        raise ValueError("no_offset")
    # A year from both ends, so that no offset leads out of range.
    if not "1000" < text[:4] < "9990":
        raise ValueError("out_of_range")
    return at


def utc(at: datetime, timespec: str = "microseconds") -> str:
    """Return the time in UTC, as `2025-09-23T10:30:00.123456Z`."""
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


# In a time zone


class LocalTime(NamedTuple):
    """What the clocks of a time zone were to show at a moment, by the rules of that day."""

    zone: str
    local: datetime  # naive
    at: datetime

    @classmethod
    def read(cls, text: str) -> "LocalTime":
        """Return what `in_zone` wrote."""
        written, _bracket, zone = text.removesuffix("]").partition("[")
        at = datetime.fromisoformat(written)
        return cls(zone, at.replace(tzinfo=None), at.astimezone(UTC))

    def has_shifted(self) -> bool:
        """Return whether the clocks of the zone show another time then, by the present rules."""
        zone = find_zone(self.zone)
        return zone is None or self.at.astimezone(zone).replace(tzinfo=None, fold=0) != self.local

    def meanings(self) -> list[datetime]:
        """
        Return when the clocks of the zone show it by the present rules, in UTC.

        None if they skip it, or there is no such zone any more; two if they show it twice.
        """
        zone = find_zone(self.zone)
        if zone is None:
            return []
        both = {self.local.replace(tzinfo=zone, fold=it).astimezone(UTC) for it in (0, 1)}
        return sorted(
            at for at in both if at.astimezone(zone).replace(tzinfo=None, fold=0) == self.local
        )


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of that name; None if there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def in_zone(at: datetime, zone: ZoneInfo | None) -> str:
    """
    Return a time as RFC 9557 writes it, `2026-03-01T09:00:00+09:00[Asia/Seoul]`.

    :param zone: None for an instant, which has no local time: then it is empty.
    """
    return f"{at.astimezone(zone).isoformat()}[{zone.key}]" if zone else ""


# For people, in the active language


def duration(length: timedelta) -> str:
    """Return a duration in its two largest units, as `3 h 12 min`."""
    left = max(round(length.total_seconds()), 0)
    parts: list[str] = []
    for seconds, unit in UNITS:
        number, left = divmod(left, seconds)
        if number or (seconds == 1 and not parts):
            parts.append(_(unit) % {"number": number})
        elif parts:
            break  # `2 d 4 s` would look as if it were exact
    return " ".join(parts[:2])


def distance(at: datetime, now: datetime) -> str:
    """Return how far a time is in the future or past, as `in 5 min`."""
    if at > now:
        return _("in %(time)s") % {"time": duration(at - now)}
    return _("%(time)s ago") % {"time": duration(now - at)}


def measured(milliseconds: float) -> str:
    """Return a measured duration in one unit, as `8.4 ms`."""
    if milliseconds < 1000:
        number = formatted(milliseconds, 0 if milliseconds >= 10 else 1)
        return _("%(number)s ms") % {"number": number}
    seconds = milliseconds / 1000
    if seconds < 120:
        return _("%(number)s s") % {"number": formatted(seconds, 1)}
    if seconds < 7200:
        return _("%(number)s min") % {"number": formatted(seconds / 60)}
    return _("%(number)s h") % {"number": formatted(seconds / 3600)}


def formatted(number: float, decimals: int = 0) -> str:
    """Return a number with its thousands grouped."""
    return number_format(number, decimals, use_l10n=True, force_grouping=True)
