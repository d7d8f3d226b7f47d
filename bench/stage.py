"""Shared by the benchmarks: a server, real workers, rows, and their lateness."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from content.models import Story
from scheduling.models import clock
from scheduling.models.task_names import RUN_JOB
from scheduling.queue.payload import build_payload
from tests.process.server import Server, execute, wait_for
from tests.process.worker import Worker, running

PATIENCE_SECONDS = 300
AT_ONCE = 25_000

TABLES = (
    *("content_story", "content_storysearch", "scheduling_job", "scheduling_jobevent"),
    *("django_q_ormq", "django_q_task", "scheduling_heartbeat"),
)

# What an editor writes: 2 kB of text in two languages.
WRITE = """
    INSERT INTO content_story
        (status, publish_at, version, title, body, created_at, updated_at, slug, summary, byline,
         keywords, language, extra)
    SELECT 'draft', NULL, 1, 'Story ' || n || ' 제목', repeat('Words 낱말 words. ', 100), now(),
           now(), 'story-' || gen_random_uuid(), '', '', '{}', 'en', '{}'
    FROM generate_series(1, %s) AS n
    RETURNING id
"""

# The same rows as operations leave, in a tenth of their time; all messages name job 0, so that
# the worker that is woken runs the due batch and finds no job of its own.
WRITE_SCHEDULED = """
    WITH story AS (
        INSERT INTO content_story
            (status, publish_at, version, title, body, created_at, updated_at, slug, summary,
             byline, keywords, language, extra)
        SELECT 'scheduled', %(at)s::timestamptz + make_interval(secs => n * %(apart)s), 2,
               'Story ' || n || ' 제목', repeat('Words 낱말 words. ', %(length)s), now(), now(),
               'scheduled-' || gen_random_uuid(), '', '', '{}', 'en', '{}'
        FROM generate_series(1, %(count)s) AS n
        RETURNING id, title, publish_at
    ), numbered AS (
        SELECT *, nextval(pg_get_serial_sequence('scheduling_job', 'id')) AS job_id,
               nextval(pg_get_serial_sequence('django_q_ormq', 'id')) AS message_id
        FROM story
    ), message AS (
        INSERT INTO django_q_ormq (id, key, payload, lock, armo_job)
        SELECT message_id, 'publish', %(payload)s, publish_at, job_id FROM numbered
    ), job AS (
        INSERT INTO scheduling_job
            (id, kind, state, content_type_id, object_id, item_title, run_at, next_attempt_at,
             attempts, reason, message_id)
        SELECT job_id, 'publish', 'waiting', %(story)s, id, title, publish_at, publish_at,
               0, '', message_id
        FROM numbered
        RETURNING id, run_at, object_id
    ), event AS (
        INSERT INTO scheduling_jobevent (job_id, what, at, new_run_at, reason)
        SELECT id, 'scheduled', now(), run_at, '' FROM job
    )
    SELECT object_id FROM job
"""

# `finished_at` is when the worker took it up; readers see it from the commit on.
LATENESS = """
    SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - publish_at)::float8,
           1000 * extract(epoch FROM published_at - publish_at)::float8
    FROM content_story
    WHERE status = 'published' AND id = ANY(%s)
    ORDER BY 1
"""

WRONG = """
    SELECT count(*) FILTER (WHERE job.state <> 'succeeded' OR story.status <> 'published'),
           count(*) FILTER (WHERE story.published_at < story.publish_at),
           count(*) FILTER (WHERE job.attempts <> 1 OR story.version <> 3 OR (
               SELECT count(*) FROM scheduling_jobevent AS event
               WHERE event.job_id = job.id AND event.what = 'succeeded') <> 1)
    FROM scheduling_job AS job JOIN content_story AS story ON story.id = job.object_id
    WHERE story.id = ANY(%s)
