"""
Reads a Markdown file of a Jekyll, Hugo or Zola site into a `Post`, without the database.

Where the three differ, all their rules apply: keys in any case (Hugo), a date in
the file name (Jekyll, Zola), `categories: a b` as two (Jekyll, Hugo), `[taxonomies]` (Zola).
"""

import hashlib
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from itertools import chain
from pathlib import PurePath
from typing import Any, TypeAlias

import yaml
from django.conf.locale import LANG_INFO
from django.utils.text import slugify
from django.utils.translation import gettext as _

from scheduling.errors import DomainError

MAX_BYTES = 5_000_000
MAX_FRONT_MATTER = 64_000  # characters; with more the parsers may run for minutes
# The limit of the parsed values: aliases in YAML can turn a few lines into gigabytes.
MAX_CHARACTERS = 1_000_000
# libyaml builds nested values by recursion in C, and crashes on very deep ones.
MAX_DEPTH = 50

MAX_TITLE = MAX_BYLINE = MAX_SLUG = 200
MAX_WORD = 100  # a category, tag or keyword
MAX_LANGUAGE = 16

# The C parser is ten times as fast; PyYAML can be built without it.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"


class PostError(DomainError):
    """The file cannot be imported."""

    code = "validation_error"


class Unquoted(str):
    """
    A YAML scalar without quotes, as written.

    `title: 1.10`, `slug: 007` and `tags: [no]` are strings because of their key; values of other
    keys get their type later, by `_typed`.
    """

    __slots__ = ()


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
    notes: tuple[str, ...]

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
    values, body, notes = _split(_decode(data))
    keys = _Keys(values or {}, notes)
    name = _Name.of(path)

    title = keys.text("title")
    if not title:
        title = _first_heading(body) or name.as_title()
        if values is not None:
            notes.append(_("It has no title: “%(title)s” was taken instead.") % {"title": title})
    if len(title) > MAX_TITLE:
        raise PostError(
            _("The title has %(length)d characters; %(limit)d are allowed.")
            % {"length": len(title), "limit": MAX_TITLE}
        )

    is_draft = keys.is_draft() or "_drafts" in path.parts
    published_key, published_text = keys.find_date("publishdate", "pubdate", "published", "date")
    expires_key, expires_text = keys.find_date("expirydate", "unpublishdate")
    publish_at = _moment(published_text or name.date, zone=zone, notes=notes)
    unpublish_at = _moment(expires_text, zone=zone, notes=notes)
    if values is None:
        is_draft = True
        notes.append(_("It has no front matter: kept as a draft."))
    elif publish_at is None and not is_draft:
        is_draft = True
        notes.append(_("It has no date: kept as a draft."))
    if not is_draft:
        # A draft has no times; they stay among the other keys.
        keys.drop(published_key, expires_key)
        if publish_at and unpublish_at and unpublish_at <= publish_at:
            raise PostError(
                _("It ends at %(end)s, before it starts at %(start)s.")
                % {"end": unpublish_at.isoformat(), "start": publish_at.isoformat()}
            )

    return Post(
        title=title,
        slug=_slug(keys.text("slug"), name.stem, title, path=path),
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


# From bytes to keys and body


def _decode(data: bytes) -> str:
    """Return the text with lines that end in a line feed."""
    if len(data) > MAX_BYTES:
        raise PostError(_("It is larger than %(limit)d bytes.") % {"limit": MAX_BYTES})
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PostError(_("It is UTF-16. Save it as UTF-8."))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PostError(_("Line %(line)d is not UTF-8.") % {"line": line}) from error
    if "\0" in text:
        raise PostError(_("It has NUL bytes: it is not a text, or it is UTF-16."))
    return text.replace("\r\n", "\n").replace("\r", "\n")


# The closing line of each opening line; YAML may end in three dots.
_FENCES = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.M),
    "+++": re.compile(r"^\+\+\+[ \t]*$", re.M),
}


