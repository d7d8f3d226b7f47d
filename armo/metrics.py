"""
`/metrics`, for Prometheus: how long requests took here, and what the database knows.

Requests are counted by each web process. Several of one server count in files that they share
(PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py sets), so that any of them answers for all.
"""

import logging
import os
import struct
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPMethod
from time import perf_counter

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from scheduling.queries.metrics import DatabaseCollector

logger = logging.getLogger(__name__)

# Few, as each route has all of them.
BUCKETS_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
# Of files, and of addresses that lead nowhere.
NO_ROUTE = "none"

# When counting began, of each series; several processes do not know it either.
disable_created_metrics()
durations = Histogram(
    "armo_http_request_duration_seconds",
    "From the request until its answer began, by route.",
    ["method", "route", "status"],
    buckets=BUCKETS_SECONDS,
    registry=None,
)


class DurationMiddleware:
    """Counts each request with its duration; it comes before all other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        began = perf_counter()
        answer = self.get_response(request)
        seconds = perf_counter() - began
        method = request.method if request.method in HTTPMethod.__members__ else "other"
        try:
            durations.labels(method, _route(request), answer.status_code).observe(seconds)
        except OSError as error:  # of the shared files, such as a full disk
            logger.warning("A request could not be counted: %s", error)
        return answer


def _route(request: HttpRequest) -> str:
    """Return the pattern of the address: the address itself may be secret, and has no end."""
    match = request.resolver_match
    return _readable(match.route) if match else NO_ROUTE


@cache  # the project's patterns
def _readable(route: str) -> str:
    return str(simplify_regex(route))


class RequestCollector(Collector):
    """Collects what all web processes of this server have counted."""

    def collect(self) -> Iterator[Metric]:
        """Read it; nothing if it cannot be read."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            yield from durations.collect()
            return
        for _ in range(3):
            try:
                yield from list(MultiProcessCollector(None).collect())
            except FileNotFoundError:
                continue  # a process has ended meanwhile, and its file with it
            except (OSError, ValueError, RuntimeError, struct.error) as error:
                # The folder was removed, or a file was never written whole. What the database
                # knows is answered all the same.
                logger.warning("The counts of requests could not be read: %s", error)
            return


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all metrics to whoever has METRICS_TOKEN; in development to everyone."""
    if not settings.METRICS_TOKEN and not settings.DEBUG:
        raise Http404
    if settings.METRICS_TOKEN and not _has_token(request):
        answer = HttpResponse("A bearer token is needed: METRICS_TOKEN.\n", "text/plain", 401)
        answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return answer
    registry = CollectorRegistry()
    registry.register(RequestCollector())
    registry.register(DatabaseCollector())
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except TypeError:  # a version that is none
        encode, content_type = choose_encoder("")
    return HttpResponse(encode(registry), content_type)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and constant_time_compare(
        token.strip(), settings.METRICS_TOKEN
    )
