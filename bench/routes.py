"""The API's routes with a million stories: requests a second, and how long each takes."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from queue import Empty, SimpleQueue
from threading import Barrier, Thread
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from django.contrib.auth.models import User
from knox.models import AuthToken

from armo.common.api.pages import Cursor
from bench import stage
from bench.run import Run
from content.generate import generate, vocabulary
from content.models import Category, Story
from scheduling.models import clock
from tests.process.server import execute
from tests.process.web import Web, serving

API = "/api/v1"
CONNECTIONS = 4
NO_LIMITS = {f"THROTTLE_{name}": "off" for name in ("LOGIN", "ANONYMOUS", "USER", "BULK")}


class Ask(NamedTuple):
    """One request."""

    path: str
    method: str = "GET"
    body: str | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 (read only)


def routes(run: Run) -> None:
    """The API with many stories: lists, details, 304 and schedules, as readers and programs ask."""
    stories = run.size(1_000_000, quick=5_000)
    stage.empty(with_words=True)
    began = time.monotonic()
    for _ in generate(stories=stories, scheduled=stories // 5):
        pass
    execute("VACUUM ANALYZE")
    run.add("routes", "making the stories", time.monotonic() - began, "s", note=f"{stories:,}")
    with serving(run.folder / "web.log", ALLOWED_HOSTS="127.0.0.1", **NO_LIMITS) as web:
        for what, status, asks in _workloads(web):
            _measure(run, web, what, status, asks)


def _workloads(web: Web) -> Iterator[tuple[str, int, Iterator[Ask]]]:
    """Return the requests, each with the status that is expected."""
    user = User.objects.create(username=f"bench-{User.objects.count()}", is_superuser=True)
    _, secret = AuthToken.objects.create(user=user)
    program = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    live = Story.objects.filter(status="published").order_by("-published_at", "-pk")
    some = list(live.values_list("pk", flat=True)[:5000:50])
    deep = live[live.count() * 9 // 10]
    cursor = Cursor("-published_at", is_backward=False, key=deep.published_at, pk=deep.pk).encode()
    category = quote(Category.objects.earliest("pk").name)
    words = [quote(vocabulary()[place]) for place in (10, 1000, 10_000)]
    etag = _once(web, Ask(f"{API}/stories/{some[0]}/")).headers["ETag"]

    def again(*asks: Ask) -> Iterator[Ask]:
        return (asks[n % len(asks)] for n in count())

    details = [Ask(f"{API}/stories/{pk}/") for pk in some]
    yield "public list", 200, again(Ask(f"{API}/stories/"))
    yield "public detail", 200, again(*details)
    yield "304", 304, again(Ask(details[0].path, headers={"If-None-Match": etag}))
    yield "deep page", 200, again(Ask(f"{API}/stories/?cursor={cursor}"))
    yield "filtered page", 200, again(Ask(f"{API}/stories/?category={category}"))
    yield "search", 200, again(*(Ask(f"{API}/stories/?search={word}") for word in words))
    yield "job list", 200, again(Ask(f"{API}/jobs/", headers=program))
    yield "overdue jobs", 200, again(Ask(f"{API}/jobs/?overdue=true", headers=program))
    at = (clock.database_now() + timedelta(days=1)).isoformat()
    drafts = Story.objects.filter(status="draft").values_list("pk", flat=True)[:20_000]
    data = json.dumps({"publish_at": at})
    yield (
        "schedule",
        200,
        (Ask(f"{API}/stories/{pk}/schedule/", "POST", data, program) for pk in drafts),
    )


def _once(web: Web, ask: Ask) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=60)
    connection.request(ask.method, ask.path, ask.body, ask.headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def _measure(run: Run, web: Web, what: str, status: int, asks: Iterator[Ask]) -> None:
    """Send requests over several connections at once for a while."""
    seconds = run.size(10, quick=1)
    waiting: SimpleQueue[Ask] = SimpleQueue()
    for _ in range(seconds * 1000):
        ask = next(asks, None)
        if ask is None:
            break
        waiting.put(ask)
    barrier = Barrier(CONNECTIONS + 1)
    taken: list[float] = []
    wrong: list[int] = []
    deadline = [0.0]

    def work() -> None:
        connection = http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=60)
        connection.connect()
        barrier.wait()
        while time.perf_counter() < deadline[0]:
            try:
                ask = waiting.get_nowait()
            except Empty:
                break
            began = time.perf_counter()
            connection.request(ask.method, ask.path, ask.body, ask.headers)
            response = connection.getresponse()
            response.read()
            taken.append(1000 * (time.perf_counter() - began))
            if response.status != status:
                wrong.append(response.status)
        connection.close()

    with _threads(work):
        began = time.perf_counter()
        deadline[0] = began + seconds
        barrier.wait()
    spent = time.perf_counter() - began
    if wrong:
        raise SystemExit(f"{what}: {len(wrong)} answers of {wrong[0]}.")
    taken.sort()
    p50, p99 = stage.part(taken, 0.5), stage.part(taken, 0.99)
    run.add("routes", what, len(taken) / spent, "/s", note=f"p50 {p50:.1f}, p99 {p99:.1f} ms")


@contextmanager
def _threads(work: Callable[[], None]) -> Iterator[None]:
    threads = [Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
