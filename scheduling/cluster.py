"""
django-q2's cluster, stopped the way operators stop processes.

Stock django-q2 joins its sentinel inside the signal handler, and its children die of a SIGTERM to
the process group: an ordinary stop by systemd or a terminal then hangs. Here only the main process
hears signals, and its handler does no more than wake the loop that acts on it.
"""

import logging
import os
import signal
from multiprocessing.connection import wait
from types import FrameType
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import connections
from django_q import cluster as stock
from django_q.conf import Conf

logger = logging.getLogger(__name__)

# Exit code when the cluster ended without having been asked to (EX_SOFTWARE of sysexits.h).
EXIT_BROKEN = 70


class Sentinel(stock.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """The process that guards the workers; it and they leave signals to the main process."""

    def start(self) -> None:
        """Guard until the main process says stop."""
        # Inherited by every child: a signal to the whole group must not cut off running tasks.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().start()

    def reincarnate(self, process: Any) -> None:
        """Replace a process that ended or hangs."""
        if getattr(process, "timer", None) is not None and process.timer.value == 0:
            # The stock SIGTERM would be ignored.
            process.kill()
        super().reincarnate(process)


class Cluster(stock.Cluster):  # type: ignore[misc]  # django-q2 has no types
    """A cluster whose signal handler only sets a flag."""

    def __init__(self) -> None:
        self.stop_asked = False
        self._wake_reader, self._wake_writer = os.pipe()
        super().__init__()

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        """Note that the cluster should stop; `run` does it."""
        self.stop_asked = True
        os.write(self._wake_writer, b"\0")

    def run(self) -> int:
        """
        Work until a SIGTERM or SIGINT, then finish what is running.

        :returns: the exit code: 0 when it was asked to stop, `EXIT_BROKEN` otherwise.
        """
        # Children must not share the parent's connection.
        connections.close_all()
        # `Cluster.start` finds its Sentinel by this name.
        with patch.object(stock, "Sentinel", Sentinel):
            self.start()
        logger.info("Worker started: lane %s, %d processes.", Conf.CLUSTER_NAME, Conf.WORKERS)
        while not self.stop_asked and self.sentinel.is_alive():
            wait([self._wake_reader, self.sentinel.sentinel])
        if not self.stop_asked:
            logger.critical("Worker ended by itself, code %s.", self.sentinel.exitcode)
            return EXIT_BROKEN
        logger.info("Worker stops; what is running is finished first.")
        self.stop()
        logger.info("Worker stopped.")
        return 0


def name_connections() -> None:
    """Have every connection of this process and its children say that it is a worker's."""
    for alias in connections:
        options = settings.DATABASES[alias].setdefault("OPTIONS", {})
        options["application_name"] = "armo-worker"
        connections[alias].settings_dict.setdefault("OPTIONS", {}).update(options)
