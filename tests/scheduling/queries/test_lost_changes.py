"""Which logged changes the ledger does not know, and what is said to be done."""

import logging
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from content.models import Story
from scheduling import operations
from scheduling.models import Job, JobEvent, LedgerStart, Schedulable, Status
from scheduling.models.clock import database_now
from scheduling.models.times import parse_moment
from scheduling.operations.prune import prune
from scheduling.queries import lost_changes
from scheduling.queries.lost_changes import Comparison, LostChange
from scheduling.queries.publish_logs import Logged
from scheduling.worker.batch_runner import run_due_jobs
from tests.database_rows import due_stories
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

MS = timedelta(milliseconds=1)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any) -> Any:
    """Return a function that runs another, and returns what the publish log has of it."""

    def run(work: Callable[[], object], *, with_milliseconds: bool = False) -> list[Logged]:
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, "armo.publish"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            work()
        return [_logged(record, with_milliseconds) for record in caplog.records]

    return run


def _logged(record: logging.LogRecord, with_milliseconds: bool) -> Logged:
    facts = vars(record)
    at = parse_moment(facts["at"])
    if not with_milliseconds:
        return Logged(facts["item"], facts["status"], at, at + timedelta(microseconds=1))
    at -= timedelta(microseconds=at.microsecond % 1000)
    return Logged(facts["item"], facts["status"], at, at + MS)


def lose(*items: Schedulable) -> None:
    """Forget what was done to items, as a standby does that has not received it."""
    for item in items:
        jobs = Job.objects.of(item)
        JobEvent.objects.filter(job__in=jobs).delete()
        jobs.delete()
        type(item)._base_manager.filter(pk=item.pk).update(status=Status.DRAFT, published_at=None)


def compare(*logged: Logged) -> tuple[Comparison, list[LostChange]]:
    comparison = Comparison()
    comparison.add(logged)
    return comparison, list(comparison.examine())


class TestAChangeThatTheLedgerKnows:
    @pytest.mark.parametrize("with_milliseconds", [False, True])
    def test_is_known_whoever_made_it(self, log: Any, with_milliseconds: bool) -> None:
        due_stories(3)
        notice, story = NoticeFactory(), StoryFactory()

        def work() -> None:
            run_due_jobs()
            operations.publish_now(item=notice, by=None)
            operations.publish_now(item=story, by=None)
            operations.unpublish_now(item=story, by=None)

        comparison, lost = compare(*log(work, with_milliseconds=with_milliseconds))

        assert (comparison.known, lost) == (6, [])

    def test_stays_so_when_its_item_is_deleted_or_changed_later(self, log: Any) -> None:
        story, other = due_stories(2)
        logged = log(run_due_jobs)
        operations.unpublish_now(item=Story.objects.get(pk=story.pk), by=None)
        Story.objects.filter(pk=other.pk).delete()

        assert compare(*logged)[1] == []

    def test_is_found_in_many_at_once_by_the_index(self, log: Any) -> None:
        due_stories(3000)
        logged = log(run_due_jobs)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")
            cursor.execute(f"EXPLAIN {lost_changes.SQL['unknown']}", lost_changes._params(logged))
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert "job_item" in plan
        assert "Seq Scan on scheduling_job" not in plan


