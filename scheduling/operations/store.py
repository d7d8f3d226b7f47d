"""
Reading and writing the rows of an operation: item, jobs, queue rows, events.

Each function is a step in the caller's transaction. None checks whether the change is allowed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar, cast
from zoneinfo import ZoneInfo

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import F, Field, QuerySet
from django.utils.translation import gettext_noop

from scheduling import tracing
from scheduling.errors import Reason, Why, as_json, in_english
from scheduling.models import (
    OPEN_STATES,
    TRANSITIONS,
    IsOneOf,
    Job,
    JobEvent,
    Schedulable,
    State,
    Transition,
    lane_of,
    mirrored,
)
from scheduling.models.publish_log import BY_HAND, Change, log_changes
from scheduling.models.references import ItemNotFound, title_of
from scheduling.models.sql import prepared_cursor
from scheduling.models.task_names import task_of
from scheduling.models.times import in_zone
from scheduling.operations.expected import Expected, require_unchanged
from scheduling.operations.rules import Actor, JobNotFound
from scheduling.queue import messages
from scheduling.queue.sql_files import read_statements

What = JobEvent.What

BY_HAND_INSTEAD = Reason("by_hand", gettext_noop("Done by hand instead."))

Row = TypeVar("Row", Job, Schedulable)

# How many items one statement changes.
BATCH = 1000

SQL = read_statements(__name__)


class _Reader(Generic[Row]):
    """
    Makes model instances of rows, as the ORM would.

    The ORM takes longer to compile such a small query than PostgreSQL to run it: with the ORM an
    operation takes three times as long as its statements, with this less than twice.
    """

    def __init__(self, model: type[Row]) -> None:
        self.model: type[Row] = model
        fields = model._meta.concrete_fields
        self.names = [field.attname for field in fields]
        self.converters = [
            (place, convert, field.cached_col)
            for place, field in enumerate(fields)
            for convert in field.get_db_converters(connection)
        ]

    def read(self, values: Sequence[Any]) -> Row:
        """Return the instance of a row with all columns, in the model's order."""
        values = list(values)
        for place, convert, expression in self.converters:
            values[place] = convert(values[place], expression, connection)
        row: Row = self.model.from_db(connection.alias, self.names, values)
        return row


@cache
def _item_reader(model: type[Schedulable]) -> tuple[str, _Reader[Schedulable]]:
    # The ORM's query, since the type may have a parent table, or a base manager of its own.
    statement, [_] = model._base_manager.filter(pk=0).select_for_update().query.sql_with_params()
    return statement, _Reader(model)


@cache
def _open_jobs_reader() -> tuple[str, _Reader[Job]]:
    columns = ", ".join(str(field.column) for field in Job._meta.concrete_fields)
    return SQL["open_jobs"].format(columns=columns), _Reader(Job)


def lock_item(item: Schedulable) -> Schedulable | None:
    """Lock the item's row and return it; None if it has been deleted."""
    statement, reader = _item_reader(type(item))
    with prepared_cursor() as cursor:
        cursor.execute(statement, [item.pk])
        values = cursor.fetchone()
    return reader.read(values) if values else None


def lock_open_jobs(item: Schedulable) -> tuple[list[Job], datetime]:
    """Lock the item's open jobs, oldest first; return them, and then the database's clock."""
    statement, reader = _open_jobs_reader()
    with prepared_cursor() as cursor:
        cursor.execute(statement, [ContentType.objects.get_for_model(item).pk, item.pk])
        rows = cursor.fetchall()
    jobs = [reader.read(values) for _, *values in rows if values[0] is not None]
    return jobs, rows[0][0]


