"""
Chaos: real workers on a real server, one fault a round, and a checker that reads only the database.

`make chaos` runs it. The same seed gives the same faults, moments and load, round for round, so a
round that broke can be played again alone: `make chaos SEED=1 ONLY=17`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import django

from armo import postgres

# For this process and the workers it starts; a developer's `.env` must not reach them.
ENV = {
    "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
    "DEBUG": "on",
    "SECRET_KEY": "chaos",
    "ALLOWED_HOSTS": "",
    "TIME_ZONE": "UTC",
    "LANGUAGE_CODE": "en",
    "LOG_FORMAT": "console",
    "LOG_LEVEL": "INFO",
    "QUEUE_LOG_LEVEL": "WARNING",
    "WORKERS": "2",
    "SLOW_WORKERS": "2",
    "HOOK_TIMEOUT": "60",
    "STOP_AFTER": "25",
    "RETRY_DELAYS": "10,60,300",
    "OVERDUE_AFTER": "60",
    "SWEEP_EVERY": "60",
    "QUEUE_LISTEN": "on",
    "EMAIL_URL": "dummymail://",
}


def main() -> int:
    """Play the rounds and print what they come to; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", help="only faults whose name contains this")
    parser.add_argument("--only", type=int, help="only the round of this number")
    parser.add_argument("--list", action="store_true", help="say what faults there are")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    options = parser.parse_args()
    if options.list:
        return list_faults()
    folder = Path(tempfile.mkdtemp(prefix="armo-chaos-"))
    # The server's own account must reach its data.
    folder.chmod(0o755)
    data_dir = folder / ".postgres"
    set_up(data_dir)
    is_well = False
    try:
        is_well = run(folder, options)
    finally:
        postgres.stop(data_dir, mode="immediate")
        shutil.rmtree(folder if is_well else data_dir)
        if not is_well:
            print(f"The workers' logs are in {folder}")  # noqa: T201
    return 0 if is_well else 1


def set_up(data_dir: Path) -> None:
    """Set the environment, and Django with it; nothing is started yet."""
    entry = postgres.settings(data_dir)
    os.environ.update(
        ENV,
        # A plain address: nobody but the stage is to start the server.
        DATABASE_URL=f"postgres://postgres@/{entry['NAME']}?host={quote(entry['HOST'])}",
    )
    django.setup()


def list_faults() -> int:
    """Say what there is."""
    set_up(Path("/nowhere"))
    from tests.chaos.faults import all_faults

    for fault in all_faults():
        print(f"{fault.name:32} {fault.about}")  # noqa: T201
    return 0


def run(folder: Path, options: argparse.Namespace) -> bool:
    """Play; return whether every promise was kept."""
    from django.core.management import call_command

    from tests.chaos import rounds
    from tests.chaos.stage import Stage

    stage = Stage(folder)
    stage.server.prepare()
    call_command("migrate", run_syncdb=True, verbosity=0)
    results = []
    planned = rounds.plan(options.seed, options.fault)
    if options.only is None:
        chosen = list(islice(planned, options.rounds))
    else:
        chosen = list(islice(planned, options.only, options.only + 1))
    print(f"seed {options.seed}, {len(chosen)} rounds, in {folder}", flush=True)  # noqa: T201
    try:
        for number, fault, chance in chosen:
            result = rounds.play(stage, number, fault, chance)
            results.append(result)
            print(result.line(), flush=True)  # noqa: T201
            for line in result.findings.lines():
                print(f"    {line}", flush=True)  # noqa: T201
    finally:
        ends = stage.end_clusters()
    facts = {
        "seed": options.seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **rounds.machine(),
    }
    print("\n" + "\n".join(rounds.table(results)) + "\n")  # noqa: T201
    print(", ".join(f"{name} {value}" for name, value in facts.items()))  # noqa: T201
    for result in rounds.missed_targets(results):
        print(f"slower than its target: {result.line()}")  # noqa: T201
    for line in ends:
        print(f"at the end: {line}")  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(rounds.as_json(results, facts), indent=2))
    return not ends and not any(result.findings for result in results)


if __name__ == "__main__":
    sys.exit(main())
