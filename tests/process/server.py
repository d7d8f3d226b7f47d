"""
A database server of one's own, and the environment around it, for chaos and benchmarks.

Nothing here needs Django to be set up already: `set_up` does that.
"""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import django
import psutil
import psycopg
from django.db import Error, connection

from armo.common import postgres

# For this process and the workers it starts; a developer's `.env` must not reach them.
ENV = {
    "DEBUG": "on",
    "SECRET_KEY": "of-no-use-elsewhere-than-in-tests-of-processes",
    "ALLOWED_HOSTS": "",
    # Clients here speak http.
    "PROXIES": "0",
    "BEHIND_TLS_PROXY": "off",
    "TLS_REDIRECT": "off",
    "SECURE_COOKIES": "off",
    "TIME_ZONE": "UTC",
    "LANGUAGE_CODE": "en",
    "LOG_FORMAT": "console",
    "LOG_LEVEL": "INFO",
    "QUEUE_LOG_LEVEL": "WARNING",
    "WORKERS": "2",
    "SLOW_WORKERS": "2",
    "HOOK_TIMEOUT": "60",
    "STOP_AFTER": "25",
    "VANISHED_AFTER": os.environ.get("VANISHED_AFTER", "20"),
    "RETRY_DELAYS": "10,60,300",
    "OVERDUE_AFTER": "60",
    "SWEEP_EVERY": "60",
    "QUEUE_LISTEN": "on",
    "EMAIL_URL": "dummymail://",
}

Answer = TypeVar("Answer")


def set_up(data_dir: Path, *, settings: str, **env: str) -> None:
    """
    Set the environment, and Django with it; nothing is started yet.

    :param env: variables that differ from `ENV`.
    """
    entry = postgres.settings(data_dir)
    os.environ.update(
        {
            **ENV,
            "DJANGO_SETTINGS_MODULE": settings,
            # A plain address, so that only this module starts the server.
            "DATABASE_URL": f"postgres://postgres@/{entry['NAME']}?host={quote(entry['HOST'])}",
            **env,
        }
    )
    # Ended from outside, it still stops the workers and the server that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    django.setup()


class Server:
    """The database server, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / ".postgres"
        self.socket_dir = Path(postgres.settings(self.data_dir)["HOST"])

    def start(self) -> None:
        """Start it."""
        postgres.start(self.data_dir)

    def prepare(self) -> None:
        """Start it for the first time, so that it notes when each transaction commits."""
        self.start()
        with self.connect() as session:
            session.autocommit = True
            session.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        postgres.restart(self.data_dir)

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect as any client does, starting nothing."""
        config = postgres.settings(self.data_dir)
        return psycopg.connect(host=config["HOST"], user=config["USER"], dbname=config["NAME"])

    def restart(self, *, pause: float = 0) -> float:
        """
        End it as a crash does, and start it again after a pause.

        :returns: when it accepted a connection again, by `time.time()`.
        """
        postgres.stop(self.data_dir, mode="immediate")
        connection.close()
        wait_until_time(time.time() + pause)
        starter = threading.Thread(target=self.start)
        starter.start()
        try:
            return self.wait_until_it_accepts()
        finally:
            starter.join()

    def wait_until_it_accepts(self) -> float:
        """Return when it first accepts a connection, by `time.time()`."""
        deadline = time.time() + 60
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if time.time() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return time.time()


def wait_until_time(at: float) -> None:
    """Return at that time, by `time.time()`."""
    while (left := at - time.time()) > 0:
        time.sleep(min(left, 0.5))


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition came to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def execute(statement: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement, also when the connection was lost meanwhile; return its rows."""

    def run() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    return patiently(run)


def patiently(work: Callable[[], Answer], seconds: float = 30) -> Answer:
    """Retry until the database accepts it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except Error:
            if time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(0.02)


def at_rest() -> bool:
    """Whether no work is left: no open job, no queue row."""
    [(jobs, messages)] = execute(
        "SELECT (SELECT count(*) FROM scheduling_job WHERE state IN ('waiting', 'retrying')),"
        " (SELECT count(*) FROM django_q_ormq)"
    )
    return not jobs and not messages


def facts() -> dict[str, Any]:
    """Return when and where something was measured."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": execute("SHOW server_version")[0][0],
        "django": version("django"),
        "django-q2": version("django-q2"),
        "psycopg": version("psycopg"),
    }
