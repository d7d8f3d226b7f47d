"""The import of stories."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, transaction

from content import addresses
from content.frontmatter import Post, Tool
from content.frontmatter.values import MAX_SLUG
from content.importing.importer import Entry, Importer
from content.importing.memory import Memory
from content.importing.reasons import reason
from content.models import Category, Story, StoryFile, Tag
from content.text import as_name, is_visible
from scheduling.errors import Why


class StoryImporter(Importer):
    """Writes stories."""

    model = Story
    files = StoryFile

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ids: dict[type[Category | Tag], dict[str, int]] = {
            model: dict(model._default_manager.values_list("name", "pk"))
            for model in (Category, Tag)
        }
        self._users: dict[str, int | None] = {}
        self._taken: set[str] = set()  # slugs of stories, of those that a batch asks for
        self._given: set[str] = set()  # slugs that this run gave: a dry run stores none
        self._numbers: dict[str, int] = {}  # the last one that a slug got
        self._earlier: dict[str, tuple[int, Memory]] = {}  # stories without a file, by slug

    def parts_of_post(self, post: Post) -> dict[str, Any]:
        """Return the parts of a file, as a story stores them."""
        return {
            "title": post.title,
            "body": post.body,
            "summary": post.summary,
            "byline": post.byline,
            "language": post.language or settings.LANGUAGE_CODE,
            "keywords": _names(post.keywords),
            "categories": sorted(_names(post.categories)),
            "tags": sorted(_names(post.tags)),
            "extra": post.extra,
        }

    def parts_of_item(self, item: Story) -> dict[str, Any]:
        """Query the parts of a story."""
        return {
            "title": item.title,
            "body": item.body,
            "summary": item.summary,
            "byline": item.byline,
            "language": item.language,
            "keywords": item.keywords,
            "categories": sorted(item.categories.values_list("name", flat=True)),
            "tags": sorted(item.tags.values_list("name", flat=True)),
            "extra": item.extra,
        }

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Query the stories that have a slug of the batch."""
        slugs = {slug for entry in entries for slug in _slugs(entry)}
        rows = Story.objects.filter(slug__in=slugs).values_list("slug", "pk", "imported", "file")
        for slug, pk, value, file in rows:
            self._taken.add(slug)
            memory = Memory.find(value)
            if memory is not None and file is None:
                self._earlier[slug] = (pk, memory)

    def forget(self) -> None:
        """Drop what was queried for the batch before."""
        super().forget()
        self._taken.clear()
        self._earlier.clear()

    def find_earlier(self, entry: Entry) -> int | None:
        """Compare the text of the story that has the slug; its slug alone says nothing."""
        pk, memory = self._earlier.get(entry.post.slug, (None, None))
        if memory is None:
            return None
        post = entry.post
        is_same = memory.parts == entry.memory.parts or any(
            # Earlier versions took the body as it stands in the file.
            memory.has_text(post.title, body)
            for body in (post.body, post.source)
        )
        return pk if is_same else None

    def make(self, entry: Entry, notes: list[Why]) -> Story:
        """Return a story whose slug is free."""
        return Story(slug=self._find_slug(entry, notes))

    def address_of(self, item: Story) -> str:
        """Return the slug."""
        return item.slug

    def readdress(self, item: Story, entry: Entry, memory: Memory, notes: list[Why]) -> str | None:
        """Give a story the slug that its file asks for by now, unless it was changed here."""
        if item.slug != memory.address:
            notes.append(reason("changed_here", part="slug"))
            return memory.address
        self.prepare([entry])
        self._taken.discard(item.slug)
        item.slug = self._find_slug(entry, notes)
        return item.slug

    def _find_slug(self, entry: Entry, notes: list[Why]) -> str:
        """Return the slug that a file asks for or, if another story has it, one like it."""
        slugs = _slugs(entry)
        taken = self._taken | self._given
        slug = next((slug for slug in slugs if slug not in taken), "")
        if not slug:
            slug = self._find_number(slugs[-1])
        if slug != entry.post.slug:
            notes.append(reason("slug_taken", slug=entry.post.slug, new=slug))
        return slug

    def _find_number(self, slug: str) -> str:
        """Return the slug with the next number that no story has."""
        while True:
            first = self._numbers.get(slug, 1) + 1
            numbered = [_join(slug, str(number)) for number in range(first, first + 50)]
            stories = Story.objects.filter(slug__in=numbered)
            taken = self._given.union(stories.values_list("slug", flat=True))
            if free := [it for it in numbered if it not in taken]:
                return free[0]
            self._numbers[slug] = first + 49

    def fill(self, item: Story, parts: dict[str, Any], post: Post) -> None:
        """Set the parts of a story that are its own fields."""
        for name in parts.keys() - {"categories", "tags"}:
            setattr(item, name, parts[name])
        if "byline" in parts:
            item.author_id = self._find_user(post)

    def relate(self, item: Story, parts: dict[str, Any], entry: Entry) -> list[Why]:
        """Store the categories, the tags, and the old addresses that a file names."""
        self._given.add(item.slug)
        if "categories" in parts:
            item.categories.set(self._find_or_make(Category, parts["categories"]))
        if "tags" in parts:
            item.tags.set(self._find_or_make(Tag, parts["tags"]))
        paths = addresses.named_by(
            parts.get("extra", {}), folder=_folder(entry), placeholders=_placeholders(entry)
        )
        return [reason("address_taken", path=path) for path in addresses.claim(item, paths)]

    def _find_user(self, post: Post) -> int | None:
        """Return the only user with the name of the only author."""
        if len(post.authors) != 1:
            return None
        [name] = post.authors
        if name not in self._users:
            wanted = get_user_model().normalize_username(name)
            users = get_user_model()._default_manager.filter(username__iexact=wanted)
            ids = users.values_list("pk", flat=True)[:2]
            self._users[name] = ids[0] if len(ids) == 1 else None
        return self._users[name]

    def _find_or_make(self, model: type[Category | Tag], names: Sequence[str]) -> list[int]:
        """Return the ids of categories or tags; insert those that are new."""
        known = self._ids[model]
        if new := [name for name in names if name not in known]:
            manager: models.Manager[Any] = model._default_manager
            # Another import may be inserting the same ones.
            manager.bulk_create([model(name=name) for name in new], ignore_conflicts=True)
            made = dict(manager.filter(name__in=new).values_list("name", "pk"))
            # If the file is rolled back, its new names are, too.
            transaction.on_commit(partial(known.update, made))
            known = {**known, **made}
        return [known[name] for name in names]