def _split(text: str) -> tuple[dict[str, Value] | None, str, list[str]]:
    """Return the keys (None without front matter), the body, and notes."""
    notes: list[str] = []
    start = len(text) - len(text.lstrip())
    fence, newline, rest = text[start:].partition("\n")
    closing = _FENCES.get(fence.rstrip())
    if closing is None or not newline:
        return None, text.strip("\n").rstrip(), notes
    line = text.count("\n", 0, start) + 1
    end = closing.search(rest)
    if end is None:
        raise PostError(
            _("The front matter that starts in line %(line)d never ends.") % {"line": line}
        )
    source, body = rest[: end.start()], rest[end.end() :]
    if len(source) > MAX_FRONT_MATTER:
        raise PostError(
            _("The front matter is longer than %(limit)d characters.") % {"limit": MAX_FRONT_MATTER}
        )
    # Empty lines in front, so that the parsers' line numbers are those of the file.
    source = "\n" * line + source
    values = _read_toml(source) if fence.startswith("+") else _read_yaml(source, notes)
    return values, body.strip("\n").rstrip(), notes


class _Budget:
    """Stops the parsing of front matter that becomes too large or too deep."""

    def __init__(self) -> None:
        self.left = MAX_CHARACTERS

    def spend(self, size: int, *, depth: int) -> None:
        self.left -= 1 + size
        if self.left < 0 or depth > MAX_DEPTH:
            raise PostError(_("The front matter is too large, or nested too deeply."))


def _read_toml(source: str) -> dict[str, Value]:
    try:
        values = tomllib.loads(source)
    # ValueError: a number of thousands of digits. RecursionError: thousands of brackets.
    except (ValueError, RecursionError) as error:
        raise PostError(
            _("The front matter is not TOML: %(reason)s.") % {"reason": error}
        ) from error
    budget = _Budget()
    return {_clean(name): _from_toml(value, budget, 1) for name, value in values.items()}


def _from_toml(value: Any, budget: _Budget, depth: int) -> Value:
    budget.spend(len(value) if isinstance(value, str) else 0, depth=depth)
    match value:
        case dict():
            return {_clean(k): _from_toml(v, budget, depth + 1) for k, v in value.items()}
        case list():
            return [_from_toml(part, budget, depth + 1) for part in value]
        case date() | time():  # also a datetime
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return _clean(value)
        case _:
            return value  # type: ignore[no-any-return]  # a bool, int or float


