"""What DATABASE_URL may say."""

import re
import time
from pathlib import Path
from socket import socket
from urllib.parse import quote

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from armo.common import database_url


class TestAnAddress:
    @pytest.mark.parametrize(
        ("hosts", "host", "port"),
        [
            ("one", "one", ""),
            ("one:5433", "one", "5433"),
            ("one,two", "one,two", ""),
            ("one:5433,two:5434", "one,two", "5433,5434"),
            ("one:5433,two", "one,two", "5433,"),
            ("one,two:5434", "one,two", ",5434"),
            ("[::1]:5433,[fe80::1]:5434", "::1,fe80::1", "5433,5434"),
            ("%2Frun%2Fa,%2Frun%2Fb", "/run/a,/run/b", ""),
        ],
    )
    def test_keeps_the_port_of_each_host(self, hosts: str, host: str, port: str) -> None:
        config = database_url.parse(f"postgres://u:p%40ss@{hosts}/armo")

        assert (config["HOST"], config["PORT"]) == (host, port)
        assert (config["USER"], config["PASSWORD"], config["NAME"]) == ("u", "p@ss", "armo")

    def test_of_several_hosts_asks_for_one_that_accepts_writes(self) -> None:
        config = database_url.parse("postgres://u@one,two/armo")

        assert config["OPTIONS"] == {"target_session_attrs": "read-write", "connect_timeout": 2}

    def test_may_say_otherwise(self) -> None:
        config = database_url.parse(
            "postgres://u@one,two/armo?target_session_attrs=primary&connect_timeout=9"
        )

        assert config["OPTIONS"] == {"target_session_attrs": "primary", "connect_timeout": 9}

    def test_of_one_host_leaves_both_to_the_settings(self) -> None:
        assert database_url.parse("postgres://u@one/armo")["OPTIONS"] == {}

    def test_may_have_options_that_libpq_does_not_know(self) -> None:
        rest = "sslmode=require&prepare_threshold=5&server_side_binding=1&conn_max_age=60"

        config = database_url.parse(f"postgres://u@one/armo?{rest}")

        assert config["CONN_MAX_AGE"] == 60
        assert config["OPTIONS"]["prepare_threshold"] == 5

    @pytest.mark.parametrize(
        ("rest", "why"),
        [
            ("one:x/armo", "a port is no number from 1 to 65535"),
            ("one:5433,two:x/armo", "a port is no number from 1 to 65535"),
            ("one:0/armo", "a port is no number from 1 to 65535"),
            ("one:5433,two:70000/armo", "a port is no number from 1 to 65535"),
            ("one:5433:1,two/armo", "a port is no number from 1 to 65535"),
            ("one,/armo", "a host is missing beside a comma"),
            ("/armo?host=one,two&port=1,2,3", "there are 2 hosts and 3 ports"),
            ("one,two", "the name of the database is missing"),
            ("one/armo?colour=red", 'invalid connection option "colour"'),
            ("one/armo?pool=True", 'invalid connection option "pool"'),
            ("one/armo?connect_timeout=soon", "connect_timeout is a number of seconds, not soon"),
            (
                "one,two/armo?target_session_attrs=primry",
                "target_session_attrs is one of any, read-write, read-only, primary, standby,"
                " prefer-standby, not primry",
            ),
        ],
    )
    def test_that_cannot_be_meant_is_refused_in_a_line(self, rest: str, why: str) -> None:
        with pytest.raises(ImproperlyConfigured) as refusal:
            database_url.parse(f"postgres://u:secret@{rest}")

        [line] = str(refusal.value).splitlines()
        assert line.startswith(f"DATABASE_URL cannot be used: {why}")
        assert "secret" not in line

    @pytest.mark.parametrize("sign", list("/?#@:[]%"))
    @pytest.mark.parametrize("hosts", ["one", "one:5432", "one,two:5433"])
    def test_whose_password_is_not_escaped_gives_none_of_it_away(
        self, sign: str, hosts: str
    ) -> None:
        url = f"postgres://u:se{sign}cret@{hosts}/armo"
        refusal, config = None, {}

        try:
            config = database_url.parse(url)
        except ImproperlyConfigured as error:
            refusal = error

        if refusal is None:
            assert (config["PASSWORD"], config["NAME"]) == (f"se{sign}cret", "armo")
        else:
            assert not {"se", "cret"} & set(re.split(r"\W+", str(refusal)))
            assert refusal.__cause__ is None


@pytest.mark.django_db
class TestAConnection:
    def test_passes_a_host_that_does_not_answer(self, tmp_path: Path) -> None:
        silent = socket()
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{quote(connection.settings_dict['HOST'], '')}"
        name = connection.settings_dict["NAME"]
        config = {
            **connection.settings_dict,
            **database_url.parse(f"postgres://postgres@{hosts}/{name}"),
        }
        second = DatabaseWrapper(config)

        began = time.monotonic()
        with silent, second.cursor() as cursor:
            cursor.execute("SELECT 1")

            assert cursor.fetchone() == (1,)
        assert time.monotonic() - began < 4
        second.close()

    def test_does_not_go_to_a_server_that_accepts_no_writes(self) -> None:
        config = database_url.parse(
            f"postgres://postgres@{quote(connection.settings_dict['HOST'], '')}"
            f"/{connection.settings_dict['NAME']}?target_session_attrs=standby"
        )

        with pytest.raises(psycopg.OperationalError, match="not in hot standby mode"):
            psycopg.connect(
                **DatabaseWrapper({**connection.settings_dict, **config}).get_connection_params()
            )
