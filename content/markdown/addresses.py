"""
Bare addresses, which become links: `https://example.org/a`, `www.example.org`, `me@example.org`.

markdown-it's own rule takes the Korean particle behind an address for its end, and needs minutes
for some long texts. Here an address has at most `MAX_CHARS`, and each is looked at once.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

MAX_CHARS = 1_000

# No white space, no quotation mark, no bracket but round ones, nothing that ends a sentence in
# Chinese or Japanese.
_CHAR = (
    r"[^\s<>\"`\\^{}|\x00-\x1f\u2018-\u201f\u2026\u3001\u3002\u3008-\u3011\u3014\u3015"
    r"\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f]"
)
_rest = re.compile(rf"{_CHAR}{{1,{MAX_CHARS}}}")
# After an ASCII top-level domain, a letter of another script is text.
_host = re.compile(
    r"(?:[^\W_](?:[\w-]*[^\W_])?\.)*(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?|[^\W_]+)(?::\d+)?"
)
_scheme = re.compile(r"(?:^|[^a-zA-Z0-9+.-])(https?)$", re.IGNORECASE)

# What Korean and Japanese write behind an address without a space. Behind letters of their own
# script it belongs to the address (`/wiki/가을`), and so does what may be a page's whole name.
_PARTICLES = (
    "을|를|은|는|이나|이랑|이란|이라|이라고|이라는|라고|라는|으로|에서|에게|에는|에도|에서는|에서도|으로는|로는"
    "|까지|부터|보다|처럼|마다|입니다|이다|이며|이고|이에요|예요|이었다|였다"
)
_not_a_name = r"(?:(?<=[!-.0-~])|(?<=^/))"
_particle = re.compile(
    rf"(?:(?<=[!-~])(?:{_PARTICLES})|{_not_a_name}[이가의에로와과도만나랑요인란])[.,!?)'*_~:;]*$"
    rf"|{_not_a_name}[ぁ-ゖ].*",
    re.DOTALL,
)
# What ends a sentence, or a word in bold.
_END = "?!.,:;*_~'[]"
_joined = re.compile(r"[a-zA-Z0-9/.@_-]$")
_local = re.compile(r"(?:^|[^a-zA-Z0-9._+-])([a-zA-Z0-9][a-zA-Z0-9._+-]{0,63})$")
_domain = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.){1,9}[a-zA-Z]{2,63}(?![a-zA-Z0-9-])"
)


def _cut(rest: str) -> str:
    """Return the part of `example.org/a를` that is an address; empty if there is none."""
    host = _host.match(rest)
    if host is None:
        return ""
    if host.end() < len(rest) and rest[host.end()] not in "/?#":
        rest = host.group()
    path = _particle.sub("", rest[host.end() :]).rstrip(_END)
    while path.endswith(")") and path.count(")") > path.count("("):
        path = path[:-1].rstrip(_END)
    return host.group() + path


def _push(state: StateInline, *, back: int, text: str, url: str) -> bool:
    """Write a link that begins that many characters before the position."""
    href = state.md.normalizeLink(url)
    if not state.md.validateLink(href):
        return False
    if back:
        state.pending = state.pending[:-back]
    token = state.push("link_open", "a", 1)
    token.attrs = {"href": href}
    token.markup, token.info = "linkify", "auto"
    state.push("text", "", 0).content = text
    token = state.push("link_close", "a", -1)
    token.markup, token.info = "linkify", "auto"
    state.pos += len(text) - back
    return True


def _rule(state: StateInline, silent: bool) -> bool:
    char = state.src[state.pos]
    # In what becomes the label of a link there are no links.
    if char not in ":w@" or silent or state.linkLevel > 0:
        return False
    before = state.src[max(0, state.pos - 65) : state.pos]
    if char == ":" and state.src.startswith("://", state.pos):
        return _link(state, before)
    if char == "w" and state.src.startswith("www.", state.pos):
        return not _joined.search(before) and _www(state)
    return char == "@" and _mail(state, before)


def _link(state: StateInline, before: str) -> bool:
    scheme, rest = _scheme.search(before), _rest.match(state.src, state.pos + 3, state.posMax)
    if scheme is None or rest is None or not state.pending.endswith(scheme.group(1)):
        return False
    address = _cut(rest.group())
    if not address:
        return False
    url = f"{scheme.group(1)}://{address}"
    return _push(state, back=len(scheme.group(1)), text=url, url=url)


def _www(state: StateInline) -> bool:
    rest = _rest.match(state.src, state.pos, state.posMax)
    address = _cut(rest.group()) if rest else ""
    return address.count(".") > 1 and _push(state, back=0, text=address, url=f"http://{address}")


def _mail(state: StateInline, before: str) -> bool:
    local, domain = _local.search(before), _domain.match(state.src, state.pos + 1, state.posMax)
    if local is None or domain is None or not state.pending.endswith(local.group(1)):
        return False
    address = f"{local.group(1)}@{domain.group()}"
    return _push(state, back=len(local.group(1)), text=address, url=f"mailto:{address}")


def bare_addresses(md: MarkdownIt) -> None:
    """Have the parser make links of bare addresses."""
    md.inline.add_terminator_char("w")
    md.inline.ruler.after("text", "bare_addresses", _rule)
