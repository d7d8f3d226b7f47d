"""The query plans of pages of long lists: each reads an index, whatever the length."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from armo.common.api.pages import Cursor
from content import search
from content.generate import generate, vocabulary
from content.models import Category, Story, Tag
from scheduling.models import Job
from tests.api_clients import API, client_of, superuser

STORIES, SCHEDULED = 24_000, 4_000
LONG = ("content_story", "content_storysearch", "scheduling_job", "scheduling_jobevent")
PAGE = 50

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.usefixtures("_many", "unthrottled"),
]


@pytest.fixture(scope="module")
def _many(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Make them once for all tests here, and take them back."""
    with django_db_blocker.unblock():
        try:
            with transaction.atomic():
                for _ in generate(stories=STORIES, scheduled=SCHEDULED):
                    pass
                with connection.cursor() as cursor:
                    # Now, not at the end of each test.
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
                yield
                transaction.set_rollback(True)
        finally:
            connection.close()


class Scan(NamedTuple):
    """How one table was read."""

    table: str
    by: str | None
    rows: float


def scans(plan: dict[str, Any]) -> Iterator[Scan]:
    """Return each reading of a long table, with the rows that a filter removed."""
    if plan.get("Relation Name") in LONG:
        removed = sum(plan.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        rows = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
        # A bitmap's index is read by the node below.
        index = plan.get("Index Name") or next(
            (below.get("Index Name") for below in plan.get("Plans", ())), None
        )
        yield Scan(plan["Relation Name"], index, rows)
    for below in plan.get("Plans", ()):
        yield from scans(below)


@pytest.fixture
def scans_of() -> Callable[[Callable[[], Any]], list[Scan]]:
    """Return how the long tables are read for a request."""

    def read(ask: Callable[[], Any]) -> list[Scan]:
        found: list[Scan] = []

        def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("SELECT"):
                with connection.cursor() as cursor:
                    cursor.cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}", params)
                    [[[report]]] = cursor.cursor.fetchall()
                report = json.loads(report) if isinstance(report, str) else report
                found.extend(scans(report["Plan"]))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(explained):
            response = ask()
        assert response.status_code == 200, response.content
        return found

    return read


Read = Callable[[Callable[[], Any]], list[Scan]]


def assert_few(found: list[Scan], most: int = 12 * PAGE) -> None:
    assert found
    for scan in found:
        assert scan.by, scan
        assert scan.rows <= most, scan


class TestAPageOfStories:
    @pytest.mark.parametrize("who", ["nobody", "everyone"])
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "ordering=id",
            "ordering=published_at",
            "ordering=-published_at",
            "ordering=publish_at",
            "ordering=-publish_at",
            "status=published",
            "published_before=2024-01-01T00:00:00Z",
            "published_after=2020-01-01T00:00:00Z&ordering=published_at",
        ],
    )
    def test_is_read_from_an_index(self, scans_of: Read, who: str, query: str) -> None:
        client = client_of(superuser() if who == "everyone" else None)

        assert_few(scans_of(lambda: client.get(f"{API}/stories/?{query}")))

    @pytest.mark.parametrize("status", ["scheduled", "failed", "unpublished"])
    def test_is_read_from_an_index_by_status(self, scans_of: Read, status: str) -> None:
        client = client_of(superuser())

        assert_few(scans_of(lambda: client.get(f"{API}/stories/?status={status}")))

    @pytest.mark.parametrize("ordering", ["id", "-published_at", "publish_at"])
    def test_is_as_quick_deep_down(self, scans_of: Read, ordering: str) -> None:
        client = client_of(superuser())
        rows = Story.objects.filter(status="published").order_by(ordering, "pk")
        row = rows[15_000]
        key = None if ordering == "id" else getattr(row, ordering.removeprefix("-"))
        cursor = Cursor(ordering, is_backward=False, key=key, pk=row.pk).encode()
        url = f"{API}/stories/?ordering={ordering}&status=published&cursor={cursor}"

        assert_few(scans_of(lambda: client.get(url)))

    def test_is_read_from_an_index_by_category(self, scans_of: Read) -> None:
        name = Category.objects.order_by("pk")[0].name

        assert_few(scans_of(lambda: client_of().get(f"{API}/stories/", {"category": name})))

    def test_is_read_from_an_index_by_tag(self, scans_of: Read) -> None:
        name = Tag.objects.order_by("pk")[0].name

        assert_few(scans_of(lambda: client_of().get(f"{API}/stories/", {"tag": name})), 1000)

    def test_is_read_from_an_index_by_author(self, scans_of: Read) -> None:
        client = client_of(superuser())

        assert_few(scans_of(lambda: client.get(f"{API}/stories/?author=generated-1")))

    @pytest.mark.parametrize("place", [0, 40, 4_000, 18_000])
    @pytest.mark.parametrize("who", ["nobody", "everyone"])
    def test_is_read_from_an_index_by_its_words(
        self, scans_of: Read, monkeypatch: pytest.MonkeyPatch, who: str, place: int
    ) -> None:
        client = client_of(superuser() if who == "everyone" else None)
        word = vocabulary()[place]

        monkeypatch.setattr(search, "FEW", 300)  # as few of these as 8,000 are of a million

        found = scans_of(lambda: client.get(f"{API}/stories/", {"search": word}))

        assert_few(found, 2_000)


class TestAPageOfJobs:
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "state=waiting",
            "overdue=true",
            "ordering=run_at",
            "ordering=-run_at",
            "kind=publish",
            "run_at_after=2020-01-01T00:00:00Z&ordering=run_at",
        ],
    )
    def test_is_read_from_an_index(self, scans_of: Read, query: str) -> None:
        client = client_of(superuser())

        assert_few(scans_of(lambda: client.get(f"{API}/jobs/?{query}")))

    def test_is_read_from_an_index_by_item(self, scans_of: Read) -> None:
        client = client_of(superuser())
        label = Job.objects.latest("pk").item_label

        assert_few(scans_of(lambda: client.get(f"{API}/jobs/?item={label}")))


def test_there_are_as_many_as_were_asked_for() -> None:
    assert Story.objects.count() == STORIES
    assert Job.objects.open().count() == SCHEDULED
