"""With many jobs waiting, the queries that workers repeat read no row that is not due."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from content.models import Story
from scheduling.broker import TimedBroker
from scheduling.models import Job
from scheduling.worker import batch_runner
from tests.database_rows import due_stories, plans
from tests.factories import FAR_OFF

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

WAITING = 20_000
TABLES = {"content_story", "scheduling_job", "django_q_ormq"}

WRITE = """
    WITH job AS (
        INSERT INTO scheduling_job (id, kind, state, content_type_id, object_id, item_title,
                                    run_at, next_attempt_at, attempts, reason, message_id)
        SELECT nextval(pg_get_serial_sequence('scheduling_job', 'id')), 'publish', 'waiting',
               %(type)s, 1000000 + n, '', at, at, 0, '',
               nextval(pg_get_serial_sequence('django_q_ormq', 'id'))
        FROM generate_series(1, %(count)s) AS n,
             LATERAL (SELECT %(first)s + n * interval '1 second' AS at) AS when_
        RETURNING id, message_id, run_at
    )
    INSERT INTO django_q_ormq (id, key, payload, lock, armo_job)
    SELECT message_id, 'publish', '', run_at, id FROM job
"""


@pytest.fixture(autouse=True)
def _backlog() -> None:
    story = ContentType.objects.get_for_model(Story)
    with connection.cursor() as cursor:
        cursor.execute(WRITE, {"type": story.pk, "count": WAITING, "first": FAR_OFF})
        cursor.execute("ANALYZE content_story, scheduling_job, django_q_ormq")
        # A table this small it would rather scan; with a million rows it would not.
        cursor.execute("SET LOCAL random_page_cost = 40")


@contextmanager
def rows_read() -> Iterator[Counter[str]]:
    """Count the rows that statements read of each table, with those that a filter removed."""
    read: Counter[str] = Counter()
    with plans() as steps:
        yield read
    for step in steps:
        if step.get("Relation Name") in TABLES:
            each = step["Actual Rows"] + step.get("Rows Removed by Filter", 0)
            read[step["Relation Name"]] += round(each * step["Actual Loops"])


def claim() -> None:
    TimedBroker("publish").claim()


def look() -> None:
    with patch.object(TimedBroker, "owner", 1):
        TimedBroker("publish").look(claimed_nothing=False)


class TestAWorker:
    @pytest.mark.parametrize(
        "does",
        [
            claim,
            look,
            batch_runner.run_due_jobs,
            lambda: batch_runner.run_due_jobs(at=monotonic()),
            batch_runner.seconds_until_next,
        ],
        ids=["claims", "looks round", "drains", "drains at a moment", "asks for the next"],
    )
    @pytest.mark.parametrize("due", [0, 3])
    def test_reads_nothing_of_what_is_not_due(self, does: Callable[[], Any], due: int) -> None:
        due_stories(due)

        with rows_read() as read:
            does()

        assert set(read) <= TABLES
        assert max(read.values(), default=0) <= 10 + 10 * due
        assert Job.objects.open().count() >= WAITING