def _folder(entry: Entry) -> str:
    """Return the folder to which addresses without a slash in front belong: Hugo's, the page's."""
    *folders, name = entry.place.path.split("/")
    if entry.place.config.tool != Tool.HUGO:
        return ""
    if name.startswith("index."):
        folders = folders[:-1]
    return "/".join(folders[folders.index("content") + 1 :] if "content" in folders else folders)


def _placeholders(entry: Entry) -> dict[str, str]:
    """Return what stands in an address for `:title`, `:year` and others."""
    post, zone = entry.post, entry.place.config.zone
    placeholders = {"title": post.slug, "slug": post.slug}
    if post.publish_at is not None:
        at = post.publish_at.astimezone(zone) if zone else post.publish_at
        placeholders |= {"year": f"{at:%Y}", "month": f"{at:%m}", "day": f"{at:%d}"}
        placeholders |= {"i_month": str(at.month), "i_day": str(at.day)}
    return placeholders


def _slugs(entry: Entry) -> list[str]:
    """Return the slugs that a file may get, best first: its own, with language, with section."""
    slug, language = entry.post.slug, entry.post.language.lower()
    slugs = [slug]
    if entry.place.is_foreign(language) and not slug.endswith(f"-{language}"):
        slugs.append(_join(slug, language))
    if entry.place.section:
        slugs.append(f"{entry.place.section}-{slugs[-1]}"[:MAX_SLUG].rstrip("-"))
    return slugs


def _join(slug: str, end: str) -> str:
    return f"{slug[: MAX_SLUG - len(end) - 1].rstrip('-')}-{end}"


def _names(words: Iterable[str]) -> list[str]:
    """Return words as names are stored, each once, without those of which nothing is seen."""
    names = dict.fromkeys(map(as_name, words))
    return [name for name in names if is_visible(name)]
