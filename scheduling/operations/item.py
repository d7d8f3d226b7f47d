"""
The operations on one item, or on one job of it.

All of them take:

:param by: who asked for it; None is the publisher itself.
:param expected: what the person saw of the item, or of the job; None if it may be anything.

and raise:

:raises ChangedMeanwhile: it is not what they saw.
:raises ItemNotFound: the item has been deleted.
:raises JobNotFound: the job has been pruned.

A `check_...` raises what its operation would raise, and changes nothing. Given a `row` it judges
the item as that is, without a query.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from scheduling import tracing
from scheduling.errors import Why
from scheduling.models import TRANSITIONS, Job, JobEvent, Kind, Schedulable, State, Status, clock
from scheduling.models.references import ItemNotFound
from scheduling.models.times import find_zone, in_zone
from scheduling.models.transitions import (
    Failed,
    InvalidParams,
    InvalidTransition,
    Transition,
    invalid_transition,
    require_transition,
    transition_of,
)
from scheduling.operations import store
from scheduling.operations.expected import Expected, require_unchanged
from scheduling.operations.rules import (
    Actor,
    ItemHasMovedOn,
    in_utc,
    kept_end,
    nothing_scheduled,
    require_future,
    require_storable,
    require_zone,
)

What = JobEvent.What


class _Unchanged:
    """Stands for the end that the item has."""


UNCHANGED: Final = _Unchanged()


@tracing.traced
@transaction.atomic
def schedule(
    *,
    item: Schedulable,
    run_at: datetime,
    by: Actor,
    kind: str = Kind.PUBLISH,
    unpublish_at: datetime | _Unchanged | None = UNCHANGED,
    params: Mapping[str, Any] | None = None,
    zone: str = "",
    reason: Why = "",
    expected: Expected | None = None,
) -> Job:
    """
    Schedule a change of an item, by default its publishing.

    If the kind mirrors a time of the item, as publish does, an open job is moved; of any other kind
    the item gets one more job. Either way its version grows.

    :param run_at: aware; must lie after the database's clock.
    :param unpublish_at: of a publish: when it is taken down again; None is never.
    :param params: what the kind needs besides the item and the time; JSON.
    :param zone: the name of the time zone in which the times were chosen, as 9:00 there, so that a
        change of its rules is noticed; empty for instants. A time that stays keeps its own.
    :raises NotInFuture:
    :raises EndNotAfterStart:
    :raises InvalidTransition: it is live already; or, for an end, neither live nor scheduled.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    :raises UnknownKind:
    :raises UnknownZone:
    :raises OffsetNotOfZone: a time has an offset, other than that of UTC, that the zone has not.
    :raises InvalidParams: they are not those of the kind, or no JSON object that can be stored.
    """
    transition = transition_of(kind)
    if params is not None:
        require_storable(params)
    transition.check_params(params or {})
    chosen_in = require_zone(zone, run_at, unpublish_at)
    run_at, unpublish_at = in_utc(run_at), in_utc(unpublish_at)
    if transition.ended_by is None and not isinstance(unpublish_at, _Unchanged):
        raise InvalidParams(gettext_noop("Only a publish takes an end."))
    locked = store.lock(item, expected)
    check_schedule(
        row=locked.row, run_at=run_at, now=locked.now, unpublish_at=unpublish_at, kind=kind
    )
    if transition.time_field is None:
        store.write(locked)  # a new version: what is scheduled for an item belongs to it
        planned = store.Planned(locked.row, transition, run_at, params)
        return store.open_job(planned, at=locked.now, by=by, reason=reason, zone=chosen_in)
    return _plan(locked, transition, run_at, unpublish_at, by=by, reason=reason, zone=chosen_in)


def _plan(
    locked: store.Locked,
    transition: Transition,
    run_at: datetime,
    unpublish_at: datetime | _Unchanged | None,
    *,
    by: Actor,
    reason: Why,
    zone: ZoneInfo | None = None,
) -> Job:
    """Write the times of a locked item, and make its jobs match them."""
    end = _end_of(locked.row, unpublish_at)
    store.write(locked, **transition.planned(run_at, end))
    store.mirror_times(locked, at=locked.now, by=by, reason=reason, zone=zone)
    [job] = locked.open_jobs_of(transition.name)
    return job


def _end_of(row: Schedulable, unpublish_at: datetime | _Unchanged | None) -> datetime | None:
    return kept_end(row) if isinstance(unpublish_at, _Unchanged) else unpublish_at


def check_schedule(
    *,
    row: Schedulable,
    run_at: datetime,
    now: datetime,
    unpublish_at: datetime | _Unchanged | None = UNCHANGED,
    kind: str = Kind.PUBLISH,
) -> None:
    """Check the row before a job of the kind is scheduled; `now` is the database's clock."""
    transition = transition_of(kind)
    if not transition.is_for(type(row)):
        raise InvalidTransition(gettext_noop("Items of this type have no jobs of this kind."))
    require_future(run_at, now)
    transition.check_schedule(row, run_at, _end_of(row, unpublish_at))


