"""`manage.py qcluster`: the worker."""

import os
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from scheduling import conf
from scheduling.management import base
from scheduling.worker import supervisor


class Command(base.OneLineCommand):
    """Run the worker until it is told to stop."""

    help = "Publish what is due, at its moment. Ends on SIGTERM or SIGINT, running work finished."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the flags of django-q2's own command."""
        parser.add_argument(
            "--run-once", action="store_true", help="Start, do what is at hand, and stop."
        )
        parser.add_argument(
            "-n",
            "--name",
            dest="cluster_name",
            help="Run only this lane, as the variable Q_CLUSTER_NAME does.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Start the lanes, wait for their end, leave with the exit code."""
        lanes = conf.lanes()
        one = options["cluster_name"] or os.environ.get("Q_CLUSTER_NAME")
        if one and one not in lanes:
            raise CommandError(
                f"There is no lane {one}. There are: {', '.join(lanes)}.",
                returncode=base.WRONG_USAGE,
            )
        supervisor.prepare_connections()
        running = supervisor.Supervisor([one] if one else lanes)
        if code := running.run(once=options["run_once"]):
            sys.exit(code)
