"""
Spans for OpenTelemetry, and errors for Sentry: what collectors get, where a site has them.

Their packages are not needed otherwise, and nothing imports them then.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase

from armo.common import environment
from armo.common.logging import without_secrets, without_secrets_in_text
from scheduling import __version__, tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# How many clicks the span of a batch is linked to: one for each of its jobs.
MOST_LINKS = 1000
# A process waits a few times as long at its end for a collector that does not answer. The default
# of OpenTelemetry, 10, would keep gunicorn for as long as it has to stop.
EXPORT_SECONDS = 3
# What Sentry's integrations collect: nothing of people's.
OFF = {"mode": "off"}
COLLECTED: Any = {
    "user_info": False,
    "cookies": OFF,
    "http_headers": {"request": OFF},
    "http_bodies": [],
    "url_query_params": OFF,
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
}

logger = logging.getLogger(__name__)


def start_tracing() -> None:
    """
    Send spans to where `OTEL_...` says; without the packages, warn that none are sent.

    What `opentelemetry-instrument` has set up before is used as it is.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        # Before there are handlers: Python itself writes the line to standard error.
        logger.warning(
            "Variables OTEL_... are set, but %s is not installed, so no spans are sent:"
            " pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
            error.name,
        )
        return
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", str(EXPORT_SECONDS))
        provider = TracerProvider(span_limits=SpanLimits(max_links=MOST_LINKS))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    tracing.use(trace.get_tracer("armo", __version__))


@contextmanager
def span_of(request: HttpRequest) -> "Iterator[Span | None]":
    """Make a span of the answer to a request, in the trace that its `traceparent` names."""
    tracer = tracing.tracer()
    if tracer is None:
        yield None
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, get_current_span

    if get_current_span().is_recording():
        yield get_current_span()  # by the instrumentation of Django, which a site may have added
        return
    carrier = {name.lower(): value for name, value in request.headers.items()}
    with tracer.start_as_current_span(
        str(request.method),
        context=extract(carrier),
        kind=SpanKind.SERVER,
        attributes={"armo.request_id": tracing.request_id()},
    ) as span:
        yield span


def describe(span: "Span | None", request: HttpRequest, response: HttpResponseBase) -> None:
    """Give the span of a request its name and its facts, by the conventions for HTTP."""
    if span is None:
        return
    from opentelemetry.trace import StatusCode

    route = request.resolver_match.route if request.resolver_match else ""
    span.update_name(f"{request.method} {route}".strip())
    span.set_attributes(
        {
            "http.request.method": str(request.method),
            "http.route": route,
            "url.path": without_secrets(request.path),
            "http.response.status_code": response.status_code,
        }
    )
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def start_sentry(dsn: str) -> None:
    """
    Report errors to Sentry, or to whatever speaks its protocol.

    :param dsn: where to; SENTRY_ENVIRONMENT and its other variables count too.
    :raises ImproperlyConfigured: the package is not installed, or the address is none.
    """
    try:
        import sentry_sdk
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.utils import BadDsn, Dsn
    except ImportError as error:
        raise ImproperlyConfigured(
            "SENTRY_DSN is set, but its package is not installed: pip install sentry-sdk"
        ) from error
    try:
        Dsn(dsn)
    except (BadDsn, ValueError):  # ValueError: of its port
        must = "an address such as https://key@sentry.example.org/1"
        raise environment.refusal("SENTRY_DSN", must) from None
    sentry_sdk.init(
        dsn,
        release=f"armo@{__version__}",
        # Nothing of people's: neither accounts and addresses nor what they write.
        data_collection=COLLECTED,
        include_local_variables=False,
        max_request_body_size="never",
        # No lines of the log before an error: they name accounts and addresses.
        integrations=[LoggingIntegration(level=None)],
        before_send=_without_people,
    )


def _without_people(event: Any, hint: Any) -> Any:
    """Return what is sent of an error."""
    request = event.pop("request", {})
    event.pop("user", None)
    event.get("extra", {}).pop("sys.argv", None)  # such as the reason given to a command
    event["request"] = {name: request[name] for name in ("method", "url") if name in request}
    if request_id := tracing.request_id():
        event["tags"] = {**event.get("tags", {}), "request_id": request_id}
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets_in_text(value)
    if isinstance(value, dict):
        return {key: _cleaned(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_cleaned(it) for it in value]
    return value
