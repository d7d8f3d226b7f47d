"""What a file says, as one record."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import TypeAlias

from content.frontmatter.bodies import is_held_back, translate, wrap_html
from content.frontmatter.dates import AmbiguousDate, read_moment
from content.frontmatter.keys import Keys
from content.frontmatter.names import Name, find_heading, make_slug
from content.frontmatter.reading import FILE_NAME, Reading, Tool
from content.frontmatter.reasons import reason
from content.frontmatter.split import decode, split
from content.frontmatter.values import MAX_BYLINE, MAX_TITLE, PostError, Value
from scheduling.errors import Reason

# Files that have HTML below their front matter.
HTML_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, kw_only=True)
class Post:
    """The contents of a file. Times are aware, in UTC; notes say what was not taken as written."""

    title: str
    slug: str
    body: str
    summary: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    keywords: tuple[str, ...]
    language: str  # empty if the file has none
    is_draft: bool
    publish_at: datetime | None
    unpublish_at: datetime | None
    extra: dict[str, Value]
    notes: tuple[Reason, ...]

    @property
    def byline(self) -> str:
        """Return the authors as one line, no longer than the field."""
        return ", ".join(self.authors)[:MAX_BYLINE]


def parse(data: bytes, *, path: PurePath, reading: Reading) -> Post:
    """
    Read one file.

    :param path: absolute; the names of file and folder stand in for a slug and a date not given.
    :raises PostError: with the reason, and the line where there is one.
    """
    values, body, notes = split(decode(data))
    keys = Keys(values or {}, notes, defaults=reading.defaults)
    name = Name.of(path, languages=reading.languages)
    is_html = path.suffix.lower() in HTML_SUFFIXES
    if values is None and is_html:
        raise PostError(reason("bare_html"))

    title = keys.text("title")
    if not title:
        title = find_heading(body) or name.as_title()
        if values is not None:
            notes.append(reason("no_title", title=title))
    if len(title) > MAX_TITLE:
        raise PostError(reason("long_title", length=len(title), limit=MAX_TITLE))

    body, code_notes = translate(body, reading=reading, is_mdx=path.suffix.lower() == ".mdx")
    notes += code_notes
    is_draft = keys.is_draft()  # first: `published` may also be a date
    times, time_keys = _find_times(keys, name, reading=reading, notes=notes)
    is_draft = is_draft or is_held_back(code_notes) or times is None
    if "_drafts" in path.parts and reading.tool in (Tool.JEKYLL, Tool.HEXO, Tool.UNKNOWN):
        is_draft = True
    if hiding_key := keys.find_hidden():
        is_draft = True
        notes.append(reason("hidden", key=hiding_key))
    if values is None and not reading.may_be_bare:
        is_draft = True
        notes.append(reason("no_front_matter"))
    elif times == (None, None) or (times and times[0] is None):
        if not is_draft:
            notes.append(reason("no_date"))
        is_draft = True
    start, end = (None, None) if is_draft or times is None else times
    if not is_draft:
        # A draft has no times; they stay among the other keys.
        keys.drop(*time_keys)

    return Post(
        title=title,
        slug=make_slug(keys.text("slug"), name.stem, title, path=path),
        body=wrap_html(body) if is_html else body,
        summary=keys.first_text("description", "summary", "excerpt"),
        authors=keys.authors(),
        categories=keys.words("category", "categories"),
        tags=keys.words("tag", "tags"),
        keywords=keys.words("keyword", "keywords", split_on_spaces=False),
        language=keys.language() or name.language,
        is_draft=is_draft,
        publish_at=start,
        unpublish_at=end,
        extra=keys.rest(),
        notes=tuple(notes),
    )


Times: TypeAlias = tuple[datetime | None, datetime | None]


def _find_times(
    keys: Keys, name: Name, *, reading: Reading, notes: list[Reason]
) -> tuple[Times | None, tuple[str, ...]]:
    """
    Return start and end, and the keys that have them; None for times that let nothing go live.

    :raises PostError: one is not a date.
    """
    start_key, start_text = _find_start(keys, name, reading=reading)
    end_key, end_text = keys.find_date(*reading.end_keys)
    try:
        if not start_text:
            start_key, start = _find_other_start(keys, reading=reading, notes=notes)
        else:
            start = read_moment(start_text, zone=reading.zone, notes=notes)
        end = read_moment(end_text, zone=reading.zone, notes=notes)
    except AmbiguousDate as error:
        notes += [it for it in error.reasons() if isinstance(it, Reason)]
        return None, ()
    if start and end and end <= start:
        notes.append(reason("ends_first", end=end.isoformat(), start=start.isoformat()))
        return None, ()
    return (start, end), (start_key, end_key)


def _find_start(keys: Keys, name: Name, *, reading: Reading) -> tuple[str, str]:
    for key in reading.start_keys:
        found = ("", name.date) if key == FILE_NAME else keys.find_date(key)
        if found[1]:
            return found
    return "", name.date


def _find_other_start(
    keys: Keys, *, reading: Reading, notes: list[Reason]
) -> tuple[str, datetime | None]:
    """Return the first key with a date in another tool's words: only a guess, never refused."""
    for key, text in keys.find_other_dates():
        try:
            return key, read_moment(text, zone=reading.zone, notes=notes)
        except AmbiguousDate:
            raise
        except PostError:
            continue
    return "", None
