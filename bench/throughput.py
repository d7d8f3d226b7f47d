"""How many items a second: a burst, the same in plain SQL, catching up, two clusters."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import median
from types import ModuleType
from typing import Any

from bench import plain, stage
from bench.run import Run
from scheduling.models import Kind, publish_log, transition_of
from scheduling.worker import batch_runner
from tests.process.server import execute, wait_until_time
from tests.process.worker import Worker

ITEMS = 100_000
SECONDS = 4.0
MEMORY_MIB = 150.0
# Of the rate of plain SQL; of one cluster's.
SHARE_OF_PLAIN, SHARE_OF_ONE = 0.5, 0.95


def burst(run: Run) -> None:
    """All due at one instant; in turns with plain SQL, under the same conditions."""
    number = run.size(ITEMS, quick=2000)
    seconds, plains, peaks = [], [], []
    for _ in range(run.size(3, quick=1)):
        plains.append(_plain(run, number, connections=2, batch=1000))
        took, peak = _burst(run, number)
        seconds.append(took)
        peaks.append(peak)
    took, bound = median(seconds), median(plains)
    times = ", ".join(f"{one:.2f}" for one in seconds)
    run.add("burst", "last one live after", took, "s", most=SECONDS, note=f"{number:,}; {times} s")
    run.add("burst", "items", number / took, "/s")
    run.add("burst", "of plain SQL", number / took / bound, "", least=SHARE_OF_PLAIN)
    run.add("memory", "largest process of the worker", max(peaks), "MiB", most=MEMORY_MIB)


def plain_sql(run: Run) -> None:
    """The bound, for each number of connections and size of batch."""
    number = run.size(ITEMS, quick=2000)
    for connections in (1, 2):
        for batch in (1000, 5000):
            rate = _plain(run, number, connections=connections, batch=batch)
            what = f"{connections} connections, batches of {batch:,}"
            run.add("plain SQL", what, rate, "/s", note=f"{number:,}")


def division(run: Run) -> None:
    """How the time of a burst divides, in one process alone; then the statement's, by its plan."""
    number = run.size(ITEMS // 5, quick=2000)
    due = _fill(number)
    wait_until_time(due)
    clock = _Clock()
    with (
        clock.around(batch_runner, "_fetch", "statement"),
        clock.around(publish_log, "_log", "log"),
    ):
        began = time.perf_counter()
        assert batch_runner.run_due_jobs() == number
        took = time.perf_counter() - began
    statement, log = clock.seconds["statement"], clock.seconds["log"]
    run.add("division", "one process", number / took, "/s", note=f"{number:,}")
    run.add("division", "log lines", 100 * log / took, "%")
    run.add("division", "the rest of Python", 100 * (took - statement - log) / took, "%")
    due = _fill(number)
    wait_until_time(due)
    parts = _parts_of_the_statement(number)
    # Watching makes each step slower, but hardly one more than another.
    scale = 100 * statement / took / sum(parts.values())
    for name, seconds in parts.items():
        run.add("division", name, scale * seconds, "%")


class _Clock:
    """Adds up the time inside of functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def around(self, module: ModuleType, function: str, name: str) -> Iterator[None]:
        """Add up the time inside of this one, until the block ends."""
        original = getattr(module, function)

        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*args)
            finally:
                self.seconds[name] += time.perf_counter() - began

        setattr(module, function, timed)
        try:
            yield
        finally:
            setattr(module, function, original)


# Which step of the statement a part of its plan belongs to.
PARTS = {
    "CTE due": "claim",
    "CTE free_": "items: lock and check",
    "CTE changed_": "items: change",
    "CTE closed": "jobs",
    "CTE recorded": "events",
    "CTE taken_back": "messages",
}


def _parts_of_the_statement(number: int) -> dict[str, float]:
    """Do everything that is due, a batch at a time, and add up what each step took, in seconds."""
    sums: dict[str, float] = defaultdict(float)
    scope = batch_runner.Scope(transition_of(Kind.PUBLISH))
    prepared = batch_runner._prepare(scope)
    for _ in range(-(-number // batch_runner.BATCH)):
        began = time.perf_counter()
        statement = f"EXPLAIN (ANALYZE, FORMAT json) {prepared.statement}"
        [[[report]]] = execute(statement, {**prepared.params, **batch_runner._wanted(prepared)})
        took = time.perf_counter() - began
        inside = dict.fromkeys(PARTS.values(), 0.0)
        for step in report["Plan"]["Plans"]:
            for prefix, name in PARTS.items():
                if step.get("Subplan Name", "").startswith(prefix):
                    # Time spent in reading earlier steps belongs to those.
                    inside[name] += step["Actual Total Time"] - _of_other_steps(step)
        executed = report["Execution Time"]
        inside["the rest of the statement"] = (
            executed - sum(inside.values()) + report["Planning Time"]
        )
        # The events' foreign keys are checked in the commit.
        inside["commit, and the way there and back"] = (
            1000 * took - executed - report["Planning Time"]
        )
        for name, milliseconds in inside.items():
            sums[name] += milliseconds / 1000
    return sums


def _of_other_steps(step: dict[str, Any]) -> float:
    """Return how much of a step's time went by in others that it reads for the first time."""
    total = 0.0
    for below in step.get("Plans", ()):
        if below["Node Type"] == "CTE Scan":
            total += below["Actual Total Time"] * below["Actual Loops"]
        else:
            total += _of_other_steps(below)
    return total


def catch_up(run: Run) -> None:
    """All overdue when the worker is started."""
    number = run.size(ITEMS, quick=2000)
    stage.empty()
    ids, due = stage.write_due_at_once(number, seconds_ahead=_ahead(number))
    wait_until_time(due + 0.5)
    started = time.time()
    with stage.worker(run.folder) as worker:
        stage.wait_until_live(due)
        ready = _ready_at(worker)
    stage.check(ids)
    last = stage.last_live(ids)
    note = f"{number:,}; {last - started:.2f} s after the process was started"
    run.add("catch-up", "all live, after ready", last - ready, "s", most=SECONDS, note=note)


def two_clusters(run: Run) -> None:
    """The burst once more, with one cluster and with two, in turns."""
    number = run.size(ITEMS, quick=2000)
    rates: dict[int, list[float]] = {1: [], 2: []}
    # The first burst on a new server is slow.
    _burst(run, number)
    for turn in range(run.size(5, quick=1)):
        # Who comes first changes from turn to turn: the machine's pace drifts.
        for clusters in (1, 2) if turn % 2 else (2, 1):
            rates[clusters].append(number / _burst(run, number, clusters=clusters)[0])
    one, two = median(rates[1]), median(rates[2])
    note = f"{two:,.0f} to {one:,.0f} items/s; none twice"
    run.add("two clusters", "of the rate of one", two / one, "", least=SHARE_OF_ONE, note=note)


def _fill(number: int) -> float:
    """Schedule new stories for one instant, and nothing else; return that instant."""
    stage.empty()
    return stage.write_due_at_once(number, seconds_ahead=_ahead(number))[1]


def _burst(
    run: Run, number: int, *, clusters: int = 1, env: Mapping[str, str] = {}
) -> tuple[float, float]:
    """Return in how many seconds all were live, and the memory of the largest process."""
    stage.empty()
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(stage.worker(run.folder, **env)) for _ in range(clusters)]
        ids, due = stage.write_due_at_once(number, seconds_ahead=_ahead(number))
        wait_until_time(due)
        stage.wait_until_live(due)
        peak = max(stage.peaks_mib([it for worker in workers for it in worker.family()]))
    stage.check(ids)
    return stage.last_live(ids) - due, peak


def _plain(run: Run, number: int, *, connections: int, batch: int) -> float:
    """Return how many items a second plain SQL does, on just the same rows."""
    due = _fill(number)
    wait_until_time(due)
    done, seconds = plain.work_off(run.server, connections=connections, batch=batch)
    assert done == number
    [(left,)] = execute("SELECT count(*) FROM content_story WHERE status <> 'published'")
    assert not left
    return done / seconds


def _ahead(number: int) -> float:
    """Return how far ahead to schedule so that all is in before the first is due."""
    return 5 + number / 4000


def _ready_at(worker: Worker) -> float:
    """Return when the first of its processes logged a line, by `time.time()`."""
    line = worker.lines()[0]
    at = line.partition(" ")[0]
    [(seconds,)] = execute("SELECT extract(epoch FROM %s::timestamptz)::float8", [at])
    return float(seconds)
