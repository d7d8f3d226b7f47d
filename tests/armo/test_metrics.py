"""`/metrics`: who may read it, and what is in it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from scheduling import __version__, operations, tasks
from scheduling.models import Heartbeat, Job, clock
from scheduling.operations import pause as pausing
from tests.database_rows import due_stories, failed_publish
from tests.factories import FAR_OFF, StoryFactory

TOKEN = "a-long-random-token-0123"


def samples(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return each sample of an answer by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class Scrape:
    """What one answer says."""

    def __init__(self, client: Client) -> None:
        self.samples = samples(client)

    def __getitem__(self, name: str) -> float:
        return self.get(name)

    def get(self, metric: str, /, **labels: str) -> float:
        """Return a value by name and labels."""
        return self.samples[metric, frozenset(labels.items())]


@pytest.mark.django_db
class TestWhoMayRead:
    def test_is_everyone_in_development(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True

        assert client.get("/metrics").status_code == 200

    def test_is_nobody_where_there_is_no_token(self, client: Client, settings: Any) -> None:
        settings.DEBUG = False

        for given in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
            assert client.get("/metrics", headers=given).status_code == 404

    @pytest.mark.parametrize("debug", [True, False])
    @pytest.mark.parametrize(
        ("given", "status"),
        [
            (f"Bearer {TOKEN}", 200),
            (f"bearer  {TOKEN}", 200),
            ("", 401),
            ("Bearer", 401),
            (f"Bearer {TOKEN}x", 401),
            (f"Basic {TOKEN}", 401),
            ("Bearer 비밀", 401),
        ],
    )
    def test_is_who_has_the_token(
        self, client: Client, settings: Any, debug: bool, given: str, status: int
    ) -> None:
        settings.DEBUG, settings.METRICS_TOKEN = debug, TOKEN

        answer = client.get("/metrics", headers={"Authorization": given})

        assert answer.status_code == status
        assert "no-store" in answer["Cache-Control"]
        if status == 401:
            assert answer["WWW-Authenticate"].startswith("Bearer")
            assert b"armo_" not in answer.content

    @pytest.mark.parametrize("host", ["10.0.0.7:8000", "[fd00::1]", "attacker.example", "a b", ""])
    def test_may_ask_by_any_host(self, client: Client, settings: Any, host: str) -> None:
        settings.DEBUG, settings.ALLOWED_HOSTS = True, ["news.example.org"]

        assert client.get("/metrics", headers={"host": host}).status_code == 200

    def test_is_not_led_to_https(self, client: Client, settings: Any) -> None:
        settings.DEBUG, settings.SECURE_SSL_REDIRECT = True, True

        assert client.get("/metrics").status_code == 200

    @pytest.mark.parametrize(
        "accept", ["application/openmetrics-text; version=abc", "text/plain; version=", ";;q="]
    )
    def test_may_ask_for_any_form(self, client: Client, settings: Any, accept: str) -> None:
        settings.DEBUG = True

        answer = client.get("/metrics", headers={"accept": accept})

        assert (answer.status_code, b"armo_database_up" in answer.content) == (200, True)

    def test_changes_nothing(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True

        assert client.post("/metrics").status_code == 405
        assert client.head("/metrics").content == b""


@pytest.fixture
def _open(settings: Any) -> None:
    settings.DEBUG = True


@pytest.mark.usefixtures("_open")
@pytest.mark.django_db
class TestTheSharedFiles:
    @pytest.mark.parametrize(
        "content",
        [None, b"", b"\x40\0\0", b"\x40\0\0\0" + b"\xff" * 96],
        ids=["no folder", "an empty file", "a cut file", "a spoilt file"],
    )
    def test_that_cannot_be_read_cost_no_more_than_they_say(
        self,
        client: Client,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        content: bytes | None,
    ) -> None:
        folder = tmp_path / "counts"
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        if content is not None:
            folder.mkdir()
            (folder / "histogram_1.db").write_bytes(content)

        answer = client.get("/metrics")

        assert (answer.status_code, b"armo_database_up 1.0" in answer.content) == (200, True)
        assert "The counts of requests could not be read: " in caplog.text


@pytest.mark.usefixtures("_open")
@pytest.mark.django_db
class TestWhatIsScheduled:
    def test_is_counted_by_kind_and_state(self, client: Client) -> None:
        StoryFactory(scheduled=True)
        StoryFactory(published=True, unpublish_at=FAR_OFF)
        failed_publish()
        due_stories(2)

        found = Scrape(client)

        assert found.get("armo_jobs", kind="publish", state="waiting") == 3
        assert found.get("armo_jobs", kind="unpublish", state="waiting") == 1
        assert found.get("armo_jobs", kind="publish", state="failed") == 1
        assert found.get("armo_jobs", kind="publish", state="retrying") == 0
        assert found["armo_due_jobs"] == found["armo_overdue_jobs"] == 2
        assert found["armo_oldest_overdue_seconds"] > 86_400
        assert found["armo_oldest_stuck_seconds"] > 86_400
        assert found["armo_unmailed_failures"] == 0

    def test_is_not_overdue_while_nothing_is(self, client: Client) -> None:
        StoryFactory(scheduled=True)

        found = Scrape(client)

        for name in ("armo_overdue_jobs", "armo_oldest_overdue_seconds", "armo_due_jobs"):
            assert found[name] == 0

    def test_waits_in_the_queue(self, client: Client) -> None:
        StoryFactory(scheduled=True)
        due_stories(3)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_q_ormq SET armo_owner = 7, lock = now() + interval '1 minute'"
                " WHERE id = (SELECT min(id) FROM django_q_ormq WHERE lock < now())"
            )

        found = Scrape(client)

        for state, number in (("waiting", 1), ("due", 2), ("claimed", 1)):
            assert found.get("armo_queue_rows", lane="publish", state=state) == number
            assert found.get("armo_queue_rows", lane="mail", state=state) == 0

    def test_is_paused_or_not(self, client: Client) -> None:
        assert Scrape(client)["armo_paused"] == 0

        pausing.pause(by=None, reason="court order about the mayor")

        assert Scrape(client)["armo_paused"] == 1

    def test_is_named_by_no_text_of_peoples(self, client: Client) -> None:
        failed_publish(title="비밀 기사")
        pausing.pause(by=None, reason="court order about the mayor")
        client.get("/admin/r/secret-part-of-an-address/", {"q": "비밀"})

        text = client.get("/metrics").content.decode()

        for secret in ("비밀", "court", "secret-part"):
            assert secret not in text


@pytest.mark.usefixtures("_open")
@pytest.mark.django_db
class TestWorkers:
    def test_are_counted_by_version_and_lane(self, client: Client) -> None:
        for owner, lane in enumerate(("publish", "slow", "mail")):
            fields = {"lane": lane, "host": "here", "pid": 1, "version": __version__}
            Heartbeat.objects.create(owner=owner, clock_ahead_ms=-1500, **fields)
        Heartbeat.objects.create(owner=8, lane="publish", host="old", pid=1)

        found = Scrape(client)

        assert found.get("armo_workers", version=__version__) == 1
        assert found.get("armo_workers", version="before 0.2.0") == 1
        assert found.get("armo_clusters", lane="mail", version=__version__) == 1
        assert found.get("armo_lane_up", lane="slow") == 1
        assert found.get("armo_clock_ahead_seconds", host="here") == -1.5
        assert found["armo_connected_clusters"] == 0

    @pytest.mark.parametrize(("seconds", "is_up"), [(5, 1), (600, 1), (700, 0)])
    def test_may_be_silent_for_as_long_as_a_hook_takes(
        self, client: Client, settings: Any, seconds: int, is_up: int
    ) -> None:
        settings.HOOK_TIMEOUT = 600
        at = clock.database_now() - timedelta(seconds=seconds)
        for owner, lane in enumerate(("publish", "slow")):
            Heartbeat.objects.create(owner=owner, lane=lane, host="here", pid=1, beat_at=at)

        found = Scrape(client)

        assert found.get("armo_lane_up", lane="slow") == is_up
        assert found.get("armo_lane_up", lane="publish") == (seconds < 10)
        assert found.get("armo_lane_up", lane="mail") == 0


@pytest.mark.usefixtures("_open")
@pytest.mark.django_db(transaction=True)
class TestWhatHasHappened:
    def test_is_counted_and_never_less(self, client: Client) -> None:
        due_stories(2)
        tasks.catch_up()
        operations.publish_now(item=StoryFactory(), by=None)
        failed_publish()

        found = Scrape(client)
        Job.objects.all().delete()
        later = Scrape(client)

        error = {"error_class": "permanent", "error": "scheduling.models.item.NotPublishable"}
        for it in (found, later):
            assert it.get("armo_job_events_total", kind="publish", event="succeeded") == 3
            assert it.get("armo_job_events_total", kind="publish", event="failed") == 1
            assert it.get("armo_failed_attempts_total", kind="publish", **error) == 1
            assert it.get("armo_lateness_seconds_count", kind="publish") == 2
            assert it.get("armo_lateness_seconds_bucket", kind="publish", le="3600") == 0
            assert it.get("armo_lateness_seconds_bucket", kind="publish", le="+Inf") == 2
            assert it.get("armo_last_success_timestamp_seconds", kind="publish") > 1.7e9
        assert found.get("armo_job_events_total", kind="unpublish", event="failed") == 0


@pytest.mark.usefixtures("_open")
class TestTheDatabase:
    @pytest.mark.django_db
    def test_is_up(self, client: Client) -> None:
        found = Scrape(client)

        assert (found["armo_database_up"], found["armo_database_read_only"]) == (1, 0)

    @pytest.mark.django_db
    def test_is_away_and_requests_are_counted_all_the_same(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr(connection, "cursor", refuse)
        client.get("/health/live/")

        found = Scrape(client)

        assert found["armo_database_up"] == 0
        assert not [name for name, _ in found.samples if name.startswith("armo_job")]
        route = {"route": "/health/live/", "method": "GET", "status": "200"}
        assert found.get("armo_http_request_duration_seconds_count", **route) >= 1

    @pytest.mark.django_db(transaction=True)
    def test_is_counted_in_though_a_table_is_locked(self, client: Client, other: Any) -> None:
        with other.cursor() as cursor:
            cursor.execute("LOCK scheduling_job IN ACCESS EXCLUSIVE MODE")

        assert Scrape(client)["armo_database_up"] == 0

    @pytest.mark.django_db(transaction=True)
    def test_may_be_read_only(self, client: Client) -> None:
        due_stories(1)
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        try:
            found = Scrape(client)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = off")

        assert (found["armo_database_up"], found["armo_database_read_only"]) == (1, 1)
        assert found["armo_due_jobs"] == 1


@pytest.mark.usefixtures("_open")
@pytest.mark.django_db
class TestRequests:
    @pytest.mark.parametrize(
        ("method", "address", "route", "status"),
        [
            ("GET", "/api/v1/stories/4711/", "/api/v1/stories/<pk>/", "404"),
            ("GET", "/no/such/page/", "none", "404"),
            ("GET", "/static/none.css", "none", "404"),
            ("BREW", "/health/live/", "/health/live/", "405"),
        ],
    )
    def test_are_counted_by_the_pattern_of_their_address(
        self, client: Client, method: str, address: str, route: str, status: str
    ) -> None:
        name = "armo_http_request_duration_seconds_count"
        known = method if method == "GET" else "other"
        key = (name, frozenset({"method": known, "route": route, "status": status}.items()))
        before = samples(client).get(key, 0)

        client.generic(method, address)

        assert samples(client)[key] == before + 1
