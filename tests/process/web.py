"""A real web process, which tests send requests to."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from tests.process.worker import PROJECT, database_url, wait_until

HOST = "127.0.0.1"


class Web:
    """One gunicorn: its address, and its process."""

    def __init__(
        self, log: Path, env: dict[str, str], *, threads: int = 4, workers: int = 1
    ) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        self.log = log
        self.url = f"http://{HOST}:{port}"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "armo.wsgi"),
                    *(f"--bind={HOST}:{port}", f"--workers={workers}", f"--threads={threads}"),
                    "--log-level=warning",
                ],
                cwd=PROJECT,
                env={
                    **os.environ,
                    "DATABASE_URL": os.environ["DATABASE_URL"] or database_url(),
                    "DJANGO_SETTINGS_MODULE": "armo.settings",
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return once it answers."""
        wait_until(self._answers, seconds=30, what="an answer of the web process")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/health/live/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(log: Path, **env: str) -> Iterator[Web]:
    """Run a web process on this process's database until the block ends."""
    web = Web(log, env)
    try:
        web.wait_until_ready()
        yield web
    finally:
        web.stop()