@tracing.traced
@transaction.atomic
def move(
    *,
    job: Job,
    run_at: datetime,
    by: Actor,
    zone: str = "",
    reason: Why = "",
    expected: Expected | None = None,
) -> Job:
    """
    Give an open job another time, or the time that it has another zone.

    :param run_at: aware; must lie after the database's clock.
    :param zone: see `schedule`; also of a time that stays, or what has shifted could not be kept.
    :raises InvalidTransition: the job has already run or been cancelled.

    and what `schedule` raises.
    """
    chosen_in = require_zone(zone, run_at)
    run_at = in_utc(run_at)
    locked = _lock_open(job, expected)
    check_schedule(row=locked.row, run_at=run_at, now=locked.now, kind=job.kind)
    how: dict[str, Any] = {"by": by, "reason": reason, "zone": chosen_in}
    is_meant_otherwise = run_at == job.run_at and in_zone(run_at, chosen_in) != job.local_time
    if job.transition.time_field is None or is_meant_otherwise:
        store.write(locked)
        store.move_job(job, run_at=run_at, at=locked.now, **how)
        return job
    return _plan(locked, job.transition, run_at, UNCHANGED, **how)


@tracing.traced
@transaction.atomic
def unschedule(
    *,
    item: Schedulable,
    by: Actor,
    kind: str = Kind.PUBLISH,
    reason: Why = "",
    expected: Expected | None = None,
) -> Job:
    """
    Cancel an item's open jobs of one kind; with a publish, also the job that ends it.

    A failed item returns to the status that it had before it was scheduled.

    :returns: the cancelled job, the first if there are several; of a failed item, the failed job.
    :raises InvalidTransition: nothing of that kind is scheduled.
    """
    transition = transition_of(kind)
    locked = store.lock(item, expected)
    jobs = locked.open_jobs_of(kind)
    if jobs:
        return _cancel(locked, transition, jobs, by=by, reason=reason)
    if not transition.is_cancellable(locked.row):
        raise nothing_scheduled()
    job = None
    if locked.row.status == transition.on_failure:
        job = store.last_job(item=locked.row, kind=kind)
    if job is None:
        # Its status was written directly, and the reconciler has not created its job yet.
        job = store.record(locked, kind, What.CANCELLED, at=locked.now, by=by, reason=reason)
    _cancel(locked, transition, [job], by=by, reason=reason)
    return job


def _cancel(
    locked: store.Locked, transition: Transition, jobs: list[Job], *, by: Actor, reason: Why
) -> Job:
    """Remove from a locked item what these jobs were to do, and cancel those that are open."""
    fields = transition.unplanned(locked.row)
    if fields or transition.time_field is None:
        store.write(locked, **fields)
    if transition.time_field is None:
        for job in jobs:
            store.cancel_job(job=job, at=locked.now, by=by, reason=reason)
    else:
        store.mirror_times(locked, at=locked.now, by=by, reason=reason)
    return jobs[0]


def check_unschedule(*, row: Schedulable) -> None:
    """Check the row before its publish is cancelled."""
    if not transition_of(Kind.PUBLISH).is_cancellable(row):
        raise nothing_scheduled()


def check_cancel(*, job: Job) -> None:
    """Check the job before it is cancelled or moved."""
    if not job.is_open:
        raise InvalidTransition(gettext_noop("The job has already run or been cancelled."))


@tracing.traced
@transaction.atomic
def cancel(*, job: Job, by: Actor, reason: Why = "", expected: Expected | None = None) -> Job:
    """
    Cancel an open job.

    :raises InvalidTransition: the job has already run or been cancelled.
    """
    locked = _lock_open(job, expected)
    if job.kind not in TRANSITIONS:
        # Its application is not installed any more.
        store.cancel_job(job=job, at=locked.now, by=by, reason=reason)
        return job
    return _cancel(locked, job.transition, [job], by=by, reason=reason)


@tracing.traced
@transaction.atomic
def publish_now(
    *, item: Schedulable, by: Actor, reason: Why = "", expected: Expected | None = None
) -> Job:
    """
    Publish an item at once, whatever is scheduled for it; an end in the future stays.

    If its type has a `before_publish`, a job due at once leaves it to a worker: a hook may take
    long, and must not run in a web process.

    :returns: the finished job that records it; with a hook, the open one.
    :raises InvalidTransition: it is live already.
    :raises NotPublishable: something is missing, see `publish_problems()`.
    """
    locked = store.lock(item, expected)
    check_publish_now(row=locked.row)
    now = locked.now
    end = locked.row.unpublish_at
    if end is not None and end <= now:
        end = None
    publish = transition_of(Kind.PUBLISH)
    if publish.has_hook(type(locked.row)):
        return _plan(locked, publish, now, end, by=by, reason=reason)
    times = {"publish_at": now, "unpublish_at": end}
    store.write(locked, **times, **publish.changes(at=now, params={}))
    job = store.record_by_hand(locked, Kind.PUBLISH, at=now, by=by, reason=reason)
    store.mirror_times(locked, at=now, by=by, reason=reason)
    return job


def check_publish_now(*, row: Schedulable) -> None:
    """Check the row before it is published."""
    require_transition(row.status, Status.PUBLISHED)
    transition_of(Kind.PUBLISH).require_ready(row)


