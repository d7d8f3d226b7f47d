"""Queue rows that wake a worker: enqueued, deleted, moved to the failed tasks."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from django.db import connection, connections, transaction
from django_q.conf import Conf
from django_q.models import OrmQ, Task

from scheduling.queue.payload import PayloadFactory, read_payload
from scheduling.queue.sql_files import read_statements
from scheduling.schemas import own_channel

CHANNEL = own_channel("armo_queue")
# The broker queries at least this often, even if nothing was notified.
LONGEST_SLEEP_SECONDS = 10.0
# A row that is due sooner than this is notified. Twice the longest sleep: a transaction may commit
# that long after its insert, and the broker still is notified or queries in time.
NOTIFY_WITHIN_SECONDS = 2 * LONGEST_SLEEP_SECONDS

NEXT_MESSAGE = "nextval((SELECT pg_get_serial_sequence('django_q_ormq', 'id')::regclass))"
# How long the row of a job that cannot run yet waits, at first and at most.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0

SQL = read_statements(__name__)
# For statements that insert queue rows: their parts, and parameters.
PARTS = {"next_message": NEXT_MESSAGE, "put": SQL["put"]}
NOTIFY: dict[str, Any] = {"channel": CHANNEL, "notify_within": NOTIFY_WITHIN_SECONDS}
INSERT = SQL["insert"].format(**PARTS)
WAITING = {"later": SQL["later"], "waiting": SQL["waiting"]}
PUT_BACK = SQL["put_back"].format(**WAITING)
PAUSES: dict[str, Any] = {
    "channel": CHANNEL,
    "first_pause": FIRST_PAUSE_SECONDS,
    "longest_pause": LONGEST_PAUSE_SECONDS,
}


class Message(NamedTuple):
    """A queue row to insert: its lane, its payload, and when it may be claimed."""

    lane: str
    payload: str
    at: datetime | None = None
    job_id: int | None = None

    def as_row(self) -> dict[str, object]:
        """Return it as JSON for the statements; psycopg takes ten times as long to adapt arrays."""
        at = self.at and self.at.isoformat()
        return {"key": self.lane, "payload": self.payload, "at": at, "job": self.job_id}


def insert_messages(messages: Iterable[Message]) -> list[int]:
    """
    Insert queue rows, in the caller's transaction.

    A row without a time is due at once, by the database's clock.

    :returns: their ids, in the order given.
    """
    rows = [message.as_row() for message in messages]
    with connections[Conf.ORM].cursor() as cursor:
        cursor.execute(INSERT, {"wanted": json.dumps(rows), **NOTIFY})
        return [row[0] for row in cursor.fetchall()]


class Wake(NamedTuple):
    """When a worker should run a job, and the lane and task that do."""

    job_id: int
    at: datetime
    lane: str
    func: str


def enqueue(*, job_id: int, at: datetime, lane: str, func: str) -> int:
    """
    Insert a queue row that wakes a worker for the job, in the caller's transaction.

    :param at: aware; no worker claims the row before, by the database's clock.
    :param func: the dotted name of the task that runs the job.
    :returns: the id of the row.
    """
    [message_id] = enqueue_many([Wake(job_id, at, lane, func)])
    return message_id


def enqueue_many(wanted: Sequence[Wake]) -> list[int]:
    """Insert a queue row for each; return their ids in that order."""
    return insert_messages(messages(wanted))


def messages(wanted: Iterable[Wake]) -> Iterator[Message]:
    """Build the queue row of each, for a statement that inserts it."""
    factories: dict[tuple[str, str], PayloadFactory] = {}
    for job_id, at, lane, func in wanted:
        if (func, lane) not in factories:
            factories[func, lane] = PayloadFactory(func, lane=lane)
        payload = factories[func, lane].build(job_id, name=f"job {job_id}")
        yield Message(lane, payload, at, job_id)


class Row(NamedTuple):
    """A queue row: its lane, when it may be claimed next, and by whom it is claimed, if it is."""

    id: int
    lane: str
    lock: datetime
    owner: int | None
    deliveries: int
    # Since when its job could not run, because it or its item was locked.
    waiting_since: datetime | None

    def is_claimed(self, *, now: datetime) -> bool:
        """Return whether a worker has claimed it, and runs its task."""
        return self.lock > now and (self.deliveries > 0 or self.owner is not None)


def find_row(message_id: int | None) -> Row | None:
    """Query a queue row."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["find"], [message_id])
        values = cursor.fetchone()
    return Row(*values) if values else None


def put_back(message_id: int | None) -> datetime | None:
    """
    Let the row of a job that cannot run yet wait, in the caller's transaction.

    The row stays, so that a job has one at any time. Each pause is as long as all before it, from
    `FIRST_PAUSE_SECONDS` to `LONGEST_PAUSE_SECONDS`.

    :returns: until when it waits; None if there is no such row, or if it is locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(PUT_BACK, {"id": message_id, **PAUSES})
        found = cursor.fetchone()
    return found[0] if found else None


def delete_rows(message_ids: Iterable[int | None]) -> None:
    """
    Delete queue rows, in the caller's transaction; missing ones are no error.

    One that is locked is left: its job has no use for it, so that its task finds nothing to do.
    """
    ids = [message_id for message_id in message_ids if message_id is not None]
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(SQL["delete"], [ids])


@transaction.atomic
def move_to_failed_tasks(message_id: int, why: str, *, at: datetime) -> None:
    """
    Delete a queue row that cannot be run, and record it in django-q2's failed tasks.

    :param at: now, by the database's clock.
    """
    message = OrmQ.objects.select_for_update().filter(pk=message_id).first()
    if message is None:
        return
    task = read_payload(message.payload) or {}
    keep_failure(task, why, at=at, name=f"message {message_id}")
    message.delete()


def keep_failure(task: Mapping[str, object], why: str, *, at: datetime, name: str = "") -> None:
    """
    Record a task that was cut off in django-q2's failed tasks, as its monitor would.

    :param task: django-q2's task, as far as it is known.
    """
    Task.objects.update_or_create(
        id=str(task.get("id") or uuid4().hex),
        defaults={
            "name": str(task.get("name") or name)[:100],
            "func": str(task.get("func") or "unknown")[:256],
            "args": task.get("args", ()),
            "kwargs": task.get("kwargs", {}),
            "group": str(task["group"])[:100] if task.get("group") else None,
            "started": task.get("started") or at,
            "stopped": at,
            "result": why,
            "success": False,
        },
    )
