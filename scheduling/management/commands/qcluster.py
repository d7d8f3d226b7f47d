"""`manage.py qcluster`: the worker."""

import os
import sys
from typing import Any

from django.core.management.base import CommandParser

from scheduling import cluster
from scheduling.management import base


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
        """Start the cluster, wait for its end, leave with its exit code."""
        lane = options["cluster_name"]
        if lane and os.environ.get("Q_CLUSTER_NAME") != lane:
            # django-q2 has read the variable already, when it was imported: begin anew.
            os.environ["Q_CLUSTER_NAME"] = lane
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 (this very command)
        cluster.name_connections()
        worker = cluster.Cluster()
        worker.stop_asked = options["run_once"]
        if code := worker.run():
            sys.exit(code)
