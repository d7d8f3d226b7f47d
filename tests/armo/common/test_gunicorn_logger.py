"""How the web server's own lines look."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from armo.common.gunicorn_logger import GunicornLogger

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/preview/secret/?x=secret",
    "PATH_INFO": "/preview/secret/",
    "QUERY_STRING": "x=secret",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "https://news.example.org/preview/secret/",
    "REMOTE_ADDR": "192.0.2.7",
}


def logger(file: Path) -> GunicornLogger:
    config = Config()
    config.set("errorlog", str(file))
    config.set("accesslog", str(file))
    return GunicornLogger(config)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LOG_FORMAT", "json")
    yield tmp_path / "log"
    for name in ("gunicorn.error", "gunicorn.access"):
        for handler in [*logging.getLogger(name).handlers]:
            logging.getLogger(name).removeHandler(handler)
            handler.close()


class TestALineOfTheWebServer:
    def test_is_an_object(self, file: Path) -> None:
        log = logger(file)

        log.info("Listening at: %s", "http://127.0.0.1:8000")
        try:
            raise RuntimeError("two\nlines")
        except RuntimeError:
            log.exception("Error handling request %s", "/preview/secret/?x=secret")

        first, second = map(json.loads, file.read_text().splitlines())
        assert (first["level"], first["logger"]) == ("INFO", "gunicorn.error")
        assert first["message"] == "Listening at: http://127.0.0.1:8000"
        assert second["message"] == "Error handling request /preview/"
        assert "two\nlines" in second["exception"]

    def test_about_a_request_is_an_object_without_secrets(self, file: Path) -> None:
        answer = SimpleNamespace(status="200 OK", sent=7, headers=[])

        logger(file).access(answer, SimpleNamespace(headers=[]), ENVIRON, timedelta(0))

        line = json.loads(file.read_text())
        assert line["logger"] == "gunicorn.access"
        assert "192.0.2.7" in line["message"]
        assert "secret" not in file.read_text()

    def test_at_debug_has_no_secret_either(self, file: Path) -> None:
        log = logger(file)
        log.error_log.setLevel(logging.DEBUG)

        log.debug("%s %s", "GET", "/preview/secret/")

        assert json.loads(file.read_text())["message"] == "GET /preview/"

    def test_raises_no_alarm_about_what_is_no_request(self, file: Path) -> None:
        log = logger(file)

        log.warning("Invalid request from ip=192.0.2.7: Invalid HTTP request line: ''")
        log.warning("Invalid request from ip=192.0.2.7: 'GET /preview/secret\x01 HTTP/1.1'")
        log.warning("Worker will be ended")

        levels = [json.loads(line)["level"] for line in file.read_text().splitlines()]
        assert levels == ["INFO", "INFO", "WARNING"]
        assert "secret" not in file.read_text()

    def test_is_text_where_all_are(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOG_FORMAT")

        logger(file).info("Booting")

        assert file.read_text().endswith(" INFO gunicorn.error Booting\n")
