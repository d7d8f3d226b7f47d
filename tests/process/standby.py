"""A streaming standby of an embedded server, made by the programs that came with it."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from armo.common import postgres
from armo.common.postgres import server

# For a standby of a small database, on a machine however busy.
SECONDS = 60


def address(*data_dirs: Path, database: str = server.DATABASE) -> str:
    """Return the DATABASE_URL of several servers of which one accepts writes."""
    hosts = ",".join(quote(str(server.socket_dir(it)), safe="") for it in data_dirs)
    return f"postgres://{server.SUPERUSER}@{hosts}/{database}?target_session_attrs=read-write"


def connect(
    data_dir: Path, database: str = server.DATABASE
) -> "psycopg.Connection[tuple[Any, ...]]":
    """Connect to this server and no other, each statement its own transaction."""
    host = str(server.socket_dir(data_dir))
    return psycopg.connect(host=host, user=server.SUPERUSER, dbname=database, autocommit=True)


def start_standby(primary: Path, data_dir: Path) -> None:
    """Copy a running server, and start the copy as its standby; return when it streams."""
    data_dir.mkdir(mode=0o700)
    (data_dir / "lock").touch()
    where = f"host={server.socket_dir(primary)} user={server.SUPERUSER} application_name=standby"
    subprocess.run(
        [
            *(str(server.binary("pg_basebackup")), "--dbname", where),
            *("--pgdata", str(data_dir / "pgdata"), "--write-recovery-conf"),
            *("--wal-method=stream", "--checkpoint=fast", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    postgres.start(data_dir)
    with connect(primary) as session:
        wait_for_row(session, "SELECT FROM pg_stat_replication WHERE state = 'streaming'")


def wait_for_row(session: "psycopg.Connection[Any]", query: str) -> None:
    """Return as soon as the query finds a row."""
    deadline = time.monotonic() + SECONDS
    while session.execute(query).fetchone() is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {SECONDS} s: {query}")
        time.sleep(0.005)


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Return every process of a server, the postmaster first."""
    pid = int((data_dir / "pgdata" / "postmaster.pid").read_text().partition("\n")[0])
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children(recursive=True)]


def kill(data_dir: Path) -> None:
    """End a server as a power cut does: all of its processes at once, nothing is written."""
    for process in processes_of(data_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def promote(data_dir: Path) -> None:
    """Make a standby the primary; return when it accepts writes."""
    with connect(data_dir) as session:
        [(is_promoted,)] = session.execute("SELECT pg_promote(wait_seconds => 60)").fetchall()
    assert is_promoted
