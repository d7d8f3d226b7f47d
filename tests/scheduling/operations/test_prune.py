"""Pruning: what is deleted, what is kept, and that publishing is not held up."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ, Task

from content.models import Story
from scheduling import operations, tasks
from scheduling.errors import DomainError
from scheduling.models import Heartbeat, Job, JobEvent, Kind, LedgerStart, State, Status
from scheduling.models.clock import database_now
from scheduling.operations import event_counts
from scheduling.operations import prune as pruning
from scheduling.operations.prune import prunable_jobs, prune
from scheduling.worker.batch_runner import run_due_jobs
from tests.conftest import InBackground
from tests.database_rows import due_stories, failed_end, failed_publish, history, over, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.scheduling.models.test_item import look_up
from tests.scheduling.operations.test_concurrency import SECONDS, hold, try_to, wait_until_blocked

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTHS = timedelta(days=90)


def prune_all(older_than: timedelta = MONTHS) -> Counter[str]:
    """Prune to the end; return how many rows of each table."""
    counts: Counter[str] = Counter()
    for batch in prune(older_than):
        counts.update(batch._asdict())
    return +counts


def put_back(job: Job) -> Job:
    """Have a job be over for long."""
    Job.objects.filter(pk=job.pk).update(finished_at=LONG_AGO)
    return job


def task(ended_at: datetime, number: int = 0) -> Task:
    return Task.objects.create(
        id=f"{number:032}",
        name="job 1",
        func="scheduling.tasks.run_job",
        started=ended_at,
        stopped=ended_at,
        success=True,
    )


def session(expires_at: datetime) -> Session:
    return Session.objects.create(session_key=uuid4().hex, expire_date=expires_at)


class TestPrune:
    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    def test_deletes_a_job_that_was_over_long_ago_with_its_history(self, state: State) -> None:
        over(StoryFactory(), state)

        pruned = prune_all()

        assert pruned == {"jobs": 1, "events": 1}
        assert not Job.objects.exists()
        assert not JobEvent.objects.exists()

    def test_goes_by_the_clock_of_the_database(self) -> None:
        now = database_now()
        old = over(StoryFactory(), finished_at=now - MONTHS)
        young = over(StoryFactory(), finished_at=now - MONTHS + HOUR)

        prune_all()

        assert not Job.objects.filter(pk=old.pk).exists()
        assert history(young) == ["succeeded"]

    def test_goes_by_when_a_job_was_over_and_not_by_when_it_was_due(self) -> None:
        over(StoryFactory(), State.CANCELLED, run_at=FAR_OFF)
        late = over(StoryFactory(), finished_at=database_now())

        prune_all()

        assert Job.objects.get() == late

    @pytest.mark.parametrize("state", [State.WAITING, State.RETRYING])
    def test_keeps_what_has_still_to_run_however_old(self, state: State) -> None:
        due_stories(1)
        Job.objects.update(state=state, created_at=LONG_AGO)
        JobEvent.objects.update(at=LONG_AGO)

        pruned = prune_all()

        assert not pruned
        assert Job.objects.get().events.count() == 1

    def test_leaves_the_items_alone(self) -> None:
        live = StoryFactory(published=True)
        over(live)

        prune_all()

        assert row(live).is_published
        assert row(live).version == 1

    def test_does_nothing_the_second_time(self) -> None:
        over(StoryFactory())
        task(LONG_AGO)
        prune_all()

        assert not prune_all()

    def test_leaves_a_late_message_of_the_job_nothing_to_do(self) -> None:
        job = over(StoryFactory())
        prune_all()

        tasks.run_job(job.pk)

        assert not Job.objects.exists()

    def test_deletes_old_tasks_of_django_q(self) -> None:
        task(LONG_AGO)
        kept = task(database_now(), 1)

        pruned = prune_all()

        assert pruned == {"tasks": 1}
        assert Task.objects.get() == kept

    def test_deletes_heartbeats_a_day_old_whatever_is_asked_for(self) -> None:
        for owner, age in enumerate((DAY + HOUR, DAY - HOUR)):
            Heartbeat.objects.create(
                owner=owner, lane="publish", host="h", pid=1, beat_at=database_now() - age
            )

        pruned = prune_all()

        assert pruned == {"heartbeats": 1}
        assert Heartbeat.objects.get().owner == 1

    @pytest.mark.django_db(transaction=True)
    def test_passes_over_a_heartbeat_that_is_locked(self, other: BaseDatabaseWrapper) -> None:
        for owner in (1, 2):
            Heartbeat.objects.create(owner=owner, lane="slow", host="h", pid=1, beat_at=LONG_AGO)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM scheduling_heartbeat WHERE owner = 1 FOR UPDATE")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")

            pruned = prune_all()

        assert (pruned["heartbeats"], Heartbeat.objects.get().owner) == (1, 1)

    def test_deletes_sessions_that_have_expired_however_lately(self) -> None:
        session(database_now() - HOUR)
        kept = session(database_now() + HOUR)

        pruned = prune_all()

        assert pruned == {"sessions": 1}
        assert Session.objects.get() == kept

    def test_has_batches_that_stay_done_when_it_is_broken_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pruning, "BATCH", 2)
        jobs = [over(StoryFactory(), finished_at=LONG_AGO + n * HOUR) for n in range(5)]

        first = next(prune(MONTHS))
        left = list(Job.objects.order_by("pk"))
        pruned = prune_all()

        assert first == (2, 2, 0, 0, 0)
        assert left == jobs[2:]
        assert pruned == {"jobs": 3, "events": 3}

    @pytest.mark.parametrize("number", [3, 4, 5])
    def test_comes_to_the_end_of_many_that_were_over_at_once(
        self, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        monkeypatch.setattr(pruning, "BATCH", 2)
        for n in range(number):
            over(StoryFactory())
            task(LONG_AGO, n)

        pruned = prune_all()

        assert pruned == {"jobs": number, "events": number, "tasks": number}

    def test_takes_as_many_statements_for_many_jobs_as_for_one(
        self, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Its statements depend on which transactions run just then.
        monkeypatch.setattr(event_counts, "count_events", lambda: False)
        for _ in range(20):
            over(StoryFactory())
        ContentType.objects.get_for_models(Story, NoticeFactory._meta.model)

        # The clock, where the ledger begins, four batches each in a savepoint.
        with django_assert_num_queries(19):
            prune_all()


class TestPruneABatch:
    def test_deletes_the_oldest_of_each_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pruning, "BATCH", 2)
        for n in range(3):
            over(StoryFactory(), finished_at=LONG_AGO + n * HOUR)
            task(LONG_AGO, n)
            session(LONG_AGO)
        Heartbeat.objects.create(owner=1, lane="slow", host="h", pid=1, beat_at=LONG_AGO)

        first, second, third = (pruning.prune_a_batch(MONTHS) for _ in range(3))

        assert first == (2, 2, 2, 2, 1)
        assert second == (1, 1, 1, 1, 0)
        assert not any(third)

    def test_records_since_when_the_ledger_is_whole_only_if_jobs_go(self) -> None:
        started = list(LedgerStart.objects.all())
        pruning.prune_a_batch(MONTHS)
        unmoved = list(LedgerStart.objects.all()) == started
        over(StoryFactory())

        pruning.prune_a_batch(MONTHS)

        assert unmoved
        assert LedgerStart.objects.get().at > LONG_AGO


class TestAFailedJob:
    @pytest.mark.parametrize("make", [failed_publish, failed_end])
    def test_that_can_still_be_run_again_is_kept_however_old(
        self, make: Callable[..., Job]
    ) -> None:
        job = put_back(make())

        prune_all()

        operations.rerun(job=job, by=None)
        assert run_due_jobs() == 1

    def test_that_cannot_yet_be_run_again_is_kept_too(self) -> None:
        job = put_back(failed_publish())
        Story.objects.update(body="")

        prune_all()

        assert Job.objects.get() == job

    @pytest.mark.parametrize(
        "since", [operations.publish_now, operations.unschedule], ids=["published", "given-up"]
    )
    def test_whose_item_has_moved_on_goes(self, since: Callable[..., Job]) -> None:
        job = put_back(failed_publish())
        since(item=job.find_item(), by=None)

        prune_all()

        assert not Job.objects.filter(pk=job.pk).exists()

    def test_whose_item_was_scheduled_for_another_time_goes(self) -> None:
        job = put_back(failed_publish())
        Story.objects.update(publish_at=FAR_OFF)

        prune_all()

        assert not Job.objects.filter(pk=job.pk).exists()

    def test_whose_end_was_changed_goes(self) -> None:
        job = put_back(failed_end())
        operations.schedule(
            item=job.find_item(),  # type: ignore[arg-type]  # it is there
            run_at=FAR_OFF,
            kind=Kind.UNPUBLISH,
            by=None,
        )

        prune_all()

        assert not Job.objects.filter(pk=job.pk).exists()

    def test_of_another_type_with_the_same_number_goes(self) -> None:
        job = put_back(failed_publish())
        story = Story.objects.get()
        of_notice = over(NoticeFactory(pk=story.pk), State.FAILED)

        prune_all()

        assert Job.objects.get() == job
        assert of_notice.run_at == job.run_at

    def test_whose_item_or_type_is_gone_goes(self) -> None:
        put_back(failed_publish())
        Story.objects.all()._raw_delete("default")
        gone = ContentType.objects.create(app_label="gone", model="podcast")
        over(StoryFactory(failed=True), State.FAILED, run_at=LONG_AGO)
        Job.objects.filter(object_id=Story.objects.get().pk).update(content_type=gone)

        prune_all()

        assert not Job.objects.exists()

    @pytest.mark.parametrize("status", Status.values)
    @pytest.mark.parametrize("kind", list(Kind))
    def test_is_kept_whenever_it_may_be_run_again(self, status: str, kind: str) -> None:
        make = failed_publish if kind == Kind.PUBLISH else failed_end
        job = put_back(make())
        item = job.find_item()
        assert item is not None
        published_at = None if status == Status.DRAFT else LONG_AGO
        type(item)._base_manager.update(status=status, published_at=published_at)
        try:
            operations.check_rerun(job=job)
        except DomainError:
            may_run_again = False
        else:
            may_run_again = True

        is_kept = not prunable_jobs(database_now()).filter(pk=job.pk).exists()

        assert is_kept or not may_run_again
        # Of a failed item the publish is what was asked for, of a live one the end.
        assert is_kept == (status == {"publish": "failed", "unpublish": "published"}[kind])


class TestCount:
    def test_is_what_prune_deletes(self) -> None:
        over(StoryFactory())
        over(StoryFactory(), State.CANCELLED)
        put_back(failed_publish())
        task(LONG_AGO)
        session(LONG_AGO)
        Heartbeat.objects.create(owner=1, lane="slow", host="h", pid=1, beat_at=LONG_AGO)

        counted = pruning.count(MONTHS)

        assert counted == (2, 2, 1, 1, 1)
        assert prune_all() == counted._asdict()


@pytest.mark.slow
class TestTheIndex:
    @pytest.fixture
    def _many_rows(self) -> None:
        """Fill the table: few jobs are old, most have still to run or were over of late."""
        due_stories(900, publish_at=FAR_OFF)
        stories = list(Story.objects.all()[:100])
        for story in stories[:95]:
            over(story, finished_at=database_now())
        for story in stories[95:]:
            over(story, State.CANCELLED, run_at=FAR_OFF)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")

    @pytest.mark.usefixtures("_many_rows")
    def test_leads_to_the_old_and_to_no_other_row(self) -> None:
        jobs = prunable_jobs(database_now() - MONTHS).order_by("finished_at", "pk")

        done = look_up(jobs[: pruning.BATCH])

        assert "job_finished" in {node.get("Index Name") for node in done}
        assert sum(node.get("Rows Removed by Filter", 0) for node in done) == 0
        of_jobs = [node for node in done if node.get("Relation Name") == "scheduling_job"]
        assert [node["Actual Rows"] for node in of_jobs] == [5]


@pytest.mark.django_db(transaction=True)
class TestAnOpenBatch:
    def test_lets_drain_and_operations_through(self, in_background: InBackground) -> None:
        failed = put_back(failed_publish())
        [due] = due_stories(1)
        draft, live = StoryFactory(), StoryFactory(published=True)
        for item in (due, draft, live):
            over(item)

        with transaction.atomic():
            pruned = prune_all()
            done = in_background(run_due_jobs).result(SECONDS)
            in_background(operations.schedule, item=draft, run_at=FAR_OFF, by=None).result(SECONDS)
            in_background(operations.unpublish_now, item=live, by=None).result(SECONDS)
            again = in_background(operations.rerun, job=failed, by=None).result(SECONDS)

        assert pruned["jobs"] == 3
        assert done == 1
        assert row(due).is_published
        assert row(draft).status == Status.SCHEDULED
        assert row(live).status == Status.UNPUBLISHED
        assert again.state == State.WAITING

    def test_makes_a_rerun_of_one_of_its_jobs_wait_and_be_refused(
        self, in_background: InBackground
    ) -> None:
        job = put_back(failed_publish())
        story = Story.objects.get()
        operations.publish_now(item=story, by=None)
        before = row(story).version

        with transaction.atomic():
            prune_all()
            rerun = in_background(try_to, operations.rerun, job=job, by=None)
            wait_until_blocked()

        assert rerun.result(SECONDS) == "not_found"
        assert row(story).version == before
        assert not Job.objects.filter(pk=job.pk).exists()
        assert not OrmQ.objects.filter(key="publish").exists()

    def test_that_comes_to_nothing_leaves_its_jobs_as_they_were(self) -> None:
        over(StoryFactory())

        def break_off() -> None:
            with transaction.atomic():
                prune_all()
                transaction.set_rollback(True)

        break_off()

        assert history(Job.objects.get()) == ["succeeded"]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestPruneBesideOthers:
    def test_passes_over_a_job_that_someone_holds(self, other: BaseDatabaseWrapper) -> None:
        held, free = over(StoryFactory()), over(StoryFactory())
        hold(other, "scheduling_job", held.pk)

        first = prune_all()
        left = Job.objects.get()
        other.rollback()
        second = prune_all()

        assert (first["jobs"], left, second["jobs"]) == (1, held, 1)
        assert free != held

    def test_passes_over_a_task_that_someone_holds(self, other: BaseDatabaseWrapper) -> None:
        held = task(LONG_AGO)
        task(LONG_AGO, 1)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_task WHERE id = %s FOR UPDATE", [held.pk])

        prune_all()

        assert Task.objects.get() == held

    def test_keeps_a_job_whose_rerun_is_not_committed_yet(
        self, in_background: InBackground
    ) -> None:
        job = put_back(failed_publish())

        with transaction.atomic():
            operations.rerun(job=job, by=None)
            pruned = in_background(prune_all).result(SECONDS)

        assert not pruned["jobs"]
        assert run_due_jobs() == 1
        assert history(job)[-2:] == ["rerun", "succeeded"]

    def test_twice_at_once_deletes_each_job_once(
        self, in_background: InBackground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pruning, "BATCH", 5)
        story = StoryFactory()
        for n in range(60):
            over(story, finished_at=LONG_AGO + n * HOUR)

        both = [in_background(prune_all), in_background(prune_all)]

        assert sum(one.result(SECONDS)["jobs"] for one in both) == 60
        assert not Job.objects.exists()
