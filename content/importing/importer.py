"""The import of files as items of any type."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from content.frontmatter import Post, PostError
from content.importing.files import Found, read
from content.importing.memory import Plan
from content.importing.results import Outcome, Result
from content.models import TitledBody
from scheduling import operations
from scheduling.errors import DomainError, Reason, Why
from scheduling.models import Kind, Status, clock

logger = logging.getLogger(__name__)

# Files whose items are looked up with one query.
BATCH = 200


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
            return read(file.path)
        except PostError as error:
            return Result(file.name, Outcome.FAILED, notes=tuple(error.reasons()))

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
            return Result(file.name, Outcome.FAILED, notes=tuple(error.reasons()))
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
                self._set_end(item, plan.end, reason=reason)

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
            self._set_end(item, plan.end, reason=reason)

    def _schedule(self, item: TitledBody, plan: Plan, *, reason: Why) -> None:
        assert plan.start is not None
        operations.schedule(
            item=item, run_at=plan.start, by=self.by, unpublish_at=plan.end, reason=reason
        )

    def _move_end(
        self, item: TitledBody, end: datetime | None, old: datetime | None, *, reason: Why
    ) -> list[Why]:
        if item.unpublish_at != old:
            return [_("Its end was changed here: left as it is.")]
        if end is not None and end <= clock.database_now():
            return [_("Its new end has passed: it stays live.")]
        self._set_end(item, end, reason=reason)
        return []

    def _set_end(self, item: TitledBody, end: datetime | None, *, reason: Why) -> None:
        """Set or cancel the end of a live item."""
        if end == item.unpublish_at:
            return
        if end is None:
            operations.unschedule(item=item, by=self.by, kind=Kind.UNPUBLISH, reason=reason)
        else:
            operations.schedule(
                item=item, run_at=end, by=self.by, kind=Kind.UNPUBLISH, reason=reason
            )


def reason_of(file: Found) -> Reason:
    """Return the reason that jobs of an import carry."""
    name = Path(file.name).name
    return Reason("imported", gettext_noop("imported from %(file)s"), {"file": name})


def result_of(file: Found, outcome: Outcome, item: TitledBody, notes: Iterable[Why]) -> Result:
    """Return the result of a file that has an item."""
    return Result(file.name, outcome, item=item.label, status=item.status, notes=tuple(notes))


def possible(plan: Plan, item: TitledBody, notes: list[Why]) -> Plan:
    """Return the plan, or that of a draft if the item may not go live."""
    problems = item.publish_problems()
    if plan.start is None or not problems:
        return plan
    notes.append(_("Kept as a draft: %(problems)s") % {"problems": " ".join(map(str, problems))})
    return Plan()
