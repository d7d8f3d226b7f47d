"""One line for each request: who asked for what, from where, and what came of it, how fast."""

import logging
from collections.abc import Callable
from time import perf_counter
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from armo import telemetry
from armo.common.clients import address_of
from armo.common.logging import without_secrets
from scheduling import tracing

HEADER = "X-Request-ID"
# What machines ask every few seconds. The state itself is for the monitor to report.
PROBES = ("/health/", "/metrics")

logger = logging.getLogger("armo.access")


class AccessLogMiddleware:
    """
    Gives each request an id, answers with it, and logs the request.

    It comes before all other middleware, as they answer, too. The id is the one in `X-Request-ID`,
    if that is short and printable: a proxy has set it, or a program that wants to find its request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        began = perf_counter()
        given = request.headers.get(HEADER, "")
        id = given if tracing.SANE.fullmatch(given) else tracing.new_request_id()
        with tracing.of_request(id), telemetry.span_of(request) as span:
            response = self.get_response(request)
            response.headers[HEADER] = id
            telemetry.describe(span, request, response)
            _log(request, id, response.status_code, (perf_counter() - began) * 1000)
        return response


def _log(request: HttpRequest, id: str, status: int, duration_ms: float) -> None:
    is_routine = request.path_info.startswith((*PROBES, settings.STATIC_URL))
    level = logging.DEBUG if is_routine else logging.INFO
    if not logger.isEnabledFor(level):
        return
    # Without the query: it may have anything in it, such as what somebody looks for.
    path = _one_word(without_secrets(request.path))
    user, address = _user_of(request), str(address_of(request) or "")
    logger.log(
        level,
        "%s %s %d in %.1f ms for %s from %s, request %s",
        *(request.method, path, status, duration_ms, user or "nobody", address or "unknown", id),
        extra={
            "request_id": id,
            "method": request.method,
            "path": path,
            "route": request.resolver_match.route if request.resolver_match else "",
            "status": status,
            "duration_ms": round(duration_ms, 1),
            "user": user,
            "address": address,
        },
    )


def _one_word(path: str) -> str:
    """Return a path with its blanks and controls as they came: what follows it is the log's."""
    if path.isprintable() and " " not in path:
        return path
    return "".join(it if it.isprintable() and it != " " else quote(it) for it in path)


def _user_of(request: HttpRequest) -> str:
    """Return the name of the account; empty if there is none, or nothing has looked for it."""
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        # Not evaluated for this line: that may take two queries.
        user = getattr(request, "_cached_user", None)
    return user.get_username() if user is not None and user.is_authenticated else ""
