"""Markdown to HTML that is safe to show."""

from functools import lru_cache
from importlib.metadata import version
from typing import NamedTuple

from django.utils.html import linebreaks
from django.utils.safestring import SafeString, mark_safe

from content.markdown import bounds, cleaning
from content.markdown.bounds import BodyTooLarge
from content.markdown.parser import MAX_NESTING, make_parser

__all__ = ("MAX_CHARS", "RENDERER", "BodyTooLarge", "Rendering", "check", "render")

MAX_CHARS = bounds.MAX_CHARS

# Whatever changes the HTML of the same text changes this: the packages, or the first number, which
# stands for what is in here.
RENDERER = " ".join(["3", *map(version, ("markdown-it-py", "mdit-py-plugins", "nh3"))])

_parser = make_parser()


class Rendering(NamedTuple):
    """A text as HTML, and whether a reader sees anything in it."""

    html: SafeString
    is_visible: bool


def check(text: str) -> None:
    """
    Check that a text can be shown as it is meant.

    :raises BodyTooLarge:
    """
    _render(text)


def render(text: str) -> Rendering:
    """
    Return Markdown as HTML: CommonMark, and what most sites have besides.

    Authors may write any HTML, so whatever could run or mislead is removed. A text beyond the
    bounds, of an earlier version, is shown as it was typed.
    """
    try:
        return _render(text)
    except BodyTooLarge:
        html = linebreaks(text[:MAX_CHARS], autoescape=True)
        return _judge(mark_safe(html))  # noqa: S308 (it is escaped)  # nosec B308 B703


# A save checks, stores and judges the same text.
@lru_cache(maxsize=8)
def _render(text: str) -> Rendering:
    bounds.check_text(text)
    env: dict[str, object] = {}
    tokens = _parser.parse(text, env)
    bounds.check_tokens(tokens, MAX_NESTING)
    markup = _parser.renderer.render(tokens, _parser.options, env)
    bounds.check_html(markup)
    cleaned = cleaning.clean(markup)
    bounds.check_size(len(cleaned))
    return _judge(cleaned)


def _judge(html: SafeString) -> Rendering:
    return Rendering(html, cleaning.shows_something(html))
