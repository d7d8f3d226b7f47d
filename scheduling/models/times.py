"""Times and durations as text."""

from datetime import UTC, datetime, timedelta

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


def utc(at: datetime, timespec: str = "microseconds") -> str:
    """Return the time in UTC, as `2025-09-23T10:30:00.123456Z`."""
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


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
