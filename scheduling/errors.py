"""
Refusals, and the reasons that people read.

A reason is kept as code, English text and parameters, and becomes a sentence when it is read, by
people with another language and another time zone than whoever caused it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop


def _local_time(value: str) -> str:
    return timezone.localtime(datetime.fromisoformat(value)).strftime("%Y-%m-%d %H:%M:%S %Z")


def _text(english: str) -> str:
    # Of an empty text a catalogue returns its header.
    return gettext(english) if english else ""


# How a parameter is shown to the reader, by the key of `{"time": "2026-03-01T00:00:00+00:00"}`. The
# models add `status`, `state` and `kind`.
SHOWN: dict[str, Callable[[Any], str]] = {"time": _local_time, "text": _text}


@dataclass(frozen=True)
class Reason:
    """
    A sentence that says why, in the language and the time zone of whoever reads it.

    :param code: for programs; it never changes once published.
    :param text: English, marked with `gettext_noop`; with places, such as `%(status)s`, if it has
        parameters.
    :param params: JSON. What depends on the reader has its type with it: `{"status": "draft"}`. A
        datetime becomes a `time`, a lazy text a `text`.
    """

    code: str
    text: str = field(compare=False)
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make it storable: a lazy text becomes the English one."""
        if isinstance(self.text, Promise):
            object.__setattr__(self, "text", _english(self.text))
        params = {name: _storable(value) for name, value in self.params.items()}
        object.__setattr__(self, "params", params)

    def __hash__(self) -> int:
        return hash((self.code, json.dumps(self.params, sort_keys=True)))

    def __str__(self) -> str:
        """Return the sentence in the active language."""
        text = _text(self.text)
        if not self.params:
            return text
        return text % {name: _shown(value) for name, value in self.params.items()}

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"code": self.code, "text": self.text, "params": dict(self.params)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the reason that was stored."""
        return cls(stored["code"], stored["text"], stored["params"])


# What says why: a reason, or a plain text, which is shown as it is: what people wrote, and the
# sentences of types that return no reasons.
Why = Reason | str


def _english(text: Promise) -> str:
    with translation.override(None):
        return str(text)


def _storable(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = timezone.make_aware(value) if timezone.is_naive(value) else value
        return {"time": aware.astimezone(UTC).isoformat()}
    if isinstance(value, Promise):
        return {"text": _english(value)}
    return value if isinstance(value, str | int | float | Mapping | None) else str(value)


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping) and len(value) == 1:
        [(name, inner)] = value.items()
        # As it is if what has registered the type is not installed any more.
        return SHOWN.get(name, str)(inner)
    return value


def in_english(*reasons: Why) -> str:
    """Return reasons in English and UTC, for logs, and for rows that have them as JSON too."""
    if all(isinstance(it, str) for it in reasons):
        return " ".join(map(str, reasons))
    with translation.override(None), timezone.override(UTC):
        return " ".join(map(str, reasons))


def as_json(*reasons: Why) -> list[Any] | None:
    """Return reasons as JSON; None if they are only plain texts."""
    if all(isinstance(it, str) for it in reasons):
        return None
    return [it.as_json() if isinstance(it, Reason) else it for it in reasons]


def reasons_of(error: BaseException) -> list[Why]:
    """Return what an error says; any exception may have a reason as its only argument."""
    text = str(error)
    reasons: list[Why] = error.reasons() if isinstance(error, DomainError) else list(error.args)
    # A site's own error may override `__str__`.
    if all(isinstance(it, Reason | str) for it in reasons) and " ".join(map(str, reasons)) == text:
        return reasons
    return [text]


def spoken(text: str, stored: Sequence[Any] | None = None) -> str:
    """
    Return stored reasons in the active language.

    :param text: them in English, or what people wrote.
    :param stored: what `as_json` returned; None of rows that have only the text.
    """
    if stored is None:
        return _translated(text)
    with suppress(KeyError, TypeError, ValueError):
        return " ".join(it if isinstance(it, str) else str(Reason.from_json(it)) for it in stored)
    return text


# What rows have only as text: jobs, and the events of earlier versions.
ONLY_TEXT = (
    gettext_noop("demo"),
    gettext_noop("imported from %(file)s"),
    gettext_noop("It is %(status)s by now."),
    gettext_noop("It was handed out %(times)s times and never came to an end."),
    gettext_noop("It took longer than %(seconds)s s."),
    gettext_noop("It took longer than %(seconds)s s and ignored the time-out."),
    gettext_noop("Its process was ended by %(signal)s."),
    gettext_noop("Its process ended itself with exit code %(exit_code)s."),
)


def _translated(text: str) -> str:
    """Return the engine's own sentences in the active language, and any other text as it is."""
    whole = _sentence(text)
    if whole is not None:
        return whole
    parts = re.split(r"(?<=[.!?]) ", text)
    found = [_sentence(part) for part in parts]
    return " ".join(new or old for old, new in zip(parts, found, strict=True))


def _sentence(text: str) -> str | None:
    # Not single words, which people write too.
    if text.endswith(".") and " " in text and (known := gettext(text)) != text:
        return known
    for pattern in ONLY_TEXT:
        parts = re.split(r"%\((\w+)\)s", pattern)
        regex = "".join(f"(?P<{it}>.+)" if n % 2 else re.escape(it) for n, it in enumerate(parts))
        if found := re.fullmatch(regex, text):
            params = found.groupdict()
            if "status" in params:
                # The built-in statuses are called in English as they are stored.
                params["status"] = SHOWN["status"](params["status"])
            return gettext(pattern) % params
    return None


class DomainError(Exception):
    """The request cannot be done."""

    # The first line of a subclass's docstring is its message, and is translated. `code` is for
    # programs, and never changes once published.
    code = "domain_error"

    def __init__(self, why: Why = "", params: Mapping[str, Any] | None = None) -> None:
        """
        Say why, if the docstring does not say enough.

        :param why: English, marked with `gettext_noop`, with places for the parameters; or a reason
            with a code of its own.
        """
        super().__init__(why)
        self.why = why
        self.params = params or {}

    def __str__(self) -> str:
        """Return the message in the active language."""
        return " ".join(map(str, self.reasons()))

    def reasons(self) -> list[Why]:
        """Return what the message consists of."""
        if isinstance(self.why, Reason):
            return [self.why]
        return [Reason(self.code, self.why or self.first_line(), self.params)]

    def facts(self) -> dict[str, Any]:
        """Return further facts for programs, besides the code and the text."""
        return {}

    @classmethod
    def first_line(cls) -> str:
        """Return the docstring's message in English."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def default_message(cls) -> str:
        """Return the docstring's message in the active language."""
        return gettext(cls.first_line())


class ProblemsError(DomainError):
    """There are problems."""

    def __init__(self, problems: Iterable[Why]) -> None:
        self.problems = list(problems)
        super().__init__()

    def reasons(self) -> list[Why]:
        """Return the message, and the problems."""
        return [*super().reasons(), *self.problems]

    def facts(self) -> dict[str, Any]:
        """Return the problems."""
        return {"problems": [str(problem) for problem in self.problems]}