@tracing.traced
@transaction.atomic
def unpublish_now(
    *, item: Schedulable, by: Actor, reason: Why = "", expected: Expected | None = None
) -> Job:
    """
    Take a live item down at once.

    :returns: the finished job that records it.
    :raises InvalidTransition: it is not live.
    """
    locked = store.lock(item, expected)
    now = locked.now
    check_unpublish_now(row=locked.row)
    start = locked.row.publish_at
    # The database's clock may have been set back: the end must not come before the start.
    end = now if start is None else max(now, start)
    changes = transition_of(Kind.UNPUBLISH).changes(at=now, params={})
    store.write(locked, unpublish_at=end, **changes)
    return store.record_by_hand(locked, Kind.UNPUBLISH, at=now, by=by, reason=reason)


def check_unpublish_now(*, row: Schedulable) -> None:
    """Check the row before it is taken down."""
    # Not by `ALLOWED`: cancelling the schedule of what was live before leads to it as well.
    if row.status != Status.PUBLISHED:
        raise invalid_transition(row.status, Status.UNPUBLISHED)


@tracing.traced
@transaction.atomic
def rerun(*, job: Job, by: Actor, reason: Why = "", expected: Expected | None = None) -> Job:
    """
    Run a failed job again: the same job, due at once, with its time and its history.

    :returns: the job, open again.
    :raises InvalidTransition: the job has not failed.
    :raises ItemHasMovedOn: the item does not ask for this any more.
    :raises NotPublishable: something is still missing, see `publish_problems()`.
    """
    locked = _lock_for_rerun(job, expected)
    now = clock.database_now()
    # It starts anew: attempts are counted from 0, and another failure is mailed again.
    job.state, job.attempts, job.finished_at, job.told_at = State.WAITING, 0, None, None
    job.request_id, job.traceparent = tracing.request_id(), tracing.traceparent()
    store.wake(job=job, at=now)
    store.new_event(job=job, what=What.RERUN, at=now, by=by, reasons=[reason]).save()
    if fields := job.transition.reopened():
        store.write(locked, **fields)
        locked.open_jobs.append(job)
        store.mirror_times(locked, at=now, by=by, reason=reason)
    elif job.transition.time_field is None:
        store.write(locked)
    return job


@transaction.atomic
def check_rerun(*, job: Job) -> None:
    """Check whether the job can be run again now."""
    _lock_for_rerun(job)


def lock_for_change(*, items: QuerySet[Any], expected: Expected | None = None) -> Any:
    """
    Lock an item that the caller is about to edit or delete, to the end of their transaction.

    :param items: a query that finds the one item, if the caller may see it.
    :raises ItemNotFound: it has been deleted, or the caller may not see it.
    """
    item = items.select_for_update(of=("self",)).first()
    if item is None:
        raise ItemNotFound
    require_unchanged(expected, item)
    return item


# Following changes that no operation made


@tracing.traced
@transaction.atomic
def reconcile(*, item: Schedulable, reason: Why, zone: str = "") -> None:
    """
    Make an item's jobs match its status and times.

    For items that were saved directly, restored from a dump, or changed by SQL. A time in the past
    is not refused: the job is due at once. Nothing is done for an item that has been deleted.

    :param zone: see `schedule`; an unknown one counts as none.
    """
    try:
        locked = store.lock(item)
    except ItemNotFound:
        return
    store.mirror_times(locked, at=locked.now, by=None, reason=reason, zone=find_zone(zone))


@tracing.traced
@transaction.atomic
def cancel_all(*, item: Schedulable, reason: Why) -> None:
    """Cancel every open job of an item that is about to be deleted."""
    try:
        locked = store.lock(item)
    except ItemNotFound:
        return
    for job in locked.open_jobs:
        store.cancel_job(job=job, at=locked.now, by=None, reason=reason)


def _lock_open(job: Job, expected: Expected | None) -> store.Locked:
    """
    Lock an open job and its item.

    :raises InvalidTransition: the job has already run or been cancelled.
    """
    locked = store.lock_job(job, expected)
    if locked is None:
        raise ItemNotFound
    check_cancel(job=job)
    return locked


def _lock_for_rerun(job: Job, expected: Expected | None = None) -> store.Locked:
    """Lock a failed job and its item, and read both anew; raise why it cannot be run again."""
    locked = store.lock_job(job, expected)
    if job.state != State.FAILED:
        raise InvalidTransition(
            gettext_noop("Only a failed job can be run again; this one is %(state)s."),
            {"state": {"state": job.state}},
        )
    if locked is None:
        raise ItemNotFound
    transition, row = job.transition, locked.row
    assert job.finished_at is not None  # it has failed
    past = Failed(
        run_at=job.run_at,
        failed_at=job.finished_at,
        has_open=bool(locked.open_jobs_of(job.kind)),
        is_newest=store.last_job(item=row, kind=job.kind) == job,
        now=locked.now,
    )
    if why := transition.why_not_again(row, past):
        raise ItemHasMovedOn(why)
    transition.require_ready(row)
    return locked
