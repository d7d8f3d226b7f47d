"""Batches of due jobs: which jobs they take, which they leave, and in how many statements."""

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from content.models import Notice, Story
from scheduling import operations
from scheduling.broker import TimedBroker
from scheduling.models import Job, JobEvent, Kind, State, Status, schedulable_models
from scheduling.models.clock import database_now
from scheduling.worker import batch_runner, job_runner
from tests.database_rows import due_stories, history, last_event, plans, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.process.server import execute

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def states() -> Counter[str]:
    return Counter(Job.objects.values_list("state", flat=True))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_runner, "BATCH", 3)


@pytest.fixture
def _poison(db: None) -> None:
    """Make the database itself refuse any change of a story titled `독`."""
    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'poison' USING ERRCODE = 'check_violation'; END $$;
            CREATE TRIGGER poison BEFORE UPDATE ON content_story
            FOR EACH ROW WHEN (NEW.title = '독') EXECUTE FUNCTION poison()
        """)


class TestWhatIsDue:
    def test_goes_live_with_its_job_history_and_message_done(self) -> None:
        story = StoryFactory(due=True)
        before = database_now()

        done = batch_runner.run_due_jobs()

        saved, job = row(story), Job.objects.get()
        assert done == 1
        assert job.finished_at is not None
        assert (saved.status, saved.publish_at, saved.version) == ("published", LONG_AGO, 2)
        assert before <= saved.published_at == job.finished_at <= database_now()
        assert (job.state, job.attempts, job.message_id) == (State.SUCCEEDED, 1, None)
        assert history(job) == ["scheduled", "succeeded"]
        assert (last_event(job).at, last_event(job).by) == (job.finished_at, None)
        assert not OrmQ.objects.exists()

    def test_is_left_to_its_own_run_while_an_attempt_at_it_has_begun(self) -> None:
        story = StoryFactory(due=True)
        Job.objects.update(attempts=1, attempt_begun_at=database_now())

        done = batch_runner.run_due_jobs()

        assert done == 0
        job_runner.run_alone(Job.objects.get().pk)
        assert row(story).is_published
        # How that attempt ended is noted before anything else happens.
        assert history(Job.objects.get()) == ["scheduled", "attempt_failed", "succeeded"]

    def test_is_taken_down_at_its_end(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=LONG_AGO + HOUR)

        done = batch_runner.run_due_jobs()

        assert (done, row(notice).status, row(notice).version) == (1, Status.UNPUBLISHED, 2)
        assert row(notice).published_at == LONG_AGO
        assert not OrmQ.objects.exists()

    def test_of_every_type_is_done_together(self) -> None:
        StoryFactory.create_batch(2, due=True)
        NoticeFactory.create_batch(2, due=True)

        done = batch_runner.run_due_jobs()

        assert done == 4
        assert Story.objects.published().count() == Notice.objects.published().count() == 2

    def test_is_done_though_the_item_was_edited_since(self) -> None:
        story = StoryFactory(due=True)
        story.title = "새 제목"
        story.save()

        batch_runner.run_due_jobs()

        assert (row(story).status, row(story).title) == (Status.PUBLISHED, "새 제목")

    def test_of_a_job_that_is_being_retried_is_done_too(self) -> None:
        StoryFactory(due=True)
        Job.objects.update(state=State.RETRYING, attempts=2)

        done = batch_runner.run_due_jobs()

        assert done == 1
        assert Job.objects.get().attempts == 3

    def test_at_both_ends_is_never_seen_live(self, small_batches: None) -> None:
        notice = NoticeFactory(due=True, unpublish_at=LONG_AGO + HOUR)

        done = batch_runner.run_due_jobs()

        assert (done, row(notice).status) == (2, Status.UNPUBLISHED)
        up, down = Job.objects.order_by("run_at")
        assert up.finished_at == row(notice).published_at <= down.finished_at
        with connection.cursor() as cursor:
            # Which transaction wrote them.
            cursor.execute("SELECT count(DISTINCT xmin::text) FROM scheduling_job")
            assert cursor.fetchone() == (1,)

    def test_is_nothing_the_second_time(self) -> None:
        due_stories(2)
        batch_runner.run_due_jobs()
        events = JobEvent.objects.count()

        done = batch_runner.run_due_jobs()

        assert done == 0
        assert JobEvent.objects.count() == events


class TestWhatIsNot:
    def test_yet_due_waits(self) -> None:
        story = StoryFactory(status=Status.SCHEDULED, publish_at=database_now() + HOUR)

        done = batch_runner.run_due_jobs()

        assert (done, row(story).status) == (0, Status.SCHEDULED)
        assert OrmQ.objects.count() == 1

    def test_yet_to_be_tried_again_waits(self) -> None:
        StoryFactory(due=True)
        Job.objects.update(state=State.RETRYING, next_attempt_at=database_now() + HOUR)

        assert batch_runner.run_due_jobs() == 0

    @pytest.mark.parametrize("fields", [{"title": "\u3164"}, {"body": ""}], ids=str)
    def test_publishable_is_left_for_its_own_run(self, fields: dict[str, str]) -> None:
        [bad], _ = due_stories(1, **fields), due_stories(2)

        done = batch_runner.run_due_jobs()

        assert done == 2
        assert (row(bad).status, row(bad).version) == (Status.SCHEDULED, 1)
        left = Job.objects.open().get()
        assert (left.object_id, left.attempts, left.state) == (bad.pk, 0, State.WAITING)
        assert OrmQ.objects.get().pk == left.message_id

    def test_of_a_type_that_is_published_without_a_hook_is_left(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Story, "before_publish", lambda self: None)
        StoryFactory(due=True)
        NoticeFactory(due=True)

        done = batch_runner.run_due_jobs()

        assert done == 1
        assert not Story.objects.published().exists()

    def test_of_a_type_without_a_hook_is_nothing_where_all_have_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for model in schedulable_models():
            monkeypatch.setattr(model, "before_publish", lambda self: None)
        StoryFactory(due=True)
        NoticeFactory(published=True, unpublish_at=LONG_AGO)

        assert batch_runner.run_due_jobs() == 1
        assert batch_runner.run_due_jobs(at=monotonic()) == 0

    def test_and_whose_condition_has_values_of_its_own_is_taken_by_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = Q(title__in=["100 %", "가을"]) | Q(body__contains="%s")
        monkeypatch.setattr(Story, "publishable_condition", classmethod(lambda cls: wanted))
        stories = [StoryFactory(due=True, title=title) for title in ("100 %", "봄", "가을")]
        notice = NoticeFactory(due=True)

        assert batch_runner.run_due_jobs() == 3

        live = [row(item).status == Status.PUBLISHED for item in [*stories, notice]]
        assert live == [True, False, True, True]

    def test_held_back_by_a_hook_of_its_type_when_it_is_to_be_taken_down(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Notice, "before_publish", lambda self: None)
        notice = NoticeFactory(published=True, unpublish_at=LONG_AGO)

        done = batch_runner.run_due_jobs()

        assert (done, row(notice).status) == (1, Status.UNPUBLISHED)

    @pytest.mark.parametrize("at", [FAR_OFF, LONG_AGO + HOUR, LONG_AGO - HOUR], ids=str)
    def test_asked_for_at_that_time_any_more_is_left(self, at: datetime) -> None:
        moved, kept = due_stories(2)
        Story.objects.filter(pk=moved.pk).update(publish_at=at)

        done = batch_runner.run_due_jobs()

        assert done == 1
        assert (row(moved).status, row(kept).status) == (Status.SCHEDULED, Status.PUBLISHED)
        assert Job.objects.open().get().object_id == moved.pk

    @pytest.mark.parametrize("status", [Status.DRAFT, Status.PUBLISHED, Status.FAILED])
    def test_asked_for_at_all_any_more_is_left(self, status: Status) -> None:
        StoryFactory(due=True)
        live_since = LONG_AGO if status == Status.PUBLISHED else None
        Story.objects.update(status=status, published_at=live_since)

        done = batch_runner.run_due_jobs()

        assert done == 0
        assert Story.objects.get().version == 1

    def test_there_any_more_is_left(self) -> None:
        due_stories(2)
        Story.objects.filter(pk=Job.objects.order_by("pk")[0].object_id)._raw_delete("default")

        done = batch_runner.run_due_jobs()

        assert done == 1
        assert states() == {State.SUCCEEDED: 1, State.WAITING: 1}

    def test_of_a_known_type_is_left(self) -> None:
        due_stories(2)
        gone = ContentType.objects.create(app_label="content", model="podcast")
        Job.objects.filter(pk=Job.objects.order_by("pk")[0].pk).update(content_type=gone)

        done = batch_runner.run_due_jobs()

        assert done == 1


class TestBatches:
    @pytest.mark.parametrize("number", [2, 3, 4, 6, 7])
    def test_do_everything(self, number: int, small_batches: None) -> None:
        due_stories(number)

        done = batch_runner.run_due_jobs()

        assert done == Story.objects.published().count() == number
        assert JobEvent.objects.filter(what="succeeded").count() == number

    def test_go_from_the_oldest_to_the_newest(
        self, small_batches: None, django_capture_on_commit_callbacks: Any, caplog: Any
    ) -> None:
        newest_first = [
            StoryFactory(status=Status.SCHEDULED, publish_at=LONG_AGO - n * HOUR) for n in range(7)
        ]

        with (
            caplog.at_level(logging.INFO, "armo.publish"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            batch_runner.run_due_jobs()

        labels = [record.item for record in caplog.records]
        oldest_first = [story.label for story in reversed(newest_first)]
        for start in (0, 3, 6):
            assert set(labels[start : start + 3]) == set(oldest_first[start : start + 3])

    def test_come_to_an_end_when_nothing_in_them_can_be_done(self, small_batches: None) -> None:
        due_stories(7, body="")
        good = StoryFactory(due=True)

        done = batch_runner.run_due_jobs()

        assert (done, row(good).status) == (1, Status.PUBLISHED)
        assert states() == {State.WAITING: 7, State.SUCCEEDED: 1}

    def test_of_jobs_that_share_one_moment_lose_none(self, small_batches: None) -> None:
        due_stories(3, body="")
        due_stories(4)

        assert batch_runner.run_due_jobs() == 4

    def test_take_as_many_statements_for_a_hundred_as_for_ten(self) -> None:
        counts = []
        for number in (10, 100):
            due_stories(number)
            NoticeFactory.create_batch(2, published=True, unpublish_at=LONG_AGO)

            with CaptureQueriesContext(connection) as queries:
                done = batch_runner.run_due_jobs()

            assert done == number + 2
            counts.append(len(queries))
        assert counts[0] == counts[1]


@pytest.mark.slow
class TestABacklogWithStaleStatistics:
    """As after many were scheduled at once: PostgreSQL counts again up to a minute later."""

    @pytest.fixture(autouse=True)
    def _backlog(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")
            cursor.execute(
                "INSERT INTO scheduling_job (kind, state, content_type_id, object_id, item_title,"
                " run_at, next_attempt_at, attempts, reason)"
                " SELECT 'publish', 'waiting', %s, n, 'gone', %s, %s, 0, ''"
                " FROM generate_series(1, 20000) AS n",
                [ContentType.objects.get_for_model(Story).pk, LONG_AGO, LONG_AGO],
            )

    def test_is_read_a_batch_at_a_time(self) -> None:
        with plans() as steps:
            batch_runner.run_due_jobs()

        read = [
            (step["Index Name"], step["Actual Rows"])
            for step in steps
            if step.get("Alias") == "scheduling_job" and "Index Name" in step
        ]
        assert read[:2] == [("job_due", 1000), ("job_due", 1000)]


@pytest.mark.django_db(transaction=True)
class TestAQueueRowThatIsLocked:
    def test_makes_no_batch_wait_and_finds_nothing_to_do_later(
        self, other: BaseDatabaseWrapper
    ) -> None:
        due_stories(3)
        held = Job.objects.order_by("pk")[1]
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq WHERE id = %s FOR UPDATE", [held.message_id])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")

        done = batch_runner.run_due_jobs()

        assert (done, states()) == (3, Counter(succeeded=3))
        assert list(OrmQ.objects.values_list("pk", flat=True)) == [held.message_id]
        other.rollback()
        broker = TimedBroker("publish")
        [(message_id, _)] = broker.claim()
        assert message_id is not None
        broker.delete(message_id)
        assert not OrmQ.objects.exists()
        connection.close()  # with its setting


@pytest.mark.usefixtures("_poison")
class TestARowThatBreaksTheBatch:
    @pytest.mark.parametrize("place", [0, 4, 9])
    def test_does_not_keep_the_others_from_going_live(self, place: int) -> None:
        due_stories(place)
        [poisoned] = due_stories(1, title="독")
        due_stories(9 - place)

        done = batch_runner.run_due_jobs()

        assert done == 9
        left = Job.objects.open().get()
        assert left.object_id == poisoned.pk
        assert (left.attempts, left.state) == (0, State.WAITING)
        assert OrmQ.objects.get().pk == left.message_id
        assert set(Counter(JobEvent.objects.values_list("job", "what")).values()) == {1}

    def test_does_not_keep_the_next_batch_from_going_live(self, small_batches: None) -> None:
        due_stories(3, title="독")
        due_stories(4)

        done = batch_runner.run_due_jobs()

        assert done == 4
        assert states() == {State.WAITING: 3, State.SUCCEEDED: 4}

    def test_is_logged_once_a_batch(self, caplog: pytest.LogCaptureFixture) -> None:
        due_stories(4, title="독")

        batch_runner.run_due_jobs()

        assert [record.levelname for record in caplog.records] == ["WARNING"]

    def test_puts_no_line_of_what_was_rolled_back_in_the_log(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        due_stories(2, title="독")
        good = StoryFactory(due=True)

        with (
            caplog.at_level(logging.INFO, "armo.publish"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            batch_runner.run_due_jobs()

        lines = [record for record in caplog.records if record.name == "armo.publish"]
        assert [record.item for record in lines] == [good.label]  # type: ignore[attr-defined]  # extra


@pytest.mark.django_db(transaction=True)
class TestAConnectionThatBindsOnTheServersSide:
    @pytest.fixture(autouse=True)
    def _binding_there(self) -> Iterator[None]:
        options = connection.settings_dict["OPTIONS"]
        connection.close()
        options["server_side_binding"] = True
        yield
        connection.close()
        del options["server_side_binding"]

    def test_runs_batches_too_and_keeps_no_setting(self) -> None:
        due_stories(2)

        assert batch_runner.run_due_jobs() == 2

        assert execute("SHOW enable_sort") == [("on",)]


class TestALostDatabase:
    def test_is_an_error_of_the_callers(self) -> None:
        due_stories(2)

        def lose(*args: object) -> None:
            raise OperationalError("server closed the connection unexpectedly")

        with connection.execute_wrapper(lose), pytest.raises(OperationalError):
            batch_runner.run_due_jobs()

        assert not Story.objects.published().exists()
        assert states() == {State.WAITING: 2}


class TestTheLog:
    @pytest.fixture(autouse=True)
    def _at_info(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        with caplog.at_level(logging.INFO, "armo.publish"):
            yield

    def test_has_a_line_of_every_publish(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        story = StoryFactory(due=True)

        with django_capture_on_commit_callbacks(execute=True):
            batch_runner.run_due_jobs()

        [record] = caplog.records
        at = row(story).published_at
        written = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
        assert record.levelname == "INFO"
        assert record.message == f"[publish-worker] story:{story.pk} → published @{written}"

    def test_carries_the_same_facts_as_fields(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        notice = NoticeFactory(published=True, unpublish_at=LONG_AGO)

        with django_capture_on_commit_callbacks(execute=True):
            batch_runner.run_due_jobs()

        [facts] = [vars(record) for record in caplog.records]
        job = Job.objects.get()
        assert job.finished_at is not None
        assert (facts["item"], facts["status"]) == (notice.label, "unpublished")
        assert (facts["at"], facts["run_at"]) == (job.finished_at.isoformat(), LONG_AGO.isoformat())
        assert (facts["lateness_ms"], facts["job"]) == (job.lateness_ms, job.pk)

    def test_has_no_line_before_the_change_is_committed(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        due_stories(2)

        with django_capture_on_commit_callbacks() as callbacks:
            batch_runner.run_due_jobs()
        before = len(caplog.records)
        for callback in callbacks:
            callback()

        assert (before, len(caplog.records)) == (0, 2)


class TestAnOperationBetweenClaimAndChange:
    def test_wins_when_it_was_there_first(self) -> None:
        story = StoryFactory(due=True)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        done = batch_runner.run_due_jobs()

        assert (done, row(story).status) == (0, Status.SCHEDULED)
        assert Job.objects.get(kind=Kind.PUBLISH).run_at == FAR_OFF
