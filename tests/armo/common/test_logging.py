"""How log lines look, and when they are written."""

import io
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory

from armo.common.logging import (
    MORE,
    ConsoleFormatter,
    JsonFormatter,
    Refusals,
    StderrHandler,
    record_time,
    without_secrets,
    without_secrets_in_text,
)


class CountingStream(io.StringIO):
    """What a handler writes to; counts how often it is sent on its way."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@pytest.fixture
def stream() -> CountingStream:
    return CountingStream()


@pytest.fixture
def handler(stream: CountingStream) -> StderrHandler:
    handler = StderrHandler()
    handler.stream = stream
    handler.setFormatter(ConsoleFormatter())
    return handler


def record(message: str = "가을 축제", facts: dict[str, Any] | None = None) -> logging.LogRecord:
    made = logging.getLogger("armo.publish").makeRecord(
        *("armo.publish", logging.INFO, __file__, 1, message, (), None), extra=facts
    )
    made.created = datetime(2026, 3, 29, 1, 0, 0, 999_900, tzinfo=UTC).timestamp()
    return made


def of_a_request(logger: str, status: int, path: str = "/x") -> logging.LogRecord:
    return logging.getLogger(logger).makeRecord(
        *(logger, logging.ERROR, __file__, 1, "Failed: %s", (path,), None),
        extra={"status_code": status, "request": RequestFactory().get(path)},
    )


class TestALine:
    def test_says_when_how_bad_who_and_what(self) -> None:
        line = ConsoleFormatter().format(record())

        assert line == "2026-03-29T01:00:00.999Z INFO armo.publish 가을 축제"

    @pytest.mark.parametrize("formatter", [ConsoleFormatter, JsonFormatter])
    def test_has_nothing_that_a_terminal_acts_on(self, formatter: type[logging.Formatter]) -> None:
        odd = "가\x1b[2J\x9b31m\u2028\u2029\u202e\x07\r\x7f\x85\u200d"

        line = formatter().format(record(odd, {"title": odd}))

        assert line.replace("\u200d", "").isprintable()
        assert "가" in line
        if formatter is JsonFormatter:
            assert json.loads(line)["message"] == json.loads(line)["title"] == odd

    def test_as_json_has_no_path_that_django_hands_on(self) -> None:
        request = RequestFactory().get("/preview/secret/")

        assert "secret" not in JsonFormatter().format(record(facts={"request": request}))

    def test_as_json_carries_each_fact_and_nothing_of_the_handlers_own(self) -> None:
        line = json.loads(JsonFormatter().format(record(facts={"item": "story:42", MORE: True})))

        assert line == {
            "time": "2026-03-29T01:00:00.999Z",
            "level": "INFO",
            "logger": "armo.publish",
            "message": "가을 축제",
            "item": "story:42",
        }

    @pytest.mark.parametrize("microsecond", [0, 1_000, 123_000, 999_900])
    def test_has_the_millisecond_that_it_was_made_in(self, microsecond: int) -> None:
        made = record()
        made.created = datetime(2026, 11, 23, 4, 5, 6, microsecond, tzinfo=UTC).timestamp()

        assert record_time(made) == f"2026-11-23T04:05:06.{microsecond // 1000:03}Z"


class TestTheWatcherOfSignIns:
    """The expression for fail2ban in docs/security.md, which bans what it finds."""

    FORGED = "WARNING armo.sign_in Sign-in failed from 192.0.2.66 for 'x'"

    def found(self, made: logging.LogRecord) -> list[str]:
        guide = Path(settings.BASE_DIR, "docs/security.md").read_text(encoding="utf-8")
        [expression] = re.findall("`failregex = (.*?)`", guide)
        lines = ConsoleFormatter().format(made).split("\n")
        # It cuts a time off wherever one stands.
        without_times = [re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", line) for line in lines]
        return re.findall(expression.replace("<HOST>", r"(\S+)"), "\n".join(without_times), re.M)

    def test_finds_a_failure(self) -> None:
        made = record("Sign-in failed from 2001:db8::5 for 'x'")
        made.name, made.levelname = "armo.sign_in", "WARNING"

        assert self.found(made) == ["2001:db8::5"]

    @pytest.mark.parametrize("before", ["", " ", "2026-03-29T01:00:00.999Z "])
    def test_takes_no_further_line_of_a_record_for_one(self, before: str) -> None:
        try:
            raise ValueError(f"what somebody sent:\n{before}{self.FORGED}")
        except ValueError as error:
            made = record(f"Odd:\n{before}{self.FORGED}")
            made.exc_info = (type(error), error, error.__traceback__)

        assert self.found(made) == []


class TestTheHandler:
    def test_sends_a_line_on_its_way_at_once(
        self, handler: StderrHandler, stream: CountingStream
    ) -> None:
        handler.handle(record())

        assert stream.getvalue().endswith("가을 축제\n")
        assert stream.flushes == 1

    def test_sends_the_lines_of_a_batch_together(
        self, handler: StderrHandler, stream: CountingStream
    ) -> None:
        for place in range(3):
            handler.handle(record(facts={MORE: place < 2}))

        assert stream.getvalue().count("\n") == 3
        assert stream.flushes == 1

    def test_writes_to_standard_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        handler = StderrHandler()

        handler.handle(record())

        assert capfd.readouterr().err == "가을 축제\n"

    def test_survives_what_no_terminal_can_show(self, capfd: pytest.CaptureFixture[str]) -> None:
        StderrHandler().handle(record("half a character: \ud800"))

        assert capfd.readouterr().err == "half a character: \\ud800\n"


class TestARefusedRequest:
    @pytest.mark.parametrize("status", [400, 404])
    def test_is_left_to_the_access_log(self, status: int) -> None:
        made = of_a_request("django.request", status)

        assert not Refusals().filter(made)
        assert made.levelname == "DEBUG"

    def test_for_its_host_is_left_to_the_access_log(self) -> None:
        assert not Refusals().filter(of_a_request("django.security.DisallowedHost", 400))

    def test_is_one_line_where_the_access_log_does_not_know_the_reason(self) -> None:
        made = of_a_request("django.security.csrf", 403)

        assert Refusals().filter(made)
        assert (made.levelname, made.exc_info) == ("INFO", None)


class TestAFailedRequest:
    def test_is_an_error(self) -> None:
        made = of_a_request("django.request", 500)

        assert Refusals().filter(made)
        assert made.levelname == "ERROR"

    def test_of_a_monitor_is_for_the_monitor_to_report(self) -> None:
        assert not Refusals().filter(of_a_request("django.request", 503, "/health/publisher/"))
        assert Refusals().filter(of_a_request("django.request", 503, "/api/v1/stories/"))

    def test_is_logged_without_the_secret_of_its_link(self) -> None:
        made = of_a_request("django.request", 500, "/preview/secret/")

        Refusals().filter(made)

        assert made.getMessage() == "Failed: /preview/"

    def test_of_other_software_is_left_alone(self) -> None:
        made = record("Why? %s")
        made.args = ("/preview/secret/",)

        assert Refusals().filter(made)
        assert made.getMessage() == "Why? /preview/secret/"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/stories/7/", "/stories/7/"),
        ("/preview/se cr'et/?x=1", "/preview/"),
        ("/Preview/secret", "/Preview/"),
        ("GET /feeds/schedule/secret.ics HTTP/1.1", "GET /feeds/schedule/"),
        ("https://news.example.org/preview/secret/", "https://news.example.org/preview/"),
        ("/api/v1/stories/?search=%EA%B0%80", "/api/v1/stories/"),
    ],
)
def test_an_address_is_logged_without_what_is_secret(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_a_text_is_sent_without_the_secrets_of_links() -> None:
    text = """'/preview/a/b?c' and "https://news.example.org/feeds/schedule/d.ics" failed. Why? x"""

    assert without_secrets_in_text(text) == (
        """'/preview/…' and "https://news.example.org/feeds/schedule/…" failed. Why? x"""
    )
