"""
The rows behind every operation: a job, its message, its history.

Each function is a step inside the caller's transaction; none checks whether the step is wise.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from scheduling import queue
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, lane_of

What = JobEvent.What


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
        item_title=str(item)[:255],
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
) -> list[Job]:
    """
    Save a new job for each item, kind and time, with its message and its first event.

    :param at: now, by the database's clock.
    :raises django.db.IntegrityError: one of the items has an open job of that kind already.
    """
    # The message names the job and the job its message: taking the ids first saves writing the
    # jobs twice.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('scheduling_job', 'id'))"
            " FROM generate_series(1, %s)",
            [len(wanted)],
        )
        ids = [row[0] for row in cursor.fetchall()]
    message_ids = queue.put_many(
        [
            queue.Wake(job_id, run_at, lane_of(type(item), kind))
            for job_id, (item, kind, run_at) in zip(ids, wanted, strict=True)
        ]
    )
    jobs = [
        new_job(
            item=item,
            kind=kind,
            run_at=run_at,
            by=by,
            reason=reason,
            pk=job_id,
            message_id=message_id,
            created_at=at,
        )
        for job_id, message_id, (item, kind, run_at) in zip(ids, message_ids, wanted, strict=True)
    ]
    Job.objects.bulk_create(jobs)
    JobEvent.objects.bulk_create(
        new_event(job=job, what=What.SCHEDULED, at=at, by=by, reason=reason, new_run_at=job.run_at)
        for job in jobs
    )
    return jobs


def move_job(
    *, job: Job, run_at: datetime, at: datetime, by: AbstractBaseUser | None, reason: str
) -> None:
    """Give an open job another time, and a new message in place of the old."""
    old_run_at, job.run_at = job.run_at, run_at
    # A new start: the attempts at the old time do not count against the new one.
    job.state, job.attempts = State.WAITING, 0
    wake(job=job, at=run_at)
    new_event(
        job=job,
        what=What.MOVED,
        at=at,
        by=by,
        reason=reason,
        old_run_at=old_run_at,
        new_run_at=run_at,
    ).save()


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
