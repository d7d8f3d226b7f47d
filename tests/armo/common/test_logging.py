"""How log lines look, and when they are written."""

import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory

from armo.common.logging import (
    MORE,
    ConsoleFormatter,
    JsonFormatter,
    Refusals,
    StderrHandler,
    record_time,
)
from tests.armo.test_settings import ENOUGH, manage


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


ASK = "from django.test import Client; Client().get('{path}', HTTP_HOST='{host}')"


class TestARefusedRequest:
    @pytest.mark.parametrize(
        ("status", "level"), [(404, "INFO"), (400, "INFO"), (500, "WARNING"), (None, "WARNING")]
    )
    def test_is_its_senders_error(self, status: int | None, level: str) -> None:
        extra = {} if status is None else {"status_code": status}
        made = logging.getLogger("django.request").makeRecord(
            *("django.request", logging.WARNING, __file__, 1, "Not Found: /x", (), None),
            extra=extra,
        )

        written = Refusals().filter(made)

        assert (written, made.levelname) == (True, level)

    @pytest.mark.slow
    @pytest.mark.parametrize("debug", ["on", "off"])
    @pytest.mark.parametrize(
        ("path", "host"), [("/api/v1/nowhere/", "localhost"), ("/", "evil.example")]
    )
    def test_is_one_line(self, debug: str, path: str, host: str) -> None:
        code = ASK.format(path=path, host=host)
        env = {**ENOUGH, "DEBUG": debug, "ALLOWED_HOSTS": "localhost"}

        result = manage("shell", "-v", "0", "-c", code, **env)

        [line] = result.stderr.splitlines()
        assert " INFO django." in line
