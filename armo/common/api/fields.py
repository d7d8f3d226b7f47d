"""
Fields that accept exactly what the OpenAPI document says.

The REST framework's own are lenient: they take 1 for "1", "yes" for true and a time without an
offset. A program that sends these has a fault, so the request is refused.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from armo.common.moments import MESSAGES, parse_bound, parse_moment

MAX_ID = 2**63 - 1

# Controls, format characters such as zero-width joiners, lone surrogates, white space.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
# What shows nothing although it counts as a letter, a mark or a symbol: the Hangul fillers, the
# Khmer inherent vowels, the joiner of graphemes, variation selectors, the blank Braille pattern.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def is_blank(text: str) -> bool:
    """Return whether nothing of a text can be seen."""
    return all(unicodedata.category(sign) in _UNSEEN for sign in _FILLERS.sub("", text))


def utc(at: datetime) -> str:
    """Return the time in UTC with microseconds, as `2025-09-23T10:30:00.123456Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentField(serializers.Field[datetime, str, str, datetime]):
    """A time with its offset, as RFC 3339 writes it; in answers UTC with microseconds."""

    default_error_messages = MESSAGES

    def __init__(self, *, is_bound: bool = False, **options: Any) -> None:
        """
        Accept a time.

        :param is_bound: it is only compared with other times, so one out of range becomes the
            earliest or the latest.
        """
        self.is_bound = is_bound
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> datetime:
        """Return the aware time, with its offset; a bound in UTC."""
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return parse_bound(data) if self.is_bound else parse_moment(data)
        except ValueError as error:
            self.fail(str(error))

    def to_representation(self, value: datetime) -> str:
        """Return the time in UTC."""
        return utc(value)


class TextField(serializers.CharField):
    """A string; numbers are not turned into one."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SlugField(serializers.SlugField):
    """The last part of a URL."""

    def to_internal_value(self, data: Any) -> str:
        """Return the slug."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ChoiceField(serializers.ChoiceField):
    """One of several strings."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the choice."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        # To JSON, 5.0 is a whole number too.
        is_whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if not is_whole or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(int(data))


class IdField(WholeNumberField):
    """The primary key of a row."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **options)


class ListField(serializers.ListField):
    """A list; its length is checked before its values."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the values."""
        if isinstance(data, list) and self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class YesNoField(serializers.BooleanField):
    """True or false."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictInput(serializers.Serializer[Any]):
    """A request's body; unknown fields are refused."""

    default_error_messages = {  # noqa: RUF012 (as the REST framework has it)
        "unknown": _("There is no such field."),
        "read_only": _("This field is read-only."),
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; refuse unknown and read-only fields."""
        if isinstance(data, Mapping):
            wrong = {
                str(name): [self._why_not(str(name))]
                for name in list(data)[:1000]
                if name not in self.fields or self.fields[name].read_only
            }
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)

    def _why_not(self, name: str) -> ErrorDetail:
        is_output = name in getattr(self, "READ_ONLY", ()) or name in self.fields
        code = "read_only" if is_output else "unknown"
        return ErrorDetail(str(self.error_messages[code]), code)
