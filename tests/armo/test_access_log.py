"""One line for each request, and the id that it is found by."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from armo.access_log import AccessLogMiddleware
from scheduling import tracing
from tests.api_clients import client_of
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    handler = Lines()
    logger = logging.getLogger("armo.access")
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)


@pytest.fixture
def someone() -> User:
    return UserFactory(username="bora")


class TestTheAccessLog:
    def test_has_one_line_for_each_request(self, client: Client, lines: list[Any]) -> None:
        client.get("/?page=2")
        client.get("/nowhere/")
        client.get("/", headers={"host": "evil.example"})

        facts = [(it.name, it.path, it.status) for it in lines]
        assert facts == [
            ("armo.access", "/", 200),
            ("armo.access", "/nowhere/", 404),
            ("armo.access", "/", 400),
        ]

    def test_says_who_asked_from_where_and_how_long_it_took(
        self, someone: User, lines: list[Any]
    ) -> None:
        client_of(someone).get("/api/v1/stories/", REMOTE_ADDR="192.0.2.7")

        [line] = lines
        assert (line.user, line.address, line.method) == ("bora", "192.0.2.7", "GET")
        assert line.route == "api/v1/stories/$"
        assert 0 < line.duration_ms < 60_000

    def test_names_whoever_has_signed_in(
        self, someone: User, client: Client, lines: list[Any]
    ) -> None:
        client.force_login(someone)

        client.get("/admin/")

        assert lines[-1].user == "bora"

    def test_names_the_client_behind_proxies(
        self, settings: Any, client: Client, lines: list[Any]
    ) -> None:
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}

        client.get("/", headers={"x-forwarded-for": "192.0.2.9"})

        assert lines[-1].address == "192.0.2.9"

    def test_has_a_path_that_looks_like_nothing_else(
        self, client: Client, lines: list[Any]
    ) -> None:
        client.get("/가%0aWARNING armo.sign_in%1b%e2%80%ae for admin from 192.0.2.1, request 7")

        [line] = lines
        assert line.path == (
            "/가%0AWARNING%20armo.sign_in%1B%E2%80%AE%20for%20admin%20from%20192.0.2.1,%20request%207"
        )
        assert line.getMessage().startswith(f"GET {line.path} 404 in ")

    def test_looks_for_no_user_whom_nothing_has_looked_for(self, lines: list[Any]) -> None:
        request = RequestFactory().get("/")
        request.user = SimpleLazyObject(partial(pytest.fail, "a query"))  # type: ignore[assignment]

        AccessLogMiddleware(lambda _: HttpResponse())(request)

        assert lines[0].user == ""

    @pytest.mark.parametrize("path", ["/health/live/", "/static/nowhere.js"])
    def test_leaves_out_probes_and_files(self, path: str, client: Client, lines: list[Any]) -> None:
        client.get(path)

        assert not lines

    @pytest.mark.parametrize(
        "path", ["/preview/s3cret/", "/preview/s3cret", "/feeds/schedule/s3cret.ics"]
    )
    def test_has_no_secret_of_a_link(
        self, path: str, client: Client, lines: list[Any], settings: Any
    ) -> None:
        settings.SECURE_SSL_REDIRECT = True
        client.get(path)  # answered before the view
        settings.SECURE_SSL_REDIRECT = False
        Client().get(path)

        assert len(lines) == 2
        assert "s3cret" not in "".join(f"{vars(it)}" for it in lines)


class TestTheIdOfARequest:
    @pytest.mark.parametrize(
        "given", ["click-1", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "~" * 128]
    )
    def test_is_the_one_that_it_brings(self, given: str, client: Client, lines: list[Any]) -> None:
        answer = client.get("/", headers={"x-request-id": given})

        assert answer["X-Request-ID"] == lines[0].request_id == given

    @pytest.mark.parametrize("given", ["", "two words", "x" * 129, "가", "a\nb", "\x1b[2J"])
    def test_is_made_where_it_brings_none_that_can_be_taken(
        self, given: str, client: Client, lines: list[Any]
    ) -> None:
        answer = client.get("/", headers={"x-request-id": given})

        assert tracing.SANE.fullmatch(answer["X-Request-ID"])
        assert answer["X-Request-ID"] == lines[0].request_id != given

    def test_is_another_for_each(self, client: Client) -> None:
        ids = {client.get("/health/live/")["X-Request-ID"] for _ in range(3)}

        assert len(ids) == 3
        assert tracing.request_id() == ""

    def test_stands_on_each_line_that_is_logged_meanwhile(self) -> None:
        made = logging.makeLogRecord({})
        own = logging.makeLogRecord({"request_id": "of the job"})

        with tracing.of_request("click-1"):
            kept = [tracing.RequestIdFilter().filter(it) for it in (made, own)]

        assert kept == [True, True]
        assert (vars(made)["request_id"], vars(own)["request_id"]) == ("click-1", "of the job")