def _read_yaml(source: str, notes: list[str]) -> dict[str, Value]:
    try:
        _check_depth(source)
        node = yaml.compose(source, Loader=_YamlLoader)
    except yaml.MarkedYAMLError as error:
        raise PostError(
            _("The front matter is not YAML: line %(line)d: %(reason)s.")
            % {
                "line": error.problem_mark.line + 1 if error.problem_mark else 1,
                "reason": ", ".join(filter(None, (error.context, error.problem))),
            }
        ) from error
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise PostError(
            _("The front matter is not YAML: %(reason)s.") % {"reason": reason}
        ) from error
    # Front matter of comments and empty lines is empty.
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise PostError(_("The front matter is not a list of keys and values."))
    names = [str(key.value) for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        notes.append(_("“%(key)s” is there twice; the last one counts.") % {"key": _clean(name)})
    values = _from_yaml(node, _Budget(), 0)
    assert isinstance(values, dict)
    return values


def _check_depth(source: str) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=_YamlLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PostError(_("The front matter is too large, or nested too deeply."))


def _from_yaml(node: yaml.Node, budget: _Budget, depth: int) -> Value:
    """Return a node's value; tags such as `!ruby/object` are ignored."""
    budget.spend(len(node.value) if isinstance(node, yaml.ScalarNode) else 0, depth=depth)
    match node:
        case yaml.MappingNode():
            return {
                str(_from_yaml(key, budget, depth + 1)): _from_yaml(value, budget, depth + 1)
                for key, value in node.value
            }
        case yaml.SequenceNode():
            return [_from_yaml(part, budget, depth + 1) for part in node.value]
        case _:
            assert isinstance(node, yaml.ScalarNode)
            text = _clean(node.value)
            return text if node.style else Unquoted(text)


def _clean(text: str) -> str:
    """Remove escaped characters that PostgreSQL cannot store."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


# Keys


_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{1,15}")


def _typed(value: Value) -> Value:
    """Return the value as JSON has it."""
    match value:
        case dict():
            return {name: _typed(part) for name, part in value.items()}
        case list():
            return [_typed(part) for part in value]
        case Unquoted():
            text = str(value)
            if text in ("", "~", "null", "Null", "NULL"):
                return None
            if text.lower() in _FLAGS:
                return _FLAGS[text.lower()]
            if _INTEGER.fullmatch(text):
                return int(text)
            return float(text) if _FLOAT.fullmatch(text) else text
        case _:
            return value


def _flag(value: Value) -> bool | None:
    """Return the boolean that a value means; None if it means neither."""
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _text(value: Value) -> str | None:
    """Return a scalar as written, or an empty string; None for a list or a map."""
    match value:
        case dict() | list():
            return None
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Unquoted() if _typed(value) is None:
            return ""
        case _:
            return str(value).strip()


def _line(text: str) -> str:
    return " ".join(text.split())


class _Keys:
    """The keys of one file: those that are read are removed, the rest goes into `extra`."""

    def __init__(self, values: dict[str, Value], notes: list[str]) -> None:
        self.left = dict(values)
        self.notes = notes
        self._names = {name.lower(): name for name in values}

    def get(self, key: str) -> Value:
        return self.left.get(self._names.get(key, key))

    def drop(self, *keys: str) -> None:
        for key in keys:
            self.left.pop(self._names.get(key, key), None)

    def rest(self) -> dict[str, Value]:
        return {name: _typed(value) for name, value in self.left.items()}

    def text(self, key: str) -> str:
        """
        Take a line of text.

        :raises PostError: it is a list or a map.
        """
        text = _text(self.get(key))
        if text is None:
            raise PostError(_("“%(key)s” is not a text.") % {"key": key})
        self.drop(key)
        return _line(text)

    def first_text(self, *keys: str) -> str:
        """Take the first key that has a line of text; the others stay."""
        for key in keys:
            if text := _text(self.get(key)):
                self.drop(key)
                return text
        return ""

    def is_draft(self) -> bool:
        """Take `draft` and `published`; a value that is neither true nor false makes a draft."""
        draft = self.get("draft")
        if not _text(draft) and not isinstance(draft, dict | list):
            self.drop("draft")
            is_draft = False
        else:
            said = _flag(draft)
            if said is None:
                self.notes.append(_("“draft” is neither true nor false: kept as a draft."))
            else:
                self.drop("draft")
            is_draft = said is not False
        # Hugo also takes a date here; see `find_date`.
        published = _flag(self.get("published"))
        if published is not None:
            self.drop("published")
        return is_draft or published is False

    def find_date(self, *keys: str) -> tuple[str, str]:
        """Return the first key that has a date, and its text; empty strings if none has."""
        for key in keys:
            text = _text(self.get(key))
            if text is None:
                raise PostError(_("“%(key)s” is not a date.") % {"key": key})
            # Hugo's zero: no date.
            if text and not text.startswith("0001-01-01"):
                return key, text
        return "", ""

    def words(self, singular: str, plural: str, *, split_on_spaces: bool = True) -> tuple[str, ...]:
        """Take a list of names: of both keys, and of Zola's `[taxonomies]`."""
        found = [*self._names_in(singular), *self._names_in(plural, split_on_spaces)]
        taxonomies = self.get("taxonomies")
        if isinstance(taxonomies, dict) and plural in taxonomies:
            found += _names(taxonomies[plural])
            others = {name: value for name, value in taxonomies.items() if name != plural}
            self.drop("taxonomies")
            if others:
                self.left["taxonomies"] = others
        for word in found:
            if len(word) > MAX_WORD:
                self.notes.append(
                    _("“%(word)s…” in “%(key)s” was cut to %(limit)d characters.")
                    % {"word": word[:20], "key": plural, "limit": MAX_WORD}
                )
        return tuple(dict.fromkeys(word[:MAX_WORD].rstrip() for word in found))

    def _names_in(self, key: str, split_on_spaces: bool = False) -> Iterator[str]:
        value = self.get(key)
        if isinstance(value, dict):
            self.notes.append(
                _("“%(key)s” is not a list: left among the other keys.") % {"key": key}
            )
            return
        self.drop(key)
        yield from _names(value, split_on_spaces=split_on_spaces)

    def authors(self) -> tuple[str, ...]:
        """Take the authors; the key also stays if it has more than names."""
        for key in ("author", "authors"):
            value = self.get(key)
            found = tuple(dict.fromkeys(_people(value)))
            if not found:
                continue
            if not any(isinstance(part, dict) for part in chain([value], _parts(value))):
                self.drop(key)
            return self._cut(found)
        # Hugo's `params` and Zola's `[extra]` are maps of the site's own keys.
        for key in ("params", "extra"):
            values = self.get(key)
            if isinstance(values, dict):
                for inner in ("author", "authors"):
                    if found := tuple(dict.fromkeys(_people(values.get(inner)))):
                        return self._cut(found)
        return ()

    def _cut(self, authors: tuple[str, ...]) -> tuple[str, ...]:
        if len(", ".join(authors)) > MAX_BYLINE:
            self.notes.append(
                _("The authors were cut to %(limit)d characters.") % {"limit": MAX_BYLINE}
            )
        return authors

    def language(self) -> str:
        """Take the language, as `ko` or `pt-BR`."""
        for key in ("lang", "language"):
            text = _text(self.get(key))
            if text and len(text) <= MAX_LANGUAGE:
                self.drop(key)
                return text
        return ""


def _parts(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _people(value: Value) -> Iterator[str]:
    """Find names in a text, a map that has a `name`, or a list of those."""
    for part in _parts(value) or [value]:
        person = part.get("name") if isinstance(part, dict) else part
        if text := _text(person):
            yield _line(text)


def _names(value: Value, *, split_on_spaces: bool = False) -> Iterator[str]:
    """Find names in a list, also a nested one, or in a text that has them between commas."""
    if isinstance(value, list):
        for part in value:
            if isinstance(part, list):
                yield from _names(part)
            elif text := _text(part):
                yield _line(text)
        return
    text = _text(value) or ""
    if "," in text:
        yield from filter(None, map(_line, text.split(",")))
    elif split_on_spaces:
        yield from text.split()
    elif text:
        yield _line(text)


# Names of files


_DATED = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})(?:[-_](.+))?", re.ASCII)


