"""Errors: always a problem document (RFC 9457), never a server error."""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections, connection
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from knox.models import AuthToken

from armo.common.api.problems import CODES
from armo.wsgi import application
from scheduling import operations
from tests.api_clients import API, client_of, person, superuser
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db

AT = FAR_OFF.isoformat()
JSON = "application/json"


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert response["Content-Type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"] == f"/api/v1/problems/#{code}"
    assert body["title"]
    assert body["detail"]
    assert response["Cache-Control"] == "no-store"
    return body


class TestAProblem:
    def test_says_which_field_is_wrong(self) -> None:
        client = client_of(superuser())
        data = {"title": 5, "tags": ["봄", 7], "status": "scheduled", "nonsense": 1}

        body = assert_problem(
            client.post(f"{API}/stories/", {"title": 5, "tags": ["봄", 7]}, format="json"),
            400,
            "validation_error",
        )
        unknown = client.post(f"{API}/stories/", data, format="json").json()

        assert {(it["field"], it["code"]) for it in body["errors"]} == {
            ("title", "invalid"),
            ("tags.1", "invalid"),
        }
        assert [(it["field"], it["code"]) for it in unknown["errors"]] == [("nonsense", "unknown")]

    @pytest.mark.parametrize(
        "name", ["id", "version", "published_at", "created_at", "body_html", "author"]
    )
    def test_keeps_a_read_only_field_apart_from_an_unknown_one(self, name: str) -> None:
        client = client_of(superuser())

        body = client.post(f"{API}/stories/", {name: "1"}, format="json").json()

        assert [(it["field"], it["code"]) for it in body["errors"]] == [(name, "read_only")]

    def test_asks_who_it_is(self) -> None:
        response = client_of().get(f"{API}/jobs/")

        assert_problem(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"] == 'Bearer realm="armo"'

    def test_says_that_a_right_is_missing(self) -> None:
        client = client_of(person(group="Authors"))

        assert_problem(client.get(f"{API}/jobs/"), 403, "permission_denied")

    @pytest.mark.parametrize(
        "path",
        [
            f"{API}/nothing/",
            f"{API}/stories/1/nothing/",
            f"{API}/stories/x/",
            f"{API}/stories/{'9' * 30}/",
            "/api/",
            "/api/v2/stories/",
        ],
    )
    @pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
    def test_says_that_something_is_not_there(self, path: str, method: str) -> None:
        client = client_of(superuser())

        assert_problem(getattr(client, method)(path), 404, "not_found")

    def test_says_that_there_is_no_such_row(self) -> None:
        response = client_of(superuser()).get(f"{API}/stories/999999999999999999/")

        assert_problem(response, 404, "not_found")

    def test_leads_to_the_slash_that_was_forgotten(self) -> None:
        response = client_of().get(f"{API}/stories?search=%EB%B4%84")

        assert response.status_code == 308
        assert response["Location"] == f"{API}/stories/?search=%EB%B4%84"

    def test_says_what_can_be_done_instead(self) -> None:
        response = client_of(superuser()).put(f"{API}/stories/")

        assert_problem(response, 405, "method_not_allowed")
        assert {"GET", "POST"} <= set(response["Allow"].split(", "))

    @pytest.mark.parametrize("path", ["docs/", "schema/", "problems/"])
    def test_is_json_also_where_answers_are_pages(self, path: str) -> None:
        client = client_of()

        assert_problem(client.post(f"{API}/{path}"), 405, "method_not_allowed")
        assert client.options(f"{API}/{path}").status_code in (200, 204)

    def test_says_that_answers_are_json(self) -> None:
        response = client_of().get(f"{API}/stories/", HTTP_ACCEPT="text/csv")

        assert_problem(response, 406, "not_acceptable")

    def test_says_that_requests_are_json(self) -> None:
        response = client_of(superuser()).post(f"{API}/stories/", {"title": "t"})

        assert_problem(response, 415, "unsupported_media_type")

    def test_says_that_the_body_is_too_large(self) -> None:
        text = " " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)

        response = client_of(superuser()).generic("POST", f"{API}/stories/", text, JSON)

        assert_problem(response, 413, "too_large")

    def test_says_that_a_length_is_needed(self) -> None:
        client = client_of(superuser())

        response = client.post(
            f"{API}/jobs/rerun/",
            {},
            format="json",
            CONTENT_LENGTH="",
            HTTP_TRANSFER_ENCODING="chunked",
        )

        assert_problem(response, 411, "length_required")

    def test_says_how_long_to_wait(self) -> None:
        data = {"username": "a", "password": "b"}
        answers = [client_of().post(f"{API}/auth/login/", data, format="json") for _ in range(11)]

        body = assert_problem(answers[-1], 429, "throttled")

        assert int(answers[-1]["Retry-After"]) == body["retry_after_seconds"] > 0

    def test_says_why_it_cannot_go_live(self) -> None:
        story = StoryFactory(title=" ", body="")

        response = client_of(superuser()).post(
            f"{API}/stories/{story.pk}/publish/", {}, format="json"
        )

        body = assert_problem(response, 409, "not_publishable")
        assert body["problems"] == ["It has no title.", "Its body is empty."]

    def test_hides_what_failed_here(self, caplog: pytest.LogCaptureFixture) -> None:
        with patch("scheduling.api.viewsets.visible_to", side_effect=RuntimeError("a secret")):
            response = client_of().get(f"{API}/notices/")

        assert_problem(response, 500, "internal_error")
        assert "a secret" not in response.content.decode()
        assert "a secret" in caplog.text

    def test_says_that_the_database_is_away(self) -> None:
        with patch("scheduling.api.viewsets.visible_to", side_effect=OperationalError("gone")):
            response = client_of().get(f"{API}/notices/")

        assert_problem(response, 503, "unavailable")
        assert int(response["Retry-After"]) > 0

    @pytest.mark.django_db(transaction=True)
    def test_says_so_of_one_that_accepts_no_writes_and_connects_anew(self) -> None:
        client = client_of(superuser())
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        story = {"title": "제목", "body": "본문"}

        refused = client.post(f"{API}/stories/", story, format="json")

        assert_problem(refused, 503, "unavailable")
        assert client.post(f"{API}/stories/", story, format="json").status_code == 201

    def test_comes_in_place_of_djangos_own_pages(self, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["example.org"]

        assert_problem(Client().get(f"{API}/stories/", HTTP_HOST="evil"), 400, "bad_request")

    @pytest.mark.parametrize(
        ("method", "path", "headers"),
        [
            ("POST", f"{API}/auth/login/", {}),
            ("DELETE", f"{API}/stories/1/", {}),
            ("GET", f"{API}/stories/", {"authorization": "Bearer x"}),
            ("POST", "/admin/login/", {}),
        ],
    )
    def test_comes_in_place_of_a_redirect_after_which_a_secret_is_sent_again(
        self, settings: Any, method: str, path: str, headers: dict[str, str]
    ) -> None:
        settings.SECURE_SSL_REDIRECT = True
        client = Client(headers=headers)

        assert_problem(client.generic(method, path), 403, "https_required")
        assert client.generic(method, path, secure=True).status_code != 403

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_is_no_answer_to_what_may_be_asked_again(self, settings: Any, method: str) -> None:
        settings.SECURE_SSL_REDIRECT = True

        answer = Client().generic(method, f"{API}/stories/")

        assert answer.status_code == 301
        assert answer["Location"] == f"https://testserver{API}/stories/"

    def test_is_explained_where_its_type_says(self) -> None:
        rows = Client().get(f"{API}/problems/").json()["problems"]

        assert {row["code"] for row in rows} == set(CODES)


# Malformed requests, to every route


def bodies() -> dict[str, bytes]:
    """Return malformed request bodies."""
    wrong: dict[str, Any] = {
        "not an object": [1],
        "text": "title",
        "a number": 5,
        "null": None,
        "a list for text": {"title": ["a"]},
        "an object for text": {"title": {"a": 1}},
        "true for text": {"title": True},
        "NUL in text": {"title": "a\x00b"},
        "NUL in a name": {"tags": ["a\x00b"]},
        "NUL in a field's name": {"a\x00b": 1},
        "a title of 1 MB": {"title": "제" * 350_000},
        "a body of 5 MB": {"body": "b" * 5_000_000},
        "a million tags": {"tags": ["a"] * 1_000_000},
        "an empty tag": {"tags": [""]},
        "a long tag": {"tags": ["a" * 101]},
        "a slug with a slash": {"slug": "a/b"},
        "no time": {"status": "scheduled", "publish_at": "tomorrow"},
        "a time as a number": {"status": "scheduled", "publish_at": 4102444800},
        "a time without an offset": {"status": "scheduled", "publish_at": "2099-01-01T00:00:00"},
        "a day alone": {"status": "scheduled", "publish_at": "2099-01-01"},
        "the 30th of February": {"status": "scheduled", "publish_at": "2099-02-30T00:00:00Z"},
        "year 0": {"status": "scheduled", "publish_at": "0000-01-01T00:00:00Z"},
        "year 1": {"status": "scheduled", "publish_at": "0001-01-01T00:00:00+14:00"},
        "year 9999": {"status": "scheduled", "publish_at": "9999-12-31T23:59:59-14:00"},
        "year 99999": {"status": "scheduled", "publish_at": "99999-01-01T00:00:00Z"},
        "an offset of a week": {"status": "scheduled", "publish_at": "2099-01-01T00:00:00+99:99"},
        "a long time": {"status": "scheduled", "publish_at": "2" * 10_000},
        "the past": {"status": "scheduled", "publish_at": "2001-01-01T00:00:00Z"},
        "an end before its start": {
            "status": "scheduled",
            "publish_at": AT,
            "unpublish_at": "2099-01-01T00:00:00Z",
        },
        "scheduled without a time": {"status": "scheduled"},
        "a status of no kind": {"status": "live"},
        "published as a status": {"status": "published"},
        "a list as a status": {"status": ["draft"]},
        "an unknown field": {"titel": "a"},
        "a long unknown field": {"x" * 100_000: 1},
        "ids that are none": {"ids": ["a", -1, 0, 2**63, 1.5, None, True], "publish_at": AT},
        "an id as text": {"ids": ["1"], "publish_at": AT},
        "no ids": {"ids": [], "publish_at": AT},
        "ids as an object": {"ids": {"0": 1}, "publish_at": AT},
        "an unknown model": {"model": "user", "id": 1, "kind": "publish", "run_at": AT},
        "a huge id": {"model": "story", "id": 10**400, "kind": "publish", "run_at": AT},
        "a reason of 1 MB": {"reason": "r" * 1_000_000},
    }
    found = {name: json.dumps(body).encode() for name, body in wrong.items()}
    return {
        **found,
        "half of JSON": b'{"title": "a',
        "nothing but a bracket": b"{",
        "not JSON": b"title=a",
        "not UTF-8": b'{"title": "\xff\xfe"}',
        "half a character": rb'{"title": "\ud800"}',
        "half a character in a text": rb'{"body": "\ud800"}',
        "half a character as a name": rb'{"\udfff": 1}',
        "a number out of range": b'{"title": 1e400}',
        "a very long number": b'{"id": ' + b"9" * 5000 + b"}",
        "NaN": b'{"title": NaN}',
        "Infinity": b'{"ids": [Infinity]}',
        "a hundred thousand brackets": b"[" * 100_000,
        "five hundred lists": b'{"title": ' + b"[" * 500 + b"]" * 500 + b"}",
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    }


BODIES = bodies()
# Where each is refused for itself; elsewhere, for being of another route.
ROUTES = {
    "POST stories/": "post",
    "POST notices/": "post",
    "PATCH stories/{pk}/": "patch",
    "POST stories/{pk}/schedule/": "post",
    "POST stories/{pk}/unschedule/": "post",
    "POST stories/bulk/schedule/": "post",
    "POST jobs/": "post",
    "POST jobs/{job}/move/": "post",
    "POST jobs/rerun/": "post",
    "POST auth/login/": "post",
}


FIELDS = (
    *("title", "body", "slug", "tags", "status", "publish_at", "unpublish_at", "reason", "ids"),
    *("id", "model", "kind", "run_at", "dry_run", "since", "item", "username", "password"),
)


@pytest.mark.slow
class TestABadBody:
    @pytest.fixture(autouse=True)
    def _no_limit(self, unthrottled: None, monkeypatch: pytest.MonkeyPatch) -> None:
        from rest_framework.throttling import SimpleRateThrottle

        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "login", None)

    @pytest.mark.parametrize("name", BODIES)
    def test_is_refused_with_a_reason(self, name: str) -> None:
        story = StoryFactory()
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        send: Any = client_of(superuser()).generic

        for route in ROUTES:
            method, path = route.split()
            url = f"{API}/{path.format(pk=story.pk, job=job.pk)}"
            response = send(method, url, BODIES[name], JSON)
            assert 400 <= response.status_code < 500, (route, response.status_code)
            body = assert_problem(response, response.status_code, response.json()["code"])
            assert len(response.content) < 500_000, route
            for error in body.get("errors", ()):
                assert error["detail"], route
                assert error["code"], route
        story.refresh_from_db()
        assert story.version == 1

    @pytest.mark.parametrize(
        "query",
        [
            *("cursor=x", "cursor=%00", "cursor=W10", "cursor=e30", "cursor=" + "A" * 5000),
            *("page_size=0", "page_size=-1", "page_size=1001", "page_size=a", "page_size=１"),
            *("page_size=" + "9" * 5000, "ordering=title", "ordering=--id", "ordering=%00"),
            *("status=live", "status=", "status=draft&status=draft", "nonsense=1"),
            *("published_after=yesterday", "published_after=2026-01-01", "author=%00"),
            *("publish_at_before=2026-02-30T00:00:00Z", "tag=%00", "category=" + "a" * 101),
        ],
    )
    def test_is_no_worse_than_a_bad_address(self, query: str) -> None:
        assert_problem(client_of().get(f"{API}/stories/?{query}"), 400, "validation_error")

    @pytest.mark.parametrize(
        "query", ["overdue=1", "overdue=", "item=story", "item=story:x", "item=user:1", "state=x"]
    )
    def test_is_no_worse_than_a_bad_address_of_jobs(self, query: str) -> None:
        response = client_of(superuser()).get(f"{API}/jobs/?{query}")

        code = "unknown_model" if query == "item=user:1" else "validation_error"
        problem = assert_problem(response, 400, code)
        assert code == "unknown_model" or problem["errors"][0]["field"] == query.split("=")[0]

    @hypothesis_settings(
        max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        route=st.sampled_from(sorted(ROUTES)),
        body=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.text() | st.sampled_from(FIELDS),
                    inner | st.just(AT) | st.sampled_from(["draft", "scheduled", "story", "x"]),
                )
            ),
        ),
    )
    def test_of_any_kind_makes_nothing_fail(self, route: str, body: Any) -> None:
        method, path = route.split()
        story = StoryFactory()
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        url = f"{API}/{path.format(pk=story.pk, job=job.pk)}"

        response = client_of(superuser()).generic(method, url, json.dumps(body), JSON)

        assert response.status_code < 500, response.content


