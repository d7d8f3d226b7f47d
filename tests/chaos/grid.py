"""
The scenarios of a public grid for PostgreSQL queues, under its names and with its measure.

The grid (github.com/hardbyte/postgresql-job-queue-benchmarking) offers jobs at a steady rate,
breaks something for a while, and divides the rate at which jobs are finished after that by the rate
before: each is the median over one-second windows. It also counts lost jobs. Here an item becomes
due for each job, and the database's commit times say when each was live.
"""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import psycopg

from content.models import Story
from scheduling.models import TRANSITIONS, Kind, Status, clock
from scheduling.worker import reconciler
from tests.chaos import checker
from tests.chaos.environment import Load, Stage
from tests.chaos.network import HalfOpen
from tests.process.server import at_rest, execute, patiently, wait_for, wait_until_time

RATE = 200  # items a second
AT_ONCE = 20  # so many are due together
BASELINE_SECONDS, RECOVERY_SECONDS = 10.0, 15.0
# How many can be scheduled in a second; if it was not so, it is tried again with a lower figure.
WRITTEN_PER_SECOND = (1000, 400, 100)
KILL_EVERY_SECONDS = 5.0
RESUMED = 0.9  # of the rate before, as in the grid


@dataclass(frozen=True)
class Scenario:
    """
    One row of the grid.

    :param strike: does it until the time it is given, by `time.time()`.
    :param during: whether the grid looks at the rate in that time, instead of after it.
    """

    name: str
    about: str
    seconds: float
    strike: Callable[[Stage, float], None]
    workers: int = 1
    during: bool = False


@dataclass
class Row:
    """What came of one scenario."""

    name: str
    about: str
    before_per_second: float = 0
    after_per_second: float = 0
    # From the end of the fault until a second passes with nine tenths of the rate before.
    resumed_after_seconds: float | None = None
    latest_seconds: float = 0
    findings: checker.Findings = field(default_factory=checker.Findings)

    @property
    def ratio(self) -> float:
        """Return the rate after the fault, divided by the one before."""
        return self.after_per_second / self.before_per_second if self.before_per_second else 0.0

    def line(self) -> str:
        """Return the row in a line."""
        resumed = self.resumed_after_seconds
        shown = "never" if resumed is None else f"within {resumed + 1:.0f} s"
        return (
            f"{self.name:18} {self.before_per_second:4.0f} items/s before,"
            f" {self.after_per_second:4.0f} after ({100 * self.ratio:.0f} %), again {shown},"
            f" latest {self.latest_seconds:.1f} s  {'passed' if self.passed else 'FAILED'}"
        )

    @property
    def passed(self) -> bool:
        """Whether the rate is back, and nothing was lost, done twice or early, or is stuck."""
        return self.ratio >= RESUMED and not self.findings


def crash_recovery(stage: Stage, ends_at: float) -> None:
    """Kill one of two workers; it is started again at the end."""
    os.killpg(stage.cluster.process.pid, signal.SIGKILL)
    stage.cluster.process.wait()
    wait_until_time(ends_at)
    stage.replace_cluster()


def repeated_kills(stage: Stage, ends_at: float) -> None:
    """Kill one of two workers again and again; each time it is started at once."""
    while time.time() < ends_at:
        next_at = min(time.time() + KILL_EVERY_SECONDS, ends_at)
        os.killpg(stage.cluster.process.pid, signal.SIGKILL)
        stage.cluster.process.wait()
        stage.replace_cluster()
        wait_until_time(next_at)


def postgres_restart(stage: Stage, ends_at: float) -> None:
    """Stop the server, and start it at the end."""
    stage.server.restart(pause=ends_at - time.time())


def pg_backend_kill(stage: Stage, ends_at: float) -> None:
    """End all of the workers' connections, twice a second."""
    while time.time() < ends_at:
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'armo-worker%%' AND pid <> pg_backend_pid()"
        )
        wait_until_time(time.time() + 0.5)


