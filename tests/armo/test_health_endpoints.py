"""The health endpoints, and the command `doctor`."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client
from django_q.models import OrmQ

from armo import health
from content.models import Notice, Story
from scheduling import __version__, tasks
from scheduling.models import Heartbeat, Job, Status, clock
from scheduling.operations import pause as pausing
from scheduling.queries import health as examination
from scheduling.queries import workers
from tests.database_rows import failed_end, failed_publish
from tests.factories import FAR_OFF, LONG_AGO, StoryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def _connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers seem to be connected."""
    monkeypatch.setattr(workers, "count_clusters", lambda: 8)


@pytest.fixture
def _beating(_connected: None) -> None:
    for number, lane in enumerate(("publish", "slow", "mail")):
        Heartbeat.objects.create(owner=number, lane=lane, host="here", pid=1)


def silent_for(seconds: float) -> None:
    Heartbeat.objects.update(beat_at=F("beat_at") - timedelta(seconds=seconds))


@pytest.fixture
def _database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("connection refused\nIs the server running on host db.internal?")

    monkeypatch.setattr(connection, "cursor", refuse)


def ask(client: Client, route: str) -> tuple[int, list[str]]:
    answer = client.get(f"/health/{route}/")
    return answer.status_code, answer.json().get("reasons", [])


class TestAnyHost:
    @pytest.mark.parametrize("allowed", [["news.example.org"], [".example.org"], ["*"]])
    @pytest.mark.parametrize("host", ["10.0.0.7:8000", "[fd00::1]", "attacker.example", "a b", ""])
    def test_answers_monitors_that_ask_by_address(
        self, client: Client, settings: Any, allowed: list[str], host: str
    ) -> None:
        settings.ALLOWED_HOSTS = allowed

        answers = [
            client.get(f"/health/{route}/", headers={"host": host})
            for route in ("live", "ready", "publisher")
        ]

        assert not [answer for answer in answers if answer.status_code == 400]

    def test_leaves_other_routes_to_allowed_hosts(self, client: Client, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["news.example.org"]

        assert client.get("/", headers={"host": "attacker.example"}).status_code == 400


class TestLive:
    @pytest.mark.usefixtures("_database_away")
    def test_looks_at_nothing_else(self, client: Client) -> None:
        assert ask(client, "live") == (200, [])


class TestReady:
    @pytest.fixture(autouse=True)
    def _fresh_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health._Migrated, "is_known", False)

    def test_is_so_with_a_migrated_database(self, client: Client) -> None:
        assert ask(client, "ready") == (200, [])

    def test_looks_at_the_migrations_only_until_they_are_there(
        self, client: Client, django_assert_num_queries: Any
    ) -> None:
        ask(client, "ready")

        with django_assert_num_queries(1):
            ask(client, "ready")

    @pytest.mark.usefixtures("_database_away")
    def test_is_not_without_the_database_and_names_no_host(self, client: Client) -> None:
        assert ask(client, "ready") == (503, ["The database cannot be reached."])

    def test_is_not_before_migrate(self, client: Client) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'scheduling'")

        assert ask(client, "ready") == (503, ["It is not migrated."])


