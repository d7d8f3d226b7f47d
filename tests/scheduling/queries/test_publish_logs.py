"""Reading the publish log back, in every form in which it is kept."""

import gzip
import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from armo.common.logging import ConsoleFormatter, JsonFormatter
from scheduling.queries import publish_logs
from scheduling.queries.publish_logs import Incomplete, Logged, Unreadable

AT = datetime(2025, 9, 23, 10, 30, 0, 123_000, tzinfo=UTC)
CHANGE = "[publish-worker] story:42 → published @2025-09-23T10:30:00.123Z"
LINE = f"2025-09-23T10:30:00.130Z INFO armo.publish {CHANGE}"
FACTS = {"item": "story:42", "status": "published", "at": "2025-09-23T10:30:00.123456+00:00"}
AS_JSON = json.dumps({"level": "INFO", "logger": "armo.publish", "message": CHANGE, **FACTS})


def read(text: str | bytes) -> list[Logged | Unreadable | Incomplete]:
    raw = text.encode() if isinstance(text, str) else text
    return list(publish_logs.read(io.BufferedReader(io.BytesIO(raw)), "log"))


def changes(text: str | bytes) -> list[tuple[str, str, datetime]]:
    return [(it.item, it.status, it.at) for it in read(text) if isinstance(it, Logged)]


class TestALineOfThePublishLog:
    @pytest.mark.parametrize(
        "line",
        [
            CHANGE,
            LINE,
            f"{LINE}\r",
            f"worker | {LINE}",
            f"\x1b[35mworker | \x1b[0m{LINE}",
            f"Sep 23 10:30:00 host-1 qcluster[815]: {LINE}",
            f"2025-09-23T10:30:00+0000 HOST qcluster[815]: {CHANGE}",
            f"2025-09-23T10:30:00.130123456Z stderr F {LINE}",
            f"INFO 2025-09-23 10:30:00,130 armo.publish: {CHANGE}",
            json.dumps({"log": f"{LINE}\n", "stream": "stderr"}),
            json.dumps({"MESSAGE": LINE, "PRIORITY": "6"}),
            LINE.replace("worker", "now"),
        ],
    )
    def test_is_read_as_text_wherever_it_was_kept(self, line: str) -> None:
        [found] = read(f"{line}\n")

        window = timedelta(milliseconds=1)
        assert found == Logged("story:42", "published", AT, AT + window, "log", 1)

    @pytest.mark.parametrize(
        "line",
        [
            AS_JSON,
            json.dumps({"log": f"{AS_JSON}\n", "stream": "stderr"}),
            json.dumps({"MESSAGE": AS_JSON}),
            f"2025-09-23T10:30:00.130123456Z stderr F {AS_JSON}",
            f"Sep 23 10:30:00 host-1 qcluster[815]: {AS_JSON}",
        ],
    )
    def test_is_read_as_json_to_the_microsecond(self, line: str) -> None:
        [found] = read(line)

        at = AT.replace(microsecond=123_456)
        until = at + timedelta(microseconds=1)
        assert found == Logged("story:42", "published", at, until, "log", 1)

    def test_is_read_as_the_formatters_write_it(self) -> None:
        record = logging.getLogger("armo.publish").makeRecord(
            *("armo.publish", logging.INFO, __file__, 1, CHANGE, (), None), extra=FACTS
        )

        text = "\n".join([ConsoleFormatter().format(record), JsonFormatter().format(record)])

        assert [item for item, _, _ in changes(text)] == ["story:42", "story:42"]

    def test_is_found_among_others_with_its_number(self) -> None:
        found = read(f"Booting\n\n{LINE}\nGET /\n{AS_JSON}")

        assert [it.line for it in found] == [3, 5]

    @pytest.mark.parametrize(
        "line",
        [
            LINE[:-2],
            LINE[:-30],
            LINE.replace("10:30:00.123Z", "10:30:00.123"),
            LINE.replace("2025-09-23T10:30:00.123Z", "2025-02-30T10:30:00.123Z"),
            LINE.replace(":42", f":{'9' * 19}"),
            AS_JSON[:-20],
            json.dumps({"logger": "armo.publish", **FACTS, "at": 7}),
            json.dumps({"logger": "armo.publish", **FACTS, "item": "story:x"}),
            json.dumps({"logger": "armo.publish", **FACTS, "status": "\x1b[2J"}),
        ],
    )
    def test_that_is_broken_is_counted(self, line: str) -> None:
        assert read(f"{line}\n{LINE}\n")[0] == Unreadable("log", 1)
        assert len(changes(f"{line}\n{LINE}\n")) == 1


class TestALineThatOnlyLooksLikeIt:
    @pytest.mark.parametrize(
        "line",
        [
            f"2025-09-23T10:30:00.130Z WARNING scheduling Attempt 1 failed: {CHANGE}",
            f"2025-09-23T10:30:00.130Z INFO django.request Refused: {LINE}",
            f"2025-09-23T10:30:00.130Z ERROR x Failed: {AS_JSON}",
            f"  {LINE}",
            f"  {CHANGE}",
            f"host qcluster[815]:   {LINE}",
            json.dumps({"logger": "django.request", "message": CHANGE}),
            json.dumps({"logger": "django.request", "message": "x", **FACTS}),
            json.dumps({"logger": "x", "message": "armo.publish", "exception": f"\n{LINE}"}),
            json.dumps({"log": f"  {LINE}\n"}),
            json.dumps(["armo.publish", CHANGE]),
            f"ERROR Attempt 1 failed: {CHANGE}",
            "armo.publish",
        ],
    )
    def test_is_passed_over(self, line: str) -> None:
        assert changes(line) == []

    def test_cannot_be_made_by_the_text_of_an_error(self) -> None:
        try:
            raise ValueError(f"bad\n{LINE}\r\n{CHANGE}")
        except ValueError as error:
            record = logging.getLogger("x").makeRecord(
                *("x", logging.ERROR, __file__, 1, f"bad\n{LINE}\r{LINE}", ()),
                exc_info=(ValueError, error, error.__traceback__),
            )

        assert changes(ConsoleFormatter().format(record)) == []
        assert changes(JsonFormatter().format(record)) == []


class TestAFile:
    def test_may_be_gzipped_whatever_its_name(self) -> None:
        # As after two rotations: gzip files may be joined.
        assert len(changes(gzip.compress(LINE.encode() + b"\n") * 2)) == 2

    def test_that_ends_early_says_so_after_what_it_has(self) -> None:
        lines = "\n".join(LINE.replace(":42", f":{n}") for n in range(20_000))

        *found, last = read(gzip.compress(lines.encode())[:-4000])

        assert isinstance(last, Incomplete)
        assert found
        assert all(isinstance(it, Logged) for it in found)

    @pytest.mark.parametrize("raw", [b"", b"\x1f", b"\x1f\x8b", b"\xff\xfe\x00\n", b"\0" * 200_000])
    def test_of_anything_does_no_harm(self, raw: bytes) -> None:
        assert changes(raw) == []

    def test_with_an_endless_line_keeps_little_of_it(self) -> None:
        assert len(changes(b"x" * 300_000 + b"\n" + LINE.encode())) == 1
