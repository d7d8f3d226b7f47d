"""Values of front matter, and the limits of what is read from a file."""

import re
from typing import TypeAlias

from content.text import compose
from scheduling.errors import DomainError

MAX_BYTES = 5_000_000
MAX_FRONT_MATTER = 64_000  # characters; with more the parsers may run for minutes
# The limit of the parsed values: aliases in YAML can turn a few lines into gigabytes.
MAX_CHARACTERS = 1_000_000
# libyaml builds nested values by recursion in C, and crashes on very deep ones.
MAX_DEPTH = 50

MAX_TITLE = MAX_BYLINE = MAX_SLUG = 200
MAX_WORD = 100  # a category, tag or keyword
MAX_LANGUAGE = 16

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"


class PostError(DomainError):
    """The file cannot be imported."""

    code = "validation_error"


class NotAPost(PostError):
    """The file is no post."""


class Unquoted(str):
    """
    A YAML scalar without quotes, as written.

    `title: 1.10`, `slug: 007` and `tags: [no]` are strings because of their key; values of other
    keys get their type later, by `typed`.
    """

    __slots__ = ()


def clean(text: str) -> str:
    """Return composed text without escaped characters that PostgreSQL cannot store."""
    return compose(text.replace("\0", "").encode("utf-8", "ignore").decode())


_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{1,15}")


def typed(value: Value) -> Value:
    """Return the value as JSON has it."""
    match value:
        case dict():
            return {name: typed(part) for name, part in value.items()}
        case list():
            return [typed(part) for part in value]
        case Unquoted():
            text = str(value)
            if text in ("", "~", "null", "Null", "NULL"):
                return None
            if text.lower() in _FLAGS:
                return _FLAGS[text.lower()]
            if _INTEGER.fullmatch(text):
                return int(text)
            return float(text) if _FLOAT.fullmatch(text) else text
        case _:
            return value


def as_flag(value: Value) -> bool | None:
    """Return the boolean that a value means; None if it means neither."""
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def as_text(value: Value) -> str | None:
    """Return a scalar as written, or an empty string; None for a list or a map."""
    match value:
        case dict() | list():
            return None
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Unquoted() if typed(value) is None:
            return ""
        case _:
            return str(value).strip()


def one_line(text: str) -> str:
    """Return the text with single spaces."""
    return " ".join(text.split())
