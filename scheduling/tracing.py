"""
What a request is followed by, up to the publish that it asks for: its id, and spans.

Middleware of the site sets the id. Where nobody does, as in a command, it is empty. There are spans
once the site has called `use` with a tracer of OpenTelemetry, which is not needed otherwise.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar
from uuid import uuid4

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, Tracer

P = ParamSpec("P")
Returned = TypeVar("Returned")

# Visible ASCII: it stands in log lines, in headers and on terminals.
SANE = re.compile(r"[!-~]{1,128}")

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Return the id of the present request, or of the one that the running job was asked for by."""
    return _request_id.get()


def new_request_id() -> str:
    """Return an id for a request that has brought none that can be taken: 32 hex digits."""
    return uuid4().hex


@contextmanager
def of_request(id: str) -> Iterator[None]:
    """
    Work for the request with that id within the block.

    :param id: as `SANE`, or empty.
    """
    token = _request_id.set(id)
    try:
        yield
    finally:
        _request_id.reset(token)


class RequestIdFilter(logging.Filter):
    """Gives each log record the id of the present request, as `request_id`; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id where there is one, and the record has none of its own."""
        if (id := _request_id.get()) and not hasattr(record, "request_id"):
            record.request_id = id
        return True


class _Used:
    tracer: ClassVar["Tracer | None"] = None


_NOTHING: AbstractContextManager[None] = nullcontext()
# https://www.w3.org/TR/trace-context/#traceparent-header
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def use(tracer: "Tracer | None") -> None:
    """Make spans with that tracer from now on; None: make no more."""
    _Used.tracer = tracer


def tracer() -> "Tracer | None":
    """Return the tracer that spans are made with; None if there are none."""
    return _Used.tracer


def span(
    name: str, *, links: Iterable[str] = (), **attributes: str | int
) -> "AbstractContextManager[Span | None]":
    """
    Return a context manager that makes a span of its block.

    :param links: of what has asked for it, as `traceparent` returned; empty ones are left out.
    """
    if _Used.tracer is None:
        return _NOTHING
    return _Used.tracer.start_as_current_span(
        name, links=_links(links), attributes=_named(attributes)
    )


def note_span(
    name: str, began_ns: int, *, links: Iterable[str] = (), **attributes: str | int
) -> None:
    """
    Make a span of what has just ended.

    :param began_ns: of `time.time_ns()`.
    """
    if _Used.tracer is not None:
        _Used.tracer.start_span(
            name, start_time=began_ns, links=_links(links), attributes=_named(attributes)
        ).end()


def traced(operation: Callable[P, Returned]) -> Callable[P, Returned]:
    """Make a span of each call of an operation."""

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> Returned:
        with span(operation.__name__):
            return operation(*args, **kwargs)

    return run


def traceparent() -> str:
    """Return where the present span is, in the form of W3C Trace Context; empty without one."""
    if _Used.tracer is None:
        return ""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _links(traceparents: Iterable[str]) -> "list[Link]":
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    def link(trace_id: str, span_id: str, flags: str) -> Link:
        numbers = int(trace_id, 16), int(span_id, 16)
        return Link(SpanContext(*numbers, is_remote=True, trace_flags=TraceFlags(int(flags, 16))))

    # In their order, each once.
    found = filter(None, map(TRACEPARENT.fullmatch, dict.fromkeys(traceparents)))
    return [link(*it.groups()) for it in found]


def _named(attributes: dict[str, str | int]) -> dict[str, str | int]:
    named = {f"armo.{name}": value for name, value in attributes.items()}
    if request := _request_id.get():
        named["armo.request_id"] = request
    return named
