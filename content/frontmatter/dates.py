"""
Dates as people write them in front matter.

The forms are those that Ruby's `Time.parse` (Jekyll), `spf13/cast` (Hugo), RFC 3339 and TOML (Zola)
and JavaScript's `Date` (Astro) take, as far as each has one meaning. docs/importing.md lists them.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from content.frontmatter.reasons import reason
from content.frontmatter.values import PostError
from scheduling.errors import Reason
from scheduling.models.times import find_zone

# Hours of the abbreviations that Ruby knows, and of two that are used for one zone alone.
_ZONES = {
    "Z": 0, "UTC": 0, "UT": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7,
    "MDT": -6, "PST": -8, "PDT": -7, "KST": 9, "JST": 9,
}  # fmt: skip
# As JavaScript and Go write it, the name of the zone may follow the offset.
_OFFSET = r"""
    (?: (?:UTC|GMT)? \s* (?P<offset> [+-] \s* \d{1,2} (?: :?\d{2} )? )
        (?: \s+ [A-Z]{2,5} | \s* \([^()]{1,60}\) )?
    |   (?P<zone> Z | (?-i: [A-Z]{2,5} | [A-Z][A-Za-z]+(?:/[A-Za-z0-9_+-]+){1,2} ) )
    )
"""
_CLOCK = r"""
    (?P<before> 오전|오후|午前|午後 )? \s*
    (?P<hour>\d{1,2}) \s*[:시時]\s* (?P<minute>\d{1,2}) [분分]?
    (?: \s*:?\s* (?P<second>\d{1,2}) 초?秒? (?: [.,](?P<fraction>\d+) )? )?
    \s* (?P<after> [ap]\.?m\.? )?
