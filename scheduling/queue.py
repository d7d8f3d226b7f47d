"""Messages that wake a worker: put in, taken back, buried."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django_q.models import OrmQ, Task

from scheduling.broker import RUN_JOB, Message, Sealer, insert_messages, open_payload, seal


class Wake(NamedTuple):
    """A job, the lane that runs it, and when a worker should take it up."""

    job_id: int
    at: datetime
    lane: str


def put(*, job_id: int, at: datetime, lane: str) -> int:
    """
    Put a message in that wakes a worker for the job, in the caller's transaction.

    :param at: aware; no worker takes the message before, by the database's clock.
    :returns: the id of the row.
    """
    [message_id] = put_many([Wake(job_id, at, lane)])
    return message_id


def put_many(wanted: Sequence[Wake]) -> list[int]:
    """Put in a message for each; return their ids in that order."""
    return insert_messages(messages(wanted))


def messages(wanted: Iterable[Wake]) -> Iterator[Message]:
    """Return the message of each, for a statement that puts it in."""
    sealers: dict[str, Sealer] = {}
    for job_id, at, lane in wanted:
        if lane not in sealers:
            sealers[lane] = Sealer(RUN_JOB, lane=lane)
        yield Message(lane, sealers[lane].seal(job_id, name=f"job {job_id}"), at, job_id)


def put_telling() -> None:
    """Put a message in that has people told of failures, in the caller's transaction."""
    lane = settings.MAIL_LANE
    payload = seal("scheduling.tasks.tell_failures", lane=lane, name="tell failures", save=False)
    insert_messages([Message(lane=lane, payload=payload)])


def take_back(message_ids: Iterable[int | None]) -> None:
    """Delete messages, in the caller's transaction; those that are gone already are no error."""
    ids = [message_id for message_id in message_ids if message_id is not None]
    if ids:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_q_ormq WHERE id = ANY(%s)", [ids])


@transaction.atomic
def bury(message_id: int, why: str, *, at: datetime) -> None:
    """
    Take a message that can never be done out of the queue, into django-q2's failed tasks.

    :param at: now, by the database's clock.
    """
    message = OrmQ.objects.select_for_update().filter(pk=message_id).first()
    if message is None:
        return
    task = open_payload(message.payload) or {}
    keep_failure(task, why, at=at, name=f"message {message_id}")
    message.delete()


def keep_failure(task: Mapping[str, object], why: str, *, at: datetime, name: str = "") -> None:
    """
    Put a run that came to no end of its own into django-q2's failed tasks, as its monitor would.

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
