"""
Chaos: real workers on a real server, one fault a round, and a checker that reads only the database.

`make chaos` runs it. The same seed gives the same faults, moments and load, round for round, so a
round that broke can be played again alone: `make chaos SEED=1 ONLY=17`.
"""

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armo.common import postgres
from tests.chaos import failover
from tests.process import pooler
from tests.process.server import facts, set_up

if TYPE_CHECKING:  # it needs Django to be set up
    from tests.chaos.environment import Stage

SETTINGS = "tests.chaos.settings"
ROUNDS = 24


def main() -> int:
    """Play the rounds and print what they come to; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", help="only faults whose name contains this")
    parser.add_argument("--only", type=int, help="only the round of this number")
    parser.add_argument("--pooler", action="store_true", help="workers behind PgBouncer")
    parser.add_argument("--grid", action="store_true", help="the scenarios of a public grid")
    parser.add_argument("--list", action="store_true", help="say what faults there are")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    options = parser.parse_args()
    if options.list:
        return list_faults()
    if options.pooler and not pooler.find_program():
        parser.error("PgBouncer is not installed. Try: make pooler")
    if options.fault and options.fault in failover.NAME:
        return 0 if failover.run_in_processes() else 1
    folder = Path(tempfile.mkdtemp(prefix="armo-chaos-"))
    # The server's own account must reach its data.
    folder.chmod(0o755)
    data_dir = folder / ".postgres"
    set_up(data_dir, settings=SETTINGS)
    is_well = False
    try:
        with ExitStack() as stack:
            is_well = run(folder, options, stack)
    finally:
        postgres.stop(data_dir, mode="immediate")
        shutil.rmtree(folder if is_well else data_dir)
        if not is_well:
            print(f"The workers' logs are in {folder}")  # noqa: T201
    if not (options.fault or options.only is not None or options.pooler or options.grid):
        is_well = failover.run_in_processes(only_one=options.rounds < ROUNDS) and is_well
    return 0 if is_well else 1


def list_faults() -> int:
    """Say what there is."""
    set_up(Path("/nowhere"), settings=SETTINGS)
    from tests.chaos.registry import all_faults

    for fault in all_faults():
        bound = "-" if fault.target_ms is None else f"{fault.target_ms / 1000:g} s"
        print(f"{fault.name:32} {bound:>5}  {fault.about} {fault.cannot_run()}".rstrip())  # noqa: T201
    bound = f"{failover.GOES_ON_WITHIN_SECONDS:g} s"
    print(f"{failover.NAME:32} {bound:>5}  {(failover.__doc__ or '').strip().splitlines()[0]}")  # noqa: T201
    return 0


def run(folder: Path, options: argparse.Namespace, stack: ExitStack) -> bool:
    """
    Play; return whether every promise was kept.

    :param stack: ends what is started beside the server and the workers.
    """
    from django.core.management import call_command

    from tests.chaos.environment import Stage

    stage = Stage(folder)
    stage.server.prepare()
    call_command("migrate", run_syncdb=True, verbosity=0)
    if options.pooler:
        stage.go_behind(stack.enter_context(pooler.running(stage.server.socket_dir)))
    measured = {"seed": options.seed, "pooler": options.pooler, **facts()}
    if options.grid:
        return play_grid(stage, options, measured)
    return play_rounds(stage, options, measured)


def play_rounds(stage: "Stage", options: argparse.Namespace, measured: dict[str, Any]) -> bool:
    """Play rounds of one fault each."""
    from tests.chaos import rounds
    from tests.chaos.registry import all_faults

    for fault in all_faults():
        if why := fault.cannot_run():
            print(f"{fault.name} is left out: {why}")  # noqa: T201
    results = []
    planned = rounds.plan(options.seed, options.fault)
    if options.only is None:
        chosen = list(islice(planned, options.rounds))
    else:
        chosen = list(islice(planned, options.only, options.only + 1))
    print(f"seed {options.seed}, {len(chosen)} rounds, in {stage.folder}", flush=True)  # noqa: T201
    try:
        for number, fault, chance in chosen:
            result = rounds.play(stage, number, fault, chance)
            results.append(result)
            print(result.line(), flush=True)  # noqa: T201
            for line in result.findings.lines():
                print(f"    {line}", flush=True)  # noqa: T201
    finally:
        ends = stage.end_clusters()
    print("\n" + "\n".join(rounds.table(results)) + "\n")  # noqa: T201
    print(", ".join(f"{name} {value}" for name, value in measured.items()))  # noqa: T201
    for result in rounds.missed_targets(results):
        print(f"slower than its target: {result.line()}")  # noqa: T201
    for line in ends:
        print(f"at the end: {line}")  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(rounds.as_json(results, measured), indent=2))
    return not ends and not any(result.findings for result in results)


def play_grid(stage: "Stage", options: argparse.Namespace, measured: dict[str, Any]) -> bool:
    """Play the scenarios of a public grid, each once."""
    from tests.chaos import grid

    chosen = [it for it in grid.SCENARIOS if not options.fault or options.fault in it.name]
    print(f"{len(chosen)} scenarios, in {stage.folder}", flush=True)  # noqa: T201
    rows = []
    for scenario in chosen:
        row = grid.play(stage, scenario)
        rows.append(row)
        print(row.line(), flush=True)  # noqa: T201
        for line in row.findings.lines():
            print(f"    {line}", flush=True)  # noqa: T201
    print("\n" + "\n".join(grid.table(rows)) + "\n")  # noqa: T201
    print(", ".join(f"{name} {value}" for name, value in measured.items()))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(grid.as_json(rows, measured), indent=2))
    return bool(rows) and all(row.passed for row in rows)


if __name__ == "__main__":
    sys.exit(main())
