"""What a file says, as one record."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import PurePath

from content.frontmatter.dates import read_moment
from content.frontmatter.keys import Keys
from content.frontmatter.names import Name, find_heading, make_slug
from content.frontmatter.reasons import reason
from content.frontmatter.split import decode, split
from content.frontmatter.values import MAX_BYLINE, MAX_TITLE, PostError, Value
from scheduling.errors import Reason


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


def parse(data: bytes, *, path: PurePath, zone: tzinfo) -> Post:
    """
    Read one file.

    :param path: absolute; the names of file and folder stand in for a slug and a date not given.
    :param zone: of the times that carry no offset.
    :raises PostError: with the reason, and the line where there is one.
    """
    values, body, notes = split(decode(data))
    keys = Keys(values or {}, notes)
    name = Name.of(path)

    title = keys.text("title")
    if not title:
        title = find_heading(body) or name.as_title()
        if values is not None:
            notes.append(reason("no_title", title=title))
    if len(title) > MAX_TITLE:
        raise PostError(reason("long_title", length=len(title), limit=MAX_TITLE))

    is_draft = keys.is_draft() or "_drafts" in path.parts
    published_key, published_text = keys.find_date("publishdate", "pubdate", "published", "date")
    expires_key, expires_text = keys.find_date("expirydate", "unpublishdate")
    publish_at = read_moment(published_text or name.date, zone=zone, notes=notes)
    unpublish_at = read_moment(expires_text, zone=zone, notes=notes)
    if values is None:
        is_draft = True
        notes.append(reason("no_front_matter"))
    elif publish_at is None and not is_draft:
        is_draft = True
        notes.append(reason("no_date"))
    if not is_draft:
        # A draft has no times; they stay among the other keys.
        keys.drop(published_key, expires_key)
        if publish_at and unpublish_at and unpublish_at <= publish_at:
            raise PostError(
                reason("ends_first", end=unpublish_at.isoformat(), start=publish_at.isoformat())
            )

    return Post(
        title=title,
        slug=make_slug(keys.text("slug"), name.stem, title, path=path),
        body=body,
        summary=keys.first_text("description", "summary", "excerpt"),
        authors=keys.authors(),
        categories=keys.words("category", "categories"),
        tags=keys.words("tag", "tags"),
        keywords=keys.words("keyword", "keywords", split_on_spaces=False),
        language=keys.language() or name.language,
        is_draft=is_draft,
        publish_at=None if is_draft else publish_at,
        unpublish_at=None if is_draft else unpublish_at,
        extra=keys.rest(),
        notes=tuple(notes),
    )