@dataclass(frozen=True)
class _Name:
    """The parts of a file's name: `2025-09-23-name.ko.md`, `name/index.md`."""

    stem: str
    date: str
    language: str

    @classmethod
    def of(cls, path: PurePath) -> "_Name":
        # A name that is not UTF-8 contains characters that PostgreSQL cannot store.
        stem = _clean(path.stem)
        before, _dot, suffix = stem.rpartition(".")
        known = suffix.lower() in LANG_INFO or (suffix[2:3] == "-" and suffix[:2] in LANG_INFO)
        language = suffix if before and known else ""
        base = before if language else stem
        if base == "index":
            base = _clean(path.parent.name)
        dated = _DATED.fullmatch(base)
        rest = (dated[2] or dated[1]) if dated else base
        return cls(
            stem=f"{rest}.{language}" if language else rest,
            date=dated[1] if dated else "",
            language=language[:MAX_LANGUAGE],
        )

    def as_title(self) -> str:
        words = _line(re.sub(r"[-_]+", " ", self.stem))
        return words[:1].upper() + words[1:MAX_TITLE]


def _slug(wanted: str, stem: str, title: str, *, path: PurePath) -> str:
    """Return the first slug that is not empty; a name of signs alone gets one made from a hash."""
    for text in (wanted, stem, title):
        # `slugify` would drop a dot without a gap: `jekyll-3.0` would be `jekyll-30`.
        slug = slugify(re.sub(r"[./]+", "-", text), allow_unicode=True)[:MAX_SLUG].strip("-_")
        if slug:
            return slug
    name = path.name.encode("utf-8", "surrogateescape")
    return f"post-{hashlib.sha256(name).hexdigest()[:12]}"


