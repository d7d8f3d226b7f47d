"""What collectors get: spans from the click to the publish, and errors without people's data."""

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from content.models import Story
from scheduling import operations, tracing
from scheduling.models import Job
from scheduling.worker import batch_runner, job_runner
from tests.api_clients import API, client_of, superuser
from tests.armo.test_settings import ENOUGH, manage
from tests.database_rows import due_stories
from tests.factories import FAR_OFF, LONG_AGO, StoryFactory, UserFactory

Spans = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Collect spans; return them by their names."""
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider.get_tracer("tests"))
    yield lambda: {it.name: it for it in exporter.get_finished_spans()}
    tracing.use(None)


@pytest.fixture
def by() -> User:
    return UserFactory()


def where(span: ReadableSpan) -> tuple[int, int]:
    assert span.context
    return span.context.trace_id, span.context.span_id


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(it.context.trace_id, it.context.span_id) for it in span.links]


@pytest.mark.django_db
class TestASpan:
    def test_of_an_operation_is_within_that_of_its_request(self, spans: Spans) -> None:
        story = StoryFactory()

        client_of(superuser()).post(
            f"{API}/stories/{story.pk}/schedule/",
            {"publish_at": FAR_OFF.isoformat()},
            format="json",
            headers={
                "x-request-id": "click-1",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        )

        found = spans()
        [request] = [it for name, it in found.items() if name.startswith("POST ")]
        assert request.name == "POST api/v1/stories/(?P<pk>[0-9]{1,18})/schedule/$"
        assert request.attributes
        assert request.parent
        assert where(request)[0] == request.parent.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
        assert request.attributes["armo.request_id"] == "click-1"
        assert request.attributes["http.response.status_code"] in (200, 201)
        assert request.attributes["url.path"] == f"{API}/stories/{story.pk}/schedule/"
        operation = found["schedule"]
        assert operation.parent
        assert operation.parent.span_id == where(request)[1]

    def test_of_a_batch_is_linked_to_each_click(self, spans: Spans, by: User) -> None:
        first, second = StoryFactory.create_batch(2)
        clicks = []
        for story in (first, second):
            operations.schedule(item=story, run_at=FAR_OFF, by=by)
            clicks.append(where(spans()["schedule"]))
        due_stories(1)  # by nobody's click
        Job.objects.update(run_at=LONG_AGO, next_attempt_at=LONG_AGO)
        Story.objects.update(publish_at=LONG_AGO)

        batch_runner.run_due_jobs()

        batch = spans()["batch"]
        assert sorted(linked(batch)) == sorted(clicks)
        assert batch.attributes
        assert (batch.attributes["armo.done"], batch.attributes["armo.kind"]) == (3, "publish")
        assert (batch.end_time or 0) > (batch.start_time or 0) > 0

    def test_of_many_clicks_in_one_is_linked_once(self, spans: Spans, by: User) -> None:
        operations.schedule_many(items=StoryFactory.create_batch(3), run_at=FAR_OFF, by=by)
        click = where(spans()["schedule_many"])
        Job.objects.update(run_at=LONG_AGO, next_attempt_at=LONG_AGO)
        Story.objects.update(publish_at=LONG_AGO)

        batch_runner.run_due_jobs()

        assert linked(spans()["batch"]) == [click]

    def test_of_an_attempt_is_linked_to_the_click(self, spans: Spans, by: User) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=by)
        click = where(spans()["schedule"])
        Job.objects.update(run_at=LONG_AGO, next_attempt_at=LONG_AGO)
        Story.objects.update(publish_at=LONG_AGO, body="")

        with pytest.raises(operations.NotPublishable):
            job_runner.run_alone(job.pk)

        attempt = spans()["attempt"]
        assert linked(attempt) == [click]
        assert attempt.attributes
        assert attempt.attributes["armo.job"] == job.pk
        assert not attempt.status.is_ok

    def test_is_made_of_nothing_while_nobody_collects_them(self, by: User) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=by)

        assert tracing.traceparent() == job.traceparent == ""
        assert tracing.span("a") is tracing.span("b")

    def test_is_not_made_of_a_look_that_finds_nothing(self, spans: Spans) -> None:
        batch_runner.run_due_jobs()

        assert not spans()


class Collector(HTTPServer):
    """Takes what is sent, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeping)
        self.sent: dict[str, bytes] = {}


