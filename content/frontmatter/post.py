"""What a file says, as one record."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from content.frontmatter.bodies import is_held_back, translate, wrap_html
from content.frontmatter.dates import AmbiguousDate, Moment, read_moment
from content.frontmatter.keys import Keys
from content.frontmatter.names import Name, find_date_in, find_heading, make_slug
from content.frontmatter.reading import FILE_NAME, Bare, Reading, Tool
from content.frontmatter.reasons import reason
from content.frontmatter.split import decode, split
from content.frontmatter.values import MAX_BYLINE, MAX_TITLE, NotAPost, PostError, Value
from scheduling.errors import Reason

# Files that have HTML below their front matter.
HTML_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, kw_only=True)
class Post:
    """The contents of a file. Times are aware, in UTC; notes say what was not taken as written."""

    title: str
    slug: str
    body: str
    source: str  # the body as it stands in the file
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
    has_local_time: bool  # without an offset
    zone: str = ""  # the name of the time zone in which all of its times are written

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
    text, notes = decode(data)
    values, body = split(text, notes)
    keys = Keys(values or {}, notes, defaults=reading.defaults)
    name = Name.of(path, languages=reading.languages)
    is_html = path.suffix.lower() in HTML_SUFFIXES
    if values is None and is_html:
        raise NotAPost(reason("bare_html"))
    if values is None and reading.bare == Bare.NO_POST:
        raise NotAPost(reason("bare", tool=reading.tool.value))

    title = keys.text("title")
    if not title:
        title = find_heading(body) or name.as_title()
        if values is not None:
            notes.append(reason("no_title", title=title))
    if len(title) > MAX_TITLE:
        raise PostError(reason("long_title", length=len(title), limit=MAX_TITLE))

    source = body
    body, code_notes = translate(body, reading=reading, is_mdx=path.suffix.lower() == ".mdx")
    notes += code_notes
    is_draft = keys.is_draft()  # first: `published` may also be a date
    times = _find_times(keys, name, reading=reading, notes=notes)
    is_draft = is_draft or is_held_back(code_notes) or not times.is_usable
    if "_drafts" in path.parts and reading.tool in (Tool.JEKYLL, Tool.HEXO, Tool.UNKNOWN):
        is_draft = True
    if reading.draft_reason:
        is_draft = True
        notes.append(reading.draft_reason)
    if hiding_key := keys.find_hidden():
        is_draft = True
        notes.append(reason("hidden", key=hiding_key))
    has_no_date = times.is_usable and times.start is None
    if has_no_date and is_html and reading.tool not in (Tool.HUGO, Tool.ZOLA, Tool.ASTRO):
        raise NotAPost(reason("undated_html"))
    if values is None and reading.bare == Bare.DRAFT:
        is_draft = True
        notes.append(reason("no_front_matter"))
    elif has_no_date:
        if not is_draft:
            notes.append(reason("no_date"))
        is_draft = True
    if not is_draft:
        # A draft has no times; they stay among the other keys.
        keys.drop(*times.keys)

    return Post(
        title=title,
        slug=make_slug(keys.text("slug"), name.stem, title, path=path),
        body=wrap_html(body) if is_html else body,
        source=source,
        summary=keys.first_text("description", "summary", "excerpt"),
        authors=keys.authors(),
        categories=keys.words("category", "categories"),
        tags=keys.words("tag", "tags"),
        keywords=keys.words("keyword", "keywords", split_on_spaces=False),
        language=keys.language() or name.language,
        is_draft=is_draft,
        publish_at=times.start.at if times.start and not is_draft else None,
        unpublish_at=times.end.at if times.end and not is_draft else None,
        has_local_time=times.is_local,
        zone=times.zone,
        extra=keys.rest(),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Times:
    """
    When a post goes live, and until when.

    :param keys: those that have the times.
    :param is_usable: false for times that let nothing go live.
    """

    start: Moment | None = None
    end: Moment | None = None
    keys: tuple[str, ...] = ()
    is_usable: bool = True

    @property
    def is_local(self) -> bool:
        """Return whether one of them has no offset."""
        return any(moment.is_local for moment in (self.start, self.end) if moment)

    @property
    def zone(self) -> str:
        """Return the name of the time zone in which both are written; empty if in none."""
        names = {moment.zone for moment in (self.start, self.end) if moment}
        return names.pop() if len(names) == 1 else ""


def _find_times(keys: Keys, name: Name, *, reading: Reading, notes: list[Reason]) -> _Times:
    """
    Return the times of a post.

    :raises PostError: one is not a date.
    """
    start_key, start_text = _find_start(keys, name, reading=reading)
    end_key, end_text = keys.find_date(*reading.end_keys)
    try:
        if start_text:
            start = read_moment(start_text, zone=reading.zone, notes=notes)
        else:
            start_key, start = _find_other_start(keys, reading=reading, notes=notes)
        end = read_moment(end_text, zone=reading.zone, notes=notes)
    except AmbiguousDate as error:
        notes += [it for it in error.reasons() if isinstance(it, Reason)]
        return _Times(is_usable=False)
    if start and end and end.at <= start.at:
        notes.append(reason("ends_first", end=end.at.isoformat(), start=start.at.isoformat()))
        return _Times(start, end, is_usable=False)
    return _Times(start, end, (start_key, end_key))


def _find_start(keys: Keys, name: Name, *, reading: Reading) -> tuple[str, str]:
    for key in reading.start_keys:
        found = ("", name.date) if key == FILE_NAME else keys.find_date(key)
        if found[1]:
            return found
    return "", name.date


def _find_other_start(
    keys: Keys, *, reading: Reading, notes: list[Reason]
) -> tuple[str, Moment | None]:
    """Return the first key with a date in another tool's words: only a guess, never refused."""
    for key, text in keys.find_other_dates():
        try:
            return key, read_moment(text, zone=reading.zone, notes=notes)
        except AmbiguousDate:
            raise
        except PostError:
            continue
    # A site's templates may show a date that only the address has.
    for key in ("path", "permalink", "url"):
        if date := find_date_in(keys.line(key)):
            notes.append(reason("date_of_address", key=key, date=date))
            return "", read_moment(date, zone=reading.zone, notes=notes)
    return "", None
