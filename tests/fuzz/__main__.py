"""
Made-up requests: schemathesis reads docs/openapi.yaml and asks a real server, as each role in turn.

`make fuzz` runs it. EXAMPLES says how many requests an operation is tried with; SEED plays the same
ones again; ROLE tries one role alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from armo.common import postgres
from tests.process.server import set_up

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
ROLES = ("nobody", "author", "other", "editor", "operator", "admin")
NO_LIMITS = {f"THROTTLE_{name}": "off" for name in ("LOGIN", "ANONYMOUS", "USER", "BULK")}


def main() -> int:
    """Try each role; return 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests an operation, at most")
    parser.add_argument("--seed", type=int, help="play the same again")
    parser.add_argument("--role", choices=ROLES, help="only this one")
    parser.add_argument("--quick", action="store_true", help="all phases for admin alone, few")
    parser.add_argument("rest", nargs="*", help="further options of `schemathesis run`, after --")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="armo-fuzz-"))
    # The server's own account must reach its data.
    folder.chmod(0o755)
    data_dir = folder / ".postgres"
    set_up(data_dir, settings="armo.settings", DEBUG="off", ALLOWED_HOSTS="127.0.0.1", **NO_LIMITS)
    is_well = False
    try:
        is_well = run(folder, data_dir, options)
    finally:
        postgres.stop(data_dir, mode="immediate")
        shutil.rmtree(folder if is_well else data_dir)
        if not is_well:
            print(f"The server's log is in {folder}")  # noqa: T201
    return 0 if is_well else 1


def run(folder: Path, data_dir: Path, options: argparse.Namespace) -> bool:
    """Start the server, and try each role on it."""
    from django.core.management import call_command

    from tests.process.web import serving

    postgres.start(data_dir)
    call_command("migrate", verbosity=0)
    failed = []
    with serving(folder / "web.log") as web:
        for role in [options.role] if options.role else ROLES:
            began = time.monotonic()
            ok = attack(role, web.url, folder, options)
            failed += [] if ok else [role]
            seconds = time.monotonic() - began
            print(f"{role}: {'no failure' if ok else 'FAILED'} ({seconds:.0f} s)", flush=True)  # noqa: T201
    return not failed


def attack(role: str, url: str, folder: Path, options: argparse.Namespace) -> bool:
    """Let schemathesis ask as that role; return whether every check held."""
    from tests.fuzz.sample_data import prepare

    ids = prepare()
    report = folder / f"{role}.ndjson"
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color"),
        *("--config-file", str(HERE / "schemathesis.toml")),
        *("run", str(PROJECT / "docs" / "openapi.yaml"), "--url", url),
        *("--max-examples", str(5 if options.quick else options.examples)),
        *(("--phases", "fuzzing,stateful") if options.quick and role != "admin" else ()),
        *(("--seed", str(options.seed)) if options.seed else ()),
        *("--report", "ndjson", "--report-ndjson-path", str(report)),
        *options.rest,
    ]
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "FUZZ_URL": url,
        "FUZZ_IDS": json.dumps(ids),
    }
    if role != "nobody":
        env["FUZZ_ROLE"] = role
    done = subprocess.run(
        command, cwd=PROJECT, env=env, check=False, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout, done.stderr)  # noqa: T201
    return done.returncode == 0 and has_come_through(role, report, few=options.quick)


# Of few requests to an operation, all may happen to be refused; of so many operations.
MISSED_BY_FEW = 3


def has_come_through(role: str, report: Path, *, few: bool) -> bool:
    """Say how many answers there were of each sort: a run that met only refusals shows nothing."""
    done: dict[str, set[int]] = {}
    counts: Counter[int] = Counter()
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, exchange in recorder.get("interactions", {}).items():
            case = recorder["cases"][name]["value"]
            status = (exchange.get("response") or {}).get("status_code", 0)
            counts[status] += 1
            done.setdefault(f"{case['method']} {case['path']}", set()).add(status)
    print(", ".join(f"{status}: {number}" for status, number in sorted(counts.items())))  # noqa: T201
    operations = operations_of(PROJECT / "docs" / "openapi.yaml")
    never = [it for it in operations if not any(200 <= status < 300 for status in done.get(it, ()))]
    if role != "admin" or not never:
        return True
    print(f"Never done: {', '.join(never)}")  # noqa: T201
    return few and len(never) <= MISSED_BY_FEW


def operations_of(document: Path) -> list[str]:
    """Return every operation of an OpenAPI document, as `GET /api/v1/jobs/`."""
    paths = yaml.safe_load(document.read_text())["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item]


if __name__ == "__main__":
    sys.exit(main())