"""


class Lateness(NamedTuple):
    """How late items were live, in milliseconds; `stamped_p50` by their own `published_at`."""

    number: int
    p50: float
    p99: float
    worst: float
    stamped_p50: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}, p99 {self.p99:.1f}, max {self.worst:.1f} ms"


def empty(*, with_words: bool = False) -> None:
    """
    Start from nothing, as vacuum would leave it.

    :param with_words: stories that are written from now on are found by their words. To work these
        out takes longer than all else of writing a story, and a publish has no part in it.
    """
    execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    how = "ENABLE" if with_words else "DISABLE"
    execute(f"ALTER TABLE content_story {how} TRIGGER content_story_text")
    execute("CHECKPOINT")


def write_stories(number: int) -> list[Story]:
    """Write drafts."""
    rows = execute(WRITE, [number])
    return list(Story.objects.filter(pk__in=[pk for (pk,) in rows]).order_by("pk"))


def write_scheduled(
    number: int, *, at: datetime, seconds_apart: float = 0, length: int = 100
) -> list[int]:
    """Write stories that are scheduled, from that time on; return their ids."""
    ids: list[int] = []
    # Not all in one transaction: PostgreSQL, counting meanwhile, would find no rows yet, and then
    # check a million foreign keys by a plan for an empty table. It took more than ten minutes.
    for written in range(0, number, AT_ONCE):
        rows = execute(
            WRITE_SCHEDULED,
            {
                "count": min(AT_ONCE, number - written),
                "at": at + timedelta(seconds=written * seconds_apart),
                "apart": seconds_apart,
                "length": length,
                "payload": build_payload(RUN_JOB, 0, lane="publish", name="job 0"),
                "story": ContentType.objects.get_for_model(Story).pk,
            },
        )
        ids += [pk for (pk,) in rows]
    return ids


def write_backlog(number: int) -> None:
    """Schedule that many for the days from tomorrow on, as if they had been for a while."""
    tomorrow = clock.database_now() + timedelta(days=1)
    write_scheduled(number, at=tomorrow, seconds_apart=1, length=10)
    execute("VACUUM ANALYZE")


def write_due_at_once(number: int, *, seconds_ahead: float) -> tuple[list[int], float]:
    """
    Write stories that are all due at one instant.

    :returns: their ids, and that instant, by `time.time()`, which here is the server's clock.
    """
    at = clock.database_now() + timedelta(seconds=seconds_ahead)
    ids = write_scheduled(number, at=at)
    if clock.database_now() >= at:
        raise SystemExit("The machine was too slow to write all before they were due.")
    return ids, at.timestamp()


def wait_until_live(due: float) -> None:
    """Return once no job that was due by then, by `time.time()`, is open; asking costs nothing."""

    def all_are() -> bool:
        [(is_left,)] = execute(
            "SELECT EXISTS (SELECT FROM scheduling_job WHERE state IN ('waiting', 'retrying')"
            " AND next_attempt_at <= to_timestamp(%s))",
            [due],
        )
        return not is_left

    if not wait_for(all_are, PATIENCE_SECONDS):
        raise SystemExit(f"Not all was live after {PATIENCE_SECONDS} s.")


def wait_until_calm(seconds: float = 1.0) -> None:
    """Return once the workers have run nothing for so long: what a start sets off is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    calm_since = time.monotonic()
    while time.monotonic() - calm_since < seconds:
        if time.monotonic() > deadline:
            raise SystemExit(f"The workers were still at work after {PATIENCE_SECONDS} s.")
        [(is_busy,)] = execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE application_name = 'armo-worker' AND state <> 'idle')"
        )
        if is_busy:
            calm_since = time.monotonic()
        time.sleep(0.02)


def last_live(ids: Sequence[int]) -> float:
    """Return when the last of them went live, by `time.time()`."""
    [(at,)] = execute(
        "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8"
        " FROM content_story WHERE status = 'published' AND id = ANY(%s)",
        [list(ids)],
    )
    return float(at)


def lateness(ids: Sequence[int]) -> Lateness:
    """Query how late these were live."""
    rows = execute(LATENESS, [list(ids)])
    if len(rows) != len(ids):
        raise SystemExit(f"Only {len(rows)} of {len(ids)} are live.")
    live = [row[0] for row in rows]
    stamped = sorted(row[1] for row in rows)
    return Lateness(len(rows), part(live, 0.5), part(live, 0.99), live[-1], part(stamped, 0.5))


def part(ordered: Sequence[float], share: float) -> float:
    """Return the value that this share of the ordered values does not exceed."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def check(ids: Sequence[int]) -> None:
    """Stop when a figure would be of something that did not work."""
    [(lost, early, double)] = execute(WRONG, [list(ids)])
    if lost or early or double:
        raise SystemExit(f"{lost} lost, {early} early, {double} not just once.")


@contextmanager
def worker(folder: Path, **env: str) -> Iterator[Worker]:
    """Run a real `manage.py qcluster`, its log going to a file, until the block ends."""
    log = folder / f"worker-{len(list(folder.glob('worker-*')))}.log"
    with running(log, **env) as one:
        wait_for(lambda: len(one.family()) >= whole(), 10)
        yield one


def whole() -> int:
    """Return how many processes a worker with three lanes of 2, 2 and 1 workers has."""
    return 1 + 3 * 3 + 5


PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def peaks_mib(family: Sequence[psutil.Process]) -> list[float]:
    """Return the peak of each process's resident memory, in MiB."""
    found = [PEAK.search(Path(f"/proc/{process.pid}/status").read_text()) for process in family]
    return [int(peak[1]) / 1024 for peak in found if peak]


def cpu_seconds(processes: Sequence[psutil.Process]) -> dict[int, float]:
    """Return the processor time that each has used so far."""
    used = {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[process.pid] = times.user + times.system
    return used


def back_ends() -> list[psutil.Process]:
    """Return the server's processes that serve workers."""
    rows = execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'armo-worker'")
    return [psutil.Process(pid) for (pid,) in rows]


@contextmanager
def every_statement_logged(server: Server) -> Iterator[list[str]]:
    """
    Have the server log what workers ask, and whether; the list is filled when the block ends.

    Their prepared and cursor statements too; PostgreSQL's own work is no statement.
    """
    log = server.data_dir / "log"
    lines: list[str] = []
    for command in ("log_statement = 'all'", "log_line_prefix = '%%a|'"):
        _configure(command)
    time.sleep(0.5)  # until every back end has been signalled
    start = log.stat().st_size
    try:
        yield lines
        with log.open(errors="replace") as file:
            file.seek(start)
            lines += [line for line in file if line.startswith("armo-worker|LOG:")]
    finally:
        _configure("log_statement", reset=True)
        _configure("log_line_prefix", reset=True)


def _configure(command: str, *, reset: bool = False) -> None:
    assert not transaction.get_connection().in_atomic_block
    execute(f"ALTER SYSTEM {'RESET' if reset else 'SET'} {command}")
    execute("SELECT pg_reload_conf()")