class TestPublisher:
    def test_is_down_when_no_worker_is_connected(self, client: Client) -> None:
        assert ask(client, "publisher") == (503, ["No worker is connected."])

    @pytest.mark.usefixtures("_beating")
    def test_is_well_when_one_is_and_finishes_things(self, client: Client) -> None:
        StoryFactory(scheduled=True)

        answer = client.get("/health/publisher/")

        assert answer.status_code == 200
        facts = answer.json()
        assert (facts["status"], facts["worker_connections"]) == ("ok", 8)
        assert facts["oldest_overdue_seconds"] is None
        assert facts["seconds_since_beat"] < 10
        assert "no-cache" in answer["Cache-Control"]

    @pytest.mark.usefixtures("_beating")
    def test_is_down_when_nothing_has_been_finished_for_a_while(self, client: Client) -> None:
        silent_for(14)

        status, reasons = ask(client, "publisher")

        assert status == 503
        assert reasons[0].startswith("The queue has stopped moving")

    @pytest.mark.usefixtures("_beating")
    def test_goes_by_the_publish_lane(self, client: Client) -> None:
        silent_for(14)
        Heartbeat.objects.filter(lane="slow").update(beat_at=clock.database_now())

        status, reasons = ask(client, "publisher")

        assert status == 503
        assert "none that publishes" in reasons[0]

    @pytest.mark.usefixtures("_connected")
    def test_is_not_yet_well_before_the_first_beat(self, client: Client) -> None:
        assert ask(client, "publisher")[0] == 503

    @pytest.mark.usefixtures("_beating")
    def test_is_down_when_a_job_is_overdue(self, client: Client) -> None:
        StoryFactory(due=True)

        status, reasons = ask(client, "publisher")

        assert status == 503
        assert reasons[0].startswith("The oldest job that no worker has taken up has been due for")

    @pytest.mark.usefixtures("_beating")
    def test_does_not_say_why_it_is_paused(self, client: Client) -> None:
        StoryFactory(due=True, title="비밀 기사")
        pausing.pause(by=None, reason="court order about the mayor")

        answer = client.get("/health/publisher/")

        assert answer.status_code == 503
        [reason] = answer.json()["reasons"]
        assert reason.startswith("Publishing is paused since 20")
        assert "The oldest job it holds has been due for" in reason
        assert "court" not in answer.content.decode()
        assert "비밀" not in json.dumps(answer.json(), ensure_ascii=False)

    @pytest.mark.usefixtures("_beating")
    def test_is_well_within_the_grace(self, client: Client) -> None:
        StoryFactory(due=True)
        a_moment_ago = clock.database_now() - timedelta(seconds=30)
        Job.objects.update(run_at=a_moment_ago, next_attempt_at=a_moment_ago)

        assert ask(client, "publisher")[0] == 200

    @pytest.mark.usefixtures("_beating")
    def test_is_not_blamed_for_a_job_that_waits_for_its_next_attempt(self, client: Client) -> None:
        StoryFactory(due=True)
        Job.objects.update(next_attempt_at=FAR_OFF)

        assert ask(client, "publisher")[0] == 200

    @pytest.mark.usefixtures("_beating")
    def test_is_not_blamed_for_a_job_that_is_being_tried(self, client: Client) -> None:
        StoryFactory(due=True)
        Job.objects.update(attempt_begun_at=clock.database_now())

        assert ask(client, "publisher")[0] == 200

    @pytest.mark.usefixtures("_beating")
    @pytest.mark.parametrize(("seconds", "status"), [(90, 200), (150, 503)])
    def test_is_not_blamed_for_as_long_as_a_hook_may_take(
        self, client: Client, settings: Any, seconds: int, status: int
    ) -> None:
        settings.HOOK_TIMEOUT = 120
        StoryFactory(due=True)
        Job.objects.update(attempt_begun_at=clock.database_now() - timedelta(seconds=seconds))

        assert ask(client, "publisher")[0] == status

    @pytest.mark.usefixtures("_database_away")
    def test_is_down_without_the_database(self, client: Client) -> None:
        assert ask(client, "publisher") == (503, ["The database cannot be reached."])

    def test_answers_only_to_get(self, client: Client) -> None:
        assert client.post("/health/publisher/").status_code == 405


def doctor() -> tuple[int, dict[str, examination.Check]]:
    """Return the exit code of the doctor, and what it says by name."""
    out, code = StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=out)
    except SystemExit as end:
        code = int(end.code or 0)
    checks = [examination.Check(**check) for check in json.loads(out.getvalue())["checks"]]
    return code, {check.name: check for check in checks}


def complaints() -> list[str]:
    code, checks = doctor()
    found = [name for name, check in checks.items() if not check.ok]
    assert code == bool(found)
    return found


