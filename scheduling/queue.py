"""Messages that wake a worker for a job: put in, taken back."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection

from scheduling.broker import insert_messages, seal

RUN_JOB = "scheduling.tasks.run_job"


def put(*, job_id: int, at: datetime) -> int:
    """
    Put a message in that wakes a worker for the job, in the caller's transaction.

    :param at: aware; no worker takes the message before, by the database's clock.
    :returns: the id of the row.
    """
    [message_id] = put_many([(job_id, at)])
    return message_id


def put_many(wanted: Sequence[tuple[int, datetime]]) -> list[int]:
    """Put in a message for each pair of job id and time; return their ids in that order."""
    lane = settings.PUBLISH_LANE
    payloads = [seal(RUN_JOB, job_id, lane=lane, name=f"job {job_id}") for job_id, _ in wanted]
    return insert_messages(key=lane, payloads=payloads, times=[at for _, at in wanted])


def take_back(message_ids: Iterable[int | None]) -> None:
    """Delete messages, in the caller's transaction; those that are gone already are no error."""
    ids = [message_id for message_id in message_ids if message_id is not None]
    if ids:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_q_ormq WHERE id = ANY(%s)", [ids])
