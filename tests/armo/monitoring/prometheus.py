"""The alert rules, and what reads `/metrics` and judges them in a test."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.armo.monitoring.promql import Labels, firing

FOLDER = Path(settings.BASE_DIR) / "docs" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
TARGET = [("instance", "a:8000"), ("job", "armo")]


class Prometheus:
    """Reads `/metrics` at moments of its own, and judges the rules."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.now = 0.0
        self.scrapes: list[tuple[float, Mapping[tuple[str, Labels], float]]] = []

    def scrape(self, *, after: float) -> None:
        """Read it so many seconds after the last time."""
        self.now += after
        answer = self.client.get("/metrics")
        samples: dict[tuple[str, Labels], float] = {
            ("up", frozenset(TARGET)): float(answer.status_code == 200)
        }
        if answer.status_code == 200:
            for family in text_string_to_metric_families(answer.content.decode()):
                for it in family.samples:
                    samples[it.name, frozenset([*it.labels.items(), *TARGET])] = it.value
        self.scrapes.append((self.now, samples))

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return set(firing(RULES, self.scrapes, at=self.now))
