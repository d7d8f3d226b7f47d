"""
The operations: one unit of work each, the only writers of an item's status.

Every door comes through here: the API, the admin, the commands. An operation is one transaction:
lock, check, change, record. Locks are taken item first, then its jobs; the workers lock a job first
but never wait for an item, so the two cannot block each other for good (docs/adr/0003).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext, gettext_noop

from armo.errors import DomainError, ProblemsError
from scheduling import ledger
from scheduling.announce import BY_HAND, Change, announce
from scheduling.items import ItemNotFound
from scheduling.models import (
    ALLOWED,
    IsOneOf,
    Job,
    JobEvent,
    JobQuerySet,
    Kind,
    Schedulable,
    State,
    Status,
)
from scheduling.statements import along_the_index, pipeline, send

What = JobEvent.What

# What may become what; scheduling what is scheduled moves it.
TRANSITIONS = frozenset(
    [(now, wanted) for now, all_wanted in ALLOWED.items() for wanted in all_wanted]
    + [(Status.SCHEDULED, Status.SCHEDULED)]
)

# How many items one statement changes.
BATCH = 1000


class NotInFuture(DomainError):
    """That time has already passed."""

    code = "not_in_future"


class InvalidTransition(DomainError):
    """That cannot be done in the present status."""

    code = "invalid_transition"


class NotPublishable(ProblemsError):
    """It cannot go live as it is."""

    code = "not_publishable"


class EndNotAfterStart(DomainError):
    """The end must come after the start."""

    code = "validation_error"

    def facts(self) -> dict[str, Any]:
        """Return which field of a request is wrong."""
        error = {"field": "unpublish_at", "code": "ends_too_early", "detail": str(self)}
        return {"errors": [error]}


class SomeRefused(ProblemsError):
    """Some of the items cannot be scheduled, so none was."""

    code = "invalid_transition"

    def __init__(self, refusals: Mapping[Schedulable, DomainError]) -> None:
        # By item, for doors that show them in a list of their own.
        self.refusals = dict(refusals)
        codes = {refusal.code for refusal in self.refusals.values()}
        if len(codes) == 1:
            self.code = codes.pop()
        super().__init__(
            f"{item} ({item.label}): {refusal}" for item, refusal in self.refusals.items()
        )

    def facts(self) -> dict[str, Any]:
        """Return each refusal beside its item's id."""
        return {
            "refusals": [
                {"id": item.pk, "code": refusal.code, "detail": str(refusal), **refusal.facts()}
                for item, refusal in self.refusals.items()
            ]
        }


class JobNotFound(DomainError):
    """There is no such job."""

    code = "not_found"


class ItemHasMovedOn(DomainError):
    """Since the job failed, its item has moved on."""

    code = "invalid_transition"


class _Keep:
    """Says that the item's end stays as it is."""


KEEP: Final = _Keep()


@dataclass
class _Locked:
    """An item under its lock."""

    # What the caller holds, and the row as it is.
    item: Schedulable
    row: Schedulable
    # Its open jobs by kind, locked too.
    jobs: dict[str, Job]
    # The database's clock when all that was locked.
    now: datetime


@transaction.atomic
def schedule(
    *,
    item: Schedulable,
    run_at: datetime,
    by: AbstractBaseUser | None,
    kind: Kind = Kind.PUBLISH,
    unpublish_at: datetime | _Keep | None = KEEP,
    reason: str = "",
) -> Job:
    """
    Have an item published, or taken down, at a moment; move it when it is scheduled already.

    :param run_at: aware; must lie after the database's clock.
    :param by: who asked for it; None is the publisher itself.
    :param unpublish_at: of a publish: its end, None for none; left out, the item keeps the end it
        has.
    :raises NotInFuture:
    :raises EndNotAfterStart:
    :raises InvalidTransition: it is live already; or, for an end, neither live nor scheduled.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    :raises ItemNotFound: it has been deleted.
    """
    locked = _lock(item)
    row = locked.row
    now = locked.now
    if kind == Kind.UNPUBLISH:
        _require_future(run_at, now)
        return _schedule_end(locked, run_at=run_at, at=now, by=by, reason=reason)

    end = _kept_end(row) if isinstance(unpublish_at, _Keep) else unpublish_at
    check_schedule(row=row, run_at=run_at, unpublish_at=end, now=now)
    _write(locked, status=Status.SCHEDULED, publish_at=run_at, unpublish_at=end)
    job = _set_job(locked, Kind.PUBLISH, run_at, at=now, by=by, reason=reason)
    _set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    return job