def write_item(row: Schedulable, **fields: Any) -> None:
    """Write some fields of a locked row, as a rule its status and times, and nothing else."""
    quote = connection.ops.quote_name
    # If the type has parent tables, the status is in that of the topmost parent.
    meta = row._meta.get_field("status").model._meta
    if any(hasattr(it, "resolve_expression") for it in fields.values()) or _are_elsewhere(
        row, meta, fields
    ):
        rows = type(row)._base_manager.filter(pk=row.pk)
        rows.update(version=F("version") + 1, **fields)
        row.refresh_from_db(fields=[*fields, "version"])
        return
    written = {name: cast(Field, meta.get_field(name)) for name in fields}
    changes = "".join(f", {quote(str(field.column))} = %s" for field in written.values())
    statement = (
        f"UPDATE {quote(meta.db_table)} SET version = version + 1{changes}"  # noqa: S608 (names)  # nosec B608
        f" WHERE {quote(str(meta.pk.column))} = %s"
    )
    values = [written[name].get_db_prep_save(it, connection) for name, it in fields.items()]
    with prepared_cursor() as cursor:
        cursor.execute(statement, [*values, row.pk])
    for name, value in fields.items():
        setattr(row, name, value)
    row.version += 1


def _are_elsewhere(row: Schedulable, meta: Any, names: Iterable[str]) -> bool:
    """Return whether one of the fields is in another table of the type than its status."""
    if row._meta.model is meta.model:
        return False
    own = {field.name for field in meta.concrete_fields}
    return not own.issuperset(names)


def new_event(
    *,
    job: Job,
    what: JobEvent.What,
    at: datetime,
    by: Actor,
    reasons: Sequence[Why] = (),
    detail: Mapping[str, Any] | None = None,
    **fields: Any,
) -> JobEvent:
    """Return an unsaved event of the job."""
    stored = as_json(*reasons)
    if stored is not None:
        detail = {**(detail or {}), "reasons": stored}
    text = in_english(*reasons)
    by_id = by.pk if by else None
    return JobEvent(
        job=job,
        what=what,
        at=at,
        by_id=by_id,
        reason=text,
        detail=detail,
        request_id=tracing.request_id(),
        **fields,
    )


def new_job(
    *, item: Schedulable, kind: str, run_at: datetime, by: Actor, reason: Why, **fields: Any
) -> Job:
    """Return an unsaved job of the item."""
    return Job(
        content_type=ContentType.objects.get_for_model(item),
        object_id=item.pk,
        item_title=title_of(item),
        kind=kind,
        run_at=run_at,
        next_attempt_at=run_at,
        scheduled_by_id=by.pk if by else None,
        reason=in_english(reason),
        request_id=tracing.request_id(),
        traceparent=tracing.traceparent(),
        **fields,
    )


def last_job(*, item: Schedulable, kind: str) -> Job | None:
    """Query the newest job of that kind, open or finished."""
    return Job.objects.of(item).filter(kind=kind).order_by("-pk").first()


class Planned(NamedTuple):
    """A job to be created."""

    item: Schedulable
    transition: Transition
    run_at: datetime
    params: Mapping[str, Any] | None = None


class NewJob(NamedTuple):
    """A job with its id, not inserted yet."""

    pk: int
    planned: Planned

    @property
    def slot(self) -> int:
        """Return `Job.slot`."""
        return 0 if self.planned.transition.time_field else self.pk


class OpenJob(NamedTuple):
    """What moving a job needs of it; a model instance takes ten times as long to make."""

    pk: int
    kind: str
    object_id: int
    run_at: datetime
    message_id: int | None
    lane: str


def open_jobs_of_many(model: type[Schedulable], ids: Iterable[int]) -> QuerySet[Any, Any]:
    """Return the query that locks the open jobs of items of a type; use `along_the_index`."""
    jobs = Job.objects.open().of_type(model).filter(IsOneOf("object_id", ids))
    locked = jobs.select_for_update().order_by("object_id", "kind")
    return locked.values_list("pk", "kind", "object_id", "run_at", "message_id")


