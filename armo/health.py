"""
Routes that monitors ask.

They answer within seconds, unless the database's host accepts connections and then does not answer.
They need no login, and give away nothing secret: no titles, no hosts.
"""

from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from scheduling.queries import health

UNREACHABLE = "The database cannot be reached."


class AnyHostMiddleware:
    """
    Answers monitors whatever the Host header: load balancers ask by a host's bare address.

    It comes before all middleware that asks for the host, which is refused unless it is allowed.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Have these routes see a host that is allowed."""
        if request.path_info.startswith("/health/") or request.path_info == "/metrics":
            named = (host.removeprefix(".") for host in settings.ALLOWED_HOSTS if "*" not in host)
            request.META["HTTP_HOST"] = next(named, "localhost")
        return self.get_response(request)


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 while this web process can answer at all, and check nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 while requests can be served: the database is there, and migrated."""
    try:
        if not health.database().ok:
            return _answer([UNREACHABLE])
        return _answer([] if _Migrated.is_known or _is_migrated() else ["It is not migrated."])
    except (DatabaseError, InterfaceError):
        return _answer([UNREACHABLE])


@never_cache
@require_safe
def publisher(request: HttpRequest) -> JsonResponse:
    """
    Answer 200 while a worker is connected, the queue moves, and no job is stuck.

    An overdue job that is being retried is no fault of the publisher. Nor is a pause, until a job
    is stuck because of it: then it is the reason.
    """
    try:
        state = health.publisher()
    except (DatabaseError, InterfaceError):
        return _answer([UNREACHABLE])
    return _answer(
        state.problems(),
        worker_connections=state.connections,
        seconds_since_beat=state.seconds_since_beat,
        oldest_overdue_seconds=state.overdue_seconds,
        oldest_stuck_seconds=state.stuck_seconds,
        paused_since=state.paused and state.paused.paused_at,
    )


class _Migrated:
    """Remembers that the database was found migrated: the code of a process does not change."""

    is_known = False


def _is_migrated() -> bool:
    _Migrated.is_known = health.migrations().ok
    return _Migrated.is_known


def _answer(reasons: Sequence[str], **facts: object) -> JsonResponse:
    status = "unavailable" if reasons else "ok"
    body = {"status": status, "reasons": list(reasons), **facts}
    return JsonResponse(body, status=503 if reasons else 200)
