"""What the diagnosis asks of a real database: one that is locked, goes away, or holds much."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import RequestFactory

from armo.health import UNREACHABLE
from scheduling.models import Job, clock
from scheduling.queries import health
from tests.database_rows import due_stories, plans
from tests.factories import LONG_AGO, StoryFactory

pytestmark = pytest.mark.django_db(transaction=True)

NO_WORKER = [503, "No worker is connected."]
AWAY = [503, UNREACHABLE]


def ask(route: str) -> list[object]:
    """Ask as a web server does: Django's test client keeps a connection however it is."""
    start = Mock()
    answer = WSGIHandler()(RequestFactory().get(f"/health/{route}/").environ, start)
    reasons = json.loads(b"".join(answer))["reasons"]
    answer.close()
    [status, _] = start.call_args.args
    return [int(status[:3]), *reasons]


@pytest.fixture
def outside() -> Iterator[BaseDatabaseWrapper]:
    """Return a connection to the same server, but to another database."""
    elsewhere = connection.copy()
    elsewhere.settings_dict = {**elsewhere.settings_dict, "NAME": "postgres"}
    yield elsewhere
    elsewhere.close()


def end_all_connections(outside: BaseDatabaseWrapper) -> None:
    with outside.cursor() as cursor:
        # It returns once they have ended, or after 5 s.
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [connection.settings_dict["NAME"]],
        )


@contextmanager
def nobody_let_in(outside: BaseDatabaseWrapper) -> Iterator[None]:
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with outside.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        try:
            end_all_connections(outside)
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


class TestAMonitor:
    def test_does_not_see_that_a_connection_was_cut(self, outside: BaseDatabaseWrapper) -> None:
        assert ask("publisher") == NO_WORKER

        end_all_connections(outside)

        assert ask("publisher") == NO_WORKER
        end_all_connections(outside)
        assert ask("ready") == [200]

    def test_is_answered_while_the_database_is_away_and_once_it_is_back(
        self, outside: BaseDatabaseWrapper
    ) -> None:
        assert ask("publisher") == NO_WORKER

        with nobody_let_in(outside):
            assert [ask("publisher"), ask("ready")] == [AWAY, AWAY]
            assert [ask("publisher"), ask("ready")] == [AWAY, AWAY]

        assert [ask("publisher"), ask("ready")] == [NO_WORKER, [200]]

    def test_is_answered_while_a_table_is_locked(
        self, other: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "ANSWER_WITHIN_SECONDS", 0.2)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE scheduling_job IN ACCESS EXCLUSIVE MODE")

        assert ask("publisher") == AWAY

        other.rollback()
        assert ask("publisher") == NO_WORKER


class TestAReadOnlyDatabase:
    @pytest.fixture(autouse=True)
    def _read_only(self) -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
            yield
            cursor.execute("RESET default_transaction_read_only")

    def test_is_named_to_monitors_of_the_publisher_alone(self) -> None:
        """Readers are served all the same."""
        status, *reasons = ask("publisher")

        assert (status, reasons[0]) == (503, health.READ_ONLY)
        assert ask("ready") == [200]

    def test_is_named_by_the_doctor(self) -> None:
        [check] = [check for check in health.examine() if check.name == "writes"]

        assert (check.ok, check.text) == (False, health.READ_ONLY)


class TestTheDoctor:
    def test_says_that_the_database_is_away(self, outside: BaseDatabaseWrapper) -> None:
        connection.ensure_connection()

        with nobody_let_in(outside):
            connection.close()
            [check] = health.examine()

        assert (check.name, check.ok) == ("database", False)
        assert check.text.startswith("It cannot be reached: ")

    def test_leaves_its_next_statements_as_patient_as_they_were(self) -> None:
        list(health.examine())

        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)

    def test_counts_no_further_than_it_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "MOST_COUNTED", 3)
        due_stories(5)
        Job.objects.update(message_id=None)

        checks = {check.name: check for check in health.examine()}

        assert checks["overdue jobs"].text.startswith(
            "3 or more, 3 or more of them taken up by no worker."
        )
        assert checks["open job without a message"].text.startswith("3 or more. ")


class TestOverdueJobs:
    def test_are_counted_from_the_oldest(self) -> None:
        due_stories(1, publish_at=LONG_AGO + timedelta(days=1))
        due_stories(1)

        seconds = (clock.database_now() - LONG_AGO).total_seconds()

        state = health.publisher()
        assert state.stuck_seconds == pytest.approx(seconds, abs=60)
        assert state.overdue_seconds == pytest.approx(seconds, abs=60)

    def test_are_looked_up_in_the_index_of_what_is_due(self) -> None:
        due_stories(50)
        StoryFactory.create_batch(50, scheduled=True)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")
            cursor.execute("SET enable_seqscan = off")
        try:
            plan = Job.objects.stuck(now=clock.database_now())[:1].explain()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET enable_seqscan")

        assert "Index Scan using job_due" in plan
        assert "Sort" not in plan


class TestItemsAndJobs:
    """Of many that are due at one instant, with statistics from before."""

    @pytest.fixture
    def _due_at_once(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job, content_story")
        due_stories(200)

    @pytest.mark.usefixtures("_due_at_once")
    def test_are_compared_by_hash_and_never_pair_by_pair(self) -> None:
        with transaction.atomic(), plans() as steps:
            list(health._pairs())

        joins = {step["Node Type"] for step in steps if "Join Type" in step}
        assert joins == {"Hash Join"}
