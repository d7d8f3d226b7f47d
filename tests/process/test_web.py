"""The web server as it is started, with its file of settings."""

import json
import logging
import runpy
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from armo.common import request_counts
from tests.process.web import serving

CORES = "os.cpu_count"
# The last two are set by the file.
NAMES = (
    *("PORT", "WEB_CONCURRENCY", "WEB_THREADS"),
    *(request_counts.FOLDER, request_counts.MADE_BY),
)


@pytest.fixture
def file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the web server's settings, where neither a `.env` nor a variable is."""
    for name in NAMES:
        # Set first, so that what the file reads from a `.env` is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    copy = tmp_path / "gunicorn.conf.py"
    copy.write_bytes(Path(settings.BASE_DIR, "gunicorn.conf.py").read_bytes())
    return copy


class TestTheFileOfSettings:
    @pytest.mark.parametrize(
        ("cores", "given", "expected"),
        [
            (1, {}, ("127.0.0.1:8000", 1, 4)),
            (2, {}, ("127.0.0.1:8000", 2, 4)),
            (64, {}, ("127.0.0.1:8000", 4, 4)),
            (None, {}, ("127.0.0.1:8000", 1, 4)),
            (2, {"PORT": "5000"}, ("0.0.0.0:5000", 2, 4)),
            (2, {"PORT": "", "WEB_THREADS": ""}, ("127.0.0.1:8000", 2, 4)),
            (2, {"WEB_CONCURRENCY": "12", "WEB_THREADS": "1"}, ("127.0.0.1:8000", 12, 1)),
        ],
    )
    def test_makes_few_connections_to_the_database_unless_more_are_asked_for(
        self,
        file_of_settings: Path,
        monkeypatch: pytest.MonkeyPatch,
        cores: int | None,
        given: dict[str, str],
        expected: tuple[str, int, int],
    ) -> None:
        monkeypatch.setattr(CORES, lambda: cores)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

        read: dict[str, Any] = runpy.run_path(str(file_of_settings))

        assert (read["bind"], read["workers"], read["threads"]) == expected

    def test_takes_what_stands_in_the_file_of_the_environment(self, file_of_settings: Path) -> None:
        file_of_settings.with_name(".env").write_text("PORT=8080\nWEB_THREADS=8\n")

        read = runpy.run_path(str(file_of_settings))

        assert (read["bind"], read["threads"]) == ("0.0.0.0:8080", 8)

    def test_refuses_such_a_file_in_another_encoding_with_one_line(
        self, file_of_settings: Path
    ) -> None:
        file_of_settings.with_name(".env").write_text("# 설정\nPORT=8080\n", encoding="euc-kr")

        with pytest.raises(SystemExit, match=r"^\.env must be in UTF-8\.$"):
            runpy.run_path(str(file_of_settings))

    @pytest.mark.parametrize("value", ["0", "-1", "two", "1001", "2.5", "²"])
    @pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "WEB_THREADS"])
    def test_refuses_what_is_no_number_with_one_line(
        self, file_of_settings: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)

        with pytest.raises(SystemExit, match=f"^{name} must be a whole number from 1 to 1000, not"):
            runpy.run_path(str(file_of_settings))

    def test_lets_the_server_go_on_where_counts_cannot_be_kept(
        self,
        file_of_settings: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        read = runpy.run_path(str(file_of_settings))
        monkeypatch.setenv(request_counts.FOLDER, str(tmp_path))
        (tmp_path / "histogram_7.db").write_bytes(b"\x08" + b"\0" * 7)
        (tmp_path / "histogram_ended.new").mkdir()

        read["child_exit"](SimpleNamespace(log=logging.getLogger()), SimpleNamespace(pid=7))

        assert "could not be kept: " in caplog.text


def status_of(url: str, *headers: str, name: str = "127.0.0.1", method: str = "GET") -> int:
    """Return the status that a plain request by http gets."""
    host = urlsplit(url)
    lines = [f"{method} /admin/login/ HTTP/1.1", f"Host: {name}", "Connection: close", *headers]
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.makefile("rb").read()
    return int(answer.split()[1])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestTheWebServer:
    def test_ends_soon_although_a_proxy_keeps_a_connection_open(self, tmp_path: Path) -> None:
        with serving(tmp_path / "log") as web:
            host = urlsplit(web.url)
            with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
                connection.sendall(b"GET /health/live/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                answer = connection.recv(4096)
                before = time.monotonic()
                web.process.terminate()
                code = web.process.wait(20)

        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: keep-alive" in answer.lower()
        assert (code, time.monotonic() - before < 10) == (0, True)

    def test_logs_one_object_for_each_request_and_nothing_else(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        with serving(log, LOG_FORMAT="json", ALLOWED_HOSTS="127.0.0.1") as web:
            status_of(web.url, "X-Request-ID: click-1")
            status_of(web.url, "X-Request-ID: click-2", name="evil.example")
            status_of(web.url, "X-Request-ID: click-3", method="HEAD")

        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(it["request_id"], it["status"]) for it in lines] == [
            ("click-1", 200),
            ("click-2", 400),
            ("click-3", 200),
        ]

    def test_believes_a_proxy_only_where_there_is_one(self, tmp_path: Path) -> None:
        site = {
            "DEBUG": "off",
            "TLS_REDIRECT": "on",
            "SECRET_KEY": "Zr8-5Kq2vYt1Lw9_eXo4Bn7mHs3Uj6Gd0PfRcAiTEWyVQxKzNb",
            "ALLOWED_HOSTS": "127.0.0.1",
            "SITE_URL": "https://news.example.org",
            "XDG_RUNTIME_DIR": str(tmp_path),
            "HOME": str(tmp_path),
        }
        https = ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"]
        with serving(tmp_path / "log", **site, PROXIES="0") as web:
            alone = [status_of(web.url, each) for each in https]
            alone.append(status_of(web.url, *https))
            moved = status_of(web.url, https[0], "SCRIPT_NAME: /x", "PATH_INFO: /health/live/")
        with serving(tmp_path / "log", **site, PROXIES="1", BEHIND_TLS_PROXY="on") as web:
            behind = [status_of(web.url, *https), status_of(web.url, "X-Forwarded-Proto: http")]

        assert alone == [301] * 4
        assert moved == 301
        assert behind == [200, 301]
        assert list(tmp_path.rglob("*.ctl")) == []
        assert "Run: manage.py collectstatic --noinput\n" in web.log.read_text()