def _schedule_end(
    locked: _Locked, *, run_at: datetime, at: datetime, by: AbstractBaseUser | None, reason: str
) -> Job:
    row = locked.row
    if row.status not in (Status.PUBLISHED, Status.SCHEDULED):
        raise InvalidTransition(
            gettext("Only what is live or scheduled can be given an end; it is %(status)s.")
            % {"status": Status(row.status).label}
        )
    if row.publish_at is not None and run_at <= row.publish_at:
        raise EndNotAfterStart
    _write(locked, unpublish_at=run_at)
    return _set_job(locked, Kind.UNPUBLISH, run_at, at=at, by=by, reason=reason)


def check_schedule(
    *,
    row: Schedulable,
    run_at: datetime,
    now: datetime,
    unpublish_at: datetime | _Keep | None = KEEP,
) -> None:
    """
    Raise what `schedule` would raise for an item that is just so; it queries nothing.

    :param now: the database's clock.
    """
    _require_future(run_at, now)
    _require_transition(row, Status.SCHEDULED)
    _require_publishable(row)
    end = _kept_end(row) if isinstance(unpublish_at, _Keep) else unpublish_at
    _require_end_after(run_at, end)


def _kept_end(row: "Schedulable | _Row") -> datetime | None:
    # What was live before carries the end of that time.
    return None if row.status == Status.UNPUBLISHED else row.unpublish_at


def _require_future(run_at: datetime, now: datetime) -> None:
    if run_at <= now:
        raise NotInFuture


def _require_end_after(run_at: datetime, end: datetime | None) -> None:
    if end is not None and end <= run_at:
        # It may be an end from before, which nobody has named now.
        raise EndNotAfterStart(f"{EndNotAfterStart.default_message()} ({end:%Y-%m-%d %H:%M:%S %Z})")


@transaction.atomic
def schedule_many(
    *,
    items: Iterable[Schedulable],
    run_at: datetime,
    by: AbstractBaseUser | None,
    reason: str = "",
) -> JobQuerySet:
    """
    Have many items published at one moment, all or none; move those that are scheduled already.

    Set-based: half a dozen statements for each thousand. Each item keeps the end it has.

    :param items: of any types; one that comes twice counts once.
    :param run_at: aware; must lie after the database's clock.
    :returns: the jobs, one an item; they are read when they are looked at.
    :raises NotInFuture:
    :raises SomeRefused: it says of each item that `schedule` would refuse why.
    """
    _require_future(run_at, ledger.database_now())
    by_model: dict[type[Schedulable], dict[int, Schedulable]] = defaultdict(dict)
    for item in items:
        by_model[type(item)][item.pk] = item
    # In one order, so that two of these that overlap do not block each other for good.
    batches = [
        _Batch(model, {pk: by_model[model][pk] for pk in ids[start : start + BATCH]}, run_at)
        for model in sorted(by_model, key=lambda model: model._meta.label)
        for ids in [sorted(by_model[model])]
        for start in range(0, len(ids), BATCH)
    ]
    refusals: dict[Schedulable, DomainError] = {}
    # Known from here on: one that has to be made would be made in the pipeline, where another
    # process that makes the same would end it.
    ContentType.objects.get_for_models(*by_model)
    with along_the_index(), pipeline():
        for batch in batches:
            batch.ask_for_items()
        for batch in batches:
            batch.ask_for_jobs()
        for batch in batches:
            batch.read_items()
            refusals |= batch.refusals()
        for batch in batches:
            batch.read_jobs()
    if refusals:
        raise SomeRefused(refusals)
    # Whoever held them may have taken his time.
    now = ledger.database_now()
    _require_future(run_at, now)
    new = iter(ledger.give_ids(wish for batch in batches for wish in batch.missing()))
    for batch in batches:
        batch.new = list(islice(new, len(batch.without)))
    # A batch's messages take Python as long to make as PostgreSQL to store, so it makes the next
    # while PostgreSQL stores the last.
    with pipeline():
        for batch in batches:
            batch.write(at=now, by=by, reason=reason)
    for batch in batches:
        batch.write_ends(at=now, by=by, reason=reason)
    for batch in batches:
        batch.take_over()
    jobs = [job_id for batch in batches for job_id in batch.job_ids]
    return Job.objects.filter(IsOneOf("pk", jobs)).order_by("pk")


