"""
The import of a site's posts: each Markdown file becomes an item, in its own transaction.

It may run any number of times. Each story stores digests of the parts of its file; a later run
writes only parts that have changed in the file, and none that have been changed here.
"""

import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from content.frontmatter import MAX_BYTES, Post, PostError, parse
from content.models import Category, Notice, Story, Tag, TitledBody
from scheduling import operations
from scheduling.errors import DomainError
from scheduling.models import Kind, Status, clock

logger = logging.getLogger(__name__)

SUFFIXES = (".md", ".markdown")
# Files whose items are looked up with one query.
BATCH = 200


class Outcome(models.TextChoices):
    """The outcome for one file."""

    CREATED = "created", pgettext_lazy("outcome", "created")
    UPDATED = "updated", pgettext_lazy("outcome", "updated")
    UNCHANGED = "unchanged", pgettext_lazy("outcome", "unchanged")
    SKIPPED = "skipped", pgettext_lazy("outcome", "skipped")
    FAILED = "failed", pgettext_lazy("outcome", "failed")


@dataclass(frozen=True)
class Found:
    """A file to import, or, with a reason, one to skip."""

    path: Path
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Return the path as text; bytes that are not UTF-8 become question marks."""
        return os.fsencode(self.path).decode("utf-8", "replace")


@dataclass(frozen=True)
class Result:
    """The result for one file; `notes` are for the person to read."""

    file: str
    outcome: Outcome
    item: str = ""  # as `story:42`; empty when there is none, also in a dry run
    status: str = ""
    notes: tuple[str, ...] = ()


# Files


def is_post(path: Path) -> bool:
    """Return whether the file has the name of a Markdown file."""
    return path.suffix.lower() in SUFFIXES


def find_posts(paths: Iterable[Path]) -> list[Found]:
    """
    Return the Markdown files among and below the paths, each once, in a fixed order.

    Hidden files and folders are skipped silently. Symbolic links below a folder are not followed:
    they could lead anywhere, also in a circle.
    """
    found: dict[str, Found] = {}
    for path in paths:
        for post in _walk(path) if path.is_dir() else [Found(path)]:
            found.setdefault(os.path.abspath(post.path), post)
    return list(found.values())


def _walk(root: Path) -> Iterator[Found]:
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in folders):
            if path.is_symlink():
                yield Found(path, Outcome.SKIPPED, _("It is a link."))
        for path in (Path(folder, name) for name in sorted(files)):
            if path.name.startswith(".") or not is_post(path):
                continue
            if path.is_symlink():
                yield Found(path, Outcome.SKIPPED, _("It is a link."))
            elif path.name.partition(".")[0] == "_index":
                yield Found(path, Outcome.SKIPPED, _("It is the page of a section, not a post."))
            else:
                yield Found(path)
    for error in unreadable:
        yield Found(Path(error.filename), Outcome.FAILED, error.strerror or str(error))


def _read(path: Path) -> Post:
    """
    Read one file; times without an offset are in TIME_ZONE.

    :raises PostError: it cannot be read, or makes no sense.
    """
    try:
        # A named pipe would block for ever.
        if not path.is_file():
            raise PostError(_("It is not a file."))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PostError(error.strerror or str(error)) from error
    return parse(data, path=Path(os.path.abspath(path)), zone=timezone.get_default_timezone())


# Items


@dataclass(frozen=True)
class Plan:
    """The times at which the item of a file is to be live; without a start it is a draft."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, post: Post) -> Self:
        """Return the plan of a file."""
        return cls(post.publish_at, post.unpublish_at)

    def as_json(self) -> list[str | None]:
        """Return the plan as the item stores it."""
        return [at.isoformat() if at else None for at in (self.start, self.end)]

    @classmethod
    def from_json(cls, value: list[str | None]) -> Self:
        """Return the plan that `as_json` stored."""
        return cls(*(datetime.fromisoformat(at) if at else None for at in value))


