"""What it costs: to schedule one, to schedule many, and to wait with nothing to do."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any

import psycopg
from django.db import connection

from bench import stage
from bench.run import Run
from content.models import Story
from scheduling import operations
from scheduling.models import clock

SHARE_OF_PLAIN = 2.0
BULK_SECONDS = 12.0
STATEMENTS_A_SECOND, CPU_A_MINUTE = 1.0, 1.0

Statement = tuple[str, Any]


def schedule(run: Run) -> None:
    """One `operations.schedule`, beside the statements that it sends, through psycopg alone."""
    number = run.size(2000, quick=100)
    stage.empty()
    # The same rows once for each: what the operation sends is noted first, and then undone.
    stories = stage.write_stories(2 * number)
    mine, theirs = stories[:number], stories[number:]
    at = clock.database_now() + timedelta(days=1)
    sent = [_statements(partial(_schedule, story, at)) for story in theirs]
    _undo(theirs)
    with run.server.connect() as bare:
        operation, plain = [], []
        for story, statements in zip(mine, sent, strict=True):
            operation.append(_timed(partial(_schedule, story, at)))
            plain.append(_timed(partial(_replay, bare, statements)))
    operation.sort()
    plain.sort()
    p50, bound = stage.part(operation, 0.5), stage.part(plain, 0.5)
    run.add("schedule cost", "one operation, p50", p50, "ms", note=f"{number:,} in a loop")
    run.add("schedule cost", "one operation, p99", stage.part(operation, 0.99), "ms")
    run.add("schedule cost", "its statements alone, p50", bound, "ms", note=f"{len(sent[0])} each")
    run.add("schedule cost", "of its statements alone", p50 / bound, "", most=SHARE_OF_PLAIN)


def schedule_many(run: Run) -> None:
    """Many drafts through one operation, all or nothing."""
    number = run.size(100_000, quick=2000)
    new: list[float] = []
    moved: list[float] = []
    for _ in range(run.size(3, quick=1)):
        stage.empty()
        stories = stage.write_stories(number)
        at = clock.database_now() + timedelta(days=1)
        for seconds in (new, moved):
            began = time.perf_counter()
            operations.schedule_many(items=stories, run_at=at, by=None)
            seconds.append(time.perf_counter() - began)
            at += timedelta(hours=1)
    for what, seconds, most in (
        ("one operation", new, BULK_SECONDS),
        ("moving them all", moved, None),
    ):
        note = f"{number:,}; {', '.join(f'{one:.2f}' for one in seconds)} s"
        run.add("bulk schedule", what, median(seconds), "s", most=most, note=note)


def idle(run: Run) -> None:
    """A whole worker with nothing due."""
    stage.empty()
    seconds = run.size(60, quick=5)
    stories = stage.write_stories(10)
    at = clock.database_now() + timedelta(days=1)
    operations.schedule_many(items=stories, run_at=at, by=None)
    with stage.worker(run.folder) as worker:
        # Its start is no part of it: for ten seconds it looks more often for claims of the dead.
        time.sleep(run.size(15, quick=2))
        with stage.every_statement_logged(run.server) as lines:
            processes = [*worker.family(), *stage.back_ends()]
            before = stage.cpu_seconds(processes)
            time.sleep(seconds)  # this is what is measured
            after = stage.cpu_seconds(processes)
        connections = len(stage.back_ends())
    used = sum(after[pid] - before.get(pid, 0) for pid in after)
    note = f"three lanes, {connections} connections, {seconds} s"
    rate = len(lines) / seconds
    run.add("idle", "statements", rate, "/s", most=STATEMENTS_A_SECOND, note=note)
    run.add("idle", "processor time", 60 * used / seconds, "s/min", most=CPU_A_MINUTE)


def _schedule(story: Story, at: Any) -> None:
    operations.schedule(item=story, run_at=at, by=None)


def _statements(work: Callable[[], None]) -> list[Statement]:
    """Return what the work sends to the server, transaction included."""
    sent: list[Statement] = [("BEGIN", None)]

    def note(execute: Callable[..., Any], sql: str, params: Any, *args: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, *args)

    with connection.execute_wrapper(note):
        work()
    return [*sent, ("COMMIT", None)]


def _replay(bare: "psycopg.Connection[Any]", statements: Sequence[Statement]) -> None:
    """Send them and read the answers, with nothing around it."""
    bare.autocommit = True
    for sql, params in statements:
        cursor = bare.execute(sql, params)
        if cursor.description:
            cursor.fetchall()


def _undo(stories: Sequence[Story]) -> None:
    """Have stories be drafts that were never scheduled; ids that were used stay used."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE scheduling_job, django_q_ormq CASCADE")
        cursor.execute(
            "UPDATE content_story SET status = 'draft', publish_at = NULL, version = 1"
            " WHERE id = ANY(%s)",
            [[story.pk for story in stories]],
        )
        cursor.execute("VACUUM ANALYZE content_story")


def _timed(work: Callable[[], None]) -> float:
    """Return how many milliseconds it takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)