class _Row(NamedTuple):
    """What `schedule_many` has to know of an item; a whole item takes ten times as long to make."""

    status: str
    unpublish_at: datetime | None
    published_at: datetime | None
    version: int


class _Batch:
    """Items of one type on their way through `schedule_many`; the steps come in this order."""

    def __init__(
        self, model: type[Schedulable], items: dict[int, Schedulable], run_at: datetime
    ) -> None:
        self.model, self.items, self.run_at = model, items, run_at
        self.here = model._base_manager.filter(IsOneOf("pk", items))
        # By the item: how it is, the end it keeps, the job that ends it.
        self.rows: dict[int, _Row] = {}
        self.ends: dict[int, datetime | None] = {}
        self.end_jobs: dict[int, ledger.OpenJob] = {}
        # The jobs that publish them, and the items that have none yet.
        self.publishes: dict[int, ledger.OpenJob] = {}
        self.without: list[Schedulable] = []
        self.new: list[ledger.NewJob] = []

    # Answers are read when all is asked: PostgreSQL looks for the next while Python reads the last.

    def ask_for_items(self) -> None:
        """Lock them and ask how they are, and which may not go live as they are."""
        rows = self.here.select_for_update().order_by("pk").values_list("pk", *_Row._fields)
        self.items_answer = send(rows)
        condition = self.model.publishable_condition()
        unready = self.here.exclude(condition).values_list("pk")
        self.unready_answer = send(unready) if condition else None

    def ask_for_jobs(self) -> None:
        """Lock their open jobs."""
        self.jobs_answer = send(ledger.open_jobs_of_many(self.model, self.items))

    def read_items(self) -> None:
        """Take in how they are."""
        with self.items_answer as rows:
            for pk, *values in rows.fetchall():
                self.rows[pk] = row = _Row(*values)
                self.ends[pk] = _kept_end(row)

    def refusals(self) -> dict[Schedulable, DomainError]:
        """Return why `schedule` would refuse items, of those that it would."""
        unready: set[int] = set()
        if self.unready_answer:
            with self.unready_answer as rows:
                unready = {pk for [pk] in rows.fetchall()}
        refusals: dict[Schedulable, DomainError] = {}
        for pk, item in self.items.items():
            try:
                if pk not in self.rows:
                    raise ItemNotFound
                _require_transition(self.rows[pk], Status.SCHEDULED)
                if pk in unready:
                    _require_publishable(self.model._base_manager.get(pk=pk))
                _require_end_after(self.run_at, self.ends[pk])
            except DomainError as refusal:
                refusals[item] = refusal
        return refusals

    def read_jobs(self) -> None:
        """Take in which jobs there are."""
        with self.jobs_answer as rows:
            for job in ledger.read_open_jobs(rows, self.model):
                found = self.publishes if job.kind == Kind.PUBLISH else self.end_jobs
                found[job.object_id] = job
        self.without = [item for pk, item in self.items.items() if pk not in self.publishes]

    def missing(self) -> Iterator[tuple[Schedulable, Kind, datetime]]:
        """Return what jobs there have to be and are not."""
        return ((item, Kind.PUBLISH, self.run_at) for item in self.without)

    @property
    def job_ids(self) -> list[int]:
        """Return the jobs that publish them."""
        return [*(job.pk for job in self.publishes.values()), *(job.pk for job in self.new)]

    def write(self, *, at: datetime, by: AbstractBaseUser | None, reason: str) -> None:
        """Change the items and their jobs; waits for no answer."""
        if any(row.unpublish_at != self.ends[pk] for pk, row in self.rows.items()):
            self.here.filter(status=Status.UNPUBLISHED).update(unpublish_at=None)
        self.here.update(status=Status.SCHEDULED, publish_at=self.run_at, version=F("version") + 1)
        moved = [job for job in self.publishes.values() if job.run_at != self.run_at]
        if moved:
            ledger.move_jobs(moved, run_at=self.run_at, at=at, by=by, reason=reason)
        if self.new:
            ledger.store_jobs(self.new, at=at, by=by, reason=reason)

    def write_ends(self, *, at: datetime, by: AbstractBaseUser | None, reason: str) -> None:
        """Bring in line the jobs that end them: few, an end that stays has its job already."""
        for pk, item in self.items.items():
            end, wanted = self.end_jobs.get(pk), self.ends[pk]
            if wanted != (end.run_at if end else None):
                jobs = {end.kind: Job.objects.get(pk=end.pk)} if end else {}
                locked = _Locked(item, item, jobs, at)
                _set_job_or_none(locked, Kind.UNPUBLISH, wanted, at=at, by=by, reason=reason)

    def take_over(self) -> None:
        """Have the items in hand follow."""
        for pk, row in self.rows.items():
            self.items[pk].take_over(
                status=Status.SCHEDULED,
                publish_at=self.run_at,
                unpublish_at=self.ends[pk],
                published_at=row.published_at,
                version=row.version + 1,
            )


