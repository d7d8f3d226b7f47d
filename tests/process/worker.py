"""A real `manage.py qcluster`, as a process of its own, for tests to start, watch and end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection

PROJECT = Path(settings.BASE_DIR)

# How late a change may come here, where other tests run beside it and one stall of the machine
# would decide. `make bench` has the true figures; a worker that nothing wakes asks again after
# ten seconds.
ON_TIME = timedelta(seconds=2)


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Return as soon as the condition holds; fail the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def database_url(name: str = "") -> str:
    """Return the address of the database this test uses, or of another beside it."""
    config = connection.settings_dict
    return f"postgres://{config['USER']}@/{name or config['NAME']}?host={quote(config['HOST'])}"


class Worker:
    """One worker: its process, and what it has logged so far."""

    # How the command begins that starts it.
    prefix: Sequence[str] = ()

    def __init__(
        self, log: Path, *arguments: str, project: Path | str = PROJECT, **env: str
    ) -> None:
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "manage.py", "qcluster", *arguments],
                cwd=project,
                env={
                    **os.environ,
                    "DATABASE_URL": os.environ["DATABASE_URL"] or database_url(),
                    "DJANGO_SETTINGS_MODULE": "armo.settings",
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )

    def wait_until_ready(self) -> Self:
        """Return once it has taken up work."""
        self.wait_for_line("Worker started")
        return self

    def lines(self) -> list[str]:
        """Return what it has logged."""
        return self.log.read_text().splitlines()

    def wait_for_line(self, part: str, *, seconds: float = 20) -> str:
        """Return the first line that contains the text, as soon as there is one."""

        def found() -> list[str]:
            if self.process.poll() is not None and not any(part in line for line in self.lines()):
                raise AssertionError("the worker has ended:\n" + "\n".join(self.lines()))
            return [line for line in self.lines() if part in line]

        wait_until(found, seconds=seconds, what=f"{part!r} in the log")
        return found()[0]

    def family(self) -> list[psutil.Process]:
        """Return its process and all below."""
        try:
            main = psutil.Process(self.process.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def runs_hooks(self) -> bool:
        """Return whether a hook runs in one of them."""
        with suppress(psutil.Error):
            slow = [it for it in self.family() if "qcluster slow-" in " ".join(it.cmdline())]
            return any(worker.children() for worker in slow)
        return False

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 20) -> int:
        """Ask it to stop; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it and every process below at once, so that nothing outlives the test."""
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


@contextmanager
def running(
    log: Path, *arguments: str, project: Path | str = PROJECT, **env: str
) -> Iterator[Worker]:
    """Run a worker for as long as the block lasts."""
    worker = Worker(log, *arguments, project=project, **env)
    try:
        yield worker.wait_until_ready()
    finally:
        if worker.process.poll() is None:
            try:
                worker.stop()
            finally:
                worker.kill()
