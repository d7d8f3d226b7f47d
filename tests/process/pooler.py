"""
PgBouncer in transaction mode, between Armo and a database server.

It listens on a socket in a folder of its own, so that several run side by side.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg

PORT = 6432
START_SECONDS = 10
# `trust`: who may reach its socket is decided by the folder's mode, as with the server behind it.
# Each transaction of a client gets another of the server's connections, so that a statement which
# relies on the one before fails at once, and not only when many clients share them. After an outage
# PgBouncer by default waits 15 s before it connects to the server again.
CONFIG = """\
[databases]
* = host={server}

[pgbouncer]
pool_mode = transaction
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
default_pool_size = {size}
server_round_robin = 1
max_client_conn = 500
server_login_retry = 1
server_fast_close = 1
"""


def find_program() -> str | None:
    """Return the path of PgBouncer, which Debian keeps out of a user's PATH; None without it."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


class Pooler:
    """
    One PgBouncer.

    :param server: the folder of the server's socket; PgBouncer runs as its owner.
    :param size: how many connections to the server it shares out.
    :param roles: who may connect.
    """

    def __init__(
        self, server: Path, *, size: int = 20, roles: Sequence[str] = ("postgres",)
    ) -> None:
        self.size = size
        self.folder = Path(tempfile.mkdtemp(prefix="armo-pooler-"))
        owner = server.stat()
        config = {"server": server, "folder": self.folder, "port": PORT, "size": size}
        (self.folder / "config.ini").write_text(CONFIG.format(**config))
        (self.folder / "users").write_text("".join(f'"{role}" ""\n' for role in roles))
        self.user, self.group = owner.st_uid, owner.st_gid
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() != self.user:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self.user, self.group)

    def start(self) -> Self:
        """Start it, and wait until it accepts connections."""
        program = find_program()
        assert program, "PgBouncer is not installed"
        is_root = os.geteuid() == 0
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, str(self.folder / "config.ini")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user if is_root else None,
                group=self.group if is_root else None,
                extra_groups=[] if is_root else None,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PgBouncer: {(self.folder / 'log').read_text()}")
            time.sleep(0.01)
        return self

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.folder / f".s.PGSQL.{PORT}")) == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it at once; every connection through it is lost."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(START_SECONDS)
            self.process = None
            (self.folder / f".s.PGSQL.{PORT}").unlink(missing_ok=True)

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of a database behind it."""
        return f"postgres://postgres@/{database}?host={quote(str(self.folder))}&port={PORT}"

    def connect(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect to a database behind it."""
        return psycopg.connect(host=str(self.folder), port=PORT, user="postgres", dbname=database)

    def fill(self, database: str, number: int = 7) -> None:
        """Have so many connections to the server open, which then take turns."""
        clients = [self.connect(database) for _ in range(number)]
        for client in clients:
            client.execute("SELECT")  # in a transaction that stays open
        for client in clients:
            client.rollback()
            client.close()


@contextmanager
def running(
    server: Path, *, size: int = 20, roles: Sequence[str] = ("postgres",)
) -> Iterator[Pooler]:
    """Run a PgBouncer until the block ends."""
    pooler = Pooler(server, size=size, roles=roles)
    try:
        yield pooler.start()
    finally:
        pooler.stop()
        shutil.rmtree(pooler.folder)