@transaction.atomic
def move(*, job: Job, run_at: datetime, by: AbstractBaseUser | None, reason: str = "") -> Job:
    """
    Give an open job another time.

    :param run_at: aware; must lie after the database's clock.
    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.

    and what `schedule` raises.
    """
    item = _item_of_open(job)
    return schedule(item=item, run_at=run_at, by=by, kind=Kind(job.kind), reason=reason)


@transaction.atomic
def unschedule(
    *,
    item: Schedulable,
    by: AbstractBaseUser | None,
    kind: Kind = Kind.PUBLISH,
    reason: str = "",
) -> Job:
    """
    Cancel what is scheduled for an item; a cancelled publish takes its end with it.

    A failed item is given up by this: it goes back to where it was before it was scheduled.

    :returns: the job that was cancelled; of a failed item, the job that had failed.
    :raises InvalidTransition: nothing of that kind is scheduled.
    :raises ItemNotFound: it has been deleted.
    """
    locked = _lock(item)
    now = locked.now
    job = locked.jobs.get(kind)
    unwanted = [job] if job else []
    if kind == Kind.PUBLISH and locked.row.status in (Status.SCHEDULED, Status.FAILED):
        unwanted = list(locked.jobs.values())
        if job is None and locked.row.status == Status.FAILED:
            job = ledger.last_job(item=item, kind=kind)
        if job is None:
            # It was marked as scheduled by hand, and no sweep has given it a job yet.
            job = _record(locked, kind, What.CANCELLED, at=now, by=by, reason=reason)
        # What has been live before was not a draft.
        before = Status.DRAFT if locked.row.published_at is None else Status.UNPUBLISHED
        _write(locked, status=before, publish_at=None, unpublish_at=None)
    elif job is None:
        raise _nothing_scheduled()
    elif kind == Kind.UNPUBLISH:
        _write(locked, unpublish_at=None)
    for open_job in unwanted:
        ledger.cancel_job(job=open_job, at=now, by=by, reason=reason)
    return job


