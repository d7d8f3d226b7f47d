"""Real workers behind PgBouncer in transaction mode, where a session belongs to nobody."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client

from scheduling import operations
from scheduling.models.clock import database_now
from scheduling.queries import dry_run
from scheduling.worker import batch_runner
from tests.database_rows import due_stories
from tests.factories import FAR_OFF, StoryFactory
from tests.process import pooler
from tests.process.conftest import StartWorker
from tests.process.pooler import Pooler

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
    return partial(start_worker, DATABASE_URL=database_url, QUEUE_LISTEN="off")


@pytest.fixture
def _behind(bouncer: Pooler, transactional_db: None, settings: Any) -> Iterator[None]:
    """Have this process reach its database through it."""
    settings.QUEUE_LISTEN = False
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

    def test_the_choices_of_a_form_are_read(self, admin_client: Client) -> None:
        story = StoryFactory()

        page = admin_client.get(f"/admin/content/story/{story.pk}/change/")

        assert page.status_code == 200


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
