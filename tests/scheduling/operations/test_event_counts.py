"""Counting what happens to jobs: each event once, whatever is written or deleted meanwhile."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from scheduling import operations, tasks
from scheduling.models import EventCount, EventCountMark, Job, JobEvent
from scheduling.operations import event_counts, prune
from tests.database_rows import due_stories, failed_publish
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db(transaction=True)

ONE_EVENT = """
    INSERT INTO scheduling_jobevent (job_id, what, at, reason)
    VALUES (%s, 'moved', now(), '')
"""


def counted() -> Counter[str]:
    """Count until nothing is left, and return how often what has happened."""
    while event_counts.count_events():
        pass
    found: Counter[str] = Counter()
    for what, number in EventCount.objects.values_list("what", "number"):
        found[what] += number
    return found


class TestCounting:
    def test_counts_each_event_once(self) -> None:
        due_stories(3)
        tasks.catch_up()
        operations.publish_now(item=StoryFactory(), by=None)

        assert counted() == {"scheduled": 3, "succeeded": 4}
        assert counted() == {"scheduled": 3, "succeeded": 4}

    def test_has_no_lateness_of_what_was_done_by_hand(self) -> None:
        operations.publish_now(item=StoryFactory(), by=None)
        due_stories(2)
        tasks.catch_up()

        counted()

        late = EventCount.objects.filter(what="succeeded").order_by("lateness_to")
        assert list(late.values_list("lateness_to", "number")) == [("", 1), ("+Inf", 2)]
        assert late[1].lateness_seconds > 2 * 86_400

    @pytest.mark.parametrize(
        ("milliseconds", "expected"),
        [(0, "0.005"), (6, "0.01"), (240, "0.25"), (9_000, "10"), (9_999_999, "+Inf")],
    )
    def test_has_a_range_for_each_lateness(self, milliseconds: int, expected: str) -> None:
        due_stories(1)
        tasks.catch_up()
        late = timedelta(milliseconds=milliseconds)
        at = Job.objects.get().run_at + late
        Job.objects.update(finished_at=at)
        JobEvent.objects.filter(what="succeeded").update(at=at)

        counted()

        assert EventCount.objects.get(what="succeeded").lateness_to == expected

    def test_counts_what_was_written_by_a_transaction_that_ends_later(
        self, other: BaseDatabaseWrapper
    ) -> None:
        due_stories(1)
        assert counted() == {"scheduled": 1}
        with other.cursor() as cursor:
            cursor.execute(ONE_EVENT, [Job.objects.get().pk])
        # Its id is higher, and its transaction is over before.
        due_stories(1)

        assert counted() == {"scheduled": 1}

        other.commit()
        assert counted() == {"scheduled": 2, "moved": 1}

    def test_does_nothing_while_another_process_counts(self, other: BaseDatabaseWrapper) -> None:
        due_stories(1)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM scheduling_eventcountmark FOR UPDATE")

        assert counted() == {}

        other.rollback()
        assert counted() == {"scheduled": 1}

    def test_goes_on_in_a_cluster_that_was_restored_from_a_dump(self) -> None:
        due_stories(1)
        EventCountMark.objects.update(next_to=JobEvent.objects.get().pk, next_from_xid=2**60)

        assert counted() == {"scheduled": 1}

    def test_begins_where_the_mark_is_lost(self) -> None:
        due_stories(1)
        EventCountMark.objects.all().delete()

        assert counted()["scheduled"] >= 1

    def test_goes_batch_by_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_counts, "BATCH", 2)
        due_stories(5)

        assert event_counts.count_events(rounds=2)
        assert EventCount.objects.get().number == 2
        assert counted() == {"scheduled": 5}

    def test_counts_failures_by_the_class_of_the_error(self) -> None:
        job = failed_publish()

        counted()

        [failure] = EventCount.objects.filter(what="failed")
        assert (failure.kind, failure.error_class) == (job.kind, "permanent")
        assert failure.error == "scheduling.models.item.NotPublishable"

    def test_counts_ever_more_classes_of_errors_as_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_counts, "MOST_ERRORS", 1)
        for name in ("One", "Two", "One"):
            job = failed_publish()
            detail = {"error": name, "class": "transient"}
            JobEvent.objects.filter(job=job, what="failed").update(detail=detail)
            counted()

        found = EventCount.objects.filter(what="failed").order_by("error")
        assert list(found.values_list("error", "number")) == [("One", 2), ("other", 1)]


class TestAPrune:
    def test_takes_nothing_away(self) -> None:
        due_stories(2)
        tasks.catch_up()

        list(prune.prune(timedelta(0)))

        assert not Job.objects.exists()
        assert counted() == {"scheduled": 2, "succeeded": 2}


class TestASweep:
    def test_counts_where_nobody_reads_metrics(self) -> None:
        StoryFactory(scheduled=True, publish_at=FAR_OFF)

        tasks.sweep()

        assert EventCount.objects.get().what == "scheduled"


class TestTheStatement:
    def test_reads_the_events_and_their_jobs_alone(self) -> None:
        due_stories(500)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job, scheduling_jobevent")
        params: dict[str, Any] = {"limits": [1.0], "names": ["1", "+Inf"], "most": 1}
        newest = JobEvent.objects.order_by("-pk")[0].pk

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
            statement = f"EXPLAIN {event_counts.SQL['count']}"
            cursor.execute(statement, {**params, "counted_to": newest - 10, "next_to": newest})
            plan = "\n".join(line for [line] in cursor.fetchall())

        assert "Seq Scan on scheduling_job" not in plan
