"""The alert rules: each fires because of its fault, and of nothing else."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import yaml
from django.db import OperationalError, connection
from django.test import Client

from armo import metrics
from armo.common.api.docs import IndexView
from scheduling import tasks
from scheduling.models import Heartbeat, Job, JobEvent, Lease, clock
from scheduling.operations import pause as pausing
from tests.armo.monitoring.prometheus import FOLDER, RULES, Prometheus
from tests.armo.monitoring.promql import firing, seconds, series_of, values_of
from tests.database_rows import due_stories, failed_publish

TESTS = yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))
NAMES = [rule["alert"] for rule in RULES]
# Which others follow from the fault of one.
FOLLOWING = {
    "ArmoNoWorker": {"ArmoLaneSilent"},
    "ArmoJobsStuck": {"ArmoJobsOverdue"},
    "ArmoJobsOverdue": {"ArmoJobsStuck"},
    "ArmoFailuresNotMailed": {"ArmoJobFailed"},
}


@pytest.fixture
def faults(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Callable[[], object]]]:
    """Return what brings each fault about; called before each scrape, for as long as it lasts."""
    settings.DEBUG = True
    client.raise_request_exception = False

    def away() -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("connection refused")

        monkeypatch.undo()  # it may be away already
        monkeypatch.setattr(connection, "cursor", refuse)

    def read_only() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")

    def break_page() -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(IndexView, "get", fail)
        client.get("/api/v1/")

    def slow_page() -> None:
        monkeypatch.setattr(metrics, "perf_counter", count(step=4).__next__)
        for _ in range(3):
            client.get("/api/v1/")

    def late_publish() -> None:
        due_stories(3, publish_at=clock.database_now() - timedelta(seconds=20))
        tasks.catch_up()

    def unmailed() -> None:
        if not Job.objects.exists():
            failed_publish()
        Job.objects.update(finished_at=clock.database_now() - timedelta(minutes=10), told_at=None)

    def failing_attempts() -> None:
        [story] = due_stories(1)
        job = Job.objects.of(story).get()
        Job.objects.filter(pk=job.pk).delete()
        job.next_attempt_at = job.run_at = clock.database_now() + timedelta(hours=1)
        job.save()
        JobEvent.objects.bulk_create(JobEvent(job=job, what="attempt_failed") for _ in range(25))

    yield {
        "ArmoUnreachable": lambda: setattr(settings, "METRICS_TOKEN", "another-than-it-has"),
        "ArmoDatabaseDown": away,
        "ArmoDatabaseReadOnly": read_only,
        "ArmoNoWorker": lambda: (Lease.objects.all().delete(), Heartbeat.objects.all().delete()),
        "ArmoLaneSilent": lambda: Heartbeat.objects.filter(lane="mail").delete(),
        "ArmoJobsStuck": lambda: due_stories(1),
        "ArmoJobsOverdue": lambda: due_stories(1),
        "ArmoPaused": lambda: pausing.pause(by=None, reason="") if not pausing.current() else None,
        "ArmoJobFailed": failed_publish,
        "ArmoAttemptsFail": failing_attempts,
        "ArmoFailuresNotMailed": unmailed,
        "ArmoPublishesLate": late_publish,
        "ArmoVersionsDiffer": lambda: Heartbeat.objects.filter(owner=1).update(version="0.1.0"),
        "ArmoClockOff": lambda: Heartbeat.objects.update(clock_ahead_ms=-5000),
        "ArmoServerErrors": break_page,
        "ArmoRequestsSlow": slow_page,
    }
    monkeypatch.undo()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")


def work() -> None:
    """Have a worker of each lane live, as far as the database knows."""
    now = clock.database_now()
    for owner, lane in enumerate(("publish", "slow", "mail")):
        Lease.objects.get_or_create(owner=owner, defaults={"ends_at": now + timedelta(hours=1)})
        beat = {"lane": lane, "host": "here", "pid": owner, "version": "0.2.0", "beat_at": now}
        Heartbeat.objects.update_or_create(owner=owner, defaults=beat)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
class TestARule:
    def test_fires_in_a_test_of_its_fault(
        self, client: Client, faults: dict[str, Callable[[], object]], rule: dict[str, Any]
    ) -> None:
        name, held = rule["alert"], seconds(rule.get("for", "0s"))
        prometheus = Prometheus(client)
        for _ in range(2):
            work()
            prometheus.scrape(after=60)
        assert prometheus.firing() == set()

        for after in (60, 60, held / 2, held / 2):
            if name not in ("ArmoDatabaseDown", "ArmoDatabaseReadOnly"):
                work()
            faults[name]()
            prometheus.scrape(after=after)

        assert prometheus.firing() - FOLLOWING.get(name, set()) == {name}


class TestTheRules:
    def test_each_have_a_test_in_promtools_format(self) -> None:
        tried = {
            it["alertname"]
            for test in TESTS["tests"]
            for it in test["alert_rule_test"]
            if it.get("exp_alerts")
        }

        assert tried == set(NAMES)

    @pytest.mark.parametrize("number", range(len(TESTS["tests"])))
    def test_pass_them(self, number: int) -> None:
        test = TESTS["tests"][number]
        every = seconds(test["interval"])
        given = {series_of(it["series"]): values_of(it["values"]) for it in test["input_series"]}
        scrapes = [
            (
                float(place * every),
                {
                    series: value
                    for series, values in given.items()
                    if place < len(values) and (value := values[place]) is not None
                },
            )
            for place in range(max(map(len, given.values())))
        ]
        for expected in test["alert_rule_test"]:
            found = firing(RULES, scrapes, at=seconds(expected["eval_time"]))
            labels = [
                {name: it for name, it in alert["exp_labels"].items() if name != "severity"}
                for alert in expected.get("exp_alerts", [])
            ]

            assert found.get(expected["alertname"], []) == labels

    @pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
    def test_pass_promtool(self) -> None:
        for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
            run = subprocess.run(
                ["promtool", *command], cwd=FOLDER, capture_output=True, encoding="utf-8"
            )

            assert run.returncode == 0, run.stdout + run.stderr
