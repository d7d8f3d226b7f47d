"""Real workers behind PgBouncer in transaction mode, where a session belongs to nobody."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from scheduling import operations
from scheduling.models.clock import database_now
from tests.factories import StoryFactory
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
        yield running


@pytest.fixture
def database_url(bouncer: Pooler) -> str:
    """Return the address of this test's database behind it."""
    return bouncer.url(connection.settings_dict["NAME"])


@pytest.fixture
def start_behind(database_url: str, start_worker: StartWorker) -> StartWorker:
    """Start workers that reach the database through it; they are stopped before it is."""
    return partial(start_worker, DATABASE_URL=database_url, QUEUE_LISTEN="off")


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
