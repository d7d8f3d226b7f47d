"""Dates as people write them in front matter."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from django.utils.translation import gettext as _

from content.frontmatter.reasons import reason
from content.frontmatter.values import PostError
from scheduling.errors import Reason

_TIME = r"""
    (?: (?: [T,\s]\s* | \s+at\s+ )
        (?P<hour>\d{1,2}) : (?P<minute>\d{2})
        (?: : (?P<second>\d{2}) (?: [.,](?P<fraction>\d+) )? )?
        \s* (?P<half>[ap]m)?
    )?
    \s* (?P<zone> Z | UTC | GMT | [+-]\d{1,2}(?: :?\d{2} )? (?: \s+[A-Z]{3,5} )? )?
"""
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_WEEKDAY = r"(?: (?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+ )?"
_DATES = [
    re.compile(day + _TIME, re.ASCII | re.IGNORECASE | re.VERBOSE)
    for day in (
        r"(?P<year>\d{4}) (?P<sign>[-/.]) (?P<month>\d{1,2}) (?P=sign) (?P<day>\d{1,2})",
        rf"{_WEEKDAY} (?P<day>\d{{1,2}}) [-\s]+ {_MONTH} [-\s]+ (?P<year>\d{{4}})",
        rf"{_WEEKDAY} {_MONTH} \s+ (?P<day>\d{{1,2}}) (?:st|nd|rd|th)? ,?\s+ (?P<year>\d{{4}})",
    )
]


def read_moment(text: str, *, zone: tzinfo, notes: list[Reason]) -> datetime | None:
    """
    Return the time that a date means, in UTC; None for an empty text.

    A date alone means its first moment. A local time that the clocks skip is moved forward; of one
    that they show twice the first is taken.
    """
    if not text:
        return None
    # No date is longer, and the patterns are slow on thousands of spaces.
    candidates = (pattern.fullmatch(text) for pattern in _DATES if len(text) <= 80)
    found = next(filter(None, candidates), None)
    if found is None:
        raise PostError(reason("date_unclear", text=text[:80]))
    try:
        at = _build(found)
        if at.tzinfo is None:
            return _localise(at, zone=zone, notes=notes)
        return _in_reach(at.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise PostError(reason("date_impossible", text=text, reason=error)) from error


def _build(found: re.Match[str]) -> datetime:
    """
    Return the parts as a datetime, naive without an offset.

    :raises ValueError: there is no such day or time.
    """
    parts = found.groupdict()
    month = parts["month"].lower()
    hour = int(parts["hour"] or 0)
    if half := parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(_("not an hour of a 12-hour clock"))
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    return datetime(
        int(parts["year"]),
        _MONTHS.index(month) + 1 if month in _MONTHS else int(month),
        int(parts["day"]),
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        int((parts["fraction"] or "")[:6].ljust(6, "0")),
        tzinfo=_offset(parts["zone"] or ""),
    )


def _offset(text: str) -> tzinfo | None:
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text.split()[0][1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if text[0] == "-" else offset)


def _localise(naive: datetime, *, zone: tzinfo, notes: list[Reason]) -> datetime:
    local = naive.replace(tzinfo=zone)
    at = _in_reach(local.astimezone(UTC))
    shown = at.astimezone(zone)
    values = {"time": naive.isoformat(" "), "zone": zone, "shown": shown.isoformat(" ")}
    if shown.replace(tzinfo=None) != naive:
        notes.append(reason("time_skipped", **values))
    elif local.utcoffset() != local.replace(fold=1).utcoffset():
        notes.append(reason("time_repeated", **values))
    return at


def _in_reach(at: datetime) -> datetime:
    """Return the time unless it would be out of range in another zone."""
    if not 1 < at.year < 9999:
        raise OverflowError(_("too far away"))
    return at
