"""`manage.py qcluster`: the worker."""

import os
import sys
from typing import Any

from django.core.management.base import CommandParser

from scheduling import conf
from scheduling.management import base
from scheduling.worker import supervisor


class Command(base.OneLineCommand):
    """Run the worker until a signal stops it."""

    help = (
        "Run jobs when they are due. On SIGTERM or SIGINT, finish running tasks and stop. "
        "Exit code 1 when the database lacks migrations of this code."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--run-once", action="store_true", help="Start, finish the tasks that begin, and stop."
        )
        parser.add_argument(
            "-n",
            "--name",
            dest="cluster_name",
            help="Run only this lane, as the variable Q_CLUSTER_NAME does.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        lanes = conf.lanes()
        one = options["cluster_name"] or os.environ.get("Q_CLUSTER_NAME")
        if one and one not in lanes:
            raise base.wrong_usage(f"There is no lane {one}. There are: {', '.join(lanes)}.")
        supervisor.prepare_connections()
        running = supervisor.Supervisor([one] if one else lanes)
        running.wait_for_database(base.require_migrated)
        if code := running.run(once=options["run_once"]):
            sys.exit(code)