class Keeping(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, wbits=31)
        self.server.sent[self.path] = self.server.sent.get(self.path, b"") + body
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


BREAK = """
import logging, sys
from django.http import HttpRequest
from scheduling import tracing
from armo import access_log

def broken(request):
    password = "s3cret"
    logging.getLogger("armo.sign_in").warning(
        "Sign-in failed from %s for '%s'", "192.0.2.7", "bora", extra={"account": "bora"})
    with tracing.span("inside"):
        try:
            raise RuntimeError("no /preview/s3cret/ today")
        except RuntimeError:
            logging.getLogger("armo").exception("Broken: %s", request.path)
            raise

from django.core.handlers.exception import convert_exception_to_response
from django.test import RequestFactory
request = RequestFactory().post(
    "/preview/s3cret/?q=s3cret", {"password": "s3cret"}, headers={
        "authorization": "Bearer s3cret", "x-request-id": "click-1", "cookie": "sessionid=s3cret"})
access_log.AccessLogMiddleware(convert_exception_to_response(broken))(request)
"""
LOADED = "import sys; print([m for m in sys.modules if m.startswith(('opentelemetry', 'sentry'))])"


@pytest.mark.slow
class TestACollector:
    def test_gets_spans_and_errors_without_secrets(self, collector: Collector) -> None:
        to = f"127.0.0.1:{collector.server_port}"

        result = manage(
            *("shell", "-v", "0", "-c", BREAK),
            **ENOUGH,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{to}",
            OTEL_SDK_DISABLED="false",
            OTEL_SERVICE_NAME="armo-web",
            SENTRY_DSN=f"http://key@{to}/7",
            PYTHONWARNINGS="default::DeprecationWarning:sentry_sdk.client",
        )

        assert result.returncode == 0, result.stderr
        spans = collector.sent.pop("/v1/traces")
        [errors] = collector.sent.values()
        assert b"armo-web" in spans
        assert b"inside" in spans
        assert b"click-1" in spans
        assert b"s3cret" not in spans.replace(b"no /preview/s3cret/ today", b"")
        event = next(
            it for it in map(json.loads, errors.splitlines()) if it.get("level") == "error"
        )
        assert event["tags"]["request_id"] == "click-1"
        assert event["exception"]["values"][0]["value"] == "no /preview/… today"
        assert not [it for it in (b"s3cret", b"192.0.2.7", b"bora") if it in errors]
        assert "192.0.2.7" in result.stderr
        assert "deprecated" not in result.stderr

    def test_that_does_not_answer_delays_the_end_by_seconds(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            began = time.monotonic()
            result = manage(
                *("shell", "-v", "0", "-c", BREAK),
                **ENOUGH,
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
                OTEL_SDK_DISABLED="false",
            )

        assert "Failed to export spans" in result.stderr
        assert time.monotonic() - began < 10

    def test_that_nobody_has_costs_no_import(self) -> None:
        result = manage("shell", "-v", "0", "-c", LOADED, **ENOUGH)

        assert result.stdout.strip() == "[]", result.stderr

    def test_whose_packages_are_missing_gets_nothing_and_one_line_says_so(
        self, tmp_path: Path
    ) -> None:
        Path(tmp_path, "opentelemetry.py").write_text("", encoding="utf-8")

        result = manage(
            *("shell", "-v", "0", "-c", LOADED),
            **ENOUGH,
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
            OTEL_SDK_DISABLED="false",
            PYTHONPATH=str(tmp_path),
        )

        assert result.returncode == 0
        [line] = result.stderr.splitlines()
        assert "OTEL_" in line
        assert "pip install" in line

    def test_whose_address_is_none_is_refused_in_one_line(self) -> None:
        result = manage("check", **ENOUGH, SENTRY_DSN="sentry.example.org")

        assert result.returncode == 1
        assert result.stderr.splitlines() == [
            "SENTRY_DSN must be an address such as https://key@sentry.example.org/1."
        ]