class Importer(ABC):
    """
    Writes posts as items of one type, in one run of the command.

    :param by: the user who imports; None is the publisher.
    :param dry_run: do everything, and roll each file back.
    """

    key: ClassVar[str]  # the field by which the item of a file is found

    def __init__(self, *, by: AbstractBaseUser | None = None, dry_run: bool = False) -> None:
        self.by = by
        self.dry_run = dry_run
        self._files: dict[str, str] = {}  # by key, of this run

    def run(self, found: Iterable[Found]) -> Iterator[Result]:
        """Import the files, each in its own transaction; a bad one does not stop the rest."""
        remaining = iter(found)
        while batch := list(islice(remaining, BATCH)):
            posts = [(file, self._read_or_refuse(file)) for file in batch]
            self.prepare([post for _file, post in posts if isinstance(post, Post)])
            for file, post in posts:
                yield post if isinstance(post, Result) else self._import(file, post)

    def _read_or_refuse(self, file: Found) -> Post | Result:
        if file.outcome:
            return Result(file.name, file.outcome, notes=(file.reason,))
        try:
            return _read(file.path)
        except PostError as error:
            return Result(file.name, Outcome.FAILED, notes=(str(error),))

    def _import(self, file: Found, post: Post) -> Result:
        key = getattr(post, self.key)
        first = self._files.setdefault(key, file.name)
        if first != file.name:
            reason = _("“%(key)s” is already what %(file)s is called.") % {
                "key": key,
                "file": first,
            }
            return Result(file.name, Outcome.FAILED, notes=(reason,))
        if (unchanged := self.recognise(file, post)) is not None:
            return unchanged
        try:
            with transaction.atomic():
                result = self.write(file, post)
                if self.dry_run:
                    transaction.set_rollback(True)
        except DomainError as error:
            return Result(file.name, Outcome.FAILED, notes=(str(error),))
        except DatabaseError as error:
            # A lost connection is not the file's fault: the next ones would fail, too.
            if not connection.is_usable():
                raise
            logger.warning("A post cannot be stored", extra={"file": file.name}, exc_info=error)
            reason = str(error).partition("\n")[0]
            return Result(file.name, Outcome.FAILED, notes=(reason,))
        if self.dry_run and result.outcome == Outcome.CREATED:
            return replace(result, item="")
        return result

    # Overridden by each type

    def prepare(self, posts: Sequence[Post]) -> None:  # noqa: B027 (most types need nothing)
        """Query what a batch needs, with few queries."""

    def recognise(self, file: Found, post: Post) -> Result | None:
        """Return the result of a file that has not changed since its import, without a query."""
        return None

    @abstractmethod
    def write(self, file: Found, post: Post) -> Result:
        """
        Write the item of one file, in the caller's transaction.

        :raises DomainError: it cannot be written.
        """

    # Schedule

    def create(self, item: TitledBody, plan: Plan, *, reason: str) -> None:
        """Insert an item; if its date has passed, it is live since then."""
        now = clock.database_now()
        if plan.start is None:
            item.save()
        elif plan.start > now:
            item.save()
            self._schedule(item, plan, reason=reason)
        else:
            item.publish_at = item.published_at = plan.start
            item.status = Status.PUBLISHED
            if plan.end is not None and plan.end <= now:
                item.status = Status.UNPUBLISHED
                item.unpublish_at = plan.end
            item.save()
            if item.status == Status.PUBLISHED:
                self._set_end(item, plan.end, reason=reason)

    def replan(self, item: TitledBody, plan: Plan, old: Plan, *, reason: str) -> list[str]:
        """
        Carry out the plan of a changed file for an existing item.

        An item that is live, or was taken down, cancelled or moved here since, is left as it is.

        :returns: notes about what was left.
        """
        notes = []
        match item.status:
            case Status.DRAFT if old.start is None:
                self._go_live(item, plan, reason=reason)
            case Status.DRAFT:
                notes.append(_("Its schedule was cancelled here: it stays a draft."))
            case Status.UNPUBLISHED:
                notes.append(_("It was taken down: it stays down."))
            case Status.PUBLISHED:
                if plan.start != old.start:
                    notes.append(_("It is live: left as it is."))
                if plan.start is not None and plan.end != old.end:
                    notes += self._move_end(item, plan.end, old.end, reason=reason)
            case _ if item.publish_at != old.start or item.unpublish_at != old.end:
                notes.append(_("Its schedule was changed here: left as it is."))
            case _:
                self._go_live(item, plan, reason=reason)
        return notes

    def _go_live(self, item: TitledBody, plan: Plan, *, reason: str) -> None:
        """Carry the plan out for an item that is not live, unless its end has passed."""
        now = clock.database_now()
        if plan.start is None or (plan.end is not None and plan.end <= now):
            if item.status != Status.DRAFT:
                operations.unschedule(item=item, by=self.by, reason=reason)
        elif plan.start > now:
            self._schedule(item, plan, reason=reason)
        else:
            operations.publish_now(item=item, by=self.by, reason=reason)
            self._set_end(item, plan.end, reason=reason)

    def _schedule(self, item: TitledBody, plan: Plan, *, reason: str) -> None:
        assert plan.start is not None
        operations.schedule(
            item=item, run_at=plan.start, by=self.by, unpublish_at=plan.end, reason=reason
        )

    def _move_end(
        self, item: TitledBody, end: datetime | None, old: datetime | None, *, reason: str
    ) -> list[str]:
        if item.unpublish_at != old:
            return [_("Its end was changed here: left as it is.")]
        if end is not None and end <= clock.database_now():
            return [_("Its new end has passed: it stays live.")]
        self._set_end(item, end, reason=reason)
        return []

    def _set_end(self, item: TitledBody, end: datetime | None, *, reason: str) -> None:
        """Set or cancel the end of a live item."""
        if end == item.unpublish_at:
            return
        if end is None:
            operations.unschedule(item=item, by=self.by, kind=Kind.UNPUBLISH, reason=reason)
        else:
            operations.schedule(
                item=item, run_at=end, by=self.by, kind=Kind.UNPUBLISH, reason=reason
            )