def check_unschedule(*, row: Schedulable) -> None:
    """Raise what `unschedule` would raise for an item that is just so; it queries nothing."""
    if row.status not in (Status.SCHEDULED, Status.FAILED):
        raise _nothing_scheduled()


def _nothing_scheduled() -> InvalidTransition:
    return InvalidTransition(gettext("Nothing is scheduled."))


@transaction.atomic
def cancel(*, job: Job, by: AbstractBaseUser | None, reason: str = "") -> Job:
    """
    Cancel an open job.

    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.
    """
    item = _item_of_open(job)
    unschedule(item=item, by=by, kind=Kind(job.kind), reason=reason)
    job.refresh_from_db()
    return job


@transaction.atomic
def publish_now(*, item: Schedulable, by: AbstractBaseUser | None, reason: str = "") -> Job:
    """
    Publish an item at once, whatever is scheduled for it; an end in the future stays.

    An item whose type has a `before_publish` is left to the worker, due at once: a hook may take
    long, and has no business in a web process.

    :returns: the finished job that records it; with a hook, the open one.
    :raises InvalidTransition: it is live already.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    :raises ItemNotFound: it has been deleted.
    """
    locked = _lock(item)
    check_publish_now(row=locked.row)
    now = locked.now
    end = locked.row.unpublish_at
    if end is not None and end <= now:
        end = None
    if locked.row.has_hook():
        _write(locked, status=Status.SCHEDULED, publish_at=now, unpublish_at=end)
        job = _set_job(locked, Kind.PUBLISH, now, at=now, by=by, reason=reason)
    else:
        _write(locked, status=Status.PUBLISHED, publish_at=now, published_at=now, unpublish_at=end)
        job = _record_by_hand(locked, Kind.PUBLISH, at=now, by=by, reason=reason)
    _set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    return job


def check_publish_now(*, row: Schedulable) -> None:
    """Raise what `publish_now` would raise for an item that is just so; it queries nothing."""
    _require_transition(row, Status.PUBLISHED)
    _require_publishable(row)


@transaction.atomic
def unpublish_now(*, item: Schedulable, by: AbstractBaseUser | None, reason: str = "") -> Job:
    """
    Take a live item down at once.

    :returns: the finished job that records it.
    :raises InvalidTransition: it is not live.
    :raises ItemNotFound: it has been deleted.
    """
    locked = _lock(item)
    now = locked.now
    check_unpublish_now(row=locked.row)
    start = locked.row.publish_at
    # A clock that was set back must not make the end come before the start.
    end = now if start is None else max(now, start)
    _write(locked, status=Status.UNPUBLISHED, unpublish_at=end)
    return _record_by_hand(locked, Kind.UNPUBLISH, at=now, by=by, reason=reason)


def check_unpublish_now(*, row: Schedulable) -> None:
    """Raise what `unpublish_now` would raise for an item that is just so; it queries nothing."""
    # `ALLOWED` has more ways there: what was live before and is cancelled goes back to it.
    if row.status != Status.PUBLISHED:
        raise _invalid_transition(row, Status.UNPUBLISHED)


