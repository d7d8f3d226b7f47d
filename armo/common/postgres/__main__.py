"""Start or stop the embedded server by hand: `python -m armo.common.postgres start|stop|status`."""

import argparse
import sys
from pathlib import Path

from armo.common.postgres import server


def main() -> str | None:
    """Do what the command line says; return an error's text, which makes the exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m armo.common.postgres", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status"])
    project = Path(__file__).resolve().parents[3]
    parser.add_argument("--data", type=Path, default=project / ".postgres", help="its folder")
    arguments = parser.parse_args()
    data_dir = arguments.data.resolve()
    try:
        if arguments.action == "start":
            server.start(data_dir)
        elif arguments.action == "stop":
            server.stop(data_dir)
    except server.PostgresError as error:
        return str(error)
    state = "runs" if server.is_running(data_dir) else "does not run"
    sys.stdout.write(f"PostgreSQL in {data_dir} {state}.\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
