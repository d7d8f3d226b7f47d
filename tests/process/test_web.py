"""The web server as it is started, with its file of settings."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.process.web import serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def status_of(url: str, *headers: str) -> int:
    """Return the status that a plain request by http gets."""
    host = urlsplit(url)
    lines = ["GET /admin/login/ HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.makefile("rb").read()
    return int(answer.split()[1])


class TestTheWebServer:
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
