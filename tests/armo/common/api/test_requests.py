"""What every route reads of a request alike: `Accept`, parameters, how the body is encoded."""

import gzip
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse
from knox.models import AuthToken

from armo.common.api.docs import document
from armo.common.api.fields import is_blank
from content.models import Story
from scheduling import operations
from scheduling.models import VISIBLE, Job
from tests.api_clients import API, client_of, superuser
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory

JSON, PROBLEM = "application/json", "application/problem+json"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]


def routes() -> Iterator[tuple[str, str]]:
    """Return the method and the path of every route, also of those that are not in the document."""
    for path, operations_ in document()["paths"].items():
        for method in operations_:
            yield method, path
    for path in ("", "schema/", "problems/"):
        yield "get", f"{API}/{path}"


@pytest.fixture
def client() -> Any:
    return client_of(superuser())


def ask(client: Any, method: str, path: str, **headers: str) -> Any:
    return getattr(client, method)(path, {}, format="json", **headers)


class TestEveryRoute:
    @pytest.mark.parametrize("query", ["nonsense=1", "nonsense", "utm_source=x", "format=json"])
    def test_refuses_a_parameter_that_it_does_not_know(self, client: Any, query: str) -> None:
        name = query.partition("=")[0]
        item, job = (
            StoryFactory().pk,
            operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None),
        )
        NoticeFactory(pk=item)

        for method, path in [
            *routes(),
            ("options", f"{API}/stories/"),
            ("head", f"{API}/stories/"),
        ]:
            pk = job.pk if "/jobs/" in path else item
            filled = path.replace("{id}", str(pk)).replace("{key}", "x")
            sent = {"QUERY_STRING": query} if method == "get" else {}
            url = filled if sent else f"{filled}?{query}"
            answer = ask(client, method, url, **sent)
            assert answer.status_code == 400, (method, path)
            if method != "head":
                assert [it["field"] for it in answer.json()["errors"]] == [name], (method, path)
        assert Job.objects.get() == job
        assert Story.objects.count() == 2

    def test_names_the_parameter_that_is_nearest(self, client: Any) -> None:
        answer = client.get(f"{API}/stories/?tagg=x")

        assert "Did you mean “tag”?" in answer.json()["errors"][0]["detail"]

    def test_of_a_rerun_takes_no_filter_from_the_address(self, client: Any) -> None:
        answer = client.post(f"{API}/jobs/rerun/?item=story:145&dry_run=true", {}, format="json")

        assert answer.status_code == 400
        assert {it["field"] for it in answer.json()["errors"]} == {"item", "dry_run"}

    def test_that_is_not_there_is_not_found_whatever_its_parameters(self, client: Any) -> None:
        assert client.get(f"{API}/nowhere/?x=1").status_code == 404

    def test_that_is_a_page_for_people_takes_the_parameters_of_links(self, client: Any) -> None:
        for path in ("/", "/feeds/stories/", "/feeds/stories/atom/", f"{API}/docs/"):
            assert client.get(f"{path}?utm_source=letter&fbclid=x").status_code == 200


BLANKS = [
    "",
    "%20",
    "%09",
    "%00",
    "%F3%A0%84%80",
    "%C2%A0",
    "%E2%80%8B",
    "%EF%BB%BF",
    "%E3%85%A4",
    "+%E2%81%A0+",
]


class TestTheRoot:
    def test_lists_the_routes_that_need_no_id(self) -> None:
        index = client_of().get(f"{API}/").json()

        assert {"stories", "notices", "jobs", "auth/login", "calendar", "schema"} <= set(index)
        assert not any(set(address) & set("{(<^") for address in index.values())
        for name, address in index.items():
            answer = client_of().get(address)
            assert answer.status_code not in (404, 308), name

    def test_is_found_without_its_slash(self) -> None:
        answer = client_of().get("/api/v1")

        assert (answer.status_code, answer["Location"]) == (308, "/api/v1/")


class TestAFilter:
    @pytest.mark.parametrize("blank", BLANKS)
    def test_that_is_blank_is_refused(self, client: Any, blank: str) -> None:
        lists = {
            path: [it["name"] for it in found["get"]["parameters"] if it["in"] == "query"]
            for path, found in document()["paths"].items()
            if "get" in found and path.count("/") == 4
        }
        for path, names in lists.items():
            for name in names:
                refused = client.get(f"{path}?{name}={blank}")
                assert refused.status_code == 400, (path, name)
                assert refused.json()["errors"][0]["field"] == name
        assert sum(map(len, lists.values())) > 20

    @pytest.mark.parametrize(
        "query",
        ["status=,", "tag=a%00b", "search=%FF", "search=a%C3", "tag=%ED%A0%80", "cursor=%FF"],
    )
    def test_that_is_no_text_or_value_is_refused(self, client: Any, query: str) -> None:
        refused = client.get(f"{API}/stories/?{query}")

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == query.partition("=")[0]

    def test_that_comes_twice_is_refused(self, client: Any) -> None:
        assert client.get(f"{API}/stories/?tag=a&tag=b").status_code == 400

    def test_is_compared_without_blanks_around_it(self, client: Any) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)

        found = client.get(f"{API}/jobs/?item=%20{job.item_label}%20").json()["results"]

        assert [it["id"] for it in found] == [job.pk]