class TestItsLanguage:
    @pytest.mark.parametrize(
        ("language", "title"),
        [
            ("ko", "이미 지난 시각입니다."),
            ("ko-KR,en;q=0.5", "이미 지난 시각입니다."),
            ("en", "That time has already passed."),
            ("xx", "That time has already passed."),
        ],
    )
    def test_is_the_readers(self, language: str, title: str) -> None:
        story = StoryFactory()

        response = client_of(superuser()).post(
            f"{API}/stories/{story.pk}/schedule/",
            {"publish_at": "2001-01-01T00:00:00Z"},
            format="json",
            HTTP_ACCEPT_LANGUAGE=language,
        )

        assert response.json()["title"] == title
        assert "Accept-Language" in response["Vary"]
        assert response["Content-Language"] == language[:2].replace("xx", "en")

    @pytest.mark.slow
    @pytest.mark.parametrize("name", BODIES)
    def test_is_the_readers_in_every_part(self, name: str, unthrottled: None) -> None:
        story = StoryFactory()
        send: Any = client_of(superuser()).generic

        for route in [route for route in ROUTES if "{job}" not in route and "login" not in route]:
            method, path = route.split()
            url = f"{API}/{path.format(pk=story.pk)}"
            problem = send(method, url, BODIES[name], JSON, HTTP_ACCEPT_LANGUAGE="ko").json()
            for text in texts_of(problem):
                assert HANGUL.search(text), (route, text)

    @pytest.mark.parametrize(
        ("method", "path", "options"),
        [
            ("get", "jobs/", {}),
            ("get", "jobs/", {"HTTP_AUTHORIZATION": "Bearer x"}),
            ("get", "nothing/", {}),
            ("get", "stories/1/", {}),
            ("put", "stories/", {}),
            ("get", "stories/", {"HTTP_ACCEPT": "text/csv"}),
            ("get", "stories/?page_size=0", {}),
            ("get", "stories/?cursor=x", {}),
            ("get", "stories/?ordering=x", {}),
            ("get", "stories/?status=x", {}),
            ("get", "stories/?nonsense=x", {}),
            ("get", "stories/?published_after=x", {}),
            ("get", "stories/?tag=" + "x" * 101, {}),
            ("get", "stories/?tag=%00", {}),
        ],
    )
    def test_is_the_readers_wherever_it_comes_from(
        self, method: str, path: str, options: dict[str, str]
    ) -> None:
        ask = getattr(client_of(), method)

        problem = ask(f"{API}/{path}", HTTP_ACCEPT_LANGUAGE="ko", **options).json()

        for text in texts_of(problem):
            assert HANGUL.search(text), text