def read_open_jobs(cursor: CursorWrapper, model: type[Schedulable]) -> Iterator[OpenJob]:
    """Read the result of `open_jobs_of_many`."""
    lanes = {kind: lane_of(model, kind) for kind in TRANSITIONS}
    for pk, kind, object_id, run_at, message_id in cursor.fetchall():
        if kind in lanes:
            yield OpenJob(pk, kind, object_id, run_at, message_id, lanes[kind])


def open_jobs(wanted: Iterable[Planned], *, at: datetime, by: Actor, reason: Why) -> list[int]:
    """
    Insert jobs, each with its queue row and first event.

    :param at: now, by the database's clock.
    :returns: the ids of the jobs, in the order given.
    :raises django.db.IntegrityError: one of the items has an open job of that kind already.
    """
    jobs = give_ids(wanted)
    store_jobs(jobs, at=at, by=by, reason=reason)
    return [job.pk for job in jobs]


def open_job(
    planned: Planned, *, at: datetime, by: Actor, reason: Why, zone: ZoneInfo | None = None
) -> Job:
    """Insert a job with its queue row and first event; return it."""
    [new] = give_ids([planned])
    local_time = in_zone(planned.run_at, zone)
    [message_id] = _read(store_jobs([new], at=at, by=by, reason=reason, local_time=local_time))
    job = new_job(
        item=planned.item,
        kind=planned.transition.name,
        run_at=planned.run_at,
        by=by,
        reason=reason,
        pk=new.pk,
        slot=new.slot,
        params=planned.params,
        local_time=local_time,
        message_id=message_id,
        created_at=at,
    )
    job._state.adding, job._state.db = False, connection.alias
    job.is_new = True
    return job


def give_ids(wanted: Iterable[Planned]) -> list[NewJob]:
    """Take an id from the sequence for each job."""
    wanted = list(wanted)
    with prepared_cursor() as cursor:
        cursor.execute(SQL["next_ids"], [len(wanted)])
        ids = cursor.fetchall()
    return [NewJob(pk, planned) for [pk], planned in zip(ids, wanted, strict=True)]


def store_jobs(
    jobs: Sequence[NewJob], *, at: datetime, by: Actor, reason: Why, local_time: str = ""
) -> CursorWrapper:
    """
    Send the statement that inserts jobs; see `open_jobs`.

    :param local_time: of all of them, if they have one time, chosen in a time zone.
    """
    models = {type(job.planned.item) for job in jobs}
    type_ids = {model: ContentType.objects.get_for_model(model).pk for model in models}
    lanes = {(model, kind): lane_of(model, kind) for model in models for kind in TRANSITIONS}
    tasks = {kind: task_of(kind) for kind in TRANSITIONS}

    def row(job: NewJob) -> dict[str, object]:
        item, transition, _, params = job.planned
        values: dict[str, object] = {
            "kind": transition.name,
            "type": type_ids[type(item)],
            "object": item.pk,
            "title": title_of(item),
        }
        # Left out where they are the default: of 100,000 rows that is measurable.
        return values if transition.time_field else {**values, "slot": job.pk, "params": params}

    wakes = (
        messages.Wake(pk, run_at, lanes[type(item), it.name], tasks[it.name])
        for pk, (item, it, run_at, _) in jobs
    )
    rows = map(row, jobs)
    return _store("insert_jobs", rows, wakes, at=at, by=by, reason=reason, local_time=local_time)


