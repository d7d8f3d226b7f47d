"""The import of stories."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, transaction
from django.utils.translation import gettext as _

from content.frontmatter import Post
from content.importing.files import Found
from content.importing.importer import Importer, possible, reason_of, result_of
from content.importing.memory import Memory, Plan, digest
from content.importing.results import Outcome, Result
from content.models import Category, Story, Tag
from content.text import as_name
from scheduling.errors import Why
from scheduling.models import GUARDED, VISIBLE


class StoryImporter(Importer):
    """Writes stories, which are found by slug."""

    key = "slug"

    def __init__(self, *, by: AbstractBaseUser | None = None, dry_run: bool = False) -> None:
        super().__init__(by=by, dry_run=dry_run)
        self._known: dict[str, tuple[int, str, Memory | None]] = {}
        self._ids: dict[type[Category | Tag], dict[str, int]] = {
            model: dict(model._default_manager.values_list("name", "pk"))
            for model in (Category, Tag)
        }
        self._users: dict[str, int | None] = {}

    def prepare(self, posts: Sequence[Post]) -> None:
        """Query the stories of a batch."""
        rows = Story.objects.filter(slug__in=[post.slug for post in posts]).values_list(
            "slug", "pk", "status", "imported"
        )
        self._known = {slug: (pk, status, Memory.find(value)) for slug, pk, status, value in rows}

    def recognise(self, file: Found, post: Post) -> Result | None:
        """Compare the file with what the story stores."""
        pk, status, memory = self._known.get(post.slug, (0, "", None))
        if memory is None or memory.file != Memory.of(_parts(post), Plan.of(post)).file:
            return None
        return Result(file.name, Outcome.UNCHANGED, item=f"story:{pk}", status=status)

    def write(self, file: Found, post: Post) -> Result:
        """Insert the story, or write the parts that have changed in its file."""
        story = Story.objects.select_for_update().filter(slug=post.slug).first()
        if story is None:
            return self._insert(file, post)
        memory = Memory.find(story.imported)
        if memory is None:
            note = _("A story with this slug was written here: it is left as it is.")
            return result_of(file, Outcome.SKIPPED, story, [note])
        return self._update(file, post, story, memory)

    def _insert(self, file: Found, post: Post) -> Result:
        story = Story(slug=post.slug)
        notes: list[Why] = list(post.notes)
        parts, wanted = _parts(post), Plan.of(post)
        self._fill(story, parts, post)
        plan = possible(wanted, story, notes)
        story.imported = replace(Memory.of(parts, wanted), plan=plan).as_json()
        self.create(story, plan, reason=reason_of(file))
        self._set_names(story, parts)
        return result_of(file, Outcome.CREATED, story, notes)

    def _update(self, file: Found, post: Post, story: Story, memory: Memory) -> Result:
        notes: list[Why] = list(post.notes)
        parts, wanted = _parts(post), Plan.of(post)
        now_here = _parts_of(story)
        changed = {}
        for name, value in parts.items():
            stored = memory.parts.get(name)
            if stored == digest(value) or value == now_here[name]:
                continue
            if stored == digest(now_here[name]):
                changed[name] = value
            else:
                notes.append(_("“%(part)s” was changed here, too: left as it is.") % {"part": name})
        self._fill(story, changed, post)
        # What is live or scheduled is not made a draft for a problem: its save refuses one.
        plan = wanted if story.status in GUARDED else possible(wanted, story, notes)
        story.imported = replace(Memory.of(parts, wanted), plan=plan).as_json()
        is_cancelled = wanted.start is None  # and may be left incomplete
        if not is_cancelled:
            story.save()
        if plan != memory.plan:
            notes += self.replan(story, plan, memory.plan, reason=reason_of(file))
        if is_cancelled:
            story.save()
        self._set_names(story, changed)
        return result_of(file, Outcome.UPDATED, story, notes)

    def _fill(self, story: Story, parts: dict[str, Any], post: Post) -> None:
        """Set the parts of a story that are its own fields."""
        for name in parts.keys() - {"categories", "tags"}:
            setattr(story, name, parts[name])
        if "byline" in parts:
            story.author_id = self._find_user(post)

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

    def _set_names(self, story: Story, parts: dict[str, Any]) -> None:
        if "categories" in parts:
            story.categories.set(self._find_or_make(Category, parts["categories"]))
        if "tags" in parts:
            story.tags.set(self._find_or_make(Tag, parts["tags"]))

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


def _parts(post: Post) -> dict[str, Any]:
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


def _names(words: Iterable[str]) -> list[str]:
    """Return words as names are stored, each once, without those of which nothing is seen."""
    names = dict.fromkeys(map(as_name, words))
    return [name for name in names if re.search(VISIBLE, name)]


def _parts_of(story: Story) -> dict[str, Any]:
    """Query the parts of a story."""
    return {
        "title": story.title,
        "body": story.body,
        "summary": story.summary,
        "byline": story.byline,
        "language": story.language,
        "keywords": story.keywords,
        "categories": sorted(story.categories.values_list("name", flat=True)),
        "tags": sorted(story.tags.values_list("name", flat=True)),
        "extra": story.extra,
    }