@pytest.mark.usefixtures("_beating")
class TestTheDoctor:
    def test_finds_nothing_where_all_is_well(self) -> None:
        StoryFactory(scheduled=True)
        StoryFactory(published=True, unpublish_at=FAR_OFF)

        assert complaints() == []

    def test_prints_a_line_a_check(self) -> None:
        out = StringIO()

        call_command("doctor", stdout=out)

        lines = out.getvalue().splitlines()
        assert lines[0].startswith("ok    database: PostgreSQL ")
        assert all(line.startswith("ok    ") for line in lines)

    def test_gives_programs_the_figures(self) -> None:
        failed_publish()

        _, checks = doctor()

        assert checks["worker"].facts["connections"] == 8
        assert checks["failed jobs"].facts == {"count": 1}
        assert checks["clock of here"].facts == {"ahead_seconds": 0.0}

    def test_finds_a_lane_without_a_worker(self) -> None:
        Heartbeat.objects.filter(lane="mail").delete()

        assert complaints() == ["lane mail"]

    def test_names_the_workers_of_other_versions_without_complaint(self) -> None:
        Heartbeat.objects.update(version=__version__)
        assert doctor()[1]["versions"].text == f"All run {__version__}, as this command does."

        for lane, owner in (("publish", 90), ("slow", 91)):
            Heartbeat.objects.create(owner=owner, lane=lane, host="old", pid=4711)
        Heartbeat.objects.create(owner=92, lane="publish", host="gone", pid=1, beat_at=LONG_AGO)

        code, checks = doctor()
        assert code == 0
        assert "Workers of other versions: before 0.2.0 on old, process 4711." in (
            checks["versions"].text
        )
        assert checks["versions"].facts["workers"] == [
            {"version": "", "host": "old", "pid": 4711},
            {"version": __version__, "host": "here", "pid": 1},
        ]

    def test_finds_a_queue_that_has_stopped(self) -> None:
        silent_for(14)

        assert complaints() == ["worker"]

    def test_finds_a_job_that_is_overdue(self) -> None:
        StoryFactory(due=True)

        assert complaints() == ["overdue jobs"]

    def test_finds_a_clock_that_is_off(self) -> None:
        Heartbeat.objects.update(clock_ahead_ms=-600_000)

        assert complaints() == ["clock of here"]
        assert "600.000 s behind" in doctor()[1]["clock of here"].text

    def test_finds_an_item_that_nobody_will_publish(self) -> None:
        Story.objects.bulk_create([StoryFactory.build(status=Status.SCHEDULED, publish_at=FAR_OFF)])

        assert complaints() == ["story to publish without a job"]

    def test_finds_an_item_and_a_job_that_differ(self) -> None:
        StoryFactory(scheduled=True)
        Story.objects.update(publish_at=FAR_OFF + timedelta(days=1))

        assert complaints() == [
            "story to publish without a job",
            "job to publish a story that does not ask for it",
        ]

    def test_finds_a_job_whose_item_is_gone(self) -> None:
        StoryFactory(scheduled=True)
        Story.objects.all()._raw_delete("default")

        assert complaints() == ["job to publish a story that does not ask for it"]

    def test_finds_a_job_that_nothing_wakes(self) -> None:
        StoryFactory(scheduled=True)
        OrmQ.objects.all().delete()

        assert complaints() == ["open job without a message"]

    def test_finds_a_failed_item_that_cannot_be_run_again(self) -> None:
        failed_publish()
        tasks.tell_failures()
        Job.objects.all().delete()

        assert complaints() == ["failed story without a failed job"]

    def test_does_not_complain_of_what_has_failed_and_was_mailed(self) -> None:
        failed_publish()
        failed_end()
        tasks.tell_failures()
        assert Notice.objects.published().exists()

        code, checks = doctor()

        assert code == 0
        assert checks["failed jobs"].text.startswith("2.")

    def test_does_not_complain_of_the_end_of_what_has_failed(self) -> None:
        failed_publish(unpublish_at=FAR_OFF)
        tasks.tell_failures()

        assert complaints() == []

    def test_finds_a_failure_that_nobody_was_notified_of(self) -> None:
        failed_publish()
        earlier = clock.database_now() - timedelta(minutes=6)
        Job.objects.update(finished_at=earlier, run_at=LONG_AGO)

        assert complaints() == ["failures nobody was notified of"]

    def test_finds_messages_that_cannot_be_read(self) -> None:
        StoryFactory(scheduled=True)
        OrmQ.objects.update(payload="signed with another key")

        assert complaints() == ["messages"]


class TestTheDoctorWithout:
    def test_a_worker_says_so(self) -> None:
        assert complaints() == ["worker"]

    @pytest.mark.usefixtures("_database_away")
    def test_the_database_says_so_and_stops_there(self) -> None:
        out = StringIO()

        with pytest.raises((SystemExit, CommandError)):
            call_command("doctor", stdout=out)

        assert out.getvalue() == "FAIL  database: It cannot be reached: connection refused\n"

    def test_the_database_any_more_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost() -> None:
            raise OperationalError("the connection is lost\nand more")

        monkeypatch.setattr(clock, "database_now", lost)

        _, checks = doctor()

        assert not checks["database"].ok
        assert checks["database"].text == "It went away meanwhile: the connection is lost"

    def test_its_migrations_says_so_and_stops_there(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'scheduling'")

        assert complaints() == ["migrations"]