HANGUL = re.compile("[가-힣]")


def texts_of(problem: dict[str, Any]) -> list[str]:
    """Return all of a problem that a person reads."""
    errors = problem.get("errors", ()) or problem.get("refusals", ())
    return [problem["title"], problem["detail"], *(error["detail"] for error in errors)]


def asked(path: str, *, method: str = "GET", body: bytes = b"", **environ: Any) -> Any:
    """Ask the web application as a server does; return the status and the answer."""
    path, _mark, query = path.partition("?")
    factory = RequestFactory()
    request = factory.generic(method, path, body, JSON, QUERY_STRING=query)
    answer: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        answer["status"] = int(status.split()[0])

    given = {**request.environ, "wsgi.input": BytesIO(body), **environ}
    content = b"".join(application(given, start))
    return answer["status"], json.loads(content)


class TestAnOddRequest:
    """Requests that Django itself misreads, before any view runs."""

    CHUNKS: ClassVar = {
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
    }

    @pytest.fixture(autouse=True)
    def _one_connection(self) -> Iterator[None]:
        """Have a request leave the connection open that the test has its transaction on."""
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)
        yield
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)

    @pytest.fixture
    def login(self) -> dict[str, str]:
        user = superuser(username="bora")
        return {"HTTP_AUTHORIZATION": f"Bearer {AuthToken.objects.create(user)[1]}"}

    def test_in_chunks_is_read_whole(self, login: dict[str, str]) -> None:
        story = StoryFactory(title="옛 제목")
        body = json.dumps({"title": "새 제목"}).encode()

        status, answer = asked(
            f"{API}/stories/{story.pk}/", method="PATCH", body=body, **self.CHUNKS, **login
        )

        assert (status, answer["title"]) == (200, "새 제목")

    def test_in_too_many_chunks_is_refused(self, login: dict[str, str], settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        body = json.dumps({"title": "제목" * 100}).encode()

        status, answer = asked(f"{API}/stories/", method="POST", body=body, **self.CHUNKS, **login)

        assert (status, answer["code"]) == (413, "too_large")

    @pytest.mark.parametrize("charset", ["rot13", "undefined", "idna", "base64", "x" * 300, "ÿ"])
    def test_in_a_charset_that_is_none_is_answered(self, charset: str) -> None:
        content_type = f"application/json; charset={charset}"

        status, answer = asked(f"{API}/stories/?page_size=1", CONTENT_TYPE=content_type)

        assert (status, answer["results"]) == (200, [])
