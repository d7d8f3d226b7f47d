"""Pages of lists, walked forwards and backwards."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from armo.common.api import pages
from content.models import Category, Story, Tag
from scheduling import operations
from scheduling.models import Job
from tests.api_clients import API, client_of, person, stories_at, superuser
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]

HOUR = timedelta(hours=1)
ORDERINGS = [f"{sign}{name}" for name in ("id", "publish_at", "published_at") for sign in ("", "-")]


@pytest.fixture
def client() -> Any:
    return client_of(superuser())


def walk(client: Any, url: str, way: str = "next") -> Iterator[dict[str, Any]]:
    """Return each page there is that way."""
    following: str | None = url
    while following:
        page = client.get(following).json()
        yield page
        following = page[way]


def ids_of(page: dict[str, Any]) -> list[int]:
    return [row["id"] for row in page["results"]]


def ids(client: Any, url: str) -> list[int]:
    return [pk for page in walk(client, url) for pk in ids_of(page)]


def some_of_each() -> list[Story]:
    """Make rows that share their times, and rows without."""
    times = [LONG_AGO, None, LONG_AGO + HOUR, LONG_AGO, None, LONG_AGO, LONG_AGO - HOUR, None]
    made = stories_at([*times, *times])
    made += [StoryFactory(scheduled=True) for _ in range(3)]
    made += [StoryFactory(unpublished=True) for _ in range(3)]
    return [*made, StoryFactory(failed=True)]


def in_order(rows: list[Any], ordering: str) -> list[int]:
    """Sort as PostgreSQL does: no time is later than any."""
    name = ordering.removeprefix("-")

    def key(row: Any) -> Any:
        at = None if name == "id" else getattr(row, name)
        return (at is None, at or LONG_AGO) if name != "id" else (), row.pk

    return [row.pk for row in sorted(rows, key=key, reverse=ordering.startswith("-"))]


@pytest.mark.slow
class TestAWalk:
    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_meets_every_row_once_in_order(self, client: Any, ordering: str, size: int) -> None:
        rows = some_of_each()

        found = ids(client, f"{API}/stories/?ordering={ordering}&page_size={size}")

        assert found == in_order(rows, ordering)

    @pytest.mark.parametrize("size", [1, 2, 3])
    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_leads_back_the_same_way(self, client: Any, ordering: str, size: int) -> None:
        some_of_each()
        pages = list(walk(client, f"{API}/stories/?ordering={ordering}&page_size={size}"))
        last = client.get(pages[-2]["next"]).request["QUERY_STRING"]

        back = list(walk(client, f"{API}/stories/?{last}", "previous"))

        assert [pk for page in reversed(back) for pk in ids_of(page)] == [
            pk for page in pages for pk in ids_of(page)
        ]
        assert back[-1]["previous"] is None
        assert pages[0]["previous"] is None

    @pytest.mark.parametrize("role", ["nobody", "author", "editor"])
    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_meets_what_one_may_see(self, role: str, ordering: str) -> None:
        groups = {"author": "Authors", "editor": "Editors"}
        user = person(group=groups[role]) if role in groups else None
        rows = [*some_of_each(), *stories_at([LONG_AGO, None], author=user)]
        seen = {
            "nobody": [row for row in rows if row.status == "published"],
            "author": [row for row in rows if row.status == "published" or row.author == user],
            "editor": rows,
        }[role]

        found = ids(client_of(user), f"{API}/stories/?ordering={ordering}&page_size=2")

        assert found == in_order(seen, ordering)

    def test_keeps_its_filters(self, client: Any) -> None:
        some_of_each()

        found = ids(client, f"{API}/stories/?status=draft&page_size=2&search=제목")

        assert found == sorted(
            Story.objects.filter(status="draft").values_list("pk", flat=True), reverse=True
        )

    def test_is_not_shaken_by_rows_that_come_and_go(self, client: Any) -> None:
        rows = stories_at([LONG_AGO + n * HOUR for n in range(6)])
        pages = walk(client, f"{API}/stories/?ordering=-published_at&page_size=2")

        first = next(pages)
        stories_at([LONG_AGO + 10 * HOUR])
        Story.objects.filter(pk=rows[4].pk).delete()
        rest = [pk for page in pages for pk in ids_of(page)]

        assert ids_of(first) == [rows[5].pk, rows[4].pk]
        assert rest == [row.pk for row in reversed(rows[:4])]

    def test_loses_none_of_a_thousand_that_went_live_at_once(self) -> None:
        rows = stories_at([LONG_AGO] * 1100)

        found = ids(client_of(), f"{API}/stories/?page_size=300")

        assert found == [row.pk for row in reversed(rows)]

    @pytest.mark.parametrize("ordering", ["id", "-id", "run_at", "-run_at"])
    def test_meets_every_job(self, client: Any, ordering: str) -> None:
        for n in range(5):
            operations.schedule(item=StoryFactory(), run_at=FAR_OFF + n % 2 * HOUR, by=None)

        found = ids(client, f"{API}/jobs/?ordering={ordering}&page_size=2")

        name = ordering.removeprefix("-")
        rows = sorted(
            Job.objects.all(),
            key=lambda job: (getattr(job, name), job.pk),
            reverse=ordering.startswith("-"),
        )
        assert found == [row.pk for row in rows]


class TestAPage:
    def test_has_fifty_rows_unless_asked_for_others(self, client: Any) -> None:
        stories_at([None] * 51)

        assert len(client.get(f"{API}/stories/").json()["results"]) == 50
        assert len(client.get(f"{API}/stories/?page_size=51").json()["results"]) == 51

    def test_that_holds_all_has_no_neighbours(self, client: Any) -> None:
        stories_at([None] * 50)

        page = client.get(f"{API}/stories/").json()

        assert (page["next"], page["previous"]) == (None, None)

    def test_of_nothing_is_empty(self, client: Any) -> None:
        page = client.get(f"{API}/stories/").json()

        assert page == {"next": None, "previous": None, "results": []}

    def test_begins_with_the_newest(self, client: Any) -> None:
        old, new = stories_at([LONG_AGO, LONG_AGO - HOUR])

        assert ids_of(client_of().get(f"{API}/stories/").json()) == [old.pk, new.pk]
        assert ids_of(client.get(f"{API}/stories/").json()) == [new.pk, old.pk]
        assert ids_of(client.get(f"{API}/stories/?status=published").json()) == [old.pk, new.pk]

    @pytest.mark.parametrize("query", ["ordering=-published_at", "ordering=id"])
    def test_of_another_order_takes_no_cursor_of_this(self, client: Any, query: str) -> None:
        stories_at([LONG_AGO] * 3)
        url = client.get(f"{API}/stories/?ordering=publish_at&page_size=1").json()["next"]

        response = client.get(url.replace("ordering=publish_at", query))

        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == "cursor"

    @pytest.mark.parametrize("offset", ["+23:59", "-16:00", ""])
    def test_takes_no_cursor_that_it_has_not_made(self, client: Any, offset: str) -> None:
        place = ["-published_at", 0, f"2026-01-01T00:00:00{offset}", 5]
        cursor = urlsafe_b64encode(json.dumps(place).encode()).decode()

        response = client_of().get(f"{API}/stories/", {"cursor": cursor})

        assert response.status_code == 400

    def test_goes_on_where_it_was_whatever_moves_while_it_is_read(
        self, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = stories_at([LONG_AGO - n * HOUR for n in range(6)])
        read = pages.first_of_groups

        def read_and_move(*args: Any) -> Any:
            places = read(*args)
            if places:
                Story.objects.filter(pk=made[2].pk).update(publish_at=LONG_AGO - 9 * HOUR)
            return places

        monkeypatch.setattr(pages, "first_of_groups", read_and_move)
        first = client.get(f"{API}/stories/?ordering=-publish_at&page_size=3").json()
        second = client.get(first["next"]).json()

        assert ids_of(first) == [story.pk for story in made[:3]]
        assert ids_of(second)[:2] == [story.pk for story in made[3:5]]


def tagged(number: int) -> None:
    """Make stories with as many categories and tags each, and jobs with as many events."""
    words = [Category.objects.create(name=f"c{n}") for n in range(number)]
    tags = [Tag.objects.create(name=f"t{n}") for n in range(number)]
    for _ in range(number):
        story = StoryFactory(published=True, author=person())
        story.categories.set(words)
        story.tags.set(tags)
        NoticeFactory(published=True, author=person())
        waiting = StoryFactory()
        for n in range(number):
            operations.schedule(item=waiting, run_at=FAR_OFF + n * HOUR, by=None)


@pytest.mark.slow
class TestTheNumberOfQueries:
    @pytest.fixture
    def queries(self) -> Callable[[User | None], dict[str, int]]:
        def counted(user: User | None) -> dict[str, int]:
            found = {}
            client = client_of(user)
            live = Story.objects.filter(status="published")
            paths = {
                "stories": "stories/",
                "their order": "stories/?ordering=published_at",
                "a search": "stories/?search=제목",
                "a story": f"stories/{live.earliest('pk').pk}/",
                "notices": "notices/",
            }
            if user:
                paths |= {
                    "jobs": "jobs/",
                    "a job": f"jobs/{Job.objects.earliest('pk').pk}/",
                    "tokens": "auth/tokens/",
                }
            for name, path in paths.items():
                with CaptureQueriesContext(connection) as context:
                    assert client.get(f"{API}/{path}").status_code == 200
                found[name] = len(context)
            return found

        return counted

    @pytest.mark.parametrize("role", ["nobody", "operator", "editor"])
    def test_does_not_grow(
        self, queries: Callable[[User | None], dict[str, int]], role: str
    ) -> None:
        groups = {"operator": "Operators", "editor": "Editors"}
        user = person(group=groups[role]) if role in groups else None
        tagged(2)
        queries(user)  # what a process asks for once: the types of content
        few = queries(user)

        Category.objects.all().delete()
        Tag.objects.all().delete()
        tagged(15)

        assert queries(user) == few
        assert max(few.values()) <= 9, few
