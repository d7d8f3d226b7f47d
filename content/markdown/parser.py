"""The Markdown that posts are written in: CommonMark, and what its readers usually know besides."""

import re
import string
from collections.abc import Iterator
from urllib.parse import quote

from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin

from content.markdown.addresses import bare_addresses
from content.markdown.cjk import CjkFriendlyInline

# What is nested more deeply is not parsed.
MAX_NESTING = 20

# An id of the author's own, as Hugo, Jekyll and Zola have it: `## Setting up {#setup}`.
_own_id = re.compile(r"\{#([\w:.-]+)\}[ \t]*$")


# No host is as long.
LONG_ADDRESS = 2_000


class _Parser(MarkdownIt):
    def normalizeLink(self, url: str) -> str:
        """Return an address in ASCII; the package takes minutes to encode a long one."""
        if len(url) > LONG_ADDRESS:
            url = quote(url, safe=string.printable, errors="replace")
        return super().normalizeLink(url)


def make_parser() -> MarkdownIt:
    """Return the parser."""
    options = {"maxNesting": MAX_NESTING, "tasklists": True}
    parser = _Parser("commonmark")
    parser.inline = CjkFriendlyInline()
    parser.configure("commonmark", options).enable(["table", "strikethrough"])
    parser.use(footnote_plugin, inline=False).use(deflist_plugin).use(bare_addresses)
    parser.core.ruler.after("inline", "heading_ids", _set_heading_ids)
    return parser


def _set_heading_ids(state: StateCore) -> None:
    """
    Give each heading an id, made from its text as slugs are from titles.

    The plugin `anchors` compares each with all before it, which takes minutes for many.
    """
    taken: set[str] = set()
    times: dict[str, int] = {}
    for heading, inline in _headings(state.tokens):
        slug = _take_own_id(inline) or slugify(_text(inline), allow_unicode=True) or "section"
        name = slug
        while name in taken:
            times[slug] = times.get(slug, 0) + 1
            name = f"{slug}-{times[slug]}"
        taken.add(name)
        heading.attrSet("id", name)


def _headings(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    for n, token in enumerate(tokens):
        if token.type == "heading_open":
            yield token, tokens[n + 1]


def _text(inline: Token) -> str:
    texts = (each.content for each in inline.children or () if each.type in ("text", "code_inline"))
    return "".join(texts)


def _take_own_id(inline: Token) -> str:
    """Return the id at the end of a heading, and take it out of its text."""
    last = inline.children[-1] if inline.children else None
    found = _own_id.search(last.content) if last and last.type == "text" else None
    if last is None or found is None:
        return ""
    last.content = last.content[: found.start()].rstrip(" \t")
    return found.group(1)
