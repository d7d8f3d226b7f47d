"""How soon PostgreSQL ends the sessions of a host that has vanished: what each session sets."""

import json
import os
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from pytest_django import DjangoDbBlocker

from armo.common import postgres
from scheduling import keepalives
from scheduling.queries.health import vanished_hosts
from tests.process import tcp
from tests.process.pooler import Pooler, find_program

Connect = Callable[..., None]

# Each process of the run has an address of its own.
ADDRESS = f"127.84.{os.getpid() // 254 % 254}.{os.getpid() % 254 + 1}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a server that listens for TCP."""
    folder = tmp_path_factory.mktemp("server")
    for parent in (folder, *folder.parents):
        if parent == Path(gettempdir()).resolve():
            break
        parent.chmod(0o755)  # the server's own account has to pass
    data_dir = folder / ".postgres"
    tcp.listen(data_dir, ADDRESS)
    yield data_dir
    postgres.stop(data_dir, mode="immediate")


@pytest.fixture
def connect(
    server: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> Iterator[Connect]:
    """Connect to that server, in place of the run's own."""
    original = connections["default"]

    def connect(**settings: Any) -> None:
        entry = {**original.settings_dict, "NAME": "armo", "HOST": ADDRESS, "PORT": tcp.PORT}
        entry |= {"ENGINE": "django.db.backends.postgresql", **settings}
        connections["default"].close()
        connections["default"] = connections.create_connection("default")
        connections["default"].settings_dict = entry

    with django_db_blocker.unblock():
        yield connect
        connections["default"].close()
        connections["default"] = original


def shown() -> dict[str, str]:
    """Return the settings of this session."""
    with connection.cursor() as cursor:
        values = {}
        for name in keepalives.NAMES:
            cursor.execute(f"SHOW {name}")
            values[name] = cursor.fetchone()[0]
    return values


class TestASession:
    def test_has_what_ends_it_soon_after_its_host_has_vanished(self, connect: Connect) -> None:
        connect()

        assert shown() == {
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "5",
            "tcp_user_timeout": "20000",
        }
        assert keepalives.seconds_until_noticed() == 20

    @pytest.mark.parametrize("seconds", [3, 7, 60, 3600])
    def test_ends_after_the_seconds_that_are_set(
        self, connect: Connect, settings: Any, seconds: int
    ) -> None:
        settings.VANISHED_AFTER = seconds

        connect()

        assert keepalives.seconds_until_noticed() == seconds

    def test_keeps_what_the_address_asks_for(self, connect: Connect) -> None:
        options = "-c tcp_keepalives_idle=17 -c work_mem=5MB"

        connect(OPTIONS={"options": options})

        values = shown()
        assert (values["tcp_keepalives_idle"], values["tcp_keepalives_interval"]) == ("17", "2")
        with connection.cursor() as cursor:
            cursor.execute("SHOW work_mem")
            assert cursor.fetchone() == ("5MB",)

    def test_keeps_the_servers_own_with_zero(self, connect: Connect, settings: Any) -> None:
        settings.VANISHED_AFTER = 0

        connect()

        assert shown()["tcp_user_timeout"] == "0"

    def test_by_a_socket_sets_nothing(self, connect: Connect, server: Path) -> None:
        connect(HOST=postgres.settings(server)["HOST"])

        assert shown()["tcp_user_timeout"] == "0"
        assert keepalives.seconds_until_noticed() is None
        assert vanished_hosts().ok

    def test_is_never_set_in_one_that_is_shared(self, connect: Connect, settings: Any) -> None:
        settings.QUEUE_LISTEN = False

        connect()

        assert shown()["tcp_user_timeout"] == "0"


class TestTheRole:
    @pytest.fixture(autouse=True)
    def _as_an_ordinary_role(self, server: Path, connect: Connect, settings: Any) -> Iterator[None]:
        """Connect as somebody who may do nothing, behind what is taken for a pooler."""
        settings.QUEUE_LISTEN = False
        config = postgres.settings(server)
        with psycopg.connect(
            host=config["HOST"], user=config["USER"], dbname=config["NAME"], autocommit=True
        ) as owner:
            owner.execute('CREATE ROLE "출판" LOGIN')
            connect(USER="출판")
            yield
            connection.close()
            owner.execute('DROP ROLE "출판"')

    def test_lacks_the_settings_at_first(self) -> None:
        check = vanished_hosts()

        assert not check.ok
        assert "Run manage.py keepalives --set." in check.text
        with pytest.raises(SystemExit):
            call_command("keepalives", stdout=StringIO())

    def test_has_them_in_new_sessions_once_they_are_set(self, connect: Connect) -> None:
        out = StringIO()
        call_command("keepalives", "--set", stdout=out)
        assert "The role 출판 has tcp_keepalives_idle = 10, " in out.getvalue()
        assert "have the pooler reconnect" in vanished_hosts().text

        connection.close()

        assert shown()["tcp_keepalives_idle"] == "10"
        check = vanished_hosts()
        assert check.ok
        assert check.text.endswith("after 20 s.")

    def test_is_reset(self) -> None:
        call_command("keepalives", "--set", stdout=StringIO())
        call_command("keepalives", "--reset", stdout=StringIO())

        connection.close()

        assert shown()["tcp_user_timeout"] == "0"

    def test_is_shown_as_json(self) -> None:
        call_command("keepalives", "--set", stdout=StringIO())
        connection.close()
        out = StringIO()

        call_command("keepalives", "--json", stdout=out)

        answer = json.loads(out.getvalue())
        assert (answer["ok"], answer["seconds"]) == (True, 20)
        assert "tcp_user_timeout=20000" in answer["role"]

    def test_is_not_both_set_and_reset(self) -> None:
        with pytest.raises(CommandError):
            call_command("keepalives", "--set", "--reset")


@pytest.mark.skipif(find_program() is None, reason="PgBouncer is not installed")
class TestBehindPgBouncer:
    def test_connects_and_has_the_roles(self, connect: Connect, server: Path) -> None:
        folder = Path(postgres.settings(server)["HOST"])
        pooler = Pooler(folder)
        config = pooler.folder / "config.ini"
        config.write_text(config.read_text().replace(f"host={folder}", f"host={ADDRESS}"))
        try:
            pooler.start()
            connect(HOST=str(pooler.folder), PORT=6432)
            call_command("keepalives", "--set", stdout=StringIO())
            pooler.stop()
            pooler.start()
            connection.close()

            assert shown()["tcp_keepalives_idle"] == "10"
        finally:
            connection.close()
            pooler.stop()