def _store(
    statement: str,
    jobs: Iterable[dict[str, object]],
    wakes: Iterable[messages.Wake],
    *,
    at: datetime,
    by: Actor,
    reason: Why,
    local_time: str,
) -> CursorWrapper:
    """Send the statement; return its cursor, whose rows are the ids of the new queue rows."""
    new = messages.messages(wakes)
    rows = [job | message.as_row() for job, message in zip(jobs, new, strict=True)]
    # A NULL parameter has no type of its own, and the keys of users may have any type.
    by_type = Job._meta.get_field("scheduled_by").rel_db_type(connection)
    stored = as_json(reason)
    cursor = prepared_cursor()
    cursor.execute(
        SQL[statement].format(by=f"%(by)s::{by_type}", **messages.PARTS),
        {
            "wanted": json.dumps(rows),
            "by": by.pk if by else None,
            "now": at,
            "reason": in_english(reason),
            "detail": None if stored is None else json.dumps({"reasons": stored}),
            "local_time": local_time,
            "request_id": tracing.request_id(),
            "traceparent": tracing.traceparent(),
            **messages.NOTIFY,
        },
    )
    return cursor


def _read(cursor: CursorWrapper) -> list[int]:
    with cursor:
        return [message_id for message_id, _ in cursor.fetchall()]


def rename_jobs(item: Schedulable) -> None:
    """Copy the item's title to its open and failed jobs; the others keep the title they had."""
    title = title_of(item)
    jobs = Job.objects.of(item).filter(state__in=(*OPEN_STATES, State.FAILED))
    jobs.exclude(item_title=title).update(item_title=title)


def move_jobs(
    jobs: Sequence[Job | OpenJob],
    *,
    run_at: datetime,
    at: datetime,
    by: Actor,
    reason: Why,
    zone: ZoneInfo | None = None,
) -> CursorWrapper:
    """
    Give open jobs another time, and new queue rows in place of the old.

    Attempts made at the old time do not count.
    """
    rows: Iterator[dict[str, object]] = (
        {"was": job.run_at.isoformat(), "old": job.message_id} for job in jobs
    )
    wakes = (messages.Wake(job.pk, run_at, job.lane, task_of(job.kind)) for job in jobs)
    local_time = in_zone(run_at, zone)
    return _store("move_jobs", rows, wakes, at=at, by=by, reason=reason, local_time=local_time)


def move_job(
    job: Job,
    *,
    run_at: datetime,
    at: datetime,
    by: Actor,
    reason: Why,
    zone: ZoneInfo | None = None,
) -> None:
    """Give an open job another time, and update the object."""
    moved = move_jobs([job], run_at=run_at, at=at, by=by, reason=reason, zone=zone)
    [job.message_id] = _read(moved)
    job.run_at = job.next_attempt_at = run_at
    job.local_time = in_zone(run_at, zone)
    job.request_id, job.traceparent = tracing.request_id(), tracing.traceparent()
    job.state, job.attempts, job.attempt_begun_at = State.WAITING, 0, None


def wake(*, job: Job, at: datetime) -> None:
    """
    Save the job with a new queue row that wakes a worker at that time.

    The old row is deleted, not moved: a worker that has claimed it deletes it when it finishes.
    """
    messages.delete_rows([job.message_id])
    job.next_attempt_at, job.attempt_begun_at = at, None
    job.message_id = messages.enqueue(job_id=job.pk, at=at, lane=job.lane, func=job.task)
    job.save()


