"""The keys of front matter."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from content.frontmatter.reasons import reason
from content.frontmatter.values import (
    MAX_BYLINE,
    MAX_LANGUAGE,
    MAX_WORD,
    PostError,
    Value,
    as_flag,
    as_text,
    one_line,
    typed,
)
from scheduling.errors import Reason

# The date in the words of other tools and themes, without `_` and `-`, the best first.
OTHER_DATES = (
    "publishdate", "pubdate", "pubdatetime", "publisheddate", "publishedat", "publishedon",
    "publishat", "publishtime", "publishedtime", "datepublished", "publicationdate", "date",
    "datetime", "posted", "postdate", "postedat", "postedon", "created", "createdat", "createdon",
    "createddate", "datecreated", "creationdate",
)  # fmt: skip


def plain_name(name: str) -> str:
    """Return a key in lower case, without `_` and `-`."""
    return re.sub("[_-]", "", name.lower())


def _is_set(value: Value) -> bool:
    """Return whether a value is there that does not mean no."""
    return bool(value) and as_text(value) not in ("", "0") and as_flag(value) is not False


def _is_no(value: Value) -> bool:
    return as_flag(value) is False


def _is_word(*words: str) -> Callable[[Value], bool]:
    return lambda value: (as_text(value) or "").lower() in words


# The keys of tools and themes by which a post is kept from readers, or from lists and searches,
# without `_` and `-`.
_HIDING: dict[str, Callable[[Value], bool]] = {
    **dict.fromkeys(
        (
            "headless", "private", "isprivate", "hidden", "ishidden", "unlisted", "noindex",
            "robotsnoindex", "nolist", "password", "protected", "encrypted", "isdraft",
        ),
        _is_set,
    ),
    "hide": lambda value: as_flag(value) is True,
    **dict.fromkeys(("publish", "render", "listed", "visible"), _is_no),
    "visibility": _is_word("private", "hidden", "unlisted", "protected", "password", "draft"),
    "access": _is_word("private"),
    "status": _is_word("draft", "private", "hidden", "pending", "trash", "unpublished"),
    "robots": lambda value: "noindex" in (as_text(value) or ""),
}  # fmt: skip


# In lower case, the keys that are read here, so that one that stands elsewhere counts, too.
READ_KEYS = frozenset(
    {
        *_HIDING, *OTHER_DATES, "draft", "published", "lastmod", "modified", "expirydate",
        "unpublishdate", "build", "_build", "outputs", "author", "authors", "category",
        "categories", "tag", "tags", "keyword", "keywords", "taxonomies", "lang", "language",
        "description", "summary", "excerpt",
    }
)  # fmt: skip


class Keys:
    """The keys of one file: those that are read are removed, the rest goes into `extra`."""

    def __init__(
        self,
        values: dict[str, Value],
        notes: list[Reason],
        *,
        defaults: Mapping[str, Value] | None = None,
    ) -> None:
        written = {name.lower() for name in values}
        others = {k: v for k, v in (defaults or {}).items() if k.lower() not in written}
        self.left = {**others, **values}
        self.notes = notes
        self._names = {name.lower(): name for name in self.left}

    def get(self, key: str) -> Value:
        """Return the value of a key, in whatever case it is written."""
        return self.left.get(self._names.get(key, key))

    def drop(self, *keys: str) -> None:
        """Remove keys that have been read."""
        for key in keys:
            self.left.pop(self._names.get(key, key), None)

    def rest(self) -> dict[str, Value]:
        """Return what nobody has read, with types."""
        return {name: typed(value) for name, value in self.left.items()}

    def text(self, key: str) -> str:
        """
        Take a line of text.

        :raises PostError: it is a list or a map.
        """
        text = as_text(self.get(key))
        if text is None:
            raise PostError(reason("not_text", key=key))
        self.drop(key)
        return one_line(text)

    def line(self, key: str) -> str:
        """Return a key's line of text, and leave the key; empty if it has none."""
        return one_line(as_text(self.get(key)) or "")

    def first_text(self, *keys: str) -> str:
        """Take the first key that has a line of text; the others stay."""
        for key in keys:
            if text := as_text(self.get(key)):
                self.drop(key)
                return text
        return ""

    def is_draft(self) -> bool:
        """Take `draft` and `published`; a value that is neither true nor false makes a draft."""
        draft = self.get("draft")
        if not as_text(draft) and not isinstance(draft, dict | list):
            self.drop("draft")
            is_draft = False
        else:
            said = as_flag(draft)
            if said is None:
                self.notes.append(reason("draft_unclear"))
            else:
                self.drop("draft")
            is_draft = said is not False
        # Hugo also takes a date here; see `find_date`.
        published = as_flag(self.get("published"))
        if published is not None:
            self.drop("published")
        return is_draft or published is False

    def find_hidden(self) -> str:
        """
        Return the key by which the site keeps the post from its readers; empty without one.

        The key stays among the others.
        """
        if name := self._find_unrendered():
            return name
        for values, names in self._own_and_inner():
            for key, is_hiding in _HIDING.items():
                name = names.get(key, "")
                if name and is_hiding(values[name]):
                    return name
        return ""

    def _find_unrendered(self) -> str:
        """Return the key that lets Hugo or Zola make no page of the file."""
        for key in ("build", "_build"):
            options = self.get(key)
            if not isinstance(options, dict):
                continue
            for option in ("render", "list"):
                value = next((v for k, v in options.items() if k.lower() == option), None)
                text = as_text(value) or ""
                if text.lower() in ("never", "link", "false", "0"):
                    return f"{self._names[key]}.{option}"
        outputs = self.get("outputs")
        return "outputs" if isinstance(outputs, list) and not outputs else ""

    def _own_and_inner(self) -> Iterator[tuple[dict[str, Value], dict[str, str]]]:
        """Return the keys, and those inside Hugo's `params` and Zola's `[extra]`."""
        yield self.left, {plain_name(name): name for name in self.left}
        for key in ("params", "extra"):
            values = self.get(key)
            if isinstance(values, dict):
                yield values, {plain_name(name): name for name in values}

    def find_date(self, *keys: str) -> tuple[str, str]:
        """Return the first key that has a date, and its text; empty strings if none has."""
        for key in keys:
            text = as_text(self.get(key))
            if text is None:
                raise PostError(reason("not_date", key=key))
            # Hugo's zero: no date.
            if text and not text.startswith("0001-01-01"):
                return key, text
        return "", ""

    def find_other_dates(self) -> Iterator[tuple[str, str]]:
        """Return the keys that have a date in the words of other tools, and their texts."""
        plain = {plain_name(name): name.lower() for name in self.left}
        for key in OTHER_DATES:
            name = plain.get(key, "")
            text = as_text(self.get(name)) or ""
            if text and not text.startswith("0001-01-01"):
                yield name, text

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
                self.notes.append(reason("word_cut", word=word[:20], key=plural, limit=MAX_WORD))
        return tuple(dict.fromkeys(word[:MAX_WORD].rstrip() for word in found))

    def _names_in(self, key: str, split_on_spaces: bool = False) -> Iterator[str]:
        value = self.get(key)
        if isinstance(value, dict):
            self.notes.append(reason("not_list", key=key))
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
            self.notes.append(reason("authors_cut", limit=MAX_BYLINE))
        return authors

    def language(self) -> str:
        """Take the language, as `ko` or `pt-BR`."""
        for key in ("lang", "language"):
            text = as_text(self.get(key))
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
        if text := as_text(person):
            yield one_line(text)


def _names(value: Value, *, split_on_spaces: bool = False) -> Iterator[str]:
    """Find names in a list, also a nested one, or in a text that has them between commas."""
    if isinstance(value, list):
        for part in value:
            if isinstance(part, list):
                yield from _names(part)
            elif text := as_text(part):
                yield one_line(text)
        return
    text = as_text(value) or ""
    if "," in text:
        yield from filter(None, map(one_line, text.split(",")))
    elif split_on_spaces:
        yield from text.split()
    elif text:
        yield one_line(text)
