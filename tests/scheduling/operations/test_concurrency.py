"""Two connections at once: who waits, who is passed over, and that each change is made once."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ

from content.models import Notice, Story
from scheduling import operations, tasks
from scheduling.broker import TimedBroker
from scheduling.errors import DomainError
from scheduling.models import Job, JobEvent, Kind, State, Status
from scheduling.models.clock import database_now
from scheduling.models.task_names import RUN_JOB
from scheduling.queue.messages import enqueue, find_row, put_back
from scheduling.worker import job_runner, reconciler
from scheduling.worker.batch_runner import run_due_jobs
from tests.conftest import InBackground
from tests.database_rows import deliver, due_stories, history, open_jobs, row, wakes_at
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.process.worker import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

What = JobEvent.What
HOUR = timedelta(hours=1)
SECONDS = 20  # after which a test fails


def hold(other: BaseDatabaseWrapper, table: str, pk: int) -> None:
    """Lock a row in a transaction that stays open."""
    with other.cursor() as cursor:
        cursor.execute(f"SELECT FROM {table} WHERE id = %s FOR UPDATE", [pk])


def is_someone_waiting() -> bool:
    """Return whether a connection waits for a lock of another."""
    with connection.cursor() as cursor:
        # Not pg_stat_activity, which stays the same for as long as a transaction lasts.
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


def wait_until_blocked() -> None:
    wait_until(is_someone_waiting, seconds=SECONDS, what="someone waits for a lock")


def try_to(operation: Callable[..., Any], **arguments: Any) -> str:
    """Do it; return `done`, or the code of the refusal."""
    try:
        operation(**arguments)
    except DomainError as refusal:
        return refusal.code
    return "done"


def finish(job: Job, message_id: int | None) -> None:
    """Run a job whose queue row was claimed, and acknowledge the row."""
    tasks.run_job(job.pk)
    assert message_id is not None
    TimedBroker("publish").delete(message_id)


def schedule_far_off(**arguments: Any) -> Job:
    return operations.schedule(run_at=FAR_OFF, **arguments)


def meet(barrier: Barrier, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Connect, wait for the others, and begin together with them."""
    connection.ensure_connection()
    barrier.wait(SECONDS)
    return function(*args, **kwargs)


def together(in_background: InBackground, *functions: Callable[[], Any]) -> list[Any]:
    """Run functions at the same time; return what each returned."""
    barrier = Barrier(len(functions))
    futures: list[Future[Any]] = [in_background(meet, barrier, function) for function in functions]
    return [future.result(SECONDS) for future in futures]


def messages() -> set[int]:
    return set(OrmQ.objects.values_list("pk", flat=True))


def messages_of_jobs() -> set[int | None]:
    return set(Job.objects.open().values_list("message_id", flat=True))


