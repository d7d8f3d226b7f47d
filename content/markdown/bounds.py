"""
What a post may ask of the renderer.

Some short texts make gigabytes of HTML, or take minutes: a browser's rules open each unclosed
`<b>` again in every paragraph. Real posts are far from these bounds, and whatever is within them is
rendered in about a second, in less than 100 MB.
"""

import re
from collections import Counter
from typing import Any

from django.utils.translation import gettext_noop
from markdown_it.token import Token

from scheduling.errors import DomainError, Reason

# The length of a book of five hundred pages.
MAX_CHARS = 500_000
MAX_LINES = 20_000
MAX_WORK = 250_000
MAX_HTML_CHARS = 3_000_000
MAX_DEPTH = 2_000
MAX_REOPENED = 50_000
MAX_ATTRIBUTES = 500
# Of equal ones a browser opens no more again.
MOST_ALIKE = 3

# The signs at which the parser stops to look; those that cost most, and addresses, apart.
_stop = re.compile(r"[\\!#$%+\-:=>^{}w]")
_mark = re.compile(r"[*_~`\[\]<|&@]|://")
WORK_OF_A_MARK = 8
_tag = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)")
# Elements that a browser opens again in each block until they are closed.
_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr"}
    | {"s", "small", "strike", "strong", "tt", "u"}
)
# Elements without an end, and those that end where the next begins.
_ENDS_ITSELF = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr", "dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "rtc"}
    | {"tbody", "td", "tfoot", "th", "thead", "tr"}
)


class BodyTooLarge(DomainError):
    """The body is more than can be shown."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        """Return which field is wrong."""
        code = self.why.code if isinstance(self.why, Reason) else "invalid"
        return {"errors": [{"field": "body", "code": code, "detail": str(self)}]}


def check_text(text: str) -> None:
    """
    Check a text before it is parsed.

    :raises BodyTooLarge:
    """
    if len(text) > MAX_CHARS:
        why = gettext_noop("The body is longer than %(most)s characters.")
        raise BodyTooLarge(Reason("max_length", why, {"most": MAX_CHARS}))
    if text.count("\n") + text.count("\r") - text.count("\r\n") > MAX_LINES:
        raise BodyTooLarge(
            gettext_noop("The body has more than %(most)s lines."), {"most": MAX_LINES}
        )
    if len(_stop.findall(text)) + WORK_OF_A_MARK * len(_mark.findall(text)) > MAX_WORK:
        raise BodyTooLarge(gettext_noop("The body has too many marks such as * _ [ | < &."))


def check_tokens(tokens: list[Token], max_level: int) -> None:
    """
    Check what was parsed, before it becomes HTML.

    :param max_level: beyond it the parser leaves text out.
    :raises BodyTooLarge:
    """
    size = 0
    for token in tokens:
        if token.level >= max_level - 1:
            raise BodyTooLarge(gettext_noop("Quotes and lists of the body are nested too deeply."))
        for each in (token, *(token.children or ())):
            size += len(each.content) + sum(len(str(value)) for value in each.attrs.values())
    check_size(size)


def check_html(markup: str) -> None:
    """
    Check HTML before it is cleaned, by the rules by which a browser would read it.

    :raises BodyTooLarge:
    """
    check_size(len(markup))
    formatting: dict[str, list[str]] = {name: [] for name in _FORMATTING}
    times: Counter[str] = Counter()
    depths: Counter[str] = Counter()
    depth = pending = reopened = 0
    for tag in _tag.finditer(markup):
        is_end, name = bool(tag.group(1)), tag.group(2).lower()
        whole = tag.group()
        if len(whole) > MAX_ATTRIBUTES and len(whole.split()) > MAX_ATTRIBUTES:
            why = gettext_noop("An element of the body has more than %(most)s attributes.")
            raise BodyTooLarge(why, {"most": MAX_ATTRIBUTES})
        if name in _FORMATTING:
            opened = formatting[name]
            # A link, or a `nobr`, ends the one before.
            if opened and (is_end or name in ("a", "nobr")):
                times[ended := opened.pop()] -= 1
                pending -= times[ended] < MOST_ALIKE
            if not is_end:
                opened.append(whole)
                pending += times[whole] < MOST_ALIKE
                times[whole] += 1
        else:
            reopened += pending
        if is_end and depths[name]:
            depths[name] -= 1
            depth -= 1
        elif not is_end and name not in _ENDS_ITSELF:
            depths[name] += 1
            depth += 1
        if depth > MAX_DEPTH or reopened > MAX_REOPENED:
            raise BodyTooLarge(gettext_noop("Too many elements of the body are open at once."))


def check_size(chars: int) -> None:
    """
    Check how long the HTML is.

    :raises BodyTooLarge:
    """
    if chars > MAX_HTML_CHARS:
        why = gettext_noop("As HTML the body would be longer than %(most)s characters.")
        raise BodyTooLarge(why, {"most": MAX_HTML_CHARS})
