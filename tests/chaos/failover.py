"""
Failover: the primary is killed in the middle of a burst, and its standby is promoted.

With synchronous replication nothing may be lost or done twice: neither when all of the primary
ends at once, nor when the standby received nothing more for a moment before, as when the network is
cut first. Without it, what was committed in that moment is lost, and `doctor --log` has to name it.
What is lost or done twice is what the workers have logged, compared with the rows.

`make chaos FAULT=failover` plays it alone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from armo.common import postgres
from tests.process import standby
from tests.process.server import at_rest, execute, set_up, wait_for

NAME = "failover"
SETTINGS = "armo.settings"
BURST = 20_000
WORKERS = 2
LIVE_BEFORE = 4_000
# How long before the kill the standby receives nothing more.
CUT_SECONDS = 0.3
# From the kill to the promotion: how long it takes whatever promotes to be sure.
DECISION_SECONDS = 1.0
GOES_ON_WITHIN_SECONDS = 5.0


@dataclass
class Outcome:
    """What one failover has shown."""

    how: str
    logged: int = 0
    # Changes in the logs that the promoted server does not know.
    lost: int = 0
    # Items that the logs have more than once.
    twice: int = 0
    # Items that are live, but in no log: the answer to their commit was lost with the primary.
    unlogged: int = 0
    # From the promotion until the first item went live, and the last.
    goes_on_seconds: float = 0
    all_live_seconds: float = 0
    doctor_seconds: float = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it in a line."""
        verdict = "BROKEN" if self.wrong else "ok"
        return (
            f"{NAME}, {self.how}: {self.logged} publishes logged, lost {self.lost}, twice"
            f" {self.twice}, not logged {self.unlogged}; goes on {self.goes_on_seconds:.2f} s after"
            f" the promotion, all {BURST} live after {self.all_live_seconds:.2f} s; doctor --log"
            f" {self.doctor_seconds:.1f} s  {verdict}"
        )


HOW = ("synchronous", "synchronous, cut off first", "asynchronous, cut off first")


def run_in_processes(*, only_one: bool = False) -> bool:
    """Play each in a process with servers of its own; return whether all is well."""
    codes = [
        subprocess.run([sys.executable, "-m", __name__, how], check=False).returncode
        for how in (HOW[1:2] if only_one else HOW)
    ]
    return not any(codes)


def main(how: str) -> int:
    """
    Play one; return 1 when a promise was broken.

    :param how: one of `HOW`.
    """
    folder = Path(tempfile.mkdtemp(prefix="armo-failover-"))
    # The servers' own account must reach their data.
    folder.chmod(0o755)
    primary, second = folder / "one", folder / "two"
    set_up(primary, settings=SETTINGS, DATABASE_URL=standby.address(primary, second))
    outcome = Outcome(how, wrong=["it broke"])
    try:
        outcome = play(folder, primary, second, how)
    finally:
        for data_dir in (primary, second):
            postgres.stop(data_dir, mode="immediate")
            shutil.rmtree(data_dir, ignore_errors=True)
        if outcome.wrong:
            print(f"The workers' logs are in {folder}")  # noqa: T201
        else:
            shutil.rmtree(folder)
    print(outcome.line(), flush=True)  # noqa: T201
    for line in outcome.wrong:
        print(f"    {line}", flush=True)  # noqa: T201
    return 1 if outcome.wrong else 0


def play(folder: Path, primary: Path, second: Path, how: str) -> Outcome:
    """Put the burst in, kill the primary in its middle, promote the standby, and look."""
    from django.core.management import call_command

    from tests.process.worker import Worker

    outcome = Outcome(how)
    postgres.start(primary)
    call_command("migrate", verbosity=0)
    standby.start_standby(primary, second)
    if how.startswith("synchronous"):
        _wait_for_the_standby(primary)
    workers = [Worker(folder / f"worker-{n}.log") for n in range(WORKERS)]
    try:
        for worker in workers:
            worker.wait_until_ready()
        _put_in()
        promoted_at = _fail_over(primary, second, is_cut_off=how in HOW[1:])
        if not wait_for(at_rest, 60):
            outcome.wrong.append("Not everything came to its end within 60 s.")
        outcome.wrong += [f"{worker.log} ended" for worker in workers if worker.process.poll()]
        for worker in workers:
            worker.stop(seconds=60)
    finally:
        for worker in workers:
            worker.kill()
    _measure(outcome, promoted_at)
    _compare(outcome, [worker.log for worker in workers])
    return outcome


def _wait_for_the_standby(primary: Path) -> None:
    # After the copy was made: the promoted server must not wait for a standby that it has not.
    with standby.connect(primary) as session:
        session.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        session.execute("SELECT pg_reload_conf()")
        standby.wait_for_row(session, "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'")