class TestTwoEditors:
    def test_who_schedule_one_item_at_once_make_one_job(self, in_background: InBackground) -> None:
        story = StoryFactory()
        times = [FAR_OFF + n * HOUR for n in range(4)]

        def schedule(at: datetime) -> Job:
            return operations.schedule(item=Story.objects.get(), run_at=at, by=None)

        jobs = together(in_background, *(lambda at=at: schedule(at) for at in times))

        assert len({job.pk for job in jobs}) == 1
        job = Job.objects.get()
        assert row(story).publish_at == job.run_at == wakes_at(job)
        assert history(job) == [What.SCHEDULED, *[What.MOVED] * 3]
        assert OrmQ.objects.count() == 1
        assert row(story).version == 5

    def test_who_publish_one_item_at_once_publish_it_once(
        self, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)

        def publish() -> str:
            return try_to(operations.publish_now, item=Story.objects.get(), by=None)

        answers = together(in_background, publish, publish, publish)

        assert sorted(answers) == ["done", "invalid_transition", "invalid_transition"]
        assert JobEvent.objects.filter(what=What.SUCCEEDED).count() == 1
        assert row(story).version == 2

    def test_wait_for_each_other_and_the_second_sees_what_the_first_did(
        self, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)
        with transaction.atomic():
            operations.unschedule(item=story, by=None)
            second = in_background(
                operations.schedule, item=Story.objects.get(), run_at=FAR_OFF + HOUR, by=None
            )
            wait_until_blocked()

        assert second.result(SECONDS).run_at == FAR_OFF + HOUR
        assert Job.objects.count() == 2
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + HOUR}

    @pytest.mark.parametrize(
        "schedule",
        [
            lambda story, at: operations.schedule(item=story, run_at=at, by=None),
            lambda story, at: operations.schedule_many(items=[story], run_at=at, by=None),
        ],
        ids=["one", "many"],
    )
    def test_who_has_waited_past_the_time_they_chose_learns_so(
        self, schedule: Callable[..., Any], in_background: InBackground, other: BaseDatabaseWrapper
    ) -> None:
        story = StoryFactory()
        hold(other, "content_story", story.pk)
        soon = database_now() + timedelta(seconds=1)
        waiting = in_background(try_to, schedule, story=Story.objects.get(), at=soon)
        wait_until_blocked()
        wait_until(lambda: database_now() >= soon, seconds=SECONDS, what="the time has passed")
        other.rollback()

        assert waiting.result(SECONDS) == "not_in_future"
        assert row(story).status == Status.DRAFT

    def test_one_deleting_what_the_other_edits_leave_no_job(
        self, in_background: InBackground
    ) -> None:
        story = StoryFactory()
        with transaction.atomic():
            story.status, story.publish_at = Status.SCHEDULED, FAR_OFF
            story.save()
            deleting = in_background(Story.objects.get().delete)
            wait_until_blocked()

        deleting.result(SECONDS)
        assert Job.objects.get().state == State.CANCELLED
        assert not OrmQ.objects.exists()


class TestAnItemThatSomeoneHolds:
    def test_is_passed_over_by_the_drain_while_the_others_go_live(
        self, other: BaseDatabaseWrapper
    ) -> None:
        held, *_ = due_stories(4)
        hold(other, "content_story", held.pk)

        done = run_due_jobs()

        assert done == Story.objects.published().count() == 3
        left = Job.objects.open().get()
        assert (left.object_id, left.attempts) == (held.pk, 0)
        assert OrmQ.objects.get().pk == left.message_id

    def test_has_its_job_put_off_without_counting_an_attempt(
        self, other: BaseDatabaseWrapper
    ) -> None:
        story = StoryFactory(due=True)
        before = Job.objects.get()
        hold(other, "content_story", story.pk)
        now = database_now()

        deliver(before)

        job = Job.objects.get()
        assert (job.attempts, job.state, job.run_at) == (0, State.WAITING, LONG_AGO)
        assert now < job.next_attempt_at <= now + timedelta(seconds=2)
        assert OrmQ.objects.get().pk == job.message_id == before.message_id
        assert wakes_at(job) == job.next_attempt_at
        assert history(job) == [What.SCHEDULED]

    def test_is_published_once_it_is_let_go(self, other: BaseDatabaseWrapper) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        hold(other, "content_story", story.pk)
        tasks.run_job(job.pk)

        other.rollback()
        wait_until(lambda: Job.objects.due().exists(), seconds=SECONDS, what="it is due again")
        tasks.run_job(job.pk)

        assert row(story).is_published
        assert Job.objects.get().attempts == 1

    def test_delays_neither_the_drain_nor_its_own_run(
        self, other: BaseDatabaseWrapper, in_background: InBackground
    ) -> None:
        notice = NoticeFactory(due=True, unpublish_at=LONG_AGO + HOUR)
        hold(other, "content_notice", notice.pk)
        jobs = list(Job.objects.values_list("pk", flat=True))

        running = [in_background(tasks.run_job, pk) for pk in jobs]

        for future in running:
            future.result(SECONDS)  # though the item is still held
        assert row(notice).status == Status.SCHEDULED


