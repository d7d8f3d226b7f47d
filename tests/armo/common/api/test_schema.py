"""docs/openapi.yaml describes every route, and no other."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from armo.common.api.problems import CODES
from tests.api_clients import API, client_of
from tests.scheduling.api.test_api_rights import routes

DOCUMENT = settings.BASE_DIR / "docs" / "openapi.yaml"
# What serves the description is no part of it.
UNDESCRIBED = {"schema", "docs", "problems"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


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


@pytest.mark.django_db
def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = Client().get(f"{API}/docs/").content.decode()

    assert "swagger" in page
    assert "//cdn" not in page
    assert not [part for part in page.split('"') if part.startswith(("http:", "https:", "//"))]