class TestABlankText:
    def test_is_at_least_what_the_engine_takes_for_blank(self) -> None:
        signs = map(chr, range(sys.maxunicode + 1))
        blank = [sign for sign in signs if not re.search(VISIBLE, sign)]

        assert all(map(is_blank, blank))
        assert len(blank) > 100

    @pytest.mark.parametrize(
        "text", ["a", "가", ",", " \u200bx", "\ue000", "\U0001fae9", "\x00.\x00"]
    )
    def test_shows_nothing(self, text: str) -> None:
        assert not is_blank(text)


class TestAnAccept:
    @pytest.mark.parametrize(
        "accept",
        [
            *(JSON, "application/*", "*/*", "text/html, */*;q=0.8", f"{JSON};q=0.9"),
            *(f"{JSON}; charset=utf-8", f"text/html, {JSON};q=0.1", f"{PROBLEM}, {JSON}"),
            *("", " ", "nonsense", ",;q=x", ";", "json"),
        ],
    )
    def test_that_allows_json_or_asks_for_nothing_gets_json(self, client: Any, accept: str) -> None:
        answer = client.get(f"{API}/stories/", HTTP_ACCEPT=accept)

        assert (answer.status_code, answer["Content-Type"]) == (200, JSON)

    @pytest.mark.parametrize("accept", ["text/html", PROBLEM, "image/*", f"{JSON};q=0"])
    def test_that_allows_no_json_is_refused_with_a_problem(self, client: Any, accept: str) -> None:
        story = StoryFactory(body="")
        for answer in (
            client.get(f"{API}/stories/", HTTP_ACCEPT=accept),
            client.post(f"{API}/stories/", {"title": "t"}, format="json", HTTP_ACCEPT=accept),
            client.patch(
                f"{API}/stories/{story.pk}/", {"title": "u"}, format="json", HTTP_ACCEPT=accept
            ),
        ):
            assert (answer.status_code, answer["Content-Type"]) == (406, PROBLEM)
            assert answer.json()["code"] == "not_acceptable"
        assert [it.title for it in Story.objects.all()] == [story.title]

    @pytest.mark.parametrize("accept", [PROBLEM, "text/html", "nonsense", f"{JSON};q=0"])
    def test_says_nothing_of_an_answer_without_a_body(self, client: Any, accept: str) -> None:
        path = f"{API}/stories/{StoryFactory().pk}/"
        etag = client.get(path)["ETag"]
        _token, secret = AuthToken.objects.create(user=superuser())
        bearer: Any = client_of()
        bearer.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")

        answers = [
            client.get(path, HTTP_IF_NONE_MATCH=etag, HTTP_ACCEPT=accept),
            client.options(path, HTTP_ACCEPT=accept),
            client.delete(path, HTTP_ACCEPT=accept),
            client.delete(f"{API}/calendar/", HTTP_ACCEPT=accept),
            client.delete(f"{API}/auth/tokens/", HTTP_ACCEPT=accept),
            bearer.post(f"{API}/auth/logout/", HTTP_ACCEPT=accept),
        ]

        assert [it.status_code for it in answers] == [304, 204, 204, 204, 204, 204]
        assert not AuthToken.objects.exists()

    @pytest.mark.parametrize("accept", [PROBLEM, "text/html", "nonsense"])
    def test_says_nothing_of_a_problem(self, client: Any, accept: str) -> None:
        story = StoryFactory(body="")
        answers = [
            (400, client.get(f"{API}/stories/?x=1", HTTP_ACCEPT=accept)),
            (400, client.post(f"{API}/stories/", {"x": 1}, format="json", HTTP_ACCEPT=accept)),
            (401, client_of().get(f"{API}/jobs/", HTTP_ACCEPT=accept)),
            (404, client.get(f"{API}/stories/999/", HTTP_ACCEPT=accept)),
            (404, client.get(f"{API}/nowhere/", HTTP_ACCEPT=accept)),
            (405, client.put(f"{API}/stories/", HTTP_ACCEPT=accept)),
            (409, client.post(f"{API}/stories/{story.pk}/publish/", HTTP_ACCEPT=accept)),
        ]

        for status, answer in answers:
            assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM)

    def test_chooses_how_the_document_is_written(self) -> None:
        written = {
            accept: client_of().get(reverse("schema"), HTTP_ACCEPT=accept)["Content-Type"]
            for accept in (JSON, "*/*", f"application/vnd.oai.openapi;q=0.5, {JSON}")
        }

        assert [it.partition(";")[0] for it in written.values()] == [
            *(JSON, "application/vnd.oai.openapi", JSON)
        ]


class TestACompressedBody:
    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "gzip, identity"])
    @pytest.mark.parametrize("method", ["post", "patch"])
    def test_is_refused_and_named(self, client: Any, method: str, encoding: str) -> None:
        path = f"{API}/stories/" + (f"{StoryFactory().pk}/" if method == "patch" else "")
        body = gzip.compress(b'{"title": "t"}')

        refused = client.generic(method.upper(), path, body, JSON, HTTP_CONTENT_ENCODING=encoding)

        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (415, "unsupported_media_type")
        assert "Content-Encoding" in problem["detail"]
        assert refused["Accept-Encoding"] == "identity"

    def test_that_is_not_compressed_is_read(self, client: Any) -> None:
        made = client.post(
            f"{API}/stories/", {"title": "t"}, format="json", HTTP_CONTENT_ENCODING="identity"
        )

        assert made.status_code == 201
