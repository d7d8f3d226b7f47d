"""The operations on one item, or on one job of it."""

from datetime import datetime
from typing import Any, Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext

from scheduling.models import (
    Job,
    JobEvent,
    Kind,
    Schedulable,
    State,
    Status,
    clock,
)
from scheduling.models.references import ItemNotFound
from scheduling.operations import store
from scheduling.operations.expected import Expected, require_unchanged
from scheduling.operations.rules import (
    EndNotAfterStart,
    InvalidTransition,
    ItemHasMovedOn,
    invalid_transition,
    kept_end,
    nothing_scheduled,
    require_end_after,
    require_future,
    require_publishable,
    require_transition,
)

What = JobEvent.What


class _Keep:
    """Says that the item's end stays as it is."""


KEEP: Final = _Keep()


@transaction.atomic
def schedule(
    *,
    item: Schedulable,
    run_at: datetime,
    by: AbstractBaseUser | None,
    kind: Kind = Kind.PUBLISH,
    unpublish_at: datetime | _Keep | None = KEEP,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Have an item published, or taken down, at a moment; move it when it is scheduled already.

    :param run_at: aware; must lie after the database's clock.
    :param by: who asked for it; None is the publisher itself.
    :param unpublish_at: of a publish: its end, None for none; left out, the item keeps the end it
        has.
    :param expected: what they saw of the item; None if it may be anything.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises NotInFuture:
    :raises EndNotAfterStart:
    :raises InvalidTransition: it is live already; or, for an end, neither live nor scheduled.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    :raises ItemNotFound: it has been deleted.
    """
    return _schedule(
        store.lock(item, expected),
        run_at=run_at,
        by=by,
        kind=kind,
        unpublish_at=unpublish_at,
        reason=reason,
    )


def _schedule(
    locked: store.Locked,
    *,
    run_at: datetime,
    by: AbstractBaseUser | None,
    kind: Kind,
    unpublish_at: datetime | _Keep | None = KEEP,
    reason: str,
) -> Job:
    row = locked.row
    now = locked.now
    if kind == Kind.UNPUBLISH:
        require_future(run_at, now)
        return _schedule_end(locked, run_at=run_at, at=now, by=by, reason=reason)

    end = kept_end(row) if isinstance(unpublish_at, _Keep) else unpublish_at
    check_schedule(row=row, run_at=run_at, unpublish_at=end, now=now)
    store.write(locked, status=Status.SCHEDULED, publish_at=run_at, unpublish_at=end)
    job = store.set_job(locked, Kind.PUBLISH, run_at, at=now, by=by, reason=reason)
    store.set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    return job


def _schedule_end(
    locked: store.Locked,
    *,
    run_at: datetime,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> Job:
    row = locked.row
    if row.status not in (Status.PUBLISHED, Status.SCHEDULED):
        raise InvalidTransition(
            gettext("Only what is live or scheduled can be given an end; it is %(status)s.")
            % {"status": Status(row.status).label}
        )
    if row.publish_at is not None and run_at <= row.publish_at:
        raise EndNotAfterStart
    store.write(locked, unpublish_at=run_at)
    return store.set_job(locked, Kind.UNPUBLISH, run_at, at=at, by=by, reason=reason)


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
    require_future(run_at, now)
    require_transition(row, Status.SCHEDULED)
    require_publishable(row)
    end = kept_end(row) if isinstance(unpublish_at, _Keep) else unpublish_at
    require_end_after(run_at, end)


@transaction.atomic
def move(
    *,
    job: Job,
    run_at: datetime,
    by: AbstractBaseUser | None,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Give an open job another time.

    :param run_at: aware; must lie after the database's clock.
    :param expected: what the person saw of the job, or of its item; None if they may be anything.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.

    and what `schedule` raises.
    """
    locked = _lock_open(job, expected)
    return _schedule(locked, run_at=run_at, by=by, kind=Kind(job.kind), reason=reason)


@transaction.atomic
def unschedule(
    *,
    item: Schedulable,
    by: AbstractBaseUser | None,
    kind: Kind = Kind.PUBLISH,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Cancel what is scheduled for an item; a cancelled publish takes its end with it.

    A failed item is given up by this: it goes back to where it was before it was scheduled.

    :param expected: what the person saw of the item; None if it may be anything.
    :returns: the job that was cancelled; of a failed item, the job that had failed.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: nothing of that kind is scheduled.
    :raises ItemNotFound: it has been deleted.
    """
    return _unschedule(store.lock(item, expected), by=by, kind=kind, reason=reason)


def _unschedule(
    locked: store.Locked, *, by: AbstractBaseUser | None, kind: Kind, reason: str
) -> Job:
    now = locked.now
    job = locked.jobs.get(kind)
    unwanted = [job] if job else []
    if kind == Kind.PUBLISH and locked.row.status in (Status.SCHEDULED, Status.FAILED):
        unwanted = list(locked.jobs.values())
        if job is None and locked.row.status == Status.FAILED:
            job = store.last_job(item=locked.row, kind=kind)
        if job is None:
            # It was marked as scheduled by hand, and no sweep has given it a job yet.
            job = store.record(locked, kind, What.CANCELLED, at=now, by=by, reason=reason)
        # What has been live before was not a draft.
        before = Status.DRAFT if locked.row.published_at is None else Status.UNPUBLISHED
        store.write(locked, status=before, publish_at=None, unpublish_at=None)
    elif job is None:
        raise nothing_scheduled()
    elif kind == Kind.UNPUBLISH:
        store.write(locked, unpublish_at=None)
    for open_job in unwanted:
        store.cancel_job(job=open_job, at=now, by=by, reason=reason)
    return job


def check_unschedule(*, row: Schedulable) -> None:
    """Raise what `unschedule` would raise for an item that is just so; it queries nothing."""
    if row.status not in (Status.SCHEDULED, Status.FAILED):
        raise nothing_scheduled()


@transaction.atomic
def cancel(
    *,
    job: Job,
    by: AbstractBaseUser | None,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Cancel an open job.

    :param expected: what the person saw of the job, or of its item; None if they may be anything.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.
    """
    locked = _lock_open(job, expected)
    return _unschedule(locked, by=by, kind=Kind(job.kind), reason=reason)


@transaction.atomic
def publish_now(
    *,
    item: Schedulable,
    by: AbstractBaseUser | None,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Publish an item at once, whatever is scheduled for it; an end in the future stays.

    An item whose type has a `before_publish` is left to the worker, due at once: a hook may take
    long, and has no business in a web process.

    :param expected: what the person saw of the item; None if it may be anything.
    :returns: the finished job that records it; with a hook, the open one.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: it is live already.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    :raises ItemNotFound: it has been deleted.
    """
    locked = store.lock(item, expected)
    check_publish_now(row=locked.row)
    now = locked.now
    end = locked.row.unpublish_at
    if end is not None and end <= now:
        end = None
    if locked.row.has_hook():
        store.write(locked, status=Status.SCHEDULED, publish_at=now, unpublish_at=end)
        job = store.set_job(locked, Kind.PUBLISH, now, at=now, by=by, reason=reason)
    else:
        store.write(
            locked, status=Status.PUBLISHED, publish_at=now, published_at=now, unpublish_at=end
        )
        job = store.record_by_hand(locked, Kind.PUBLISH, at=now, by=by, reason=reason)
    store.set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    return job


def check_publish_now(*, row: Schedulable) -> None:
    """Raise what `publish_now` would raise for an item that is just so; it queries nothing."""
    require_transition(row, Status.PUBLISHED)
    require_publishable(row)


@transaction.atomic
def unpublish_now(
    *,
    item: Schedulable,
    by: AbstractBaseUser | None,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Take a live item down at once.

    :param expected: what the person saw of the item; None if it may be anything.
    :returns: the finished job that records it.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: it is not live.
    :raises ItemNotFound: it has been deleted.
    """
    locked = store.lock(item, expected)
    now = locked.now
    check_unpublish_now(row=locked.row)
    start = locked.row.publish_at
    # A clock that was set back must not make the end come before the start.
    end = now if start is None else max(now, start)
    store.write(locked, status=Status.UNPUBLISHED, unpublish_at=end)
    return store.record_by_hand(locked, Kind.UNPUBLISH, at=now, by=by, reason=reason)


def check_unpublish_now(*, row: Schedulable) -> None:
    """Raise what `unpublish_now` would raise for an item that is just so; it queries nothing."""
    # `ALLOWED` has more ways there: what was live before and is cancelled goes back to it.
    if row.status != Status.PUBLISHED:
        raise invalid_transition(row, Status.UNPUBLISHED)


@transaction.atomic
def rerun(
    *,
    job: Job,
    by: AbstractBaseUser | None,
    reason: str = "",
    expected: Expected | None = None,
) -> Job:
    """
    Run a failed job again: the same job, due at once, with its time and its history.

    :param expected: what the person saw of the job, or of its item; None if they may be anything.
    :returns: the job, open again.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises InvalidTransition: the job has not failed.
    :raises ItemNotFound: its item, or the whole type, has been deleted.
    :raises ItemHasMovedOn: the item does not ask for this any more.
    :raises NotPublishable: something is still missing, see `publish_problems()`.
    :raises JobNotFound: the job has been pruned.
    """
    locked = _lock_for_rerun(job, expected)
    row = locked.row
    now = clock.database_now()
    if job.kind == Kind.PUBLISH:
        store.write(locked, status=Status.SCHEDULED)
        end = row.unpublish_at
        store.set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=by, reason=reason)
    # A new start: all attempts are to be had again, and a new failure is told again.
    job.state, job.attempts, job.finished_at, job.told_at = State.WAITING, 0, None, None
    store.wake(job=job, at=now)
    store.new_event(job=job, what=What.RERUN, at=now, by=by, reason=reason).save()
    return job


@transaction.atomic
def check_rerun(*, job: Job) -> None:
    """Raise what `rerun` would raise just now, and change nothing."""
    _lock_for_rerun(job)


def lock_for_change(*, items: QuerySet[Any], expected: Expected | None = None) -> Any:
    """
    Return an item under its lock, for a change of its content, or its deletion, by the caller.

    The lock is held to the end of the caller's transaction.

    :param items: a query that finds the one item, if the caller may see it.
    :param expected: what the person saw of the item; None if it may be anything.
    :raises ChangedMeanwhile: it is not what they saw.
    :raises ItemNotFound: it has been deleted, or the caller may not see it.
    """
    item = items.select_for_update(of=("self",)).first()
    if item is None:
        raise ItemNotFound
    require_unchanged(expected, item)
    return item


# Following changes that no operation made


@transaction.atomic
def reconcile(*, item: Schedulable, reason: str) -> None:
    """
    Bring an item's jobs in line with its status and times: the item is the later wish.

    For items that were saved directly, restored from a dump, or left half-changed by hand. A time
    in the past is not refused: it is due at once. An item that is gone is left alone.
    """
    try:
        locked = store.lock(item)
    except ItemNotFound:
        return
    row = locked.row
    now = locked.now
    start = row.publish_at if row.status == Status.SCHEDULED else None
    end = row.unpublish_at if row.status in (Status.SCHEDULED, Status.PUBLISHED) else None
    store.set_job_or_none(locked, Kind.PUBLISH, start, at=now, by=None, reason=reason)
    store.set_job_or_none(locked, Kind.UNPUBLISH, end, at=now, by=None, reason=reason)


@transaction.atomic
def forget(*, item: Schedulable, reason: str) -> None:
    """Cancel what is scheduled for an item that is about to be deleted."""
    try:
        locked = store.lock(item)
    except ItemNotFound:
        return
    now = locked.now
    for job in locked.jobs.values():
        store.cancel_job(job=job, at=now, by=None, reason=reason)


def _lock_open(job: Job, expected: Expected | None) -> store.Locked:
    """
    Lock a job that has still to run, and its item.

    :raises ChangedMeanwhile: it is not what the person saw.
    :raises InvalidTransition: the job has already run or been cancelled.
    :raises ItemNotFound: its item has been deleted.
    """
    locked = store.lock_job(job, expected)
    if locked is None:
        raise ItemNotFound
    if not job.is_open:
        raise InvalidTransition(gettext("The job has already run or been cancelled."))
    return locked


def _lock_for_rerun(job: Job, expected: Expected | None = None) -> store.Locked:
    """
    Lock a failed job and its item, and read both anew; raise what keeps it from running again.

    :raises: see `rerun`.
    """
    locked = store.lock_job(job, expected)
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


def _require_still_to_publish(locked: store.Locked, job: Job) -> None:
    row = locked.row
    assert job.finished_at is not None  # it has failed
    was_live_since = row.published_at is not None and row.published_at >= job.finished_at
    if Kind.PUBLISH in locked.jobs or row.status == Status.SCHEDULED:
        raise ItemHasMovedOn(gettext("It has been scheduled anew since."))
    if row.status == Status.PUBLISHED or was_live_since:
        raise ItemHasMovedOn(gettext("It has been published since."))
    if row.status != Status.FAILED:
        raise ItemHasMovedOn(gettext("Its schedule has been given up since."))
    if row.publish_at != job.run_at or store.last_job(item=row, kind=Kind.PUBLISH) != job:
        raise ItemHasMovedOn(gettext("It has been given another time since."))
    if row.unpublish_at is not None and row.unpublish_at <= clock.database_now():
        # It would go live and be taken down at once.
        raise ItemHasMovedOn(gettext("Its end has passed since. Schedule it anew."))
    require_publishable(row)


def _require_still_to_end(locked: store.Locked, job: Job) -> None:
    row = locked.row
    if row.status != Status.PUBLISHED:
        raise ItemHasMovedOn(gettext("It has been taken down since."))
    if Kind.UNPUBLISH in locked.jobs or row.unpublish_at not in (None, job.run_at):
        raise ItemHasMovedOn(gettext("It has been given another end since."))
    if row.unpublish_at is None:
        raise ItemHasMovedOn(gettext("Its end has been given up since."))
