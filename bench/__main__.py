"""
Measure Armo on this machine, and print a table.

`make bench` runs everything; `make bench ONLY="lateness burst"` some of it; `make bench QUICK=1`
all of it, small, to see that it works.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from armo.common import postgres
from bench.report import as_json, table
from bench.run import Run
from tests.process.server import Server, facts, set_up

NAMES = (
    *("lateness", "scheduled-close", "busy-minute", "plain-sql", "burst", "division", "catch-up"),
    *("two-clusters", "schedule-cost", "bulk-schedule", "idle", "backlog"),
    *("pages", "routes"),
)


def workloads() -> dict[str, Callable[[Run], None]]:
    """Return the workloads, in order."""
    from bench import costs, lateness, pages, routes, throughput

    found = (
        *(lateness.idle, lateness.scheduled_close, lateness.busy_minute),
        *(throughput.plain_sql, throughput.burst, throughput.division, throughput.catch_up),
        throughput.two_clusters,
        *(costs.schedule, costs.schedule_many, costs.idle),
        # Last: a million rows take long to write and slow down what follows.
        lateness.backlog,
        pages.pages,
        routes.routes,
    )
    return dict(zip(NAMES, found, strict=True))


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="all small: does it work?")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    folder = Path(tempfile.mkdtemp(prefix="armo-bench-"))
    # The server's own account must reach its data.
    folder.chmod(0o755)
    server = Server(folder)
    # As in production: with DEBUG on, Django keeps every statement.
    set_up(server.data_dir, settings="armo.settings", DEBUG="off", ALLOWED_HOSTS="localhost")
    try:
        measure(Run(folder, server, options.quick), options)
    finally:
        postgres.stop(server.data_dir, mode="immediate")
        shutil.rmtree(folder)
    return 0


def measure(run: Run, options: argparse.Namespace) -> None:
    """Run the workloads in order and print their figures."""
    from django.core.management import call_command

    run.server.prepare()
    call_command("migrate", verbosity=0)
    for name, workload in workloads().items():
        if options.names and name not in options.names:
            continue
        began = time.monotonic()
        print(f"{name}: {(workload.__doc__ or '').strip()}", flush=True)
        workload(run)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    about = facts()
    print("\n" + table(run.rows) + "\n")
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    if options.json:
        options.json.write_text(json.dumps(as_json(run.rows, about), indent=2))


if __name__ == "__main__":
    sys.exit(main())