def pool_exhaustion(stage: Stage, ends_at: float) -> None:
    """Hold 300 idle connections, or as many as the server has."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(300):
                held.enter_context(contextlib.closing(stage.server.connect()))
        wait_until_time(ends_at)


def idle_in_tx(stage: Stage, ends_at: float) -> None:
    """Hold a transaction with an id, which keeps VACUUM from its work."""
    with stage.server.connect() as session:
        session.execute("SELECT txid_current()")
        wait_until_time(ends_at)
        session.rollback()


def half_open_tcp(stage: Stage, ends_at: float) -> None:
    """Take away the other side of every connection; the worker has to notice by itself."""
    assert HALF_OPEN.proxy
    HALF_OPEN.proxy.silence()
    wait_until_time(ends_at)


HALF_OPEN = HalfOpen()
SCENARIOS = (
    Scenario("crash_recovery", "one of two workers killed, away 10 s", 10, crash_recovery, 2),
    Scenario("repeated_kills", "one of two killed every 5 s, for 30 s", 30, repeated_kills, 2),
    Scenario("postgres_restart", "server away 10 s", 10, postgres_restart),
    Scenario("pg_backend_kill", "all connections ended twice a second, 20 s", 20, pg_backend_kill),
    Scenario("pool_exhaustion", "300 idle connections, 20 s", 20, pool_exhaustion),
    Scenario("idle_in_tx", "transaction open 60 s; rate meanwhile", 60, idle_in_tx, during=True),
    Scenario("half_open_tcp", "connections half open; 30 s to notice", 30, half_open_tcp),
)


def play(stage: Stage, scenario: Scenario) -> Row:
    """Run one scenario."""
    row = Row(scenario.name, scenario.about)
    try:
        if scenario.strike is half_open_tcp:
            HALF_OPEN.set_up(stage)
        else:
            for _ in range(scenario.workers):
                stage.start_cluster()
        load = _put_in(stage, BASELINE_SECONDS + scenario.seconds + RECOVERY_SECONDS)
        begins_at = load.first + BASELINE_SECONDS
        ends_at = begins_at + scenario.seconds
        wait_until_time(begins_at)
        scenario.strike(stage, ends_at)
        # A worker that was started again at the end, or a server, has taken a moment for it.
        resumed_at = max(time.time(), ends_at)
        wait_for(at_rest, max(load.burst - time.time(), 0) + 60)
        checker.check(load, row.findings, max_attempts=4)
        _measure(row, load, begins_at, resumed_at, during=scenario.during)
    except Exception as error:  # noqa: BLE001 (the others still run)
        row.findings.stuck.append(f"the scenario broke: {type(error).__name__}: {error}")
    finally:
        row.findings.items += stage.end_clusters()
    if scenario.strike is half_open_tcp:
        HALF_OPEN.proxy.close()
    return row


def _put_in(stage: Stage, seconds: float) -> Load:
    """
    Schedule items for so many seconds, at a steady rate; their jobs are made as a sweep does.

    All are in before the first is due.
    """
    number = int(seconds * RATE)
    for per_second in WRITTEN_PER_SECOND:
        stage.clear()
        first = clock.database_now() + timedelta(seconds=2 + number / per_second)
        stories = _schedule(number, first)
        if clock.database_now() < first:
            at = first.timestamp()
            return Load([story.pk for story in stories], traps={}, first=at, burst=at + seconds)
    raise AssertionError("the machine is too slow")


def _schedule(number: int, first: datetime) -> list[Story]:
    stories = Story.objects.bulk_create(
        (
            Story(
                title=f"제목 {n}",
                slug=f"story-{n}",
                body="본문",
                status=Status.SCHEDULED,
                publish_at=first + timedelta(seconds=(n // AT_ONCE) * AT_ONCE / RATE),
            )
            for n in range(number)
        ),
        batch_size=1000,
    )
    reconciler.create_missing_jobs(Story, TRANSITIONS[Kind.PUBLISH], None)
    return stories


def _measure(row: Row, load: Load, begins_at: float, resumed_at: float, *, during: bool) -> None:
    live = [item for item in patiently(checker.went_live) if not item.is_trap]
    row.latest_seconds = max((item.live - item.due for item in live), default=0)

    def per_second(start: float, end: float) -> list[int]:
        counts = Counter(int(item.live - start) for item in live if start <= item.live < end)
        return [counts[second] for second in range(int(end - start))]

    row.before_per_second = median(per_second(load.first, begins_at))
    window = (begins_at, resumed_at) if during else (resumed_at, load.burst)
    row.after_per_second = median(per_second(*window) or [0])
    for second, number in enumerate(per_second(resumed_at, load.burst)):
        if number >= RESUMED * row.before_per_second:
            row.resumed_after_seconds = float(second)
            break


def table(rows: Sequence[Row]) -> list[str]:
    """Return a line a scenario, in Markdown."""
    lines = [
        "| scenario | | items/s before | after | ratio | lost | twice | early | stuck"
        " | latest, s | |",
        "| --- | --- |" + " ---: |" * 8 + " --- |",
    ]
    for row in rows:
        counts = row.findings.counts()
        broken = [counts[kind] for kind in ("lost", "double", "early", "stuck")]
        cells = [
            *(row.name, row.about, f"{row.before_per_second:.0f}", f"{row.after_per_second:.0f}"),
            *(f"{100 * row.ratio:.0f} %", *map(str, broken), f"{row.latest_seconds:.1f}"),
            "passed" if row.passed else "FAILED",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def as_json(rows: Sequence[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """Return everything, for programs."""
    own = [{**asdict(row), "ratio": row.ratio, "passed": row.passed} for row in rows]
    return {**facts, "grid": own}
