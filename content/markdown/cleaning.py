"""What of a post's HTML is shown: nothing that could run, mislead, or hide."""

import html
import re
from functools import partial

import nh3
from django.utils.safestring import SafeString, mark_safe

from scheduling.models import VISIBLE

# Classes that the parser and its plugins write, by element; a fence names its language.
_CLASSES = {
    "code": re.compile(r"language-[\w+#.-]{1,40}"),
    "sup": re.compile("footnote-ref"),
    "hr": re.compile("footnotes-sep"),
    "section": re.compile("footnotes"),
    "ol": re.compile("footnotes-list|contains-task-list"),
    "ul": re.compile("contains-task-list"),
    "li": re.compile("footnote-item|task-list-item"),
    "a": re.compile("footnote-backref"),
    "input": re.compile("task-list-item-checkbox"),
}
# Not of pictures: by its id, one could take the place of a property of `document`.
_WITHOUT_ID = {"img", "input"}
_id = re.compile(r"[\w:.-]{1,250}")


def _filter(tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute to keep."""
    if name == "class":
        names = _CLASSES.get(tag)
        return " ".join(it for it in value.split() if names and names.fullmatch(it)) or None
    if name == "id" or (tag, name) == ("a", "name"):
        return value if tag not in _WITHOUT_ID and _id.fullmatch(value) else None
    return value


def _attributes() -> dict[str, set[str]]:
    """Return nh3's attributes, and what the plugins and old posts use beside them."""
    allowed = {tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    for tag, names in {
        "*": {"id"},
        "a": {"name"},
        "th": {"style"},
        "td": {"style"},
        "input": {"checked"},
        **{tag: {"class"} for tag in _CLASSES.keys() - {"a", "input"}},
    }.items():
        allowed.setdefault(tag, set()).update(names)
    allowed["a"].add("class")
    allowed["input"].add("class")
    return allowed


# nh3's list has no scripts, frames or event handlers; a body may contain HTML, as imported posts
# often do. The only field of a form is a task's box, which nobody can tick.
_cleaner_at = partial(
    nh3.Cleaner,
    tags=nh3.ALLOWED_TAGS | {"input", "section"},
    attributes=_attributes(),
    attribute_filter=_filter,
    set_tag_attribute_values={"input": {"type": "checkbox", "disabled": ""}},
    filter_style_properties={"text-align"},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="nofollow noopener",
)
_cleaner = _cleaner_at()


def clean(markup: str) -> SafeString:
    """Return HTML that is safe to show on its own page."""
    cleaned = _cell.sub(_align, _cleaner.clean(markup))
    return mark_safe(cleaned)  # noqa: S308 (it is clean)  # nosec B308 B703


# A cell of a table, as the cleaner writes it, and its only property.
_cell = re.compile(r'<t[dh]\b(?:[^>"]|"[^"]*")*>')
_style = re.compile(r'\sstyle="([^"]*)"')
_alignment = re.compile(r"text-align:(left|right|center|justify)$", re.IGNORECASE)


def _align(cell: re.Match[str]) -> str:
    """Return a cell without a style, which the policies of pages forbid."""
    tag = _style.sub("", cell[0])
    found = (style := _style.search(cell[0])) and _alignment.search(style[1])
    # Of two attributes with one name the first counts.
    return f'{tag[:3]} align="{found[1].lower()}"{tag[3:]}' if found else tag


def complete(markup: str, base: str) -> SafeString:
    """
    Return cleaned HTML for other pages than its own, such as a feed reader's.

    Links and pictures get whole addresses, also links to its own headings, which need no ids then.
    """

    def leave_out(tag: str, name: str, value: str) -> str | None:
        return None if name == "id" or (tag, name) == ("a", "name") else value

    cleaner = _cleaner_at(url_relative=("rewrite_with_base", base), attribute_filter=leave_out)
    return mark_safe(cleaner.clean(markup))  # noqa: S308 (it is clean)  # nosec B308 B703


def with_ids_of_its_own(markup: str, prefix: str) -> SafeString:
    """Return cleaned HTML with a prefix in ids and in links to them, for a page with several."""

    def add(tag: str, name: str, value: str) -> str | None:
        if name == "id" or (tag, name) == ("a", "name"):
            return prefix + value
        return f"#{prefix}{value[1:]}" if name == "href" and value.startswith("#") else value

    cleaner = _cleaner_at(attribute_filter=add)
    return mark_safe(cleaner.clean(markup))  # noqa: S308 (it is clean)  # nosec B308 B703


_visible = re.compile(VISIBLE)
_tag = re.compile(r'<(?:[^>"]|"[^"]*")*>')
# Brackets for browsers that do not know ruby; the others hide them.
_hidden = re.compile(r"<rp\b.*?</rp>", re.DOTALL)
_picture = re.compile(r'<img\b(?:[^>"]|"[^"]*")*>')
_source = re.compile(r'\ssrc="([^"]*)"')
# The number at which a browser stops to read a length.
_length = re.compile(r'\s(?:width|height)="\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(%?)')


def shows_something(cleaned: str) -> bool:
    """Return whether a reader sees a character or a picture; a line between nothing is neither."""
    text = html.unescape(_tag.sub("", _hidden.sub("", cleaned)))
    if _visible.search(text):
        return True
    return any(_is_seen(found.group()) for found in _picture.finditer(cleaned))


def _is_seen(picture: str) -> bool:
    """Return whether a picture has an address, and is more than a pixel that counts readers."""
    found = _source.search(picture)
    address = html.unescape(found[1]) if found else ""
    # Without anything before `#` it is the address of the page itself.
    seen = _visible.search(address)
    if seen is None or seen.group() == "#":
        return False
    lengths = _length.findall(picture)
    return all(float(length) > (0 if percent else 1) for length, percent in lengths)