@transaction.atomic
def rerun(*, job: Job, by: AbstractBaseUser | None, reason: str = "") -> Job:
    """
    Run a failed job again: the same job, due at once, with its time and its history.

    :returns: the job, open again.
    :raises InvalidTransition: the job has not failed.
    :raises ItemNotFound: its item, or the whole type, has been deleted.
    :raises ItemHasMovedOn: the item does not ask for this any more.
    :raises NotPublishable: something is still missing, see `publish_problems()`.
    :raises JobNotFound: the job has been pruned.
    """
    locked = _lock_for_rerun(job)
    row = locked.row
    now = ledger.database_now()
    if job.kind == Kind.PUBLISH:
        _write(locked, status=Status.SCHEDULED)
        end = row.unpublish_at
        _set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    # A new start: all attempts are to be had again, and a new failure is told again.
    job.state, job.attempts, job.finished_at, job.told_at = State.WAITING, 0, None, None
    ledger.wake(job=job, at=now)
    ledger.new_event(job=job, what=What.RERUN, at=now, by=by, reason=reason).save()
    return job


@transaction.atomic
def check_rerun(*, job: Job) -> None:
    """Raise what `rerun` would raise just now, and change nothing."""
    _lock_for_rerun(job)


# Following changes that no operation made


@transaction.atomic
def reconcile(*, item: Schedulable, reason: str) -> None:
    """
    Bring an item's jobs in line with its status and times: the item is the later wish.

    For items that were saved directly, restored from a dump, or left half-changed by hand. A time
    in the past is not refused: it is due at once. An item that is gone is left alone.
    """
    try:
        locked = _lock(item)
    except ItemNotFound:
        return
    row = locked.row
    now = locked.now
    start = row.publish_at if row.status == Status.SCHEDULED else None
    end = row.unpublish_at if row.status in (Status.SCHEDULED, Status.PUBLISHED) else None
    _set_job_or_none(locked, Kind.PUBLISH, start, at=now, by=None, reason=reason)
    _set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=None, reason=reason)


@transaction.atomic
def forget(*, item: Schedulable, reason: str) -> None:
    """Cancel what is scheduled for an item that is about to be deleted."""
    try:
        locked = _lock(item)
    except ItemNotFound:
        return
    now = locked.now
    for job in locked.jobs.values():
        ledger.cancel_job(job=job, at=now, by=None, reason=reason)


# Steps


def _lock(item: Schedulable) -> _Locked:
    """
    Lock an item and its open jobs, and read them anew: what the caller holds may be old.

    :raises ItemNotFound:
    """
    row = ledger.lock_item(item)
    if row is None:
        raise ItemNotFound
    item.copy_engine_fields(row)
    jobs, now = ledger.lock_open_jobs(item)
    return _Locked(item=item, row=row, jobs=jobs, now=now)


def _item_of_open(job: Job) -> Schedulable:
    """
    Return the locked item of a job that has still to run.

    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.
    """
    item = job.find_item()
    if item is None:
        raise ItemNotFound
    if _lock(item).jobs.get(job.kind) != job:
        raise InvalidTransition(gettext("The job has already run or been cancelled."))
    return item


def _lock_for_rerun(job: Job) -> _Locked:
    """
    Lock a failed job and its item, and read both anew; raise what keeps it from running again.

    :raises: see `rerun`.
    """
    item = job.find_item()
    locked = None if item is None else _lock(item)
    try:
        job.refresh_from_db(from_queryset=Job.objects.select_for_update())
    except Job.DoesNotExist as error:
        raise JobNotFound from error
    if job.state != State.FAILED:
        raise InvalidTransition(
            gettext("Only a failed job can be run again; this one is %(state)s.")
            % {"state": State(job.state).label}
        )
    if locked is None:
        raise ItemNotFound
    if job.kind == Kind.PUBLISH:
        _require_still_to_publish(locked, job)
    else:
        _require_still_to_end(locked, job)
    return locked