class TestAJobThatSomeoneHolds:
    def test_is_passed_over_by_the_drain(self, other: BaseDatabaseWrapper) -> None:
        due_stories(3)
        hold(other, "scheduling_job", Job.objects.order_by("pk")[1].pk)

        assert run_due_jobs() == 2

    def test_is_passed_over_by_the_sweep(self, other: BaseDatabaseWrapper) -> None:
        StoryFactory(scheduled=True)
        OrmQ.objects.all().delete()
        hold(other, "scheduling_job", Job.objects.get().pk)

        assert reconciler.sweep().messages == 0

    def test_keeps_its_queue_row_when_that_came_meanwhile(self, other: BaseDatabaseWrapper) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        hold(other, "scheduling_job", job.pk)

        deliver(job)

        assert Job.objects.get().attempts == 0
        assert OrmQ.objects.get().pk == job.message_id
        assert OrmQ.objects.get().lock > database_now() - timedelta(seconds=5)

    def test_has_its_row_again_when_a_move_is_rolled_back(
        self, in_background: InBackground
    ) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        [(claimed, _)] = TimedBroker("publish").claim()
        with transaction.atomic():
            operations.schedule(item=story, run_at=FAR_OFF, by=None)
            # The acknowledgement does not wait, though this transaction has deleted the row.
            in_background(finish, job, claimed).result(SECONDS)
            transaction.set_rollback(True)
        TimedBroker("publish").delete_left()

        assert OrmQ.objects.get().pk == Job.objects.get().message_id == job.message_id
        found = find_row(job.message_id)
        assert found is not None
        assert found.waiting_since is not None


class TestAQueueRowThatSomeoneHolds:
    def test_makes_no_editor_wait_and_finds_nothing_to_do_later(
        self, other: BaseDatabaseWrapper
    ) -> None:
        story = StoryFactory(due=True)
        [held] = messages()
        hold(other, "django_q_ormq", held)

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            job = operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert messages() == {held, job.message_id}
        other.rollback()
        [(claimed, _)] = TimedBroker("publish").claim()
        finish(job, claimed)
        assert (claimed, messages()) == (held, messages_of_jobs())


