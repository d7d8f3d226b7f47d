"""`/metrics` of real processes."""

import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from scheduling.models import Heartbeat
from scheduling.queries.workers import count_clusters
from tests.armo.monitoring.prometheus import Prometheus
from tests.process.web import Web
from tests.process.worker import running, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def scrape(web: Web) -> str:
    """Return what a web process answers."""
    with urllib.request.urlopen(f"{web.url}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def counted(web: Web, route: str) -> float:
    """Return how many requests of a route all processes have counted."""
    families = {it.name: it for it in text_string_to_metric_families(scrape(web))}
    return sum(
        sample.value
        for sample in families["armo_http_request_duration_seconds"].samples
        if sample.name.endswith("_count") and sample.labels["route"] == route
    )


class TestAWorker:
    def test_that_is_killed_raises_the_alarm(
        self, client: Client, tmp_path: Path, settings: Any
    ) -> None:
        settings.DEBUG = True
        prometheus = Prometheus(client)
        with running(tmp_path / "worker.log") as worker:
            wait_until(
                lambda: Heartbeat.objects.filter(lane="mail").exists(),
                seconds=60,
                what="a heartbeat of the last lane",
            )
            for _ in range(2):
                prometheus.scrape(after=60)
            assert "ArmoNoWorker" not in prometheus.firing()

            worker.kill()
            wait_until(
                lambda: not count_clusters(), seconds=20, what="the end of the worker's sessions"
            )
            for _ in range(2):
                prometheus.scrape(after=60)

            assert "ArmoNoWorker" in prometheus.firing()


class TestSeveralWebProcesses:
    def test_count_requests_together_also_those_that_have_ended(self, tmp_path: Path) -> None:
        web = Web(tmp_path / "web.log", {}, workers=2)
        try:
            web.wait_until_ready()
            before = counted(web, "/health/live/")
            for _ in range(20):
                urllib.request.urlopen(f"{web.url}/health/live/", timeout=10).close()
            assert [counted(web, "/health/live/") for _ in range(4)] == [before + 20] * 4

            processes = psutil.Process(web.process.pid).children()
            for process in processes:
                os.kill(process.pid, signal.SIGTERM)
            wait_until(
                lambda: not any(process.is_running() for process in processes),
                seconds=20,
                what="the end of both processes",
            )

            assert counted(web, "/health/live/") >= before + 20
        finally:
            web.stop()