"""
_TIME = rf"(?: (?: \s*[T,]\s* | \s+at\s+ | \s+ ) {_CLOCK} )? \s* {_OFFSET}?"
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_WEEKDAY = r"(?: (?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+ )?"
_DATES = [
    re.compile(form, re.ASCII | re.IGNORECASE | re.VERBOSE)
    for form in (
        r"(?P<year>\d{4}) (?P<sign>[-/.]) \s* (?P<month>\d{1,2}) (?P=sign) \s* (?P<day>\d{1,2})"
        rf" \.? {_TIME}",
        rf"(?P<year>\d{{4}}) [년年] \s* (?P<month>\d{{1,2}}) [월月] \s* (?P<day>\d{{1,2}}) [일日]"
        rf" (?: \s* {_CLOCK} )? \s* {_OFFSET}?",
        r"(?P<year>\d{4}) (?P<month>\d{2}) (?P<day>\d{2})"
        rf" (?: T? (?P<hour>\d{{2}}) (?P<minute>\d{{2}}) (?P<second>\d{{2}}) {_OFFSET}? )?",
        rf"{_WEEKDAY} (?P<day>\d{{1,2}}) (?:st|nd|rd|th)? [-\s]+ {_MONTH} [-,\s]+"
        rf" (?P<year>\d{{4}}|\d{{2}}) {_TIME}",
        rf"{_WEEKDAY} {_MONTH} \s+ (?P<day>\d{{1,2}}) (?:st|nd|rd|th)? ,?\s+ (?P<year>\d{{4}})"
        rf" {_TIME}",
        rf"{_WEEKDAY} {_MONTH} \s+ (?P<day>\d{{1,2}}) \s+ {_CLOCK} \s* {_OFFSET}?"
        r" \s+ (?P<year>\d{4})",
    )
]
# 9/23/2025, 23.9.2025: which is the month shows only if the other is above twelve.
_BARE = re.compile(
    r"(?P<first>\d{1,2}) (?P<sign>[-/.]) (?P<second_>\d{1,2}) (?P=sign) (?P<year>\d{4})" + _TIME,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_SECONDS = re.compile(r"[0-9]{9,10}")
_MILLISECONDS = re.compile(r"[0-9]{12,13}")


class Moment(NamedTuple):
    """
    A time that a file has.

    :param at: in UTC.
    :param is_local: it has no offset: the zone of the site was taken.
    :param zone: the name of the time zone in which it is written; empty for an offset.
    """

    at: datetime
    is_local: bool = False
    zone: str = ""


class AmbiguousDate(PostError):
    """The date could be two."""


def read_moment(text: str, *, zone: tzinfo, notes: list[Reason]) -> Moment | None:
    """
    Return the time that a date means; None for an empty text.

    A date alone means its first moment. A local time that the clocks skip is moved forward; of one
    that they show twice the first is taken.

    :param zone: of times without an offset.
    :raises AmbiguousDate: the day could be the month, too.
    :raises PostError: it is not a date.
    """
    if not text:
        return None
    # No date is longer, and the patterns are slow on thousands of spaces. Japanese and Korean
    # keyboards type full-width digits.
    shown = unicodedata.normalize("NFKC", text.strip()) if len(text) <= 100 else ""
    try:
        if _SECONDS.fullmatch(shown):
            return Moment(datetime.fromtimestamp(int(shown), UTC))
        if _MILLISECONDS.fullmatch(shown):
            return Moment(datetime.fromtimestamp(int(shown) / 1000, UTC))
        found = next(filter(None, (pattern.fullmatch(shown) for pattern in _DATES)), None)
        parts = found.groupdict() if found else _order(shown)
        if parts is None:
            raise PostError(reason("date_unclear", text=text[:80]))
        at = _build(parts, offset=_find_offset(parts, notes=notes))
        if at.tzinfo is None:
            return Moment(_localise(at, zone=zone, notes=notes), True, _name(zone))
        return Moment(_in_reach(at.astimezone(UTC)), zone=_name(at.tzinfo))
    except (ValueError, OverflowError) as error:
        raise PostError(reason("date_impossible", text=text, reason=error)) from error


def _name(zone: tzinfo) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else ""


def _order(text: str) -> dict[str, str | None] | None:
    """Return the parts of a date in digits whose year comes last."""
    found = _BARE.fullmatch(text)
    if found is None:
        return None
    parts = found.groupdict()
    first, second = int(parts["first"]), int(parts["second_"])
    if first <= 12 and second <= 12 and first != second:
        raise AmbiguousDate(reason("date_ambiguous", text=text))
    day, month = (first, second) if first > 12 else (second, first)
    return {**parts, "day": str(day), "month": str(month)}


def _build(parts: dict[str, str | None], *, offset: tzinfo | None) -> datetime:
    """
    Return the parts as a datetime, naive without an offset.

    :raises ValueError: there is no such day or time.
    """
    month = (parts["month"] or "").lower()
    hour = _hour(parts)
    minute, second = int(parts.get("minute") or 0), int(parts.get("second") or 0)
    # ISO 8601's end of a day, and a leap second: the next moment.
    later = timedelta()
    if (hour, minute, second) == (24, 0, 0):
        hour, later = 0, timedelta(days=1)
    if second == 60:
        second, later = 59, later + timedelta(seconds=1)
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        year += 1900 if year >= 69 else 2000
    at = datetime(
        year,
        _MONTHS.index(month) + 1 if month in _MONTHS else int(month),
        int(parts["day"] or 0),
        hour,
        minute,
        second,
        int((parts.get("fraction") or "")[:6].ljust(6, "0")),
        tzinfo=offset,
    )
    return at + later


def _hour(parts: dict[str, str | None]) -> int:
    hour = int(parts.get("hour") or 0)
    half = (parts.get("after") or parts.get("before") or "").lower()
    if not half:
        return hour
    # Ruby and Go take 0 for 12, too.
    if hour > 12:
        raise ValueError(_("not an hour of a 12-hour clock"))
    return hour % 12 + (12 if half[0] == "p" or half in ("오후", "午後") else 0)


def _find_offset(parts: dict[str, str | None], *, notes: list[Reason]) -> tzinfo | None:
    """
    Return the offset of a time; None if it has none.

    :raises ValueError: there is no such offset.
    """
    if text := parts.get("offset"):
        digits = re.sub(r"[\s:+-]", "", text)
        hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError(_("not an offset"))
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if text[0] == "-" else offset)
    name = parts.get("zone")
    if not name:
        return None
    if name.upper() in _ZONES:
        return timezone(timedelta(hours=_ZONES[name.upper()]))
    if "/" in name:
        if zone := find_zone(name):
            return zone
        raise ValueError(_("no such time zone"))
    if not parts.get("hour"):
        raise ValueError(_("no such time zone"))
    notes.append(reason("zone_unknown", zone=name))
    return None


def _localise(naive: datetime, *, zone: tzinfo, notes: list[Reason]) -> datetime:
    local = naive.replace(tzinfo=zone)
    at = _in_reach(local.astimezone(UTC))
    shown = at.astimezone(zone)
    values = {"time": naive.isoformat(" "), "zone": str(zone), "shown": shown.isoformat(" ")}
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
