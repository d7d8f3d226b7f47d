"""Real workers behind PgBouncer in transaction mode, where a session belongs to nobody."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from io import StringIO
from multiprocessing import Pipe
from pathlib import Path
from time import monotonic

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client

from scheduling import operations
from scheduling.models import Job, State
from scheduling.models.clock import database_now
from scheduling.queries import dry_run, health
from scheduling.queue import leases
from scheduling.queue.broker import TimedBroker
from scheduling.worker import batch_runner
from scheduling.worker.supervisor import SILENT_SECONDS, Sentinel
from tests.chaos.traps.models import Mode, Trap
from tests.database_rows import due_stories
from tests.factories import FAR_OFF, StoryFactory
from tests.process import pooler
from tests.process.conftest import StartCluster, StartWorker
from tests.process.pooler import Pooler
from tests.process.worker import wait_until

pytestmark = pytest.mark.skipif(
    pooler.find_program() is None, reason="PgBouncer is not installed. Try: make pooler"
)


@pytest.fixture
def bouncer(transactional_db: None) -> Iterator[Pooler]:
    """Run a PgBouncer before the tests' server."""
    with pooler.running(Path(connection.settings_dict["HOST"])) as running:
        running.fill(connection.settings_dict["NAME"])
        yield running


@pytest.fixture
def database_url(bouncer: Pooler) -> str:
    """Return the address of this test's database behind it."""
    return bouncer.url(connection.settings_dict["NAME"])


@pytest.fixture
def start_behind(database_url: str, start_worker: StartWorker) -> StartWorker:
    """Start workers that reach the database through it; they are stopped before it is."""
    return partial(start_worker, DATABASE_URL=database_url)


@pytest.fixture
def _behind(bouncer: Pooler, transactional_db: None) -> Iterator[None]:
    """Have this process reach its database through it."""
    direct = connections["default"]
    pooled = direct.copy()
    pooled.settings_dict |= {"HOST": str(bouncer.folder), "PORT": str(pooler.PORT)}
    connections["default"] = pooled
    yield
    pooled.close()
    connections["default"] = direct


# What PgBouncer itself keeps apart for each client.
TRACKED = (
    *(
        "application_name",
        "client_encoding",
        "DateStyle",
        "standard_conforming_strings",
        "TimeZone",
    ),
)
LEFT_OVER = """
    SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name <> ALL(%s)
    UNION ALL SELECT 'channel ' || pg_listening_channels()
    UNION ALL SELECT 'prepared ' || statement FROM pg_prepared_statements
    UNION ALL SELECT 'cursor ' || statement FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'lock ' || classid || ' ' || objid FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""


def left_over() -> set[str]:
    """Return what is left in the sessions that clients share, whoever has left it there."""
    found = set()
    for _ in range(20):
        with connection.cursor() as cursor:
            cursor.execute(LEFT_OVER, [list(TRACKED)])
            found |= {row for (row,) in cursor.fetchall()}
    return found


def reasons() -> list[str]:
    """Return what monitors are answered."""
    found: list[str] = Client().get("/health/publisher/").json()["reasons"]
    return found


@pytest.mark.usefixtures("_behind")
class TestBehindAPooler:
    def test_a_batch_leaves_nothing_in_the_sessions_of_others(self) -> None:
        due_stories(3)

        assert batch_runner.run_due_jobs() == 3

        assert not left_over()

    def test_many_are_scheduled_and_nothing_is_left_in_the_sessions_of_others(self) -> None:
        operations.schedule_many(items=StoryFactory.create_batch(3), run_at=FAR_OFF, by=None)

        assert not left_over()

    def test_a_dry_run_shows_more_than_a_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dry_run, "BATCH", 2)
        due_stories(5)
        out = StringIO()

        call_command("publish_due", "--dry-run", "--json", stdout=out)

        assert len(json.loads(out.getvalue())) == 5

    def test_the_doctor_says_that_it_was_found_out(self) -> None:
        checks = {check.name: check for check in health.examine()}

        assert checks["sessions"].facts == {"own": False, "queue_listen": True, "schema": ""}
        assert "QUEUE_LISTEN=off says it" in checks["sessions"].text

    def test_the_choices_of_a_form_are_read(self, admin_client: Client) -> None:
        story = StoryFactory()

        page = admin_client.get(f"/admin/content/story/{story.pk}/change/")

        assert page.status_code == 200


@pytest.mark.usefixtures("_behind")
class TestAPusherWithoutAnAnswer:
    def test_is_left_alone_while_the_pooler_has_no_free_session(
        self, bouncer: Pooler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TimedBroker, "asking_since", None)
        handler = signal.getsignal(signal.SIGTERM)
        sentinel = Sentinel(Pipe()[0])
        signal.signal(signal.SIGTERM, handler)
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1

        with ExitStack() as taken:
            for _ in range(bouncer.size):
                client = taken.enter_context(bouncer.connect(connection.settings_dict["NAME"]))
                client.execute("SELECT")  # in a transaction that stays open
            assert not sentinel._is_silent()

        assert sentinel._is_silent()


class TestAWorkerBehindAPooler:
    def test_publishes_at_the_moment_what_is_scheduled_two_seconds_ahead(
        self, start_behind: StartWorker
    ) -> None:
        worker = start_behind()
        story = StoryFactory()
        at = database_now() + timedelta(seconds=2)

        operations.schedule(item=story, run_at=at, by=None)

        worker.wait_for_line(f"story:{story.pk} → published")
        story.refresh_from_db()
        assert story.published_at is not None
        assert timedelta(0) <= story.published_at - at < timedelta(seconds=1)

    def test_says_that_it_polls_though_no_setting_says_so(self, start_behind: StartWorker) -> None:
        worker = start_behind()

        worker.wait_for_line("A pooler stands before PostgreSQL")

    @pytest.mark.usefixtures("_behind")
    def test_is_seen_by_monitors_until_it_is_killed(self, start_behind: StartWorker) -> None:
        worker = start_behind()
        wait_until(lambda: not reasons(), seconds=20, what="the publisher is well")

        assert [reasons() for _ in range(30)] == [[]] * 30

        worker.kill()
        wait_until(
            lambda: reasons() == ["No worker is connected."],
            seconds=leases.LEASE_SECONDS + 3,
            what="the killed worker is missed",
        )

    def test_that_loses_a_process_in_a_hook_repeats_it_at_once(
        self, database_url: str, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster(DATABASE_URL=database_url)
        trap = Trap.objects.create(title="trap", mode=Mode.WORK)
        operations.schedule(item=trap, run_at=database_now() + timedelta(seconds=0.5), by=None)

        wait_until(lambda: Job.objects.get().attempt_begun_at, seconds=10, what="it has begun")
        for process in cluster.members("worker", "slow"):
            process.kill()

        wait_until(
            lambda: Job.objects.get().state == State.SUCCEEDED, seconds=8, what="it is repeated"
        )
        cluster.stop()
