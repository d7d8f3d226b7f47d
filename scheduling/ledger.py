"""
The rows behind every operation: a job, its message, its history.

Each function is a step inside the caller's transaction; none checks whether the step is wise.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from scheduling import queue
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, lane_of

What = JobEvent.What


NEXT_IDS = """
    SELECT nextval(pg_get_serial_sequence('scheduling_job', 'id')) FROM generate_series(1, %s)
"""

# One statement for however many: `bulk_create` spends ten times as long on spelling out its values
# as PostgreSQL on storing them.
INSERT_JOBS = """
    WITH job AS (
        INSERT INTO scheduling_job
            (id, kind, state, content_type_id, object_id, item_title, run_at, next_attempt_at,
             attempts, reason, scheduled_by_id, message_id, created_at)
        SELECT id, kind, 'waiting', type, object, title, run_at, run_at,
               0, %(reason)s, %(by)s, message, %(at)s
        FROM json_to_recordset(%(jobs)s)
             AS (id bigint, kind text, type int, object bigint, title text, run_at timestamptz,
                 message bigint)
        RETURNING id, run_at
    )
    INSERT INTO scheduling_jobevent (job_id, what, at, by_id, new_run_at, reason)
    SELECT id, 'scheduled', %(at)s, %(by)s, run_at, %(reason)s FROM job
"""

MOVE_JOBS = """
    WITH job AS (
        UPDATE scheduling_job AS job
        SET run_at = %(run_at)s, next_attempt_at = %(run_at)s, state = 'waiting', attempts = 0,
            attempt_begun_at = NULL, message_id = w.new
        FROM unnest(%(ids)s::bigint[], %(old)s::timestamptz[], %(messages)s::bigint[])
             AS w(id, old, new)
        WHERE job.id = w.id
        RETURNING job.id, w.old
    )
    INSERT INTO scheduling_jobevent (job_id, what, at, by_id, old_run_at, new_run_at, reason)
    SELECT id, 'moved', %(at)s, %(by)s, old, %(run_at)s, %(reason)s FROM job
"""


def database_now() -> datetime:
    """Return the database's clock, aware, in UTC: the one clock that says what is due."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    return now  # type: ignore[no-any-return]  # a cursor knows no types


def new_event(
    *, job: Job, what: JobEvent.What, at: datetime, by: AbstractBaseUser | None, **fields: Any
) -> JobEvent:
    """Return a line of the job's history, not saved yet."""
    return JobEvent(job=job, what=what, at=at, by_id=by.pk if by else None, **fields)


def new_job(
    *,
    item: Schedulable,
    kind: Kind,
    run_at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
    **fields: Any,
) -> Job:
    """Return a job of the item, not saved yet."""
    return Job(
        content_type=ContentType.objects.get_for_model(item),
        object_id=item.pk,
        item_title=title_of(item),
        kind=kind,
        run_at=run_at,
        next_attempt_at=run_at,
        scheduled_by_id=by.pk if by else None,
        reason=reason,
        **fields,
    )


def last_job(*, item: Schedulable, kind: Kind) -> Job | None:
    """Query the newest job of that kind, open or finished."""
    return Job.objects.of(item).filter(kind=kind).order_by("-pk").first()


def open_jobs(
    wanted: Sequence[tuple[Schedulable, Kind, datetime]],
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> list[int]:
    """
    Save a new job for each item, kind and time, with its message and its first event.

    :param at: now, by the database's clock.
    :returns: the ids of the jobs, in that order.
    :raises django.db.IntegrityError: one of the items has an open job of that kind already.
    """
    return [job_id for job_id, _ in _open(wanted, at=at, by=by, reason=reason)]


def open_job(
    item: Schedulable,
    kind: Kind,
    run_at: datetime,
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> Job:
    """Do the same for one; return the job."""
    [(pk, message_id)] = _open([(item, kind, run_at)], at=at, by=by, reason=reason)
    job = new_job(
        item=item,
        kind=kind,
        run_at=run_at,
        by=by,
        reason=reason,
        pk=pk,
        message_id=message_id,
        created_at=at,
    )
    job._state.adding, job._state.db = False, connection.alias
    return job


def _open(
    wanted: Sequence[tuple[Schedulable, Kind, datetime]],
    *,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> list[tuple[int, int]]:
    # The message names the job and the job its message: taking the ids first saves writing the
    # jobs twice.
    with connection.cursor() as cursor:
        cursor.execute(NEXT_IDS, [len(wanted)])
        ids = [row[0] for row in cursor.fetchall()]
        message_ids = queue.put_many(
            [
                queue.Wake(job_id, run_at, lane_of(type(item), kind))
                for job_id, (item, kind, run_at) in zip(ids, wanted, strict=True)
            ]
        )
        jobs = [
            {
                "id": job_id,
                "kind": str(kind),
                "type": ContentType.objects.get_for_model(item).pk,
                "object": item.pk,
                "title": title_of(item),
                "run_at": run_at.isoformat(),
                "message": message_id,
            }
            for job_id, message_id, (item, kind, run_at) in zip(
                ids, message_ids, wanted, strict=True
            )
        ]
        cursor.execute(
            INSERT_JOBS,
            {"jobs": json.dumps(jobs), "by": by.pk if by else None, "at": at, "reason": reason},
        )
    return list(zip(ids, message_ids, strict=True))


def title_of(item: Schedulable) -> str:
    """Return what a job calls its item, which it may outlive."""
    return str(item)[:255]


def move_jobs(
    jobs: Sequence[Job],
    *,
    run_at: datetime,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str,
) -> None:
    """
    Give open jobs another time, and new messages in place of the old.

    A new start: the attempts at the old time do not count against the new one.
    """
    queue.take_back(job.message_id for job in jobs)
    message_ids = queue.put_many([queue.Wake(job.pk, run_at, job.lane) for job in jobs])
    with connection.cursor() as cursor:
        cursor.execute(
            MOVE_JOBS,
            {
                "ids": [job.pk for job in jobs],
                "old": [job.run_at for job in jobs],
                "messages": message_ids,
                "run_at": run_at,
                "by": by.pk if by else None,
                "at": at,
                "reason": reason,
            },
        )
    for job, message_id in zip(jobs, message_ids, strict=True):
        job.run_at = job.next_attempt_at = run_at
        job.state, job.attempts, job.attempt_begun_at = State.WAITING, 0, None
        job.message_id = message_id


def wake(*, job: Job, at: datetime) -> None:
    """
    Have a worker take the job up at that time, and save the job.

    The old message is replaced, never moved: a worker may hold it already, and will delete it when
    it is done with it.
    """
    queue.take_back([job.message_id])
    job.next_attempt_at, job.attempt_begun_at = at, None
    job.message_id = queue.put(job_id=job.pk, at=at, lane=job.lane)
    job.save()


def close_job(
    *,
    job: Job,
    state: State,
    what: JobEvent.What,
    at: datetime,
    by: AbstractBaseUser | None,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """End a job: its message goes, its last event says how."""
    queue.take_back([job.message_id])
    job.state, job.finished_at, job.message_id, job.attempt_begun_at = state, at, None, None
    job.save()
    new_event(job=job, what=what, at=at, by=by, reason=reason, detail=detail).save()


def cancel_job(*, job: Job, at: datetime, by: AbstractBaseUser | None, reason: str) -> None:
    """End a job that nobody wants any more."""
    close_job(job=job, state=State.CANCELLED, what=What.CANCELLED, at=at, by=by, reason=reason)