class TestALostChange:
    def test_is_named_with_what_to_do(self, log: Any) -> None:
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        lose(story)

        _, [lost] = compare(logged)

        assert lost.logged == logged
        assert (lost.found, lost.advice) == (
            "to_be_repeated",
            "It is draft: have it published again, in the admin or the API.",
        )

    def test_that_was_done_again_needs_nothing(self, log: Any) -> None:
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        lose(story)
        operations.publish_now(item=Story.objects.get(), by=None)

        assert compare(logged)[1][0].found == "done_again"

    def test_that_a_job_will_do_again_names_the_job(self, log: Any) -> None:
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        lose(story)
        job = operations.schedule(item=Story.objects.get(), run_at=FAR_OFF, by=None)

        _, [lost] = compare(logged)

        assert lost.found == "scheduled"
        assert f"Job {job.pk}" in lost.advice

    def test_whose_job_has_failed_names_the_job(self, log: Any) -> None:
        due_stories(1)
        [logged] = log(run_due_jobs)
        at = database_now()
        Job.objects.update(state="failed", finished_at=at)
        Story.objects.update(status=Status.FAILED, published_at=None)

        _, [lost] = compare(logged)

        assert lost.advice.endswith(f"manage.py rerun {Job.objects.get().pk}.")

    def test_is_a_take_down_whose_item_is_live_again(self, log: Any) -> None:
        story = StoryFactory(published=True)
        [logged] = log(lambda: operations.unpublish_now(item=story, by=None))
        Job.objects.all().delete()
        Story.objects.update(status=Status.PUBLISHED)

        _, [lost] = compare(logged)

        assert lost.advice == "It is published: have it unpublished again, in the admin or the API."

    def test_of_an_item_that_was_lost_too(self, log: Any) -> None:
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        lose(story)
        Story.objects.all().delete()

        assert compare(logged)[1][0].found == "no_item"

    def test_of_a_type_that_is_gone(self) -> None:
        at = database_now()

        _, [lost] = compare(Logged("podcast:7", "published", at, at + MS))

        assert lost.found == "no_item"

    def test_before_another_needs_nothing_but_the_other(self, log: Any) -> None:
        story = StoryFactory()

        def work() -> None:
            operations.publish_now(item=story, by=None)
            operations.unpublish_now(item=story, by=None)

        logged = log(work)
        lose(story)

        _, lost = compare(*logged)

        assert [it.found for it in lost] == ["superseded", "as_logged"]

    def test_is_named_once_however_many_files_have_it(self, log: Any) -> None:
        [story] = due_stories(1)
        logged = log(run_due_jobs)
        lose(story)
        comparison = Comparison()
        comparison.add([*logged, *logged])
        comparison.add(logged)

        assert len(list(comparison.examine())) == 1

    def test_is_no_other_change_of_the_item_nor_of_another_item_with_its_id(self, log: Any) -> None:
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        other = NoticeFactory(pk=story.pk)

        _, lost = compare(
            logged._replace(at=logged.at - MS, until=logged.at),
            logged._replace(item=other.label),
            logged._replace(status="unpublished"),
        )

        assert len(lost) == 3


class TestAChangeFromBeforeTheLedgerBegins:
    def test_is_not_called_lost(self, log: Any) -> None:
        due_stories(2)
        logged = log(run_due_jobs)
        old = database_now() - timedelta(days=40)
        Job.objects.update(finished_at=old, run_at=old, created_at=old)
        shifted = [it._replace(at=old, until=old + MS) for it in logged]
        assert compare(*shifted)[0].known == 2

        list(prune(timedelta(days=30)))
        comparison, lost = compare(*shifted)

        assert not Job.objects.exists()
        assert (comparison.pruned, comparison.known, lost) == (2, 0, [])

    def test_is_not_every_one_once_something_was_pruned(self, log: Any) -> None:
        list(prune(timedelta(days=30)))
        [story] = due_stories(1)
        [logged] = log(run_due_jobs)
        lose(story)

        assert len(compare(logged)[1]) == 1

    def test_moves_only_forward(self) -> None:
        list(prune(timedelta(days=30)))
        begins = LedgerStart.find()
        list(prune(timedelta(days=90)))

        assert LedgerStart.find() == begins


class TestALedgerPrunedByAnOlderVersion:
    def test_begins_at_its_oldest_finished_job(self) -> None:
        find = import_module("scheduling.migrations.0021_ledger_start_of_pruned").FIND
        due_stories(2)
        run_due_jobs()
        first, second = Job.objects.order_by("pk")
        first.events.all().delete()
        first.delete()

        with connection.cursor() as cursor:
            cursor.execute(find)

        assert LedgerStart.find() == second.finished_at
