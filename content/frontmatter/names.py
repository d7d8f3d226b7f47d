"""What the name of a file says, and the slug made of it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath

from django.conf.locale import LANG_INFO
from django.utils.text import slugify

from content.frontmatter.values import MAX_LANGUAGE, MAX_SLUG, MAX_TITLE, clean, one_line

# Zola takes a time with an offset, too.
_DATED = re.compile(
    r"(\d{4}-\d{1,2}-\d{1,2}(?:T\d{2}:\d{2}:\d{2}(?:Z|[+-]\d{2}:\d{2}))?)(?:[-_ ]+(.*))?", re.ASCII
)


_SHORT_YEAR = re.compile(r"\d{2}-\d{1,2}-\d{1,2}-", re.ASCII)


@dataclass(frozen=True)
class Name:
    """The parts of a file's name: `2025-09-23-name.ko.md`, `name/index.md`."""

    stem: str
    date: str
    language: str

    @classmethod
    def of(cls, path: PurePath, *, languages: frozenset[str] | None = None) -> "Name":
        """
        Take the name of a file apart.

        :param languages: in lower case, those that it may end in; None is any.
        """
        # A name that is not UTF-8 contains characters that PostgreSQL cannot store.
        stem = clean(path.stem)
        before, _dot, suffix = stem.rpartition(".")
        language = suffix if before and _is_language(suffix, languages) else ""
        base = before if language else stem
        if base == "index":
            base = clean(path.parent.name)
        dated = _DATED.fullmatch(base)
        if dated is None and "_posts" in path.parts and _SHORT_YEAR.match(base):
            # Ruby's border of the centuries.
            century = "19" if base[:2] >= "69" else "20"
            dated = _DATED.fullmatch(century + base)
        rest = (dated[2] or dated[1]) if dated else base
        return cls(
            stem=f"{rest}.{language}" if language else rest,
            date=dated[1] if dated else "",
            language=language[:MAX_LANGUAGE],
        )

    def as_title(self) -> str:
        """Return the name as a title: the signs between words become spaces."""
        words = one_line(re.sub(r"[-_]+", " ", self.stem))
        return words[:1].upper() + words[1:MAX_TITLE]


def find_date_in(address: str) -> str:
    """Return the date of an address such as `/2025/09/23/autumn/`; empty if it has none."""
    found = re.match(r"/?(?:[\w-]+/){0,3}?(\d{4})/(\d{1,2})/(\d{1,2})/", address, re.ASCII)
    return "-".join(found.groups()) if found else ""


def is_language_code(code: str) -> bool:
    """Return whether it is the code of a language that Django knows, with region or script."""
    code = code.lower()
    parts = re.fullmatch(r"([a-z]{2})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?", code)
    return code in LANG_INFO or (parts is not None and parts[1] in LANG_INFO)


def _is_language(suffix: str, known: frozenset[str] | None) -> bool:
    return is_language_code(suffix) if known is None else suffix.lower() in known


def make_slug(wanted: str, stem: str, title: str, *, path: PurePath) -> str:
    """Return the first slug that is not empty; a name of signs alone gets one made from a hash."""
    for text in (wanted, stem, title):
        # `slugify` would drop a dot without a gap: `jekyll-3.0` would be `jekyll-30`.
        slug = slugify(re.sub(r"[./]+", "-", text), allow_unicode=True)[:MAX_SLUG].strip("-_")
        if slug:
            return slug
    name = path.name.encode("utf-8", "surrogateescape")
    return f"post-{hashlib.sha256(name).hexdigest()[:12]}"


def find_heading(body: str) -> str:
    """Return the text of the first `# heading` that is not inside a block of code."""
    in_code = False
    for line in body.split("\n"):
        if line.startswith(("```", "~~~")):
            in_code = not in_code
        elif not in_code and (heading := re.match(r"#{1,6}[ \t]+(.*)", line)):
            return one_line(re.sub(r"[ \t]+#+[ \t]*$", "", heading[1]))[:MAX_TITLE]
    return ""
