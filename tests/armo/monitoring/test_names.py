"""What the alert rules and the dashboard ask for is there: each metric, and each of its labels."""

import json
import re
from collections import defaultdict
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from scheduling.models import Heartbeat
from tests.armo.monitoring.prometheus import FOLDER, RULES
from tests.database_rows import due_stories, failed_publish

PANELS = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
QUERIES = [rule["expr"] for rule in RULES]
QUERIES += [target["expr"] for panel in PANELS for target in panel["targets"]]
# Labels that Prometheus itself gives.
OWN = {"job", "instance"}


@pytest.fixture
def labels(client: Client, settings: Any, transactional_db: None) -> dict[str, set[str]]:
    """Return the labels of each metric of a site where all sorts of things have happened."""
    settings.DEBUG = True
    Heartbeat.objects.create(owner=1, lane="publish", host="here", pid=1)
    due_stories(1)
    failed_publish()
    client.get("/health/live/")
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(client.get("/metrics").content.decode()):
        for sample in family.samples:
            found[sample.name] |= {*sample.labels}
    return found


class TestEachQuery:
    def test_names_what_there_is(self, labels: dict[str, set[str]]) -> None:
        for query in QUERIES:
            names = re.findall(r"\barmo_\w+", query)
            assert names or query.startswith("up{"), query
            assert not {*names} - {*labels}, query
            asked = {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)}
            for group in re.findall(r"\bby \(([^)]*)\)", query):
                asked |= {label.strip() for label in group.split(",")}
            known = OWN.union(*(labels[name] for name in names))
            assert not asked - known, query


class TestEachMetric:
    def test_stands_in_the_documentation(self, labels: dict[str, set[str]]) -> None:
        text = (FOLDER / "README.md").read_text("utf-8")
        for name in labels:
            shown = re.sub("_(bucket|count|sum)$", "", name.removeprefix("armo_"))

            assert f"`{shown}" in text, name

    def test_is_on_the_dashboard_or_in_a_rule(self, labels: dict[str, set[str]]) -> None:
        asked = {name for query in QUERIES for name in re.findall(r"\barmo_\w+", query)}
        bare = {re.sub("_(bucket|count|sum)$", "", name) for name in asked}

        assert {re.sub("_(bucket|count|sum)$", "", name) for name in labels} == bare
