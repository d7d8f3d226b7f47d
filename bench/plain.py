"""
The bound: what PostgreSQL itself can do with the same rows, without Django and without django-q2.

Claim and close the jobs, change the items, write the events, delete the messages: a statement each
and nothing else. No error is kept apart, nothing is logged, no hook is heard of.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.process.server import Server

JOBS = """
    WITH due AS (
        SELECT id, object_id, message_id FROM scheduling_job
        WHERE state IN ('waiting', 'retrying') AND next_attempt_at <= (SELECT clock_timestamp())
        ORDER BY next_attempt_at, id LIMIT %s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE scheduling_job AS job
    SET state = 'succeeded', finished_at = clock_timestamp(), attempts = attempts + 1,
        message_id = NULL
    FROM due WHERE job.id = due.id
    RETURNING job.id, job.object_id, due.message_id
"""
ITEMS = """
    UPDATE content_story
    SET status = 'published', published_at = clock_timestamp(), version = version + 1
    WHERE id = ANY(%s)
"""
EVENTS = """
    INSERT INTO scheduling_jobevent (job_id, what, at, reason)
    SELECT id, 'succeeded', clock_timestamp(), '' FROM unnest(%s::bigint[]) AS id
"""
MESSAGES = "DELETE FROM django_q_ormq WHERE id = ANY(%s)"


def work_off(server: Server, *, connections: int, batch: int) -> tuple[int, float]:
    """
    Do everything that is due.

    :returns: how many it was, and how many seconds it took.
    """
    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        # A thread waits for its own back end, and the server does all the work.
        done = list(pool.map(lambda _: _work(server, batch), range(connections)))
    return sum(done), time.perf_counter() - began


def _work(server: Server, batch: int) -> int:
    done = 0
    with server.connect() as connection:
        while True:
            with connection.transaction():
                rows = connection.execute(JOBS, [batch]).fetchall()
                if not rows:
                    return done
                jobs, items, messages = (list(column) for column in zip(*rows, strict=True))
                connection.execute(ITEMS, [items])
                connection.execute(EVENTS, [jobs])
                connection.execute(MESSAGES, [messages])
            done += len(rows)
