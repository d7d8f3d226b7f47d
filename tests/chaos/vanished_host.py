"""A host that vanishes from the network, with its worker in the middle of hooks."""

import atexit
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from django.db import connection

from armo.common import postgres
from tests.chaos.environment import Stage
from tests.chaos.fault import Fault, Scene
from tests.chaos.traps.models import VANISHES, Mode
from tests.process import tcp
from tests.process.worker import Worker, wait_until

TRAPS = 6


class WorkerElsewhere(Worker):
    """A worker on another host."""

    def __init__(self, log: Path, host: tcp.Host) -> None:
        self.prefix = host.prefix
        super().__init__(
            log,
            DJANGO_SETTINGS_MODULE="tests.chaos.settings",
            DATABASE_URL=f"postgres://postgres@{host.server_address}:{tcp.PORT}/armo",
            **{VANISHES: "1"},
        )


class VanishedHost(Fault):
    """A host with a worker in the middle of hooks vanishes: no connection is ended."""

    name = "host vanishes in a hook"
    moments: ClassVar[Sequence[str]] = ("busy",)
    traps = (Mode.WORK,) * TRAPS
    target_ms = 40_000
    patience_seconds = 90.0
    host: tcp.Host
    worker: WorkerElsewhere

    @classmethod
    def cannot_run(cls) -> str:
        """Say so where no network namespace can be made."""
        return tcp.cannot_have_hosts()

    def set_up(self, stage: Stage) -> None:
        """Have the server listen, and another worker on another host."""
        self.host = tcp.Host(os.getpid())
        self.host.set_up()
        connection.close()
        tcp.listen(stage.server.data_dir, self.host.server_address)
        log = stage.folder / f"elsewhere-{time.time():.0f}.log"
        self.worker = WorkerElsewhere(log, self.host)
        atexit.register(self._remove)
        self.worker.wait_until_ready()

    def strike(self, scene: Scene) -> float:
        """Cut the link when a hook runs there."""
        wait_until(self.worker.runs_hooks, seconds=20, what="a hook runs on the other host")
        self.host.vanish()
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """End the other worker; have the server listen to its socket alone again."""
        self._remove()
        postgres.stop(scene.stage.server.data_dir)
        connection.close()
        scene.stage.server.start()
        return []

    def _remove(self) -> None:
        """End the other worker and its host; also when the run is ended from outside."""
        self.worker.kill()
        self.host.remove()
        atexit.unregister(self._remove)


def all_faults() -> list[Fault]:
    """Return a new one of each."""
    return [VanishedHost()]
