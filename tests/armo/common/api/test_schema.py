"""docs/openapi.yaml describes every route, and no other."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver, include, path
from django.utils import translation
from rest_framework.routers import SimpleRouter

from armo.common.api.problems import CODES
from armo.common.api.schema import EnglishDocument, component_name
from content.viewsets import NoticeViewSet
from tests.api_clients import API, client_of
from tests.scheduling.api.test_api_rights import routes

DOCUMENT = settings.BASE_DIR / "docs" / "openapi.yaml"
# What serves the description is no part of it.
UNDESCRIBED = {"api-index", "schema", "docs", "problems"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for route, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {route}", operation


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to; anything else as it is."""
    for step in found.get("$ref", "#").split("/")[1:]:
        document = document[step]
    return document if "$ref" in found else found


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the content of each request and answer of each operation."""
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            for content in resolved(document, answer).get("content", {}).values():
                yield f"{name} {status}", content
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield name, content


@pytest.mark.slow
class TestTheDocument:
    def test_is_what_make_schema_writes_without_a_warning(self) -> None:
        written = StringIO()

        call_command("spectacular", validate=True, fail_on_warn=True, stdout=written)

        assert written.getvalue() == DOCUMENT.read_text(), "Run `make schema`."

    def test_is_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1.")

    def test_has_every_route(self, document: dict[str, Any]) -> None:
        there = [name for name, _ in routes(get_resolver().url_patterns)]

        assert len(list(operations(document))) == len(
            [name for name in there if name not in UNDESCRIBED]
        )

    def test_describes_every_operation_and_every_answer(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            assert operation["description"], name
            answers = operation["responses"]
            assert {"401", "406", "429", "500", "503"} <= answers.keys() or "login" in name
            assert [status for status in answers if status.startswith("2")], name
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description") or parameter["in"] == "path", parameter

    def test_gives_each_operation_a_name_of_its_own(self, document: dict[str, Any]) -> None:
        ids = [operation["operationId"] for _, operation in operations(document)]

        assert len(ids) == len(set(ids))
        assert all(re.fullmatch("[a-z]+(_[a-z]+)+", it) for it in ids)
        verb_and_noun = {
            *("log_in", "log_out", "list_tokens", "revoke_token", "get_calendar_link"),
            *("list_stories", "get_story", "create_story", "update_story", "delete_story"),
            *("schedule_story", "unschedule_notice", "publish_story", "unpublish_notice"),
            *("bulk_schedule_stories", "list_jobs", "get_job", "create_job", "move_job"),
            *("cancel_job", "rerun_job", "rerun_jobs"),
        }
        assert verb_and_noun <= set(ids)

    def test_says_in_a_line_what_each_operation_does(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            assert re.fullmatch("[A-Z][^.;:]{4,79}", operation["summary"]), name
            assert operation["description"].startswith(operation["summary"]), name
            assert len(operation["tags"]) == 1, name
        summaries = {it["operationId"]: it["summary"] for _, it in operations(document)}
        assert summaries["schedule_story"] == "Schedule a story for a time"
        assert summaries["list_notices"] == "List the notices that the user may see"
        assert summaries["create_job"] == "Schedule a change of an item of any type"

    def test_has_no_default_in_a_request(self, document: dict[str, Any]) -> None:
        # openapi-typescript, for one, makes such a field required.
        schemas = document["components"]["schemas"]
        requests = {name: it for name, it in schemas.items() if name.endswith("Request")}
        fields = [it for schema in requests.values() for it in schema["properties"].values()]

        assert len(requests) > 10
        assert not [field for field in fields if "default" in field]
        kind = requests["UnscheduleInputRequest"]["properties"]["kind"]
        assert kind["description"].endswith("`publish` by default.")
        assert "required" not in requests["RerunInputRequest"]
        assert requests["ScheduleInputRequest"]["required"] == ["publish_at"]

    def test_has_examples_that_are_valid(self, document: dict[str, Any]) -> None:
        shown = [
            (name, {**content["schema"], "components": document["components"]}, example["value"])
            for name, content in contents(document)
            for example in content.get("examples", {}).values()
        ]

        assert len(shown) > 100
        for name, schema, value in shown:
            checker = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            assert not list(checker.iter_errors(value)), name

    def test_names_the_codes_of_every_refusal(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            for status, answer in operation["responses"].items():
                if status >= "400":
                    found = resolved(document, answer)
                    codes = [code for code, (of, _) in CODES.items() if str(int(of)) == status]
                    assert codes, (name, status)
                    assert all(f"`{code}`" in found["description"] for code in codes), name
                    assert codes == list(found["content"]["application/problem+json"]["examples"])

    def test_says_that_every_operation_refuses_unknown_parameters(
        self, document: dict[str, Any]
    ) -> None:
        silent = [name for name, it in operations(document) if "400" not in it["responses"]]

        assert silent == []

    def test_shows_a_request_of_every_kind(self, document: dict[str, Any]) -> None:
        shown = [
            name
            for name, operation in operations(document)
            if "requestBody" in operation and "examples" in str(operation["requestBody"])
        ]

        for route in (
            "POST /api/v1/stories/",
            "POST /api/v1/stories/bulk/schedule/",
            "POST /api/v1/jobs/",
            "POST /api/v1/jobs/rerun/",
            "POST /api/v1/auth/login/",
            "PATCH /api/v1/notices/{id}/",
        ):
            assert route in shown

    def test_lists_every_code(self, document: dict[str, Any]) -> None:
        problem = document["components"]["schemas"]["Problem"]

        assert problem["properties"]["code"]["enum"] == sorted(CODES)

    @pytest.mark.parametrize("accept", ["application/json", "application/vnd.oai.openapi"])
    @pytest.mark.django_db
    def test_is_served(self, document: dict[str, Any], accept: str) -> None:
        response = client_of().get(f"{API}/schema/", HTTP_ACCEPT=accept)

        assert yaml.safe_load(response.content) == document


class PressReleaseViewSet(NoticeViewSet):
    """A type that a site has added."""


class TestATypeOfTheSite:
    def test_is_named_in_its_operations(self) -> None:
        router = SimpleRouter()
        router.register("press-releases", PressReleaseViewSet, basename="press-release")
        generator: Any = EnglishDocument

        made = generator(patterns=[path("api/v1/", include(router.urls))]).get_schema(public=True)

        names = {it["operationId"]: it["summary"] for _, it in operations(made)}
        assert names["list_press_releases"] == "List the press releases that the user may see"
        assert names["get_press_release"] == "Read a press release"
        assert names["bulk_schedule_press_releases"].startswith("Schedule up to 10,000 press rel")
        assert not [summary for summary in names.values() if "item" in summary]


@pytest.mark.parametrize(("status", "name"), [(413, "ContentTooLarge"), (409, "Conflict")])
def test_a_status_has_one_name_whatever_the_python(status: int, name: str) -> None:
    assert component_name(status) == name


def test_a_korean_reader_does_not_make_it_korean(document: dict[str, Any]) -> None:
    generator: Any = EnglishDocument

    with translation.override("ko"):
        made = generator().get_schema(public=True)

    assert made == document


@pytest.mark.django_db
def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = Client().get(f"{API}/docs/").content.decode()

    assert "swagger" in page
    assert "//cdn" not in page
    assert not [part for part in page.split('"') if part.startswith(("http:", "https:", "//"))]