class TestAnAcknowledgement:
    def test_deletes_the_row_of_a_job_that_has_another_by_now(self) -> None:
        story = StoryFactory(due=True)
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
        stray = enqueue(job_id=job.pk, at=LONG_AGO, lane="publish", func=RUN_JOB)
        [(claimed, _)] = TimedBroker("publish").claim()
        assert claimed is not None
        assert claimed == stray

        TimedBroker("publish").delete(claimed)

        assert OrmQ.objects.get().pk == Job.objects.get().message_id != stray

    def test_leaves_a_row_alone_that_was_put_back_and_not_claimed_since(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        assert job.message_id is not None
        until = put_back(job.message_id)

        TimedBroker("publish").delete(job.message_id)

        assert OrmQ.objects.get().lock == until

    def test_lets_a_job_wait_until_its_own_time(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        [(claimed, _)] = TimedBroker("publish").claim()
        assert claimed is not None
        Job.objects.update(next_attempt_at=FAR_OFF)

        TimedBroker("publish").delete(claimed)

        assert (OrmQ.objects.get().pk, OrmQ.objects.get().lock) == (job.message_id, FAR_OFF)


class TestAWorkerAndAnEditor:
    def test_who_moves_first_is_obeyed(self, in_background: InBackground) -> None:
        story = StoryFactory(due=True)
        with transaction.atomic():
            operations.schedule(item=story, run_at=FAR_OFF, by=None)
            done = in_background(run_due_jobs).result(SECONDS)

        assert done == 0
        assert run_due_jobs() == 0
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_who_moves_too_late_is_refused(
        self, in_background: InBackground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        story = StoryFactory(due=True)
        with transaction.atomic():
            run_due_jobs()
            moving = in_background(
                try_to, operations.schedule, item=Story.objects.get(), run_at=FAR_OFF, by=None
            )
            wait_until_blocked()

        assert moving.result(SECONDS) == "invalid_transition"
        assert row(story).is_published

    def test_who_publishes_by_hand_first_leaves_the_worker_nothing(
        self, in_background: InBackground
    ) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        with transaction.atomic():
            operations.publish_now(item=story, by=None)
            in_background(job_runner.run_alone, job.pk).result(SECONDS)

        tasks.run_job(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.CANCELLED, 0)
        assert row(story).version == 2

    def test_at_the_same_few_items_never_lock_each_other_out(
        self, in_background: InBackground
    ) -> None:
        """Start, end, edit, cancel, drain and run the same items, all at once."""
        notices = NoticeFactory.create_batch(4)

        def edit(seed: int) -> None:
            for round_ in range(12):
                notice = Notice.objects.get(pk=notices[(seed + round_) % 4].pk)
                soon = database_now() + timedelta(milliseconds=40)
                try_to(
                    operations.schedule,
                    item=notice,
                    run_at=soon,
                    unpublish_at=soon + timedelta(milliseconds=10),
                    by=None,
                )
                notice.body = f"본문 {round_}"
                notice.save()
                if round_ % 3 == seed:
                    try_to(operations.unschedule, item=notice, by=None)

        def work() -> None:
            for _ in range(40):
                run_due_jobs()
                for pk in Job.objects.due().values_list("pk", flat=True):
                    job_runner.run_alone(pk)

        # A deadlock, or any other surprise, is raised by the one it hit.
        together(in_background, lambda: edit(0), lambda: edit(1), work, work)

        assert not Job.objects.filter(state=State.FAILED).exists()
        successes = JobEvent.objects.filter(what=What.SUCCEEDED).values_list("job_id", flat=True)
        assert set(Counter(successes).values()) == {1}
        assert messages_of_jobs() <= messages()


class TestTwoDrains:
    def test_at_once_publish_each_of_two_thousand_once(self, in_background: InBackground) -> None:
        stories = due_stories(2000)

        done = together(in_background, run_due_jobs, run_due_jobs)

        assert sum(done) == Story.objects.published().count() == len(stories)
        assert set(Story.objects.values_list("version", flat=True)) == {2}
        successes = JobEvent.objects.filter(what=What.SUCCEEDED).values_list("job_id", flat=True)
        assert Counter(successes) == Counter(Job.objects.values_list("pk", flat=True))
        assert set(Job.objects.values_list("state", "attempts")) == {(State.SUCCEEDED, 1)}
        assert not OrmQ.objects.exists()


class TestTwoSweeps:
    def test_at_once_give_each_item_one_job_and_each_job_a_message(
        self, in_background: InBackground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The smaller the batches, the more often the two meet.
        monkeypatch.setattr(reconciler, "BATCH", 50)
        Story.objects.bulk_create(
            StoryFactory.build_batch(600, status=Status.SCHEDULED, publish_at=FAR_OFF)
        )

        swept = together(in_background, reconciler.sweep, reconciler.sweep)

        assert sum(one.created for one in swept) == Job.objects.count() == 600
        assert messages_of_jobs() == messages()

    def test_at_once_give_each_job_that_lost_it_one_message(
        self, in_background: InBackground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciler, "BATCH", 10)
        due_stories(300, publish_at=FAR_OFF)
        OrmQ.objects.all().delete()

        swept = together(in_background, reconciler.sweep, reconciler.sweep)

        assert sum(one.messages for one in swept) == OrmQ.objects.count() == 300
        assert messages_of_jobs() == messages()


class TestASaveThatEmptiesAnItem:
    @pytest.mark.parametrize("operation", [operations.publish_now, schedule_far_off])
    def test_waits_for_who_schedules_it_and_is_refused(
        self, in_background: InBackground, operation: Callable[..., Any]
    ) -> None:
        story = row(StoryFactory())
        story.body = ""
        with transaction.atomic():
            operation(item=row(story), by=None)
            saved = in_background(try_to, story.save)
            wait_until_blocked()

        assert saved.result(SECONDS) == "not_publishable"
        assert row(story).body

    @pytest.mark.parametrize("operation", [operations.publish_now, schedule_far_off])
    def test_is_waited_for_by_who_schedules_it(
        self, in_background: InBackground, operation: Callable[..., Any]
    ) -> None:
        story = row(StoryFactory())
        story.body = ""
        with transaction.atomic():
            story.save()
            done = in_background(try_to, operation, item=row(story), by=None)
            wait_until_blocked()

        assert done.result(SECONDS) == "not_publishable"
        assert row(story).status == Status.DRAFT