def close_job(
    *,
    job: Job,
    state: State,
    what: JobEvent.What,
    at: datetime,
    by: Actor,
    reasons: Sequence[Why] = (),
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Finish a job: delete its queue row, and record its last event."""
    messages.delete_rows([job.message_id])
    job.state, job.finished_at, job.message_id, job.attempt_begun_at = state, at, None, None
    job.save()
    new_event(job=job, what=what, at=at, by=by, reasons=reasons, detail=detail).save()


def cancel_job(*, job: Job, at: datetime, by: Actor, reason: Why) -> None:
    """Cancel an open job."""
    close_job(job=job, state=State.CANCELLED, what=What.CANCELLED, at=at, by=by, reasons=[reason])


@dataclass
class Locked:
    """An item under its lock."""

    # The caller's object, and the row as it is now.
    item: Schedulable
    row: Schedulable
    # Its open jobs, locked too, oldest first.
    open_jobs: list[Job]
    # The database's clock, read after the locks.
    now: datetime

    def open_jobs_of(self, kind: str) -> list[Job]:
        """Return its open jobs of that kind: at most one if the kind mirrors a time."""
        return [job for job in self.open_jobs if job.kind == kind]


def lock(item: Schedulable, expected: Expected | None = None) -> Locked:
    """
    Lock an item and its open jobs, and read them anew: the caller's object may be outdated.

    :param expected: what the person saw of the item; None if it may be anything.
    :raises ItemNotFound:
    :raises ChangedMeanwhile:
    """
    row = lock_item(item)
    if row is None:
        raise ItemNotFound
    require_unchanged(expected, row)
    item.copy_engine_fields(row)
    jobs, now = lock_open_jobs(item)
    return Locked(item=item, row=row, open_jobs=jobs, now=now)


def lock_job(job: Job, expected: Expected | None = None) -> Locked | None:
    """
    Lock the item of a job, then the job, and read both anew, the job into the caller's object.

    :param expected: what the person saw of the job, or of its item; None if they may be anything.
    :returns: the item; None if it has been deleted.
    :raises JobNotFound: it has been pruned.
    :raises ChangedMeanwhile:
    """
    item = job.find_item()
    locked = None if item is None else lock(item, expected)
    if locked is not None and job in locked.open_jobs:
        place = locked.open_jobs.index(job)
        for field in Job._meta.concrete_fields:
            setattr(job, field.attname, getattr(locked.open_jobs[place], field.attname))
        locked.open_jobs[place] = job
    else:
        # Finished jobs are not locked with the item.
        try:
            job.refresh_from_db(from_queryset=Job.objects.select_for_update())
        except Job.DoesNotExist as error:
            raise JobNotFound from error
    require_unchanged(expected, job)
    return locked


def write(locked: Locked, **fields: object) -> None:
    """Write status and times of a locked item, and nothing else; update the caller's object."""
    write_item(locked.row, **fields)
    locked.item.copy_engine_fields(locked.row)


def mirror_times(
    locked: Locked, *, at: datetime, by: Actor, reason: Why, zone: ZoneInfo | None = None
) -> None:
    """
    Create, move or cancel jobs, so that each time that the locked row asks for has one open job.

    Jobs of kinds that mirror no time are left alone.

    :param zone: in which new times were chosen; a time that stays keeps what it was chosen as.
    """
    for transition in mirrored():
        jobs = locked.open_jobs_of(transition.name)
        run_at = transition.asked_at(locked.row)
        if run_at is None:
            for job in jobs:
                cancel_job(job=job, at=at, by=by, reason=reason)
                locked.open_jobs.remove(job)
        elif not jobs:
            planned = Planned(locked.row, transition, run_at)
            job = open_job(planned, at=at, by=by, reason=reason, zone=zone)
            locked.open_jobs.append(job)
        elif jobs[0].run_at != run_at:
            move_job(jobs[0], run_at=run_at, at=at, by=by, reason=reason, zone=zone)


def record_by_hand(locked: Locked, kind: str, *, at: datetime, by: Actor, reason: Why) -> Job:
    """Record a change that was made at once, and cancel the open jobs of its kind."""
    for planned in locked.open_jobs_of(kind):
        cancel_job(job=planned, at=at, by=by, reason=reason or BY_HAND_INSTEAD)
        locked.open_jobs.remove(planned)
    job = record(locked, kind, What.SUCCEEDED, at=at, by=by, reason=reason)
    row = locked.row
    log_changes(BY_HAND, [Change(row.label, row.status, at, at, job.pk, job.request_id)])
    return job


def record(
    locked: Locked, kind: str, what: JobEvent.What, *, at: datetime, by: Actor, reason: Why
) -> Job:
    """Insert a finished job with its only event."""
    job = new_job(
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
    new_event(job=job, what=what, at=at, by=by, reasons=[reason]).save()
    return job
