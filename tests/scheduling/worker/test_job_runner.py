"""One job alone: its attempts, its errors, and what they leave behind."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, InternalError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save
from django_q.conf import Conf
from django_q.exceptions import TimeoutException
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage

from content.models import Notice, Story
from scheduling import conf, operations, tasks
from scheduling.models import Job, JobEvent, Kind, State, Status
from scheduling.models.clock import database_now
from scheduling.models.job import ATTEMPT_LOCK
from scheduling.models.references import ItemNotFound
from scheduling.operations import NotPublishable
from scheduling.queue import leases
from scheduling.queue.broker import TimedBroker
from scheduling.worker import child_process, job_runner
from tests.conftest import InBackground
from tests.database_rows import (
    deliver,
    due_stories,
    everything,
    history,
    last_event,
    open_jobs,
    row,
    wakes_at,
)
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.process.worker import wait_until

pytestmark = pytest.mark.django_db

What = JobEvent.What
HOUR = timedelta(hours=1)
SECONDS = 20  # after which a test fails
Hook = Callable[[Callable[[Story], object]], None]


class Unreachable(Exception):
    """Stands for an error that may be gone next time."""


@pytest.fixture
def before_publish(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Give stories a hook."""
    return lambda hook: monkeypatch.setattr(Story, "before_publish", hook)


@pytest.fixture
def _in_the_slow_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")


@pytest.fixture
def _unreachable(before_publish: Hook) -> None:
    """Have every attempt to publish a story fail."""

    def hook(story: Story) -> None:
        raise Unreachable("검색 서버가 “응답하지 않음”")

    before_publish(hook)


def fail(job: Job) -> None:
    """Make an attempt that fails; the job is due again as soon as it has one more."""
    with pytest.raises(Unreachable):
        job_runner.run_alone(job.pk)
    Job.objects.open().filter(pk=job.pk).update(next_attempt_at=LONG_AGO)


def pass_time(by: timedelta) -> None:
    """Have the queue rows wait since so much earlier, and for no longer."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_q_ormq"
            " SET lock = clock_timestamp(),"
            " armo_waiting_since = armo_waiting_since - make_interval(secs => %s)",
            [by.total_seconds()],
        )


def is_locked(job: Job) -> bool:
    """Return whether a session holds the lock of the job's attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid) = (%s, %s)",
            [ATTEMPT_LOCK, job.pk],
        )
        return cursor.fetchone() is not None


