"""
Deleting old history: finished jobs with their events, django-q2's tasks, dead heartbeats, sessions.

Each batch is a transaction, and skips locked rows. It locks only finished rows, so that it delays
no open job.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connection, transaction
from django.db.models import QuerySet
from django_q.models import Task

from scheduling.models import Heartbeat, Job, JobEvent, JobQuerySet, clock, rerunnable
from scheduling.models.worker import HEARTBEAT_KEPT
from scheduling.operations import event_counts

BATCH = 1000


class Pruned(NamedTuple):
    """How many rows of each table were deleted."""

    jobs: int = 0
    events: int = 0
    tasks: int = 0
    sessions: int = 0
    heartbeats: int = 0


def count(older_than: timedelta) -> Pruned:
    """Count what `prune` would delete now."""
    now = clock.database_now()
    jobs = prunable_jobs(now - older_than)
    return Pruned(
        jobs=jobs.count(),
        events=JobEvent.objects.filter(job__in=jobs).count(),
        tasks=_tasks(now - older_than).count(),
        sessions=sum(rows.count() for rows in _sessions(now)),
        heartbeats=_heartbeats(now).count(),
    )


def prune(older_than: timedelta) -> Iterator[Pruned]:
    """
    Delete what was finished longer ago than that, by the database's clock.

    A failed job that can still be run again is kept: nothing else records what was scheduled.

    :returns: what each batch has deleted, after its commit.
    """
    while event_counts.count_events():
        pass  # what is deleted has to be counted before
    now = clock.database_now()
    _move_ledger_start(now - older_than)
    for batches in _tables(now, older_than):
        yield from batches


def prune_a_batch(older_than: timedelta) -> Pruned:
    """
    Delete the oldest batch of each table, as `prune` does: a short step, to be repeated.

    :returns: how many rows were deleted.
    """
    now = clock.database_now()
    if prunable_jobs(now - older_than).exists():
        _move_ledger_start(now - older_than)
    batches = [next(it) for it in _tables(now, older_than)]
    return Pruned(*map(sum, zip(*batches, strict=True)))


def _tables(now: datetime, older_than: timedelta) -> Iterator[Iterator[Pruned]]:
    """Yield, for each table, what deletes its old rows, a batch at each step."""
    before = now - older_than
    yield _in_batches(prunable_jobs(before), "finished_at", _delete_jobs)
    yield _in_batches(_tasks(before), "stopped", _delete_tasks)
    for rows in _sessions(now):
        yield _in_batches(rows, "expire_date", _delete_sessions)
    yield _in_batches(_heartbeats(now), "beat_at", _delete_heartbeats)


def prunable_jobs(before: datetime) -> JobQuerySet:
    """Return the jobs that were finished before that time and cannot be run again."""
    return Job.objects.filter(~rerunnable(), finished_at__lt=before)


def _move_ledger_start(at: datetime) -> None:
    """Record that jobs finished before that time may be gone, before any is deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduling_ledgerstart AS present (id, at) VALUES (1, %s)"
            " ON CONFLICT (id) DO UPDATE SET at = greatest(present.at, excluded.at)",
            [at],
        )


def _tasks(before: datetime) -> QuerySet[Any]:
    return Task.objects.filter(stopped__lt=before)  # type: ignore[no-any-return]  # it knows no types


def _sessions(now: datetime) -> Iterator[QuerySet[Any]]:
    """Yield the expired sessions, if the project keeps sessions in the database."""
    if apps.is_installed("django.contrib.sessions"):
        yield apps.get_model("sessions", "Session").objects.filter(expire_date__lt=now)


def _heartbeats(now: datetime) -> QuerySet[Heartbeat]:
    return Heartbeat.objects.filter(beat_at__lt=now - HEARTBEAT_KEPT)


def _in_batches(
    rows: QuerySet[Any], ended: str, delete: Callable[[list[Any]], Pruned]
) -> Iterator[Pruned]:
    """
    Lock and delete rows, a batch a transaction, the oldest first.

    :param ended: the field with the time when a row was finished.
    """
    rows = rows.order_by(ended, "pk").values_list(ended, "pk")
    rest = rows
    while True:
        with transaction.atomic():
            batch = list(rest.select_for_update(skip_locked=True)[:BATCH])
            pruned = delete([pk for _, pk in batch])
        yield pruned
        if len(batch) < BATCH:
            return
        # Older rows have been deleted, or are locked: do not read that part of the index again.
        rest = rows.filter(**{f"{ended}__gte": batch[-1][0]})


def _delete_jobs(ids: list[int]) -> Pruned:
    events = _delete("scheduling_jobevent", "job_id", ids)
    return Pruned(jobs=_delete("scheduling_job", "id", ids), events=events)


def _delete_tasks(ids: list[str]) -> Pruned:
    return Pruned(tasks=_delete("django_q_task", "id", ids))


def _delete_sessions(keys: list[str]) -> Pruned:
    return Pruned(sessions=_delete("django_session", "session_key", keys))


def _delete_heartbeats(owners: list[int]) -> Pruned:
    return Pruned(heartbeats=_delete("scheduling_heartbeat", "owner", owners))


def _delete(table: str, column: str, values: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)", [values])  # noqa: S608 (fixed names)  # nosec B608
        return int(cursor.rowcount)