def _put_in() -> None:
    from content.models import Story
    from scheduling import operations
    from scheduling.models.clock import database_now

    stories = Story.objects.bulk_create(
        Story(title=f"제목 {n}", slug=f"story-{n}", body="본문") for n in range(BURST)
    )
    # A margin for the writing itself.
    at = database_now() + timedelta(seconds=2 + BURST / 5000)
    operations.schedule_many(items=stories, run_at=at, by=None)


def _fail_over(primary: Path, second: Path, *, is_cut_off: bool) -> datetime:
    """Kill the primary in the burst, promote the standby; return when it accepted writes."""
    with standby.connect(primary) as session:
        [[sender]] = session.execute("SELECT pid FROM pg_stat_replication").fetchall()
        live = "SELECT FROM content_story WHERE status = 'published'"
        standby.wait_for_row(session, f"{live} OFFSET {LIVE_BEFORE} LIMIT 1")
        if is_cut_off:
            os.kill(sender, signal.SIGSTOP)
            time.sleep(CUT_SECONDS)
        standby.kill(primary)
    time.sleep(DECISION_SECONDS)
    standby.promote(second)
    with standby.connect(second) as session:
        [[now]] = session.execute("SELECT clock_timestamp()").fetchall()
    return now  # type: ignore[no-any-return]  # a cursor knows no types


def _measure(outcome: Outcome, promoted_at: datetime) -> None:
    [(first, last, live, succeeded, early)] = execute(
        "SELECT extract(epoch FROM min(finished_at) FILTER (WHERE finished_at > %(at)s) - %(at)s),"
        " extract(epoch FROM max(finished_at) - %(at)s),"
        " (SELECT count(*) FROM content_story WHERE status = 'published'),"
        " count(*) FILTER (WHERE state = 'succeeded'),"
        " count(*) FILTER (WHERE finished_at < run_at) FROM scheduling_job",
        {"at": promoted_at},
    )
    [(events,)] = execute("SELECT count(*) FROM scheduling_jobevent WHERE what = 'succeeded'")
    outcome.goes_on_seconds, outcome.all_live_seconds = float(first or 0), float(last or 0)
    if (live, succeeded, events) != (BURST, BURST, BURST):
        outcome.wrong.append(f"{live} live, {succeeded} jobs done, {events} events of {BURST}")
    if early:
        outcome.wrong.append(f"{early} before their time")
    if first is None:
        outcome.wrong.append("All were live before the promotion: no failover in the burst.")
    elif outcome.goes_on_seconds > GOES_ON_WITHIN_SECONDS:
        outcome.wrong.append(f"It went on only after {outcome.goes_on_seconds:.1f} s.")


def _compare(outcome: Outcome, logs: list[Path]) -> None:
    """Compare the workers' logs with the rows, and with what `doctor --log` says of them."""
    from scheduling.queries import publish_logs
    from scheduling.queries.publish_logs import Logged

    logged: list[Logged] = []
    for log in logs:
        with log.open("rb") as file:
            logged += [it for it in publish_logs.read(file, str(log)) if isinstance(it, Logged)]
    rows = {
        (f"story:{pk}", at)
        for pk, at in execute(
            "SELECT object_id, date_trunc('milliseconds', finished_at) FROM scheduling_job"
            " WHERE state = 'succeeded'"
        )
    }
    lost = {(it.item, it.at) for it in logged if (it.item, it.at) not in rows}
    times = Counter(it.item for it in logged)
    outcome.logged, outcome.lost = len(logged), len(lost)
    outcome.twice = sum(count > 1 for count in times.values())
    outcome.unlogged = len({item for item, _ in rows} - set(times))
    began = time.monotonic()
    doctor = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", "--log", *map(str, logs)],
        stdout=subprocess.PIPE,
        check=False,
    )
    outcome.doctor_seconds = time.monotonic() - began
    named = {
        (it["item"], datetime.fromisoformat(it["at"])) for it in json.loads(doctor.stdout)["lost"]
    }
    is_synchronous = outcome.how.startswith("synchronous")
    if named != lost or doctor.returncode != bool(lost):
        said = f"doctor --log names {len(named)} and ends with {doctor.returncode}"
        outcome.wrong.append(f"{said}; lost are {len(lost)}")
    if is_synchronous and (outcome.lost or outcome.twice):
        outcome.wrong.append(f"lost {outcome.lost}, twice {outcome.twice}")
    if not is_synchronous and not outcome.lost:
        outcome.wrong.append("Nothing was lost, so that doctor had nothing to find.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
