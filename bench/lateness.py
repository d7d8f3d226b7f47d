"""How late items go live: alone, scheduled shortly before, in a busy minute, beside a million."""

import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from random import Random

from django.db import transaction

from bench import stage
from bench.run import Run
from scheduling import operations
from scheduling.broker import TimedBroker
from scheduling.models import Kind, clock, transition_of
from scheduling.models.sql import along_the_index
from scheduling.worker import batch_runner
from tests.process.server import execute, wait_until_time
from tests.process.worker import PROJECT

P50, P99, WORST = 5.0, 20.0, 50.0
SEED = 1


def idle(run: Run) -> None:
    """Items at random times over a minute, and nothing else to do."""
    stage.empty()
    with stage.worker(run.folder):
        found = _over(run, Random(SEED))
    _add(run, "lateness", found, p50=P50, p99=P99, worst=WORST)


def scheduled_close(run: Run) -> None:
    """Each item is scheduled only 100 to 900 ms before its time."""
    chance = Random(SEED)
    stage.empty()
    stories = stage.write_stories(run.size(300, quick=20))
    with stage.worker(run.folder):
        for story in stories:
            ahead = timedelta(seconds=chance.uniform(0.1, 0.9))
            operations.schedule(item=story, run_at=clock.database_now() + ahead, by=None)
            # The pace of scheduling; nothing is waited for.
            time.sleep(chance.uniform(0.05, 0.15))
        ids = [story.pk for story in stories]
        stage.wait_until_live(time.time() + 1)
    stage.check(ids)
    _add(run, "scheduled close", stage.lateness(ids), p50=P50, p99=P99, worst=WORST)


def busy_minute(run: Run) -> None:
    """A thousand items over a minute, while another process schedules 20 others a second."""
    stage.empty()
    seconds = run.size(60, quick=5)
    with stage.worker(run.folder):
        command = [sys.executable, "-m", "bench.editors", str(20), str(seconds)]
        editors = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        found = _over(run, Random(SEED), number=run.size(1000, quick=80))
        output, _ = editors.communicate(timeout=60)
    _add(run, "busy minute", found, p99=WORST, note=output.strip())


def backlog(run: Run) -> None:
    """The first workload again, with a million jobs waiting for the days to come."""
    stage.empty()
    waiting = run.size(1_000_000, quick=10_000)
    stage.write_backlog(waiting)
    with stage.worker(run.folder):
        # The first sweep looks at all of them.
        stage.wait_until_calm()
        found = _over(run, Random(SEED))
    alone = run.value("lateness", "p99")
    most = None if alone is None else 1.5 * alone
    _add(run, "backlog", found, p99=most, note=f"{waiting:,} jobs wait")
    for name, scans in _scans().items():
        run.add("backlog", f"plan of {name}", len(scans), "sequential scans", most=0)


def _over(run: Run, chance: Random, *, number: int | None = None) -> stage.Lateness:
    """Schedule items at random moments of a minute, and wait for them."""
    number = number or run.size(300, quick=20)
    stories = stage.write_stories(number)
    # All are in before the first is due.
    first = clock.database_now() + timedelta(seconds=2 + number / 100)
    seconds = run.size(60, quick=4)
    for story in stories:
        at = first + timedelta(seconds=chance.uniform(0, seconds))
        operations.schedule(item=story, run_at=at, by=None)
    if clock.database_now() >= first:
        raise SystemExit("The machine was too slow to schedule all before the first was due.")
    wait_until_time(first.timestamp() + seconds)
    ids = [story.pk for story in stories]
    stage.wait_until_live(first.timestamp() + seconds)
    stage.check(ids)
    return stage.lateness(ids)


def _add(
    run: Run,
    workload: str,
    found: stage.Lateness,
    *,
    p50: float | None = None,
    p99: float | None = None,
    worst: float | None = None,
    note: str = "",
) -> None:
    about = f"{found.number:,} items. {note}".strip()
    run.add(workload, "p50", found.p50, "ms", most=p50, note=about)
    run.add(workload, "p99", found.p99, "ms", most=p99)
    run.add(workload, "max", found.worst, "ms", most=worst)
    run.add(workload, "p50 of `published_at`", found.stamped_p50, "ms")


def _scans() -> dict[str, Sequence[str]]:
    """Return which sequential scans the plans have that a worker repeats all the time."""
    scope = batch_runner.Scope(transition_of(Kind.PUBLISH))
    statements = {
        "the message's claim": (
            TimedBroker.statements.claim,
            {"key": "publish", "bulk": 1, "retry": 210, "owner": 1, "is_paused": False},
        ),
        "the jobs' claim": (
            batch_runner.claim_of(scope),
            batch_runner._wanted(batch_runner._prepare(scope)),
        ),
        "the look for due ends": (batch_runner.SQL["any_due"], {"kinds": [str(Kind.UNPUBLISH)]}),
        "the look round": (
            TimedBroker.statements.look,
            {
                **{"key": "publish", "owner": 1, "dead": [], "may_be_late": False},
                **{"releases": True, "finds": True},
            },
        ),
    }
    tables = ("scheduling_job", "django_q_ormq", "content_")
    with transaction.atomic(), along_the_index():
        plans = {
            name: execute(f"EXPLAIN {sql}", params) for name, (sql, params) in statements.items()
        }
    return {
        name: [line for (line,) in plan if "Seq Scan" in line and any(t in line for t in tables)]
        for name, plan in plans.items()
    }