def _first_heading(body: str) -> str:
    """Return the text of the first `# heading` that is not inside a block of code."""
    in_code = False
    for line in body.split("\n"):
        if line.startswith(("```", "~~~")):
            in_code = not in_code
        elif not in_code and (heading := re.match(r"#{1,6}[ \t]+(.*)", line)):
            return _line(re.sub(r"[ \t]+#+[ \t]*$", "", heading[1]))[:MAX_TITLE]
    return ""


# Dates


_TIME = r"""
    (?: (?: [T,\s]\s* | \s+at\s+ )
        (?P<hour>\d{1,2}) : (?P<minute>\d{2})
        (?: : (?P<second>\d{2}) (?: [.,](?P<fraction>\d+) )? )?
        \s* (?P<half>[ap]m)?
    )?
    \s* (?P<zone> Z | UTC | GMT | [+-]\d{1,2}(?: :?\d{2} )? (?: \s+[A-Z]{3,5} )? )?
"""
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_WEEKDAY = r"(?: (?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+ )?"
_DATES = [
    re.compile(day + _TIME, re.ASCII | re.IGNORECASE | re.VERBOSE)
    for day in (
        r"(?P<year>\d{4}) (?P<sign>[-/.]) (?P<month>\d{1,2}) (?P=sign) (?P<day>\d{1,2})",
        rf"{_WEEKDAY} (?P<day>\d{{1,2}}) [-\s]+ {_MONTH} [-\s]+ (?P<year>\d{{4}})",
        rf"{_WEEKDAY} {_MONTH} \s+ (?P<day>\d{{1,2}}) (?:st|nd|rd|th)? ,?\s+ (?P<year>\d{{4}})",
    )
]


def _moment(text: str, *, zone: tzinfo, notes: list[str]) -> datetime | None:
    """
    Return the time that a date means, in UTC; None for an empty text.

    A date alone means its first moment. A local time that the clocks skip is moved forward; of one
    that they show twice the first is taken.
    """
    if not text:
        return None
    # No date is longer, and the patterns are slow on thousands of spaces.
    candidates = (pattern.fullmatch(text) for pattern in _DATES if len(text) <= 80)
    found = next(filter(None, candidates), None)
    if found is None:
        raise PostError(
            _("“%(text)s” is not a date such as 2025-09-23 10:30:00 +09:00.") % {"text": text[:80]}
        )
    try:
        at = _build(found)
        if at.tzinfo is None:
            return _localise(at, zone=zone, notes=notes)
        return _in_reach(at.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise PostError(
            _("“%(text)s” is not a date: %(reason)s.") % {"text": text, "reason": error}
        ) from error


def _build(found: re.Match[str]) -> datetime:
    """
    Return the parts as a datetime, naive without an offset.

    :raises ValueError: there is no such day or time.
    """
    parts = found.groupdict()
    month = parts["month"].lower()
    hour = int(parts["hour"] or 0)
    if half := parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(_("not an hour of a 12-hour clock"))
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    return datetime(
        int(parts["year"]),
        _MONTHS.index(month) + 1 if month in _MONTHS else int(month),
        int(parts["day"]),
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        int((parts["fraction"] or "")[:6].ljust(6, "0")),
        tzinfo=_offset(parts["zone"] or ""),
    )


def _offset(text: str) -> tzinfo | None:
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text.split()[0][1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if text[0] == "-" else offset)


def _localise(naive: datetime, *, zone: tzinfo, notes: list[str]) -> datetime:
    local = naive.replace(tzinfo=zone)
    at = _in_reach(local.astimezone(UTC))
    shown = at.astimezone(zone)
    values = {"time": naive.isoformat(" "), "zone": zone, "shown": shown.isoformat(" ")}
    if shown.replace(tzinfo=None) != naive:
        notes.append(
            _("In %(zone)s the clock skips %(time)s: %(shown)s was taken instead.") % values
        )
    elif local.utcoffset() != local.replace(fold=1).utcoffset():
        notes.append(_("In %(zone)s the clock shows %(time)s twice: the first was taken.") % values)
    return at


def _in_reach(at: datetime) -> datetime:
    """Return the time unless it would be out of range in another zone."""
    if not 1 < at.year < 9999:
        raise OverflowError(_("too far away"))
    return at