def _reason(file: Found) -> str:
    return _("imported from %(file)s") % {"file": Path(file.name).name}


def _result(file: Found, outcome: Outcome, item: TitledBody, notes: Iterable[str]) -> Result:
    return Result(file.name, outcome, item=item.label, status=item.status, notes=tuple(notes))


def _possible(plan: Plan, item: TitledBody, notes: list[str]) -> Plan:
    """Return the plan, or that of a draft if the item may not go live."""
    problems = item.publish_problems()
    if plan.start is None or not problems:
        return plan
    notes.append(_("Kept as a draft: %(problems)s") % {"problems": " ".join(problems)})
    return Plan()


@dataclass(frozen=True)
class Memory:
    """What a story stores of its file, to find out later what has changed in the file or here."""

    file: str  # digest of the whole
    parts: dict[str, str]  # digest of each part
    plan: Plan  # as it was carried out

    @classmethod
    def of(cls, parts: dict[str, Any], plan: Plan) -> Self:
        """Return what is to be stored of a file."""
        return cls(
            file=_digest([parts, plan.as_json()]),
            parts={name: _digest(value) for name, value in parts.items()},
            plan=plan,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as the story stores it."""
        return {"file": self.file, "parts": self.parts, "plan": self.plan.as_json()}

    @classmethod
    def find(cls, value: dict[str, Any] | None) -> Self | None:
        """Return what the story stores; None if it was not imported."""
        if value is None:
            return None
        return cls(value["file"], dict(value["parts"]), Plan.from_json(value["plan"]))


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
            return _result(file, Outcome.SKIPPED, story, [note])
        return self._update(file, post, story, memory)

    def _insert(self, file: Found, post: Post) -> Result:
        story = Story(slug=post.slug)
        notes = list(post.notes)
        parts, wanted = _parts(post), Plan.of(post)
        self._fill(story, parts, post)
        plan = _possible(wanted, story, notes)
        story.imported = replace(Memory.of(parts, wanted), plan=plan).as_json()
        self.create(story, plan, reason=_reason(file))
        self._set_names(story, parts)
        return _result(file, Outcome.CREATED, story, notes)

    def _update(self, file: Found, post: Post, story: Story, memory: Memory) -> Result:
        notes = list(post.notes)
        parts, wanted = _parts(post), Plan.of(post)
        now_here = _parts_of(story)
        changed = {}
        for name, value in parts.items():
            digest = memory.parts.get(name)
            if digest == _digest(value) or value == now_here[name]:
                continue
            if digest == _digest(now_here[name]):
                changed[name] = value
            else:
                notes.append(_("“%(part)s” was changed here, too: left as it is.") % {"part": name})
        self._fill(story, changed, post)
        may_stay_blank = story.status in (Status.DRAFT, Status.UNPUBLISHED)
        if not may_stay_blank and (problems := story.publish_problems()):
            raise operations.NotPublishable(problems)
        plan = _possible(wanted, story, notes)
        story.imported = replace(Memory.of(parts, wanted), plan=plan).as_json()
        story.save()
        self._set_names(story, changed)
        if plan != memory.plan:
            notes += self.replan(story, plan, memory.plan, reason=_reason(file))
        return _result(file, Outcome.UPDATED, story, notes)

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
            users = get_user_model()._default_manager.filter(username__iexact=name)
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
        "keywords": list(post.keywords),
        "categories": sorted(post.categories),
        "tags": sorted(post.tags),
        "extra": post.extra,
    }


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


class NoticeImporter(Importer):
    """
    Writes notices, which are found by title: they have no slug.

    A notice stores nothing of its file, so an existing one is left as it is.
    """

    key = "title"

    def write(self, file: Found, post: Post) -> Result:
        """Insert the notice."""
        notice = Notice.objects.filter(title=post.title).order_by("pk").first()
        if notice is not None and notice.body == post.body:
            return _result(file, Outcome.UNCHANGED, notice, [])
        if notice is not None:
            note = _("A notice with this title is there already: it is left as it is.")
            return _result(file, Outcome.SKIPPED, notice, [note])
        notes = list(post.notes)
        for name in ("summary", "authors", "categories", "tags", "keywords"):
            if getattr(post, name):
                notes.append(_("A notice has no “%(key)s”: it was left out.") % {"key": name})
        notice = Notice(title=post.title, body=post.body)
        if post.extra.get("severity") in Notice.Severity.values:
            notice.severity = str(post.extra["severity"])
        self.create(notice, _possible(Plan.of(post), notice, notes), reason=_reason(file))
        return _result(file, Outcome.CREATED, notice, notes)


# The choices of `--type`.
IMPORTERS: dict[str, type[Importer]] = {"story": StoryImporter, "notice": NoticeImporter}