class TestAnAttempt:
    def test_publishes(self, before_publish: Hook) -> None:
        asked = []
        before_publish(lambda story: asked.append(story.pk))
        story = StoryFactory(due=True)
        job = Job.objects.get()
        before = database_now()

        job_runner.run_alone(job.pk)

        saved, job = row(story), Job.objects.get()
        assert asked == [story.pk]
        assert job.finished_at is not None
        assert (saved.status, saved.publish_at, saved.version) == ("published", LONG_AGO, 2)
        assert before <= saved.published_at <= job.finished_at <= database_now()
        assert (job.state, job.attempts, job.message_id) == (State.SUCCEEDED, 1, None)
        assert history(job) == [What.SCHEDULED, What.SUCCEEDED]
        assert not OrmQ.objects.exists()

    def test_takes_down(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=LONG_AGO)

        job_runner.run_alone(Job.objects.get().pk)

        assert row(notice).status == Status.UNPUBLISHED
        assert (row(notice).published_at, row(notice).unpublish_at) == (LONG_AGO, LONG_AGO)
        assert Job.objects.get().state == State.SUCCEEDED

    def test_does_not_ask_the_hook_when_taking_down(self, before_publish: Hook) -> None:
        before_publish(lambda story: 1 / 0)
        story = StoryFactory(published=True, unpublish_at=LONG_AGO)

        job_runner.run_alone(Job.objects.get().pk)

        assert row(story).status == Status.UNPUBLISHED

    def test_lets_the_hook_see_the_row_as_it_is(self, before_publish: Hook) -> None:
        seen = []
        before_publish(lambda story: seen.append(story.body))
        story = StoryFactory(due=True)
        story.body = "고친 본문"
        story.save()

        job_runner.run_alone(Job.objects.get().pk)

        assert seen == ["고친 본문"]

    def test_undoes_what_the_hook_wrote_when_it_fails(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            Story.objects.filter(pk=story.pk).update(summary="half done")
            raise Unreachable

        before_publish(hook)
        story = StoryFactory(due=True)

        with pytest.raises(Unreachable):
            job_runner.run_alone(Job.objects.get().pk)

        assert row(story).summary == ""

    def test_survives_a_database_error_inside_the_hook(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")

        before_publish(hook)
        StoryFactory(due=True)

        with pytest.raises(DatabaseError):
            job_runner.run_alone(Job.objects.get().pk)

        assert Job.objects.get().state == State.RETRYING

    def test_logs_the_line_of_a_publish(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        story = StoryFactory(due=True)

        with (
            caplog.at_level(logging.INFO, "armo.publish"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            job_runner.run_alone(Job.objects.get().pk)

        at = row(story).published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert caplog.messages == [f"[publish-worker] {story.label} → published @{at}"]


class TestAStaleMessage:
    """A task that comes late, twice, or for a changed job does nothing and counts no attempt."""

    def run(self, job: Job) -> None:
        before = everything()

        tasks.run_job(job.pk)

        assert everything() == before

    def test_for_a_job_that_is_done(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        tasks.run_job(job.pk)

        self.run(job)

    def test_for_a_job_that_was_cancelled(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        operations.unschedule(item=story, by=None)

        self.run(job)

        assert row(story).status == Status.DRAFT

    def test_for_a_job_that_has_failed(self) -> None:
        StoryFactory(due=True, body="")
        job = Job.objects.get()
        with pytest.raises(NotPublishable):
            tasks.run_job(job.pk)

        self.run(job)

    def test_for_a_job_that_was_moved(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        self.run(job)

        assert wakes_at(job) == FAR_OFF

    def test_before_its_time(self) -> None:
        StoryFactory(scheduled=True)

        self.run(Job.objects.get())

    def test_for_a_job_that_never_was(self) -> None:
        self.run(Job(pk=2**62))


class TestAPermanentError:
    def test_fails_at_once_and_keeps_what_was_asked_for(self) -> None:
        story = StoryFactory(due=True, title=" ", unpublish_at=FAR_OFF)
        job = Job.objects.get(kind=Kind.PUBLISH)

        with pytest.raises(NotPublishable):
            job_runner.run_alone(job.pk)

        saved = row(story)
        assert (saved.status, saved.publish_at, saved.version) == (Status.FAILED, LONG_AGO, 2)
        assert saved.unpublish_at == FAR_OFF
        job.refresh_from_db()
        assert (job.state, job.attempts, job.message_id) == (State.FAILED, 1, None)
        assert job.finished_at is not None
        assert (job.run_at, last_event(job).what) == (LONG_AGO, What.FAILED)
        assert OrmQ.objects.get(key="publish").lock == FAR_OFF

    def test_has_people_notified(self) -> None:
        StoryFactory(due=True, title=" ")

        with pytest.raises(NotPublishable):
            job_runner.run_alone(Job.objects.get().pk)

        message = OrmQ.objects.get()
        assert message.key == "mail"
        assert message.lock <= database_now()
        assert SignedPackage.loads(message.payload)["func"] == "scheduling.tasks.tell_failures"

    def test_is_recorded_with_its_class_and_text(self) -> None:
        StoryFactory(due=True, title=" ")
        job = Job.objects.get()

        with pytest.raises(NotPublishable):
            job_runner.run_alone(job.pk)

        event = last_event(job)
        assert "It has no title." in event.reason
        assert event.detail is not None
        assert event.detail["error"] == "scheduling.models.item.NotPublishable"
        assert event.detail["class"] == "permanent"
        assert "Traceback" in event.detail["traceback"]

    def test_is_logged_once_as_an_error(self, caplog: pytest.LogCaptureFixture) -> None:
        StoryFactory(due=True, body="")

        with pytest.raises(NotPublishable):
            job_runner.run_alone(Job.objects.get().pk)

        assert [record.levelname for record in caplog.records] == ["ERROR"]

    def test_is_an_item_that_is_gone(self) -> None:
        StoryFactory(due=True)
        Story.objects.all()._raw_delete("default")
        job = Job.objects.get()

        with pytest.raises(ItemNotFound):
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert not OrmQ.objects.exclude(key="mail").exists()

    def test_is_a_type_that_is_gone(self) -> None:
        StoryFactory(due=True)
        gone = ContentType.objects.create(app_label="content", model="podcast")
        Job.objects.update(content_type=gone)

        with pytest.raises(ItemNotFound):
            job_runner.run_alone(Job.objects.get().pk)

        assert Job.objects.get().state == State.FAILED

    def test_is_repaired_by_an_editor_who_schedules_again(self) -> None:
        story = StoryFactory(due=True, body="")
        with pytest.raises(NotPublishable):
            job_runner.run_alone(Job.objects.get().pk)
        story.body = "본문"
        story.save()

        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert Job.objects.count() == 2


@pytest.mark.usefixtures("_unreachable")
class TestATransientError:
    def test_is_tried_again_after_the_first_pause_give_or_take_a_tenth(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        before = database_now()

        with pytest.raises(Unreachable):
            job_runner.run_alone(job.pk)

        old_message = job.message_id
        job.refresh_from_db()
        assert (job.state, job.attempts, job.run_at) == (State.RETRYING, 1, LONG_AGO)
        assert timedelta(seconds=9) <= job.next_attempt_at - before <= timedelta(seconds=12)
        assert OrmQ.objects.get().pk == job.message_id != old_message
        assert wakes_at(job) == job.next_attempt_at
        assert (row(story).status, row(story).publish_at) == (Status.SCHEDULED, LONG_AGO)

    @pytest.mark.slow
    def test_waits_longer_each_time_and_not_the_same_for_all(self) -> None:
        due_stories(12)

        waits: list[list[float]] = []
        for _ in range(3):
            now = database_now()
            for job in Job.objects.all():
                with pytest.raises(Unreachable):
                    job_runner.run_alone(job.pk)
            ends = Job.objects.values_list("next_attempt_at", flat=True)
            waits.append([(end - now).total_seconds() for end in ends])
            Job.objects.update(next_attempt_at=LONG_AGO)

        for seconds, round_ in zip((10, 60, 300), waits, strict=True):
            assert all(0.9 * seconds <= wait <= 1.1 * seconds + 2 for wait in round_)
            assert max(round_) - min(round_) > 0.02 * seconds

    def test_is_recorded_each_time_with_its_class_and_text(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()

        fail(job)
        fail(job)

        assert history(job) == [What.SCHEDULED, What.ATTEMPT_FAILED, What.ATTEMPT_FAILED]
        event = last_event(job)
        assert (event.reason, event.by) == ("검색 서버가 “응답하지 않음”", None)
        assert event.new_run_at is not None
        assert event.new_run_at > event.at
        assert event.detail is not None
        assert event.detail["error"] == f"{__name__}.Unreachable"
        assert event.detail["class"] == "transient"
        assert "in hook" in event.detail["traceback"]

    def test_fails_for_good_after_one_run_and_three_retries(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()

        for _ in range(4):
            fail(job)

        job.refresh_from_db()
        assert (job.state, job.attempts, job.message_id) == (State.FAILED, 4, None)
        assert history(job)[1:] == [What.ATTEMPT_FAILED] * 3 + [What.FAILED]
        detail = last_event(job).detail
        assert detail is not None
        assert detail["class"] == "transient"
        assert (row(story).status, row(story).publish_at) == (Status.FAILED, LONG_AGO)
        assert not OrmQ.objects.exclude(key="mail").exists()

    def test_fails_at_once_when_no_retries_are_wanted(self, settings: Any) -> None:
        settings.RETRY_DELAYS = []
        StoryFactory(due=True)
        job = Job.objects.get()

        fail(job)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.FAILED, 1)

    def test_succeeds_when_it_has_passed(self, before_publish: Hook) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        fail(job)
        before_publish(lambda story: None)

        job_runner.run_alone(job.pk)

        assert row(story).is_published
        assert Job.objects.get().attempts == 2
        assert last_event(job).what == What.SUCCEEDED

    @pytest.mark.usefixtures("_in_the_slow_lane")
    def test_goes_on_to_the_worker_through_the_task(self) -> None:
        StoryFactory(due=True)

        with pytest.raises(Unreachable):
            tasks.run_job(Job.objects.get().pk)

        assert Job.objects.get().attempts == 1

    def test_does_not_keep_others_from_going_live(self) -> None:
        StoryFactory(due=True)
        notices = NoticeFactory.create_batch(3, due=True)

        tasks.run_job(Job.objects.order_by("pk")[0].pk)

        assert Notice.objects.published().count() == len(notices)


class TestAServerThatAcceptsNoWrites:
    @pytest.fixture(autouse=True)
    def _read_only(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            with connection.cursor() as cursor:
                # Until the savepoint around the hook is rolled back.
                cursor.execute("SET LOCAL transaction_read_only = on")
            Story.objects.filter(pk=story.pk).update(title="다른 제목")

        before_publish(hook)

    def test_uses_up_no_attempt(self) -> None:
        story = StoryFactory(publish_at=database_now() - timedelta(seconds=20), scheduled=True)
        for _ in range(2 + len(conf.RETRY_DELAYS)):
            Job.objects.update(next_attempt_at=LONG_AGO)

            with pytest.raises(InternalError, match="read-only"):
                job_runner.run_alone(Job.objects.get().pk)

        job = Job.objects.get()
        assert (job.state, job.attempts, job.attempt_begun_at) == (State.WAITING, 0, None)
        assert "attempt_failed" not in history(job)
        assert row(story).status == Status.SCHEDULED
        # A twentieth of the delay, however often it was tried.
        assert job.next_attempt_at < database_now() + timedelta(seconds=3)

    @pytest.mark.parametrize(
        ("late", "seconds"),
        [
            pytest.param(timedelta(0), 0.5, id="half a second at first"),
            pytest.param(timedelta(minutes=2), 6, id="longer the longer it lasts"),
        ],
    )
    def test_has_the_job_wait(self, late: timedelta, seconds: float) -> None:
        StoryFactory(publish_at=database_now() - late, scheduled=True)
        job = Job.objects.get()
        Job.objects.update(next_attempt_at=LONG_AGO)

        before = database_now()
        with pytest.raises(InternalError, match="read-only"):
            job_runner.run_alone(job.pk)

        waits = (Job.objects.get().next_attempt_at - before).total_seconds()
        assert seconds <= waits < seconds + 2
        assert wakes_at(Job.objects.get()) == Job.objects.get().next_attempt_at

    def test_for_hours_uses_them_up_all_the_same(self) -> None:
        StoryFactory(publish_at=database_now() - timedelta(hours=2), scheduled=True)
        Job.objects.update(next_attempt_at=LONG_AGO)

        with pytest.raises(InternalError, match="read-only"):
            job_runner.run_alone(Job.objects.get().pk)

        assert (Job.objects.get().state, Job.objects.get().attempts) == (State.RETRYING, 1)


class TestAJobWithAHookInThePublishLane:
    """Its queue row is older than the hook of its type."""

    def test_is_moved_to_the_slow_lane_without_an_attempt(self, before_publish: Hook) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        assert OrmQ.objects.get().key == "publish"
        before_publish(lambda story: 1 / 0)

        tasks.run_job(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts, job.run_at) == (State.WAITING, 0, LONG_AGO)
        message = OrmQ.objects.get()
        assert (message.pk, message.key) == (job.message_id, "slow")
        assert message.lock <= database_now()
        assert row(story).status == Status.SCHEDULED

    @pytest.mark.usefixtures("_in_the_slow_lane")
    def test_is_run_there(self, before_publish: Hook) -> None:
        story = StoryFactory(due=True)
        before_publish(lambda story: None)

        tasks.run_job(Job.objects.get().pk)

        assert row(story).is_published


class TestAnUnusualError:
    @pytest.mark.parametrize(
        "text",
        ["", "line one\nline two", "가" * 10_000, "NUL \0 inside", "half a pair \udcff"],
        ids=["empty", "lines", "long", "nul", "surrogate"],
    )
    def test_text_is_recorded_all_the_same(self, text: str, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            raise Unreachable(text)

        before_publish(hook)
        StoryFactory(due=True)
        job = Job.objects.get()

        with pytest.raises(Unreachable):
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, history(job)[-1]) == (State.RETRYING, What.ATTEMPT_FAILED)

    def test_a_timeout_is_one_that_may_pass(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            raise TimeoutException("Task exceeded maximum timeout value (60 seconds)")

        before_publish(hook)
        StoryFactory(due=True)
        job = Job.objects.get()

        with pytest.raises(TimeoutException):
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, history(job)[-1]) == (State.RETRYING, What.ATTEMPT_FAILED)


class WorkerDies(BaseException):
    """Stands for the end of the process in the middle of an attempt."""


class TestAWorkerThatDies:
    @pytest.fixture(autouse=True)
    def _deadly(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            raise WorkerDies

        before_publish(hook)

    def die(self, job: Job) -> None:
        Job.objects.filter(pk=job.pk).update(next_attempt_at=LONG_AGO)
        with pytest.raises(WorkerDies):
            job_runner.run_alone(job.pk)

    def test_has_used_up_an_attempt(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()

        self.die(job)

        assert Job.objects.get().attempts == 1
        assert Job.objects.get().is_open
        assert OrmQ.objects.get().pk == job.message_id
        assert row(story).status == Status.SCHEDULED

    def test_is_found_out_by_the_next_and_noted_in_both_histories(
        self, before_publish: Hook
    ) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        self.die(job)
        before_publish(lambda story: None)

        job_runner.run_alone(job.pk)

        job.refresh_from_db()
        # At once: it is most likely not the job's fault.
        assert (job.state, job.attempts) == (State.SUCCEEDED, 2)
        assert row(story).is_published
        assert history(job) == [What.SCHEDULED, What.ATTEMPT_FAILED, What.SUCCEEDED]
        event = job.events.get(what=What.ATTEMPT_FAILED)
        assert "ended in the middle" in event.reason
        assert event.detail is not None
        assert event.detail["error"] == "scheduling.worker.job_runner.WorkerDied"
        failure = Failure.objects.get()
        assert (failure.name, failure.func) == (f"job {job.pk}", "scheduling.tasks.run_job")
        assert "ended in the middle" in failure.result

    def test_a_second_time_makes_the_job_wait(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        self.die(job)
        self.die(job)
        before = database_now()

        job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.RETRYING, 2)
        assert job.next_attempt_at - before >= timedelta(seconds=50)
        assert wakes_at(job) == job.next_attempt_at

    def test_each_time_makes_the_job_fail_in_the_end(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        self.die(job)
        for _ in range(3):
            self.die(job)
            # The retry that the last death was answered with.
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.FAILED, 4)
        assert row(story).status == Status.FAILED
        assert history(job)[1:] == [What.ATTEMPT_FAILED] * 3 + [What.FAILED]
        detail = last_event(job).detail
        assert detail is not None
        assert detail["error"] == "scheduling.worker.job_runner.WorkerDied"

    @pytest.mark.django_db(transaction=True)
    def test_has_its_attempt_counted_where_everyone_sees_it(
        self, before_publish: Hook, other: BaseDatabaseWrapper
    ) -> None:
        def look_from_elsewhere(story: Story) -> None:
            # In a child process, which reports what it sees.
            with other.copy().cursor() as cursor:
                cursor.execute("SELECT attempts FROM scheduling_job")
                raise Unreachable(f"{cursor.fetchone()} attempts")

        before_publish(look_from_elsewhere)
        StoryFactory(due=True)

        with pytest.raises(child_process.FailedInChild, match=r"\(1,\) attempts"):
            job_runner.run_alone(Job.objects.get().pk)


class TestAnAttemptWhoseBeginIsCommittedWithoutAnAnswer:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("has_session", [True, False])
    def test_is_made_and_counted_once(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch, has_session: bool
    ) -> None:
        settings.QUEUE_LISTEN = has_session
        monkeypatch.setattr(TimedBroker, "owner", 7)
        leases.renew(7)
        story = StoryFactory(due=True)
        job = Job.objects.get()

        def lose_the_answer() -> None:
            raise OperationalError("server closed the connection unexpectedly")

        def begin(**kwargs: Any) -> None:
            post_save.disconnect(begin, sender=Job)
            transaction.on_commit(lose_the_answer)

        post_save.connect(begin, sender=Job)
        job_runner.run_alone(job.pk)

        assert row(story).is_published
        assert (Job.objects.get().attempts, history(job)) == (1, [What.SCHEDULED, What.SUCCEEDED])


class TestAJobThatAnotherWorkerRuns:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("_in_the_slow_lane")
    def test_is_left_to_them_and_looked_at_again_after_pauses_that_grow(
        self, other: BaseDatabaseWrapper, before_publish: Hook
    ) -> None:
        before_publish(lambda story: None)
        story = StoryFactory(due=True)
        job = Job.objects.get()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [ATTEMPT_LOCK, job.pk])

        pauses = []
        for _ in range(8):
            deliver(job)
            [message] = OrmQ.objects.all()
            assert message.pk == job.message_id
            pauses.append(message.lock - database_now())
            pass_time(pauses[-1])

        assert row(story).status == Status.SCHEDULED
        assert Job.objects.get().attempts == 0
        seconds = [round(pause.total_seconds()) for pause in pauses]
        assert seconds == sorted(seconds)
        assert (seconds[0], seconds[-1], len(set(seconds)) > 3) == (0, 10, True)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("_in_the_slow_lane")
    def test_runs_when_they_are_gone_and_leaves_no_row(
        self, other: BaseDatabaseWrapper, before_publish: Hook
    ) -> None:
        before_publish(lambda story: None)
        story = StoryFactory(due=True)
        job = Job.objects.get()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [ATTEMPT_LOCK, job.pk])
        deliver(job)
        other.close()
        wait_until(lambda: not is_locked(job), seconds=SECONDS, what="the lock has ended")
        pass_time(timedelta(seconds=1))

        deliver(job)

        assert row(story).is_published
        assert not OrmQ.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_since_the_connection_was_lost_is_left_to_them_too(
        self, other: BaseDatabaseWrapper
    ) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        session = connection.connection.info.backend_pid

        def lose_the_connection(execute: Any, sql: str, params: Any, *more: Any) -> Any:
            answer = execute(sql, params, *more)
            if connection.connection.info.backend_pid == session:
                # Right after its first statement, which has locked the job.
                with other.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [session])
                    cursor.execute("SELECT pg_advisory_lock(%s, %s)", params)
            return answer

        with connection.execute_wrapper(lose_the_connection):
            job_runner.run_alone(job.pk)

        assert row(story).status == Status.SCHEDULED
        assert Job.objects.get().attempts == 0

    @pytest.mark.parametrize("has_session", [True, False])
    @pytest.mark.parametrize("owner", [7, job_runner.UNKNOWN_OWNER])
    def test_behind_a_pooler_is_left_to_who_lives(
        self, settings: Any, owner: int, has_session: bool
    ) -> None:
        settings.QUEUE_LISTEN = has_session
        StoryFactory(due=True)
        now = database_now()
        Job.objects.update(attempts=1, attempt_begun_at=now, attempt_owner=owner)
        leases.renew(7)
        job = Job.objects.get()

        deliver(job)

        assert (Job.objects.get().attempts, history(job)) == (1, [What.SCHEDULED])
        [again] = OrmQ.objects.all()
        assert timedelta(0) < again.lock - now < timedelta(seconds=10)
        assert Job.objects.get().message_id == again.pk

    @pytest.mark.parametrize(
        ("owner", "begun"), [(7, 0), (job_runner.UNKNOWN_OWNER, 1000), (None, 0)]
    )
    def test_behind_a_pooler_is_repeated_at_once_if_they_are_gone(
        self, settings: Any, owner: int | None, begun: int
    ) -> None:
        settings.QUEUE_LISTEN = False
        StoryFactory(due=True)
        at = database_now() - timedelta(seconds=begun)
        Job.objects.update(attempts=1, attempt_begun_at=at, attempt_owner=owner)
        job = Job.objects.get()

        job_runner.run_alone(job.pk)

        assert history(job) == [What.SCHEDULED, What.ATTEMPT_FAILED, What.SUCCEEDED]

    def test_behind_a_pooler_is_left_to_them_while_the_database_answers_late(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.QUEUE_LISTEN = False
        monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)  # so that each answer is
        StoryFactory(due=True)
        Job.objects.update(attempts=1, attempt_begun_at=database_now(), attempt_owner=7)
        job = Job.objects.get()

        deliver(job)

        assert (Job.objects.get().attempts, history(job)) == (1, [What.SCHEDULED])
        assert OrmQ.objects.get().lock > database_now()

    @pytest.mark.django_db(transaction=True)
    def test_with_a_session_is_left_to_them_behind_a_pooler_too(
        self, other: BaseDatabaseWrapper, settings: Any
    ) -> None:
        settings.QUEUE_LISTEN = False
        StoryFactory(due=True)
        job = Job.objects.get()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [ATTEMPT_LOCK, job.pk])

        job_runner.run_alone(job.pk)

        assert Job.objects.get().attempts == 0

    @pytest.mark.django_db(transaction=True)
    def test_behind_a_pooler_is_free_again_when_its_row_was_locked_in_the_end(
        self, other: BaseDatabaseWrapper, settings: Any
    ) -> None:
        settings.QUEUE_LISTEN = False
        story = StoryFactory(due=True)
        job = Job.objects.get()
        locks: list[str] = []

        def have_it_locked(execute: Any, sql: str, *more: Any) -> Any:
            is_lock = "FOR UPDATE" in sql and 'FROM "scheduling_job"' in sql
            locks.extend([sql] * is_lock)
            if is_lock and len(locks) == 2:  # the first begins the attempt
                with other.cursor() as cursor:
                    cursor.execute("SELECT FROM scheduling_job FOR UPDATE")
            answer = execute(sql, *more)
            other.rollback()
            return answer

        with connection.execute_wrapper(have_it_locked):
            job_runner.run_alone(job.pk)
        assert row(story).status == Status.SCHEDULED

        job_runner.run_alone(job.pk)

        assert row(story).status == Status.PUBLISHED

    def test_is_free_again_afterwards(self, before_publish: Hook) -> None:
        due_stories(2)

        for job in Job.objects.all():
            job_runner.run_alone(job.pk)

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s",
                [ATTEMPT_LOCK],
            )
            assert cursor.fetchone() == (0,)


class TestAnAttemptThatAnotherWorkerHasEnded:
    @pytest.mark.django_db(transaction=True)
    def test_does_not_end_the_one_that_was_begun_since(
        self, before_publish: Hook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before_publish(lambda story: None)
        StoryFactory(due=True)
        job = Job.objects.get()

        def take_long(*args: Any, **kwargs: Any) -> None:
            Job.objects.update(attempts=2, attempt_begun_at=database_now())
            raise OperationalError("the database was away for a while")

        monkeypatch.setattr(child_process, "run", take_long)

        with pytest.raises(OperationalError):
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.WAITING, 2)
        assert job.attempt_begun_at is not None
        assert history(job) == [What.SCHEDULED]


class TestAMessageDeliveredTooOften:
    def test_counts_as_an_attempt_of_its_job(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()

        tasks.give_up(job.pk, "five times")

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.RETRYING, 1)
        assert (last_event(job).what, last_event(job).reason) == (What.ATTEMPT_FAILED, "five times")

    def test_has_its_job_fail_in_the_end(self) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()

        for _ in range(4):
            tasks.give_up(job.pk, "five times")
            Job.objects.filter(state=State.RETRYING).update(next_attempt_at=LONG_AGO)

        assert Job.objects.get().state == State.FAILED
        assert row(story).status == Status.FAILED


class TestAHook:
    @pytest.mark.django_db(transaction=True)
    def test_holds_no_lock_that_an_editor_would_wait_for(
        self, in_background: InBackground, before_publish: Hook
    ) -> None:
        def hook(story: Story) -> None:
            # Through another connection, as an editor's.
            other = connection.copy()
            with other.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
                cursor.execute("UPDATE content_story SET summary = 'meanwhile'")
            other.close()

        before_publish(hook)
        story = StoryFactory(due=True)

        job_runner.run_alone(Job.objects.get().pk)

        assert (row(story).is_published, row(story).summary) == (True, "meanwhile")

    def test_sees_what_was_changed_meanwhile_too(self, before_publish: Hook) -> None:
        seen: list[str] = []

        def hook(story: Story) -> None:
            seen.append(story.body)
            if len(seen) == 1:
                edited = Story.objects.get()
                edited.body = "고친 글"
                edited.save()

        before_publish(hook)
        story = StoryFactory(due=True, body="처음 글")
        job = Job.objects.get()

        job_runner.run_alone(job.pk)
        assert row(story).status == Status.SCHEDULED
        Job.objects.update(next_attempt_at=LONG_AGO)
        job_runner.run_alone(job.pk)

        assert seen == ["처음 글", "고친 글"]
        assert row(story).is_published
        assert Job.objects.get().attempts == 1

    def test_is_asked_before_an_item_that_wants_to_go_live_again_just_now(
        self, before_publish: Hook
    ) -> None:
        asked: list[int] = []
        before_publish(lambda story: asked.append(story.pk))
        story = StoryFactory(due=True)

        # Between the look at the item and its lock, it was a draft and is scheduled again.
        job_runner._change(Job.objects.get().pk, None)

        assert row(story).status == Status.SCHEDULED
        Job.objects.update(next_attempt_at=LONG_AGO)
        job_runner.run_alone(Job.objects.get().pk)
        assert (row(story).is_published, asked) == (True, [story.pk])

    def test_may_save_its_item(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            story.summary = "요약"
            story.save()

        before_publish(hook)
        story = StoryFactory(due=True)

        job_runner.run_alone(Job.objects.get().pk)

        assert (row(story).is_published, row(story).summary) == (True, "요약")

    def test_of_a_job_moved_meanwhile_leaves_it_for_its_new_time(
        self, before_publish: Hook
    ) -> None:
        before_publish(
            lambda story: operations.schedule(item=Story.objects.get(), run_at=FAR_OFF, by=None)
        )
        story = StoryFactory(due=True)

        job_runner.run_alone(Job.objects.get().pk)

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert row(story).status == Status.SCHEDULED
        assert Job.objects.get().attempts == 0


class TestAnItemThatAsksForSomethingElse:
    """Written around the operations: the item's later request counts."""

    @pytest.mark.parametrize(
        "changes",
        [{"status": Status.DRAFT}, {"status": Status.PUBLISHED, "published_at": LONG_AGO}],
        ids=["draft", "published"],
    )
    def test_and_not_for_this_has_the_job_cancelled(self, changes: dict[str, Any]) -> None:
        story = StoryFactory(due=True)
        job = Job.objects.get()
        Story.objects.update(**changes)

        job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert job.state == State.CANCELLED
        assert row(story).status == changes["status"]

    def test_later_has_the_job_moved(self) -> None:
        story = StoryFactory(due=True)
        Story.objects.update(publish_at=FAR_OFF)

        job_runner.run_alone(Job.objects.get().pk)

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert (Job.objects.get().attempts, wakes_at(Job.objects.get())) == (0, FAR_OFF)

    def test_since_the_attempt_began_is_heard_too(self, before_publish: Hook) -> None:
        # While its hook runs, nothing is locked.
        before_publish(lambda story: Story.objects.update(publish_at=FAR_OFF))
        story = StoryFactory(due=True)

        job_runner.run_alone(Job.objects.get().pk)

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert row(story).status == Status.SCHEDULED

    def test_is_not_marked_as_failed_when_the_job_of_the_old_time_fails(self) -> None:
        story = StoryFactory(due=True)
        Story.objects.update(publish_at=FAR_OFF)
        Job.objects.update(attempts=job_runner.max_attempts())

        job_runner.run_alone(Job.objects.get().pk)

        assert Job.objects.get().state == State.FAILED
        assert (row(story).status, row(story).publish_at) == (Status.SCHEDULED, FAR_OFF)

    def test_earlier_has_the_job_due_at_once(self) -> None:
        story = StoryFactory(due=True)
        Story.objects.update(publish_at=LONG_AGO - HOUR)
        job = Job.objects.get()

        job_runner.run_alone(job.pk)
        tasks.run_job(job.pk)

        assert row(story).is_published
        assert Job.objects.get().run_at == LONG_AGO - HOUR

    def test_at_its_end_has_that_moved_too(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=LONG_AGO)
        Notice.objects.update(unpublish_at=FAR_OFF)

        job_runner.run_alone(Job.objects.get().pk)

        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF}
        assert row(notice).is_published


class TestAnEndWhosePublishIsLate:
    @pytest.fixture
    def story(self, before_publish: Hook) -> Story:
        """Return a story whose publish has failed once, and whose end has come."""

        def hook(story: Story) -> None:
            raise Unreachable

        before_publish(hook)
        story: Story = StoryFactory(due=True, unpublish_at=LONG_AGO + HOUR)
        with pytest.raises(Unreachable):
            job_runner.run_alone(Job.objects.get(kind=Kind.PUBLISH).pk)
        return story

    def test_waits_for_it_without_using_up_attempts(self, story: Story) -> None:
        end = Job.objects.get(kind=Kind.UNPUBLISH)

        for _ in range(6):
            job_runner.run_alone(end.pk)
            Job.objects.filter(pk=end.pk).update(next_attempt_at=LONG_AGO)

        end.refresh_from_db()
        assert (end.attempts, end.state) == (0, State.WAITING)
        assert history(end) == [What.SCHEDULED]
        assert row(story).status == Status.SCHEDULED

    def test_comes_a_few_seconds_later_again(self, story: Story) -> None:
        end = Job.objects.get(kind=Kind.UNPUBLISH)
        now = database_now()

        job_runner.run_alone(end.pk)

        assert now < wakes_at(end) <= now + timedelta(seconds=10)

    def test_follows_as_soon_as_it_is_live(self, story: Story, before_publish: Hook) -> None:
        end = Job.objects.get(kind=Kind.UNPUBLISH)
        job_runner.run_alone(end.pk)  # too early: it is put off
        Job.objects.filter(kind=Kind.PUBLISH).update(next_attempt_at=LONG_AGO)
        before_publish(lambda story: None)

        job_runner.run_alone(Job.objects.get(kind=Kind.PUBLISH).pk)
        tasks.run_job(end.pk)

        assert row(story).status == Status.UNPUBLISHED

    def test_is_cancelled_when_the_publish_has_failed(self, story: Story) -> None:
        publish = Job.objects.get(kind=Kind.PUBLISH)
        end = Job.objects.get(kind=Kind.UNPUBLISH)
        for _ in range(3):
            Job.objects.filter(pk=publish.pk).update(next_attempt_at=LONG_AGO)
            with pytest.raises(Unreachable):
                job_runner.run_alone(publish.pk)

        job_runner.run_alone(end.pk)

        end.refresh_from_db()
        assert (row(story).status, end.state) == (Status.FAILED, State.CANCELLED)


class TestEverythingThatIsDue:
    """What `publish_due` does without a worker."""

    def test_is_done_and_counted(self) -> None:
        due_stories(3)
        NoticeFactory(published=True, unpublish_at=LONG_AGO)
        StoryFactory(scheduled=True)

        outcome = job_runner.run_everything_due()

        assert outcome == (4, 0)

    def test_is_tried_alone_where_the_drain_left_it(self, before_publish: Hook) -> None:
        before_publish(lambda story: None)
        due_stories(3)

        outcome = job_runner.run_everything_due()

        assert outcome == (3, 0)
        assert Story.objects.published().count() == 3

    def test_counts_what_failed(self) -> None:
        due_stories(2)
        due_stories(2, body="")

        outcome = job_runner.run_everything_due()

        assert outcome == (2, 2)

    def test_counts_as_failed_what_has_no_attempt_left(self) -> None:
        due_stories(1, body="")
        Job.objects.update(attempts=4)

        outcome = job_runner.run_everything_due()

        assert outcome == (0, 1)

    def test_does_not_count_as_done_what_it_put_off(self, before_publish: Hook) -> None:
        def hook(story: Story) -> None:
            raise Unreachable

        before_publish(hook)
        StoryFactory(due=True, unpublish_at=LONG_AGO + HOUR)

        outcome = job_runner.run_everything_due()

        assert outcome == (0, 1)

    @pytest.mark.django_db(transaction=True)
    def test_does_not_count_as_done_what_someone_holds(self, other: BaseDatabaseWrapper) -> None:
        due_stories(2)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM content_story ORDER BY id LIMIT 1 FOR UPDATE")

            outcome = job_runner.run_everything_due()

        assert outcome == (1, 0)
        assert Story.objects.published().count() == 1


class TestTheTask:
    def test_does_everything_that_is_due_not_its_own_job_alone(self) -> None:
        due_stories(3)

        tasks.run_job(Job.objects.order_by("pk")[0].pk)

        assert Story.objects.published().count() == 3

    def test_tries_its_own_job_when_the_drain_broke_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> int:
            raise OperationalError("deadlock detected")

        monkeypatch.setattr("scheduling.worker.batch_runner.run_due_jobs", broken)
        mine, _ = due_stories(2)

        tasks.run_job(Job.objects.get(object_id=mine.pk).pk)

        assert Story.objects.published().get() == mine

    def test_of_a_message_names_the_job(self) -> None:
        StoryFactory(due=True)

        message = SignedPackage.loads(OrmQ.objects.get().payload)

        assert message["func"] == "scheduling.tasks.run_job"
        assert message["args"] == (Job.objects.get().pk,)

    @pytest.mark.usefixtures("_in_the_slow_lane")
    def test_asked_once_more_while_it_cannot_even_begin(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(job: Job) -> None:
            raise OperationalError("out of shared memory")

        StoryFactory(due=True)
        job = Job.objects.get()
        now: datetime = database_now()
        with monkeypatch.context() as patch:
            patch.setattr(Job, "find_item", broken)

            with pytest.raises(OperationalError):
                deliver(job)

        assert Job.objects.get().attempts == 0
        [again] = OrmQ.objects.all()
        assert again.pk == job.message_id
        assert now < again.lock <= now + timedelta(seconds=2)
        assert SignedPackage.loads(again.payload)["args"] == (job.pk,)
