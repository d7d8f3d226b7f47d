"""What answers let a browser do, whatever they are."""

import json
import re
from typing import Any

import pytest
import time_machine
from django.http import HttpRequest, HttpResponseBase
from django.test import Client, RequestFactory
from django.views import defaults

from armo.common import policy_reports
from armo.common.headers import NO_PAGE, PAGE, PAGE_WITH_SCRIPTS, HeadersMiddleware
from scheduling.access.preview_links import make_preview_token
from scheduling.ical.tokens import make_calendar_link
from tests.api_clients import client_of, superuser
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

API = "/api/v1"
ON_ALL = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def directives(answer: Any) -> dict[str, list[str]]:
    """Return the directives of the answer's policy, without what development and http add."""
    parts = [part.split() for part in answer["Content-Security-Policy"].split("; ")]
    return {
        name: [source for source in sources if source != "http:"]
        for name, *sources in parts
        if name != "report-uri"
    }


@pytest.fixture
def chief() -> Client:
    """Return the client of somebody who may see all pages."""
    client = Client()
    client.force_login(superuser())
    return client


class TestAnAnswerThatMayBeCached:
    @pytest.mark.parametrize(
        "path", ["/", "/feeds/stories/", "/feeds/stories/atom/", f"{API}/stories/", f"{API}/"]
    )
    def test_follows_the_host_only_if_it_says_so(self, settings: Any, path: str) -> None:
        settings.ALLOWED_HOSTS = ["a.example", "b.example"]
        StoryFactory(published=True)

        first = Client().get(path, HTTP_HOST="a.example")
        known = Client().get(path, HTTP_HOST="a.example", HTTP_IF_NONE_MATCH=first.get("ETag", ""))
        settings.SITE_URL = "https://news.example.org"
        settled = [Client().get(path, HTTP_HOST=host) for host in settings.ALLOWED_HOSTS]

        assert "Host" in first["Vary"]
        assert "Host" in known["Vary"]
        assert "Host" not in settled[0].get("Vary", "")
        assert settled[0].content == settled[1].content
        assert b"a.example" not in settled[0].content


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("path", "status", "policy"),
        [
            ("/", 200, PAGE),
            ("/stories/there-is-none/", 404, PAGE),
            ("/preview/x/", 404, PAGE),
            ("/admin/login/", 200, PAGE_WITH_SCRIPTS),
            (f"{API}/docs/", 200, PAGE_WITH_SCRIPTS),
            (f"{API}/docs/?script=", 200, NO_PAGE),
            (f"{API}/stories/", 200, NO_PAGE),
            (f"{API}/nowhere/", 404, NO_PAGE),
            (f"{API}/schema/", 200, NO_PAGE),
            ("/feeds/stories/", 200, NO_PAGE),
            ("/feeds/stories/atom/", 200, NO_PAGE),
            ("/feeds/schedule/x.ics", 404, PAGE),
            ("/health/live/", 200, NO_PAGE),
        ],
    )
    def test_has_the_policy_of_what_it_is(
        self, path: str, status: int, policy: dict[str, list[str]]
    ) -> None:
        answer = Client().get(path)

        assert answer.status_code == status
        if policy is not NO_PAGE:
            assert not re.search(r"<style|\bstyle=|<script(?! src=)", answer.content.decode())
        assert directives(answer) == policy
        assert {name: answer.get(name) for name in ON_ALL} == ON_ALL
        assert "camera=()" in answer["Permissions-Policy"]
        assert answer["Referrer-Policy"] in ("same-origin", "no-referrer")

    @pytest.mark.parametrize("path", ["/static/scheduling/icon.svg", "/static/content/site.css"])
    def test_of_a_file_may_be_used_by_a_frame_without_an_origin(self, path: str) -> None:
        answer = Client().get(path)
        answer.close()

        assert directives(answer) == NO_PAGE
        expected = {**ON_ALL, "Cross-Origin-Resource-Policy": "cross-origin"}
        assert {name: answer.get(name) for name in ON_ALL} == expected

    def test_of_a_page_of_the_admin_allows_only_its_own_scripts_and_is_not_stored(
        self, chief: Client
    ) -> None:
        story = StoryFactory()
        pages = ["", "calendar/", "preferences/", "password_change/", "content/story/"]
        pages += [f"content/story/{story.pk}/change/", "scheduling/job/", "auth/user/", "live/"]

        for page in pages:
            answer = chief.get(f"/admin/{page}")
            assert answer.status_code in (200, 204), page
            assert "no-store" in answer["Cache-Control"], page
            scripts = directives(answer).get("script-src", ["'none'"])
            assert scripts in (["'self'"], ["'none'"]), page

    def test_of_a_preview_is_not_stored(self) -> None:
        token = make_preview_token(StoryFactory(), by=superuser())

        answer = Client().get(f"/preview/{token}/")

        assert directives(answer) == PAGE
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"

    def test_of_a_calendar_is_no_page(self) -> None:
        link = make_calendar_link(superuser())

        answer = Client().get(f"/feeds/schedule/{link}.ics")

        assert directives(answer) == NO_PAGE

    def test_to_a_host_that_is_not_served_has_a_policy(self, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["news.example.org"]

        answer = Client().get("/", headers={"Host": "elsewhere.example.org"})

        assert (answer.status_code, directives(answer)) == (400, PAGE)

    def test_to_a_form_from_elsewhere_has_a_policy(self) -> None:
        answer = Client(enforce_csrf_checks=True).post("/admin/login/")

        assert (answer.status_code, directives(answer)) == (403, PAGE_WITH_SCRIPTS)

    def test_after_a_failure_has_a_policy(self, rf: RequestFactory) -> None:
        answer = HeadersMiddleware(defaults.server_error)(rf.get("/"))

        assert isinstance(answer, HttpResponseBase)
        assert (answer.status_code, directives(answer)) == (500, PAGE)

    def test_that_nothing_has_changed_leaves_the_policy_that_the_browser_has(self) -> None:
        tag = Client().get("/feeds/stories/")["ETag"]

        answer = Client().get("/feeds/stories/", headers={"If-None-Match": tag})

        assert answer.status_code == 304
        assert "Content-Security-Policy" not in answer

    @pytest.mark.parametrize("path", ["/", "/admin/login/"])
    def test_shows_pictures_by_http_only_where_it_came_by_http(self, path: str) -> None:
        plain, secure = (Client().get(path, secure=by_tls) for by_tls in (False, True))

        assert " https: http:;" in plain["Content-Security-Policy"]
        assert "http:" not in secure["Content-Security-Policy"]
        assert "upgrade-insecure-requests" in secure["Content-Security-Policy"]

    def test_of_an_error_in_development_that_is_no_page_has_a_policy(self, settings: Any) -> None:
        settings.DEBUG = True

        answer = Client().get(f"{API}/nowhere/")

        assert (answer.status_code, directives(answer)) == (404, NO_PAGE)

    def test_redirects_with_a_policy(self) -> None:
        answer = Client().get("/admin/")

        assert answer.status_code == 302
        assert directives(answer)["frame-ancestors"] == ["'none'"]


class TestAPolicy:
    @pytest.mark.parametrize("policy", [NO_PAGE, PAGE, PAGE_WITH_SCRIPTS])
    def test_allows_nothing_that_stands_in_a_page(self, policy: dict[str, list[str]]) -> None:
        sources = {source for each in policy.values() for source in each}

        assert not [source for source in sources if "unsafe" in source or source == "*"]
        assert policy["default-src"] == policy["base-uri"] == ["'none'"]
        assert policy["frame-ancestors"] == ["'none'"]


class TestASession:
    def test_is_for_the_browser_alone_and_lasts_as_long_as_is_set(self, settings: Any) -> None:
        settings.SESSION_COOKIE_AGE = 3600
        user = superuser()
        user.set_password("hana")
        user.save()

        sent = {"username": user.get_username(), "password": "hana"}
        cookie = Client().post("/admin/login/", sent).cookies["sessionid"]

        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
        assert cookie["max-age"] == 3600


class TestAnAnswerWithASecret:
    def test_of_a_login_is_not_stored(self) -> None:
        user = UserFactory(username="hana")
        user.set_password("hana")
        user.save()

        answer = client_of().post(
            f"{API}/auth/login/", {"username": "hana", "password": "hana"}, format="json"
        )

        assert answer.status_code == 200
        assert answer["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("query", ["", "?script="])
    def test_of_the_documentation_is_not_stored(self, query: str) -> None:
        assert "no-store" in Client().get(f"{API}/docs/{query}")["Cache-Control"]

    def test_of_a_calendar_link_is_not_stored(self) -> None:
        answer = client_of(superuser()).post(f"{API}/calendar/")

        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"


def reported(rf: RequestFactory, body: str) -> HttpRequest:
    """Return the request that a browser makes when a page has wanted too much."""
    request: HttpRequest = rf.post("/csp-report/", body, content_type="application/csp-report")
    return request


REPORT = {
    "document-uri": "http://127.0.0.1:8000/stories/x/",
    "effective-directive": "script-src-elem",
    "blocked-uri": "inline",
    "line-number": 7,
}


class TestAReport:
    def test_becomes_a_line_of_the_log(
        self, rf: RequestFactory, caplog: pytest.LogCaptureFixture
    ) -> None:
        odd = {"blocked-uri": "/preview/s3cret/", "source-file": "a\nb\x1b[31m" + "x" * 500}
        body = json.dumps({"csp-report": {**REPORT, **odd}})

        answer = policy_reports.report(reported(rf, body))

        assert answer.status_code == 204
        [line] = caplog.messages
        page = REPORT["document-uri"]
        assert line.startswith(f"{page}: script-src-elem forbids /preview/\\u2026 (")
        assert "a\\nb\\x1b[31mxxx" in line
        assert len(line) < 500

    @pytest.mark.parametrize(
        "body",
        ["", "[", "[" * 100_000, "[]", '{"csp-report": 1}', "null", '{"x": 1}', "\x00", '"' * 99],
        ids=lambda body: body[:8],
    )
    def test_that_is_none_is_refused(self, rf: RequestFactory, body: str) -> None:
        assert policy_reports.report(reported(rf, body)).status_code == 400

    @time_machine.travel("2026-03-29T01:00:00Z", tick=False)
    def test_of_many_in_a_minute_is_not_logged(
        self, rf: RequestFactory, caplog: pytest.LogCaptureFixture
    ) -> None:
        body = json.dumps({"csp-report": REPORT})

        for _time in range(policy_reports.LINES_PER_MINUTE + 5):
            assert policy_reports.report(reported(rf, body)).status_code == 204

        assert len(caplog.messages) == policy_reports.LINES_PER_MINUTE
