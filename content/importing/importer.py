"""The import of files as items of any type."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils.translation import gettext_noop

from content.frontmatter import NotAPost, Post, PostError
from content.frontmatter.reasons import reason
from content.importing.files import Found, read
from content.importing.memory import Memory, Plan, digest
from content.importing.places import Place, Places, are_two, find_on_disk, pages_of
from content.importing.reasons import reason as because
from content.importing.results import Outcome, Result
from content.models import ImportSite, NoticeFile, StoryFile, TitledBody
from content.text import as_language, is_language
from scheduling import operations
from scheduling.errors import DomainError, Reason, Why
from scheduling.models import GUARDED, Kind, Status, clock

logger = logging.getLogger(__name__)

# Files whose items are looked up with one query.
BATCH = 200
# Each time another import may have been first.
ATTEMPTS = 5


@dataclass(frozen=True, eq=False)
class Entry:
    """One file that was read."""

    file: Found
    place: Place
    post: Post
    parts: dict[str, Any]  # as an item has them
    memory: Memory


@dataclass(frozen=True)
class Known:
    """What is stored of an item that has a file."""

    item: str
    status: str
    memory: Memory | None


class Importer(ABC):
    """
    Writes posts as items of one type, in one run of the command.

    An item is found by the place of its file. One that an earlier version imported has no place; it
    is found by its text.

    :param site: the name of the site; empty to find it, see `Places`.
    :param by: the user who imports; None is the publisher.
    :param dry_run: do everything, and roll each file back.
    """

    model: ClassVar[type[TitledBody]]
    files: ClassVar[type[StoryFile | NoticeFile]]

    def __init__(
        self, *, site: str = "", by: AbstractBaseUser | None = None, dry_run: bool = False
    ) -> None:
        self.by = by
        self.dry_run = dry_run
        self.places = Places(name=site, dry_run=dry_run)
        self._known: dict[tuple[int, str], Known] = {}  # of a batch, by place
        # By site; see `_find_moved`.
        self._gone: dict[int, dict[tuple[str, str], list[tuple[int, str]]]] = {}
        # Items that this run gave a place; no item is called None.
        self._taken_over: set[int | None] = {None}

    def run(self, found: Iterable[Found]) -> Iterator[Result]:
        """Import the files, each in its own transaction; a bad one does not stop the rest."""
        remaining = iter(self._locate(found))
        while batch := list(islice(remaining, BATCH)):
            read = [self._read_or_refuse(file, place) for file, place in batch]
            self.forget()
            self._look_up([entry for entry in read if isinstance(entry, Entry)])
            for entry in read:
                yield entry if isinstance(entry, Result) else self._import(entry)

    def _locate(self, found: Iterable[Found]) -> list[tuple[Found, Place | None]]:
        """
        Return the files with their places, each file once.

        They are sorted, so that which of two posts gets an address does not depend on the order of
        arguments; the site's own language comes first.
        """
        found = list(found)
        self.places.begin(found)
        located: dict[object, tuple[Found, Place | None]] = {}
        for file in found:
            place = None if file.outcome else self.places.locate(file)
            first, _place = located.setdefault(place.key if place else file, (file, place))
            if place and first is not file and are_two(first.path, file.path):
                # Of a second checkout of the site.
                why = because("same_place", file=first.name)
                skipped = replace(file, outcome=Outcome.SKIPPED, reason=why)
                located[skipped] = (skipped, None)

        def order(it: tuple[Found, Place | None]) -> tuple[bool, str]:
            file, place = it
            return place is not None and place.is_translation, os.path.abspath(file.path)

        return sorted(located.values(), key=order)

    def _read_or_refuse(self, file: Found, place: Place | None) -> Entry | Result:
        if file.outcome or place is None:
            return Result(file.name, file.outcome or Outcome.FAILED, notes=(file.reason,))
        try:
            post = read(file.path, file.pages)
        except NotAPost as error:
            return Result(file.name, Outcome.SKIPPED, notes=tuple(error.reasons()))
        except PostError as error:
            return Result(file.name, Outcome.FAILED, notes=tuple(error.reasons()))
        language = as_language(place.language_of(post))
        if language and not is_language(language):
            note = reason("language_unknown", language=language)
            language, post = "", replace(post, notes=(*post.notes, note))
        post = replace(post, language=language)
        parts = self.parts_of_post(post)
        return Entry(file, place, post, parts, Memory.of(parts, Plan.of(post), post.slug))

    def _look_up(self, entries: Sequence[Entry]) -> None:
        """Query what is stored of the items of a batch."""
        by_site: dict[ImportSite, list[str]] = {}
        for entry in entries:
            if entry.place.site.pk is not None:
                by_site.setdefault(entry.place.site, []).append(entry.place.path)
        for site, paths in by_site.items():
            rows = self.files.objects.filter(site=site, path__in=paths).values_list(
                "path", "item", "item__status", "item__imported"
            )
            for path, pk, status, value in rows:
                label = f"{self.model._meta.model_name}:{pk}"
                self._known[id(site), path] = Known(label, status, Memory.find(value))
        if new := [entry for entry in entries if entry.place.key not in self._known]:
            self.prepare(new)

    def _import(self, entry: Entry) -> Result:
        known = self._known.get(entry.place.key)
        if known and known.memory and known.memory.file == entry.memory.file:
            return Result(entry.file.name, Outcome.UNCHANGED, item=known.item, status=known.status)
        for attempt in range(ATTEMPTS):
            try:
                with transaction.atomic():
                    result = self._write(entry)
                    if self.dry_run:
                        transaction.set_rollback(True)
            except DomainError as error:
                return Result(entry.file.name, Outcome.FAILED, notes=tuple(error.reasons()))
            except IntegrityError as error:
                # Another import has taken the place or the address meanwhile.
                if attempt + 1 == ATTEMPTS:
                    return self._refuse(entry, error)
                self._look_up([entry])
            except DatabaseError as error:
                # A lost connection is not the file's fault: the next ones would fail, too.
                if not connection.is_usable():
                    raise
                return self._refuse(entry, error)
            else:
                break
        if self.dry_run and result.outcome == Outcome.CREATED:
            return replace(result, item="")
        return result

    def _refuse(self, entry: Entry, error: DatabaseError) -> Result:
        logger.warning("A post cannot be stored", extra={"file": entry.file.name}, exc_info=error)
        note = because("not_stored", reason=str(error).partition("\n")[0])
        return Result(entry.file.name, Outcome.FAILED, notes=(note,))

    def _write(self, entry: Entry) -> Result:
        """
        Write the item of one file.

        :raises DomainError: it cannot be written.
        """
        place, notes = entry.place, list[Why](entry.post.notes)
        if place.key in self._known and (
            item := self._lock(file__site=place.site, file__path=place.path)
        ):
            return self._update(entry, item, notes)
        pk = self.find_earlier(entry)
        if pk not in self._taken_over and (item := self._lock(pk=pk, file__isnull=True)):
            self._keep(item, entry)
            return self._update(entry, item, notes)
        pk, path = self._find_moved(entry)
        if pk not in self._taken_over and (item := self._lock(pk=pk)):
            self._keep(item, entry)
            notes.append(because("moved", path=path))
            return self._update(entry, item, notes, has_moved=True)
        return self._insert(entry, notes)

    def _lock(self, **conditions: Any) -> TitledBody | None:
        items = self.model._default_manager.select_for_update(of=("self",))
        return items.filter(**conditions).first()

    def _keep(self, item: TitledBody, entry: Entry) -> None:
        """Store the place of an item's file."""
        self._taken_over.add(item.pk)
        if entry.place.site.pk is not None:
            self.files.objects.update_or_create(
                item_id=item.pk, defaults={"site": entry.place.site, "path": entry.place.path}
            )

    def _find_moved(self, entry: Entry) -> tuple[int | None, str]:
        """
        Return the item of the one file that became this one, and the path that is gone.

        It says the same to readers, or has the same title and is the same page: a draft that
        became a post, `x.md` that became `x/index.md`. The files that are gone are looked for once,
        when the first new file has been found.
        """
        site = entry.place.site
        if site.pk is None:
            return None, ""
        if site.pk not in self._gone:
            self._gone[site.pk] = self._find_gone(site, entry.place.root)
        title = entry.memory.parts["title"]
        keys = [(page, title) for page in pages_of(entry.place.path)]
        if entry.post.body.strip():
            keys.insert(0, (entry.memory.said, ""))
        for key in keys:
            same = self._gone[site.pk].get(key, [])
            if len(same) == 1 and same[0][0] not in self._taken_over:
                return same[0]
        return None, ""

    def _find_gone(
        self, site: ImportSite, root: Path
    ) -> dict[tuple[str, str], list[tuple[int, str]]]:
        """Query the items of a site whose files are gone, with their paths."""
        rows = self.files.objects.filter(site=site).values_list("item", "path")
        gone = {pk: path for pk, path in rows if not find_on_disk(root, path)}
        found: dict[tuple[str, str], list[tuple[int, str]]] = {}
        items = self.model._default_manager.filter(pk__in=gone)
        for pk, value in items.values_list("pk", "imported"):
            if memory := Memory.find(value):
                page, *_undated = pages_of(gone[pk])
                for key in ((memory.said, ""), (page, memory.parts["title"])):
                    found.setdefault(key, []).append((pk, gone[pk]))
        return found

    def _insert(self, entry: Entry, notes: list[Why]) -> Result:
        wanted = Plan.of(entry.post)
        item = self.make(entry, notes)
        self.fill(item, entry.parts, entry.post)
        plan = possible(wanted, item, notes)
        memory = replace(entry.memory, plan=plan, address=self.address_of(item))
        item.imported = memory.as_json()
        self.create(item, plan, reason=reason_of(entry.file))
        notes += self.relate(item, entry.parts, entry)
        if entry.place.site.pk is not None:
            self.files.objects.create(item_id=item.pk, site=entry.place.site, path=entry.place.path)
        return result_of(entry.file, Outcome.CREATED, item, notes)

    def _update(
        self, entry: Entry, item: TitledBody, notes: list[Why], *, has_moved: bool = False
    ) -> Result:
        """Write the parts that have changed in the file, and none that have been changed here."""
        wanted = Plan.of(entry.post)
        memory = Memory.find(item.imported) or entry.memory
        if item.is_published and wanted.start != memory.plan.start and not is_due(wanted):
            # Its readers would see at once what the file keeps from them: a draft, another date,
            # code. Nothing is stored, so that it is brought over when the file says so again.
            return result_of(entry.file, Outcome.UNCHANGED, item, [*notes, because("is_live")])
        now_here = self.parts_of_item(item)
        changed = {}
        for name, value in entry.parts.items():
            stored = memory.parts.get(name)
            if stored == digest(value) or value == now_here[name]:
                continue
            if stored == digest(now_here[name]):
                changed[name] = value
            else:
                notes.append(because("changed_here", part=name))
        self.fill(item, changed, entry.post)
        # An earlier version stored none: the item was found by it.
        address = old_address = self.address_of(item) if memory.slug is None else memory.address
        if memory.slug not in (None, entry.post.slug) and not has_moved:
            address = self.readdress(item, entry, memory, notes)
        # What is live or scheduled is not made a draft for a problem: its save refuses one.
        plan = wanted if item.status in GUARDED else possible(wanted, item, notes)
        old_plan = memory.plan if item.imported else plan
        item.imported = replace(entry.memory, plan=plan, address=address).as_json()
        if not changed and plan == old_plan and address == old_address:
            # No new version: nobody who reads or edits it sees a difference.
            self.model._default_manager.filter(pk=item.pk).update(imported=item.imported)
            return result_of(entry.file, Outcome.UNCHANGED, item, notes)
        is_cancelled = wanted.start is None  # and may be left incomplete
        if not is_cancelled:
            item.save()
        if plan != old_plan:
            notes += self.replan(item, plan, old_plan, reason=reason_of(entry.file))
        if is_cancelled:
            item.save()
        notes += self.relate(item, changed, entry)
        return result_of(entry.file, Outcome.UPDATED, item, notes)

    # Each type's own

    @abstractmethod
    def parts_of_post(self, post: Post) -> dict[str, Any]:
        """Return the parts of a file, as JSON, that an item has."""

    @abstractmethod
    def parts_of_item(self, item: Any) -> dict[str, Any]:
        """Query the same parts of an item."""

    @abstractmethod
    def make(self, entry: Entry, notes: list[Why]) -> TitledBody:
        """Return a new item, unsaved and without its parts."""

    @abstractmethod
    def fill(self, item: Any, parts: dict[str, Any], post: Post) -> None:
        """Set the parts that are fields of the item."""

    def relate(self, item: Any, parts: dict[str, Any], entry: Entry) -> list[Why]:
        """
        Store the parts that are relations of a saved item.

        :returns: notes about what was left out.
        """
        return []

    def address_of(self, item: Any) -> str | None:
        """Return the slug of an item; None if its type has none."""
        return None

    def readdress(self, item: Any, entry: Entry, memory: Memory, notes: list[Why]) -> str | None:
        """
        Give an item the slug that its file asks for by now.

        :returns: the slug that it has from an import.
        """
        return None

    @abstractmethod
    def prepare(self, entries: Sequence[Entry]) -> None:
        """Query, with few queries, what new files need."""

    def forget(self) -> None:
        """Drop what was queried for the batch before."""
        self._known.clear()

    @abstractmethod
    def find_earlier(self, entry: Entry) -> int | None:
        """Return the item without a file that an earlier version imported from this file."""

    # Schedule

    def create(self, item: TitledBody, plan: Plan, *, reason: Why) -> None:
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
                self._set_end(item, plan, reason=reason)

    def replan(self, item: TitledBody, plan: Plan, old: Plan, *, reason: Why) -> list[Why]:
        """
        Carry out the plan of a changed file for an existing item.

        An item that is live, or was taken down, cancelled or moved here since, is left as it is.

        :returns: notes about what was left.
        """
        notes: list[Why] = []
        match item.status:
            case Status.DRAFT if old.start is None:
                self._go_live(item, plan, reason=reason)
            case Status.DRAFT:
                notes.append(because("cancelled_here"))
            case Status.UNPUBLISHED:
                notes.append(because("taken_down_here"))
            case Status.PUBLISHED:
                if plan.start != old.start:
                    notes.append(because("is_live"))
                if plan.start is not None and plan.end != old.end:
                    notes += self._move_end(item, plan, old, reason=reason)
            case _ if item.publish_at != old.start or item.unpublish_at != old.end:
                notes.append(because("scheduled_here"))
            case _:
                self._go_live(item, plan, reason=reason)
        return notes

    def _go_live(self, item: TitledBody, plan: Plan, *, reason: Why) -> None:
        """Carry the plan out for an item that is not live, unless its end has passed."""
        now = clock.database_now()
        if plan.start is None or (plan.end is not None and plan.end <= now):
            if item.status != Status.DRAFT:
                operations.unschedule(item=item, by=self.by, reason=reason)
        elif plan.start > now:
            self._schedule(item, plan, reason=reason)
        else:
            operations.publish_now(item=item, by=self.by, reason=reason)
            self._set_end(item, plan, reason=reason)

    def _schedule(self, item: TitledBody, plan: Plan, *, reason: Why) -> None:
        assert plan.start is not None
        operations.schedule(
            item=item,
            run_at=plan.start,
            by=self.by,
            unpublish_at=plan.end,
            zone=plan.zone,
            reason=reason,
        )

    def _move_end(self, item: TitledBody, plan: Plan, old: Plan, *, reason: Why) -> list[Why]:
        if item.unpublish_at != old.end:
            return [because("end_changed_here")]
        if plan.end is not None and plan.end <= clock.database_now():
            return [because("end_has_passed")]
        self._set_end(item, plan, reason=reason)
        return []

    def _set_end(self, item: TitledBody, plan: Plan, *, reason: Why) -> None:
        """Set or cancel the end of a live item."""
        if plan.end == item.unpublish_at:
            return
        how: dict[str, Any] = {"item": item, "by": self.by, "reason": reason}
        if plan.end is None:
            operations.unschedule(kind=Kind.UNPUBLISH, **how)
        else:
            operations.schedule(kind=Kind.UNPUBLISH, run_at=plan.end, zone=plan.zone, **how)


def reason_of(file: Found) -> Reason:
    """Return the reason that jobs of an import carry."""
    name = Path(file.name).name
    return Reason("imported", gettext_noop("imported from %(file)s"), {"file": name})


def result_of(file: Found, outcome: Outcome, item: TitledBody, notes: Iterable[Why]) -> Result:
    """Return the result of a file that has an item."""
    return Result(
        file.name,
        outcome,
        item=item.label,
        status=item.status,
        notes=tuple(notes),
        slug=getattr(item, "slug", ""),
        publish_at=item.publish_at,
    )


def is_due(plan: Plan) -> bool:
    """Return whether the start of a plan has come."""
    return plan.start is not None and plan.start <= clock.database_now()


def possible(plan: Plan, item: TitledBody, notes: list[Why]) -> Plan:
    """Return the plan, or that of a draft if the item may not go live."""
    problems = item.publish_problems()
    if plan.start is None or not problems:
        return plan
    notes.append(because("not_publishable", problems=" ".join(map(str, problems))))
    return Plan()