def _require_still_to_publish(locked: _Locked, job: Job) -> None:
    row = locked.row
    assert job.finished_at is not None  # it has failed
    was_live_since = row.published_at is not None and row.published_at >= job.finished_at
    if Kind.PUBLISH in locked.jobs or row.status == Status.SCHEDULED:
        raise ItemHasMovedOn(gettext("It has been scheduled anew since."))
    if row.status == Status.PUBLISHED or was_live_since:
        raise ItemHasMovedOn(gettext("It has been published since."))
    if row.status != Status.FAILED:
        raise ItemHasMovedOn(gettext("Its schedule has been given up since."))
    if row.publish_at != job.run_at or ledger.last_job(item=row, kind=Kind.PUBLISH) != job:
        raise ItemHasMovedOn(gettext("It has been given another time since."))
    if row.unpublish_at is not None and row.unpublish_at <= ledger.database_now():
        # It would go live and be taken down at once.
        raise ItemHasMovedOn(gettext("Its end has passed since. Schedule it anew."))
    _require_publishable(row)


def _require_still_to_end(locked: _Locked, job: Job) -> None:
    row = locked.row
    if row.status != Status.PUBLISHED:
        raise ItemHasMovedOn(gettext("It has been taken down since."))
    if Kind.UNPUBLISH in locked.jobs or row.unpublish_at not in (None, job.run_at):
        raise ItemHasMovedOn(gettext("It has been given another end since."))
    if row.unpublish_at is None:
        raise ItemHasMovedOn(gettext("Its end has been given up since."))


def _write(locked: _Locked, **fields: object) -> None:
    """Write status and times of a locked item, and nothing else of it."""
    ledger.write_item(locked.row, **fields)
    locked.item.copy_engine_fields(locked.row)


def _set_job_or_none(
    locked: _Locked,
    kind: Kind,
    run_at: datetime | None,
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> None:
    """Have one open job of that kind at that time, or none when there is no time."""
    if run_at is not None:
        _set_job(locked, kind, run_at, at=at, by=by, reason=reason)
    elif kind in locked.jobs:
        ledger.cancel_job(job=locked.jobs[kind], at=at, by=by, reason=reason)


def _set_job(
    locked: _Locked,
    kind: Kind,
    run_at: datetime,
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> Job:
    """Have one open job of that kind at that time: open it, move it, or leave it as it is."""
    job = locked.jobs.get(kind)
    if job is None:
        return ledger.open_job(locked.row, kind, run_at, at=at, by=by, reason=reason)
    if job.run_at != run_at:
        ledger.move_job(job, run_at=run_at, at=at, by=by, reason=reason)
    return job


def _record_by_hand(
    locked: _Locked, kind: Kind, *, at: datetime, by: AbstractBaseUser | None, reason: str
) -> Job:
    """Record a change made at once, in place of what was scheduled."""
    if kind in locked.jobs:
        instead = reason or gettext_noop("Done by hand instead.")
        ledger.cancel_job(job=locked.jobs[kind], at=at, by=by, reason=instead)
    job = _record(locked, kind, What.SUCCEEDED, at=at, by=by, reason=reason)
    announce(
        BY_HAND,
        [Change(locked.row.label, locked.row.status, at=at, run_at=at, job_id=job.pk)],
    )
    return job


def _record(
    locked: _Locked,
    kind: Kind,
    what: JobEvent.What,
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> Job:
    """Save a job that was over when it began, with the one event of its history."""
    job = ledger.new_job(
        item=locked.row,
        kind=kind,
        run_at=at,
        by=by,
        reason=reason,
        state=State(what.value),
        created_at=at,
        finished_at=at,
    )
    job.save()
    ledger.new_event(job=job, what=what, at=at, by=by, reason=reason).save()
    return job


def _require_transition(row: Schedulable | _Row, wanted: Status) -> None:
    if (row.status, wanted) not in TRANSITIONS:
        raise _invalid_transition(row, wanted)


def _invalid_transition(row: Schedulable | _Row, wanted: Status) -> InvalidTransition:
    return InvalidTransition(
        gettext("It is %(now)s and cannot become %(wanted)s.")
        % {"now": Status(row.status).label, "wanted": wanted.label}
    )


def _require_publishable(row: Schedulable) -> None:
    if problems := row.publish_problems():
        raise NotPublishable(problems)
