"""
Times that programs and pages send: RFC 3339, section 5.6, and nothing else.

The engine, which runs without Armo, has the same function in `scheduling/models/times.py`.
"""

import re
from datetime import UTC, date, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# The first and the last year that Python has cannot be shown in every time zone.
EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)
LATEST = datetime(9990, 1, 1, tzinfo=UTC)

MESSAGES: dict[str, Any] = {
    "invalid": _("Not a time such as 2026-03-01T09:00:00+09:00."),
    "no_offset": _("It has no offset: write 2026-03-01T09:00:00+09:00, or Z for UTC."),
    "out_of_range": _("That year is out of range."),
}

# Not 24:00, which newer versions of Python read, and RFC 3339 does not have.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_LOCAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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


def parse_bound(text: str) -> datetime:
    """
    Return the time, in UTC, that others are compared with.

    One out of range is the earliest or the latest.

    :raises ValueError: its text is `invalid` or `no_offset`.
    """
    try:
        return parse_moment(text).astimezone(UTC)
    except ValueError as error:
        if str(error) != "out_of_range":
            raise
        return EARLIEST if text[:4] <= "1000" else LATEST


def parse_local(text: str) -> datetime | None:
    """Return the local time of a text, as a browser's input sends it; naive; None if it is none."""
    return _read(text, _LOCAL)


def parse_day(text: str) -> date | None:
    """Return the day of a text such as 2026-03-01; None if it is none."""
    found = _read(text, _DAY)
    return found and found.date()


def _read(text: str, form: re.Pattern[str]) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if form.fullmatch(text) else None
    except ValueError:
        return None


class MomentFormField(forms.Field):
    """A time with its offset, in a form that a page's script sends."""

    def to_python(self, value: Any) -> datetime | None:
        """Return the aware time, in UTC."""
        if value in self.empty_values:
            return None
        try:
            return self.parse(str(value))
        except ValueError as error:
            raise ValidationError(MESSAGES[str(error)], code=str(error)) from error

    def parse(self, text: str) -> datetime:
        """Return the time of a text, in UTC."""
        return parse_moment(text).astimezone(UTC)
