"""The operations: what each does, records, and refuses."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django_q.models import OrmQ

from content.models import Story
from scheduling import operations
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status
from scheduling.models.clock import database_now
from scheduling.models.references import ItemNotFound
from scheduling.operations import EndNotAfterStart, InvalidTransition, NotInFuture, NotPublishable
from scheduling.worker.batch_runner import run_due_jobs
from tests.database_rows import everything, history, last_event, open_jobs, row, wakes_at
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

What = JobEvent.What
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def editor() -> User:
    user: User = UserFactory(username="편집자")
    return user


class TestSchedule:
    def test_gives_a_draft_its_moment(self, editor: User) -> None:
        story = StoryFactory()

        job = operations.schedule(item=story, run_at=FAR_OFF, by=editor, reason="엠바고 “9시”")

        saved = row(story)
        assert (saved.status, saved.publish_at, saved.version) == (Status.SCHEDULED, FAR_OFF, 2)
        assert (saved.published_at, saved.unpublish_at) == (None, None)
        job = Job.objects.get(pk=job.pk)
        assert (job.kind, job.state, job.run_at) == (Kind.PUBLISH, State.WAITING, FAR_OFF)
        assert (job.next_attempt_at, job.attempts) == (FAR_OFF, 0)
        assert (job.scheduled_by, job.reason) == (editor, "엠바고 “9시”")
        assert (job.find_item(), job.item_title) == (story, story.title)

    def test_records_who_when_and_why(self, editor: User) -> None:
        before = database_now()

        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=editor, reason="엠바고")

        event = job.events.get()
        assert (event.what, event.by, event.reason) == (What.SCHEDULED, editor, "엠바고")
        assert (event.old_run_at, event.new_run_at) == (None, FAR_OFF)
        assert before <= event.at == job.created_at <= database_now()

    def test_puts_in_one_message_for_that_very_microsecond(self) -> None:
        run_at = FAR_OFF + MICROSECOND

        job = operations.schedule(item=StoryFactory(), run_at=run_at, by=None)

        message = OrmQ.objects.get()
        assert (message.pk, message.key, message.lock) == (job.message_id, "publish", run_at)

    def test_takes_a_time_of_any_offset(self) -> None:
        seoul = timezone(timedelta(hours=9))
        story = StoryFactory()

        operations.schedule(item=story, run_at=FAR_OFF.astimezone(seoul), by=None)

        assert row(story).publish_at == FAR_OFF
        assert OrmQ.objects.get().lock == FAR_OFF

    def test_takes_the_last_moment_there_is(self) -> None:
        story = StoryFactory()

        operations.schedule(item=story, run_at=datetime.max.replace(tzinfo=UTC), by=None)

        assert row(story).publish_at.year == 9999

    def test_leaves_the_object_as_it_is_in_the_database(self) -> None:
        story = StoryFactory()

        operations.schedule(item=story, run_at=FAR_OFF, by=None, unpublish_at=FAR_OFF + HOUR)

        saved = row(story)
        for name in (*Schedulable.ENGINE_FIELDS, "version"):
            assert getattr(story, name) == getattr(saved, name)

    def test_writes_nothing_else_of_an_item_that_is_being_edited(self) -> None:
        story = StoryFactory()
        story.title = "아직 저장 안 함"

        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert row(story).title != story.title
        story.save()
        assert (row(story).title, row(story).status) == (story.title, Status.SCHEDULED)

    @pytest.mark.parametrize("situation", ["unpublished", "failed"])
    def test_takes_up_again_what_was_live_or_failed(self, situation: str) -> None:
        story = StoryFactory(**{situation: True})

        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        saved = row(story)
        assert (saved.status, saved.publish_at, saved.unpublish_at) == ("scheduled", FAR_OFF, None)
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_twice_at_the_same_time_leaves_one_job_and_message(self) -> None:
        story = StoryFactory()
        first = operations.schedule(item=story, run_at=FAR_OFF, by=None)

        second = operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert (second, second.message_id) == (first, first.message_id)
        assert history(second) == [What.SCHEDULED]
        assert OrmQ.objects.count() == 1

    def test_at_another_time_moves_the_job_and_replaces_its_message(self, editor: User) -> None:
        story = StoryFactory()
        first = operations.schedule(item=story, run_at=FAR_OFF, by=None)

        second = operations.schedule(
            item=story, run_at=FAR_OFF + MICROSECOND, by=editor, reason="later"
        )

        assert second == first
        assert Job.objects.get().run_at == FAR_OFF + MICROSECOND
        assert Job.objects.get().next_attempt_at == FAR_OFF + MICROSECOND
        assert OrmQ.objects.get().pk == second.message_id != first.message_id
        assert wakes_at(second) == FAR_OFF + MICROSECOND
        event = last_event(second)
        assert (event.what, event.by, event.reason) == (What.MOVED, editor, "later")
        assert (event.old_run_at, event.new_run_at) == (FAR_OFF, FAR_OFF + MICROSECOND)

    def test_forgets_the_failed_attempts_at_the_old_time(self) -> None:
        story = StoryFactory(due=True)
        Job.objects.update(state=State.RETRYING, attempts=3, next_attempt_at=FAR_OFF)

        job = operations.schedule(item=story, run_at=FAR_OFF + HOUR, by=None)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.WAITING, 0)
        assert job.next_attempt_at == FAR_OFF + HOUR

    def test_goes_by_the_row_not_by_what_the_caller_holds(self) -> None:
        story = StoryFactory()
        held = Story.objects.get()
        operations.publish_now(item=story, by=None)

        with pytest.raises(InvalidTransition):
            operations.schedule(item=held, run_at=FAR_OFF, by=None)

        assert held.is_published

    def test_moves_an_item_that_the_caller_still_thinks_a_draft(self) -> None:
        story = StoryFactory()
        held = Story.objects.get()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        operations.schedule(item=held, run_at=FAR_OFF + HOUR, by=None)

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + HOUR}
        assert held.version == row(story).version == 3


class TestScheduleRefuses:
    @pytest.mark.parametrize("ago", [timedelta(0), MICROSECOND, timedelta(days=9000)])
    def test_a_time_that_has_come(self, ago: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
        story = StoryFactory()
        before = everything()
        now = database_now()
        monkeypatch.setattr("scheduling.models.clock.database_now", lambda: now)

        with pytest.raises(NotInFuture):
            operations.schedule(item=story, run_at=now - ago, by=None)

        assert everything() == before

    def test_a_time_without_an_offset(self) -> None:
        story = StoryFactory()
        before = everything()

        with pytest.raises(TypeError):
            operations.schedule(item=story, run_at=FAR_OFF.replace(tzinfo=None), by=None)

        assert everything() == before

    def test_an_end_without_an_offset(self) -> None:
        story = StoryFactory()
        before = everything()
        end = (FAR_OFF + HOUR).replace(tzinfo=None)

        with pytest.raises(TypeError):
            operations.schedule(item=story, run_at=FAR_OFF, unpublish_at=end, by=None)

        assert everything() == before

    def test_what_is_live(self) -> None:
        story = StoryFactory(published=True)
        before = everything()

        with pytest.raises(InvalidTransition, match=r"published .* scheduled"):
            operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert everything() == before

    def test_what_has_problems_and_names_them_all(self) -> None:
        story = StoryFactory(title=" ", body="\u3164")
        before = everything()

        with pytest.raises(NotPublishable) as refusal:
            operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert refusal.value.problems == story.publish_problems()
        assert len(refusal.value.problems) == 2
        assert everything() == before

    @pytest.mark.parametrize("length", [timedelta(0), -MICROSECOND])
    def test_an_end_that_does_not_come_after_the_start(self, length: timedelta) -> None:
        story = StoryFactory()
        before = everything()

        with pytest.raises(EndNotAfterStart):
            operations.schedule(item=story, run_at=FAR_OFF, unpublish_at=FAR_OFF + length, by=None)

        assert everything() == before

    @pytest.mark.parametrize("kind", Kind)
    def test_an_item_that_is_gone(self, kind: Kind) -> None:
        story = StoryFactory(published=kind == Kind.UNPUBLISH)
        Story.objects.all().delete()

        with pytest.raises(ItemNotFound):
            operations.schedule(item=story, run_at=FAR_OFF, by=None, kind=kind)

        assert not Job.objects.exists()


class TestTheEnd:
    def test_that_is_given_gets_a_job_of_its_own(self, editor: User) -> None:
        notice = NoticeFactory()

        operations.schedule(
            item=notice, run_at=FAR_OFF, unpublish_at=FAR_OFF + HOUR, by=editor, reason="점검"
        )

        assert row(notice).unpublish_at == FAR_OFF + HOUR
        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF, Kind.UNPUBLISH: FAR_OFF + HOUR}
        end = Job.objects.get(kind=Kind.UNPUBLISH)
        assert wakes_at(end) == FAR_OFF + HOUR
        assert (last_event(end).by, last_event(end).reason) == (editor, "점검")

    def test_stays_when_the_start_moves(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.schedule(item=notice, run_at=FAR_OFF + HOUR / 2, by=None)

        assert open_jobs(notice) == {
            Kind.PUBLISH: FAR_OFF + HOUR / 2,
            Kind.UNPUBLISH: FAR_OFF + HOUR,
        }

    def test_is_removed_by_none(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.schedule(item=notice, run_at=FAR_OFF, unpublish_at=None, by=None)

        assert row(notice).unpublish_at is None
        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF}
        assert OrmQ.objects.count() == 1

    def test_moves_when_another_is_given(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.schedule(item=notice, run_at=FAR_OFF, unpublish_at=FAR_OFF + 2 * HOUR, by=None)

        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF, Kind.UNPUBLISH: FAR_OFF + 2 * HOUR}
        assert Job.objects.count() == 2

    def test_that_the_start_would_pass_refuses_the_move(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        with pytest.raises(EndNotAfterStart):
            operations.schedule(item=notice, run_at=FAR_OFF + HOUR, by=None)

        assert open_jobs(notice)[Kind.PUBLISH] == FAR_OFF

    @pytest.mark.parametrize("situation", ["published", "scheduled"])
    def test_can_be_given_to_what_is_live_or_scheduled(self, situation: str) -> None:
        notice = NoticeFactory(**{situation: True})

        job = operations.schedule(item=notice, run_at=FAR_OFF + HOUR, by=None, kind=Kind.UNPUBLISH)

        assert (job.kind, job.run_at) == (Kind.UNPUBLISH, FAR_OFF + HOUR)
        assert row(notice).status == situation
        assert row(notice).unpublish_at == wakes_at(job) == FAR_OFF + HOUR
        assert row(notice).version == 2

    def test_given_twice_is_one_job(self) -> None:
        notice = NoticeFactory(published=True)
        first = operations.schedule(item=notice, run_at=FAR_OFF, by=None, kind=Kind.UNPUBLISH)

        second = operations.schedule(
            item=notice, run_at=FAR_OFF + HOUR, by=None, kind=Kind.UNPUBLISH
        )

        assert second == first
        assert history(second) == [What.SCHEDULED, What.MOVED]

    @pytest.mark.parametrize("situation", ["draft", "unpublished", "failed"])
    def test_cannot_be_given_to_what_will_not_be_live(self, situation: str) -> None:
        story = StoryFactory(**({} if situation == "draft" else {situation: True}))
        before = everything()

        with pytest.raises(InvalidTransition, match=situation):
            operations.schedule(item=story, run_at=FAR_OFF, by=None, kind=Kind.UNPUBLISH)

        assert everything() == before

    def test_cannot_come_with_the_start(self) -> None:
        story = StoryFactory(scheduled=True)
        before = everything()

        with pytest.raises(EndNotAfterStart):
            operations.schedule(item=story, run_at=FAR_OFF, by=None, kind=Kind.UNPUBLISH)

        assert everything() == before

    def test_needs_no_publishable_item(self) -> None:
        notice = NoticeFactory(published=True, body="")

        operations.schedule(item=notice, run_at=FAR_OFF, by=None, kind=Kind.UNPUBLISH)

        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF}


class TestMove:
    def test_gives_a_job_another_time(self, editor: User) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()

        moved = operations.move(job=job, run_at=FAR_OFF + HOUR, by=editor, reason="later")

        assert moved == job
        assert (row(story).publish_at, wakes_at(job)) == (FAR_OFF + HOUR, FAR_OFF + HOUR)
        assert (last_event(job).what, last_event(job).by) == (What.MOVED, editor)

    def test_moves_an_end(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=FAR_OFF)

        operations.move(job=Job.objects.get(), run_at=FAR_OFF + HOUR, by=None)

        assert row(notice).unpublish_at == FAR_OFF + HOUR
        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF + HOUR}

    def test_refuses_the_past(self) -> None:
        StoryFactory(scheduled=True)
        before = everything()

        with pytest.raises(NotInFuture):
            operations.move(job=Job.objects.get(), run_at=LONG_AGO, by=None)

        assert everything() == before

    @pytest.mark.parametrize("end", [operations.unschedule, operations.publish_now])
    def test_refuses_a_job_that_is_over_though_the_caller_thinks_it_open(
        self, end: Callable[..., Job]
    ) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()
        end(item=story, by=None)
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.move(job=job, run_at=FAR_OFF + HOUR, by=None)

        assert everything() == before

    def test_refuses_an_old_job_when_a_newer_one_is_open(self) -> None:
        story = StoryFactory(scheduled=True)
        old = Job.objects.get()
        operations.unschedule(item=story, by=None)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.move(job=old, run_at=FAR_OFF + HOUR, by=None)

        assert everything() == before

    def test_refuses_a_job_whose_item_is_gone(self) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        Story.objects.all()._raw_delete("default")

        with pytest.raises(ItemNotFound):
            operations.move(job=job, run_at=FAR_OFF + HOUR, by=None)

        assert Job.objects.get().run_at == FAR_OFF


class TestUnschedule:
    def test_makes_a_draft_of_it_again(self, editor: User) -> None:
        story = StoryFactory(scheduled=True)

        job = operations.unschedule(item=story, by=editor, reason="미확인")

        saved = row(story)
        assert (saved.status, saved.publish_at, saved.version) == (Status.DRAFT, None, 2)
        assert (story.status, story.publish_at, story.version) == (Status.DRAFT, None, 2)
        job = Job.objects.get()
        assert (job.state, job.message_id) == (State.CANCELLED, None)
        assert job.finished_at is not None
        assert (last_event(job).what, last_event(job).by) == (What.CANCELLED, editor)
        assert last_event(job).reason == "미확인"
        assert not OrmQ.objects.exists()

    def test_returns_the_job_it_cancelled(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        job = operations.unschedule(item=notice, by=None)

        assert (job.kind, job.state) == (Kind.PUBLISH, State.CANCELLED)

    def test_takes_the_end_with_it(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.unschedule(item=notice, by=None)

        assert row(notice).unpublish_at is None
        assert not open_jobs(notice)
        assert not OrmQ.objects.exists()

    def test_leaves_unpublished_what_was_live_before(self) -> None:
        story = StoryFactory(unpublished=True)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        operations.unschedule(item=story, by=None)

        assert row(story).status == Status.UNPUBLISHED

    def test_can_cancel_the_end_alone(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        job = operations.unschedule(item=notice, by=None, kind=Kind.UNPUBLISH)

        assert job.kind == Kind.UNPUBLISH
        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF}
        assert (row(notice).status, row(notice).unpublish_at) == (Status.SCHEDULED, None)

    def test_unschedules_a_failed_item_and_the_end_that_is_still_open(self) -> None:
        notice = NoticeFactory(due=True, unpublish_at=FAR_OFF)
        failed = Job.objects.get(kind=Kind.PUBLISH)
        Job.objects.filter(pk=failed.pk).update(state=State.FAILED, finished_at=database_now())
        type(notice).objects.update(status=Status.FAILED)

        job = operations.unschedule(item=notice, by=None)

        assert job == failed
        assert (row(notice).status, row(notice).publish_at) == (Status.DRAFT, None)
        assert not open_jobs(notice)
        assert Job.objects.get(pk=failed.pk).state == State.FAILED

    @pytest.mark.parametrize("kind", Kind)
    def test_refuses_what_is_not_scheduled_and_changes_nothing(self, kind: Kind) -> None:
        story = StoryFactory()
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.unschedule(item=story, by=None, kind=kind)

        assert everything() == before

    def test_refuses_the_second_time(self) -> None:
        story = StoryFactory(scheduled=True)
        operations.unschedule(item=story, by=None)

        with pytest.raises(InvalidTransition):
            operations.unschedule(item=story, by=None)

        assert history(Job.objects.get()) == [What.SCHEDULED, What.CANCELLED]

    def test_leaves_the_object_as_it_was_when_it_refuses(self) -> None:
        story = StoryFactory(unpublished=True)
        end = story.unpublish_at

        with pytest.raises(InvalidTransition):
            operations.unschedule(item=story, by=None, kind=Kind.UNPUBLISH)

        assert (story.unpublish_at, story.version) == (end, 1)

    def test_unschedules_a_scheduled_item_that_never_got_a_job(self) -> None:
        [story] = Story.objects.bulk_create(
            [StoryFactory.build(status=Status.SCHEDULED, publish_at=FAR_OFF)]
        )

        operations.unschedule(item=story, by=None)

        assert row(story).status == Status.DRAFT

    def test_refuses_an_item_that_is_gone(self) -> None:
        story = StoryFactory(scheduled=True)
        Story.objects.all().delete()

        with pytest.raises(ItemNotFound):
            operations.unschedule(item=story, by=None)


class TestCancel:
    def test_cancels_the_publish(self, editor: User) -> None:
        story = StoryFactory(scheduled=True)

        job = operations.cancel(job=Job.objects.get(), by=editor, reason="그만")

        assert (job.state, row(story).status) == (State.CANCELLED, Status.DRAFT)
        assert (last_event(job).by, last_event(job).reason) == (editor, "그만")

    def test_cancels_the_end(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.cancel(job=Job.objects.get(kind=Kind.UNPUBLISH), by=None)

        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF}

    def test_refuses_the_second_time(self) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        operations.cancel(job=job, by=None)

        with pytest.raises(InvalidTransition):
            operations.cancel(job=job, by=None)

        assert history(job) == [What.SCHEDULED, What.CANCELLED]

    def test_refuses_a_job_that_has_run(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        run_due_jobs()

        with pytest.raises(InvalidTransition):
            operations.cancel(job=job, by=None)

        assert Job.objects.get().state == State.SUCCEEDED

    def test_takes_away_a_job_that_its_item_does_not_ask_for(self) -> None:
        StoryFactory(scheduled=True)
        Story.objects.update(status=Status.DRAFT, publish_at=None)

        operations.cancel(job=Job.objects.get(), by=None)

        assert Job.objects.get().state == State.CANCELLED


class TestPublishNow:
    @pytest.mark.parametrize("situation", ["draft", "scheduled", "unpublished", "failed"])
    def test_makes_it_live_from_any_other_status(self, situation: str, editor: User) -> None:
        story = StoryFactory(**({} if situation == "draft" else {situation: True}))
        before = database_now()

        job = operations.publish_now(item=story, by=editor, reason="속보")

        saved = row(story)
        assert saved.is_published
        assert before <= saved.published_at == saved.publish_at <= database_now()
        assert (saved.version, saved.unpublish_at) == (2, None)
        assert not open_jobs(story)
        assert (job.kind, job.state, job.scheduled_by) == (Kind.PUBLISH, State.SUCCEEDED, editor)
        assert job.run_at == job.finished_at == saved.published_at
        assert history(job) == [What.SUCCEEDED]
        assert (last_event(job).by, last_event(job).reason) == (editor, "속보")

    def test_leaves_a_type_with_a_hook_to_the_slow_lane(
        self, monkeypatch: pytest.MonkeyPatch, editor: User
    ) -> None:
        monkeypatch.setattr(Story, "before_publish", lambda story: 1 / 0)
        story = StoryFactory(scheduled=True)
        before = database_now()

        job = operations.publish_now(item=story, by=editor)

        saved = row(story)
        assert (saved.status, saved.publish_at) == (Status.SCHEDULED, job.run_at)
        assert before <= job.run_at <= database_now()
        assert (job.state, last_event(job).by) == (State.WAITING, editor)
        message = OrmQ.objects.get()
        assert (message.key, message.lock) == ("slow", job.run_at)

    def test_cancels_what_was_scheduled_and_its_message(self, editor: User) -> None:
        story = StoryFactory(scheduled=True)
        planned = Job.objects.get()

        operations.publish_now(item=story, by=editor)

        planned.refresh_from_db()
        assert planned.state == State.CANCELLED
        assert last_event(planned).by == editor
        assert not OrmQ.objects.exists()

    def test_keeps_an_end_that_is_to_come(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        operations.publish_now(item=notice, by=None)

        assert row(notice).unpublish_at == FAR_OFF + HOUR
        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF + HOUR}
        assert OrmQ.objects.get().lock == FAR_OFF + HOUR

    def test_drops_an_end_that_has_passed(self) -> None:
        notice = NoticeFactory(due=True, unpublish_at=LONG_AGO + HOUR)

        operations.publish_now(item=notice, by=None)

        assert (row(notice).is_published, row(notice).unpublish_at) == (True, None)
        assert not open_jobs(notice)

    def test_gives_a_failed_item_its_end_again(self) -> None:
        notice = NoticeFactory(failed=True, unpublish_at=FAR_OFF)

        operations.publish_now(item=notice, by=None)

        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF}

    def test_refuses_the_second_time(self) -> None:
        story = StoryFactory()
        operations.publish_now(item=story, by=None)
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.publish_now(item=story, by=None)

        assert everything() == before

    def test_refuses_what_has_problems(self) -> None:
        story = StoryFactory(body="")
        before = everything()

        with pytest.raises(NotPublishable):
            operations.publish_now(item=story, by=None)

        assert everything() == before

    def test_refuses_an_item_that_is_gone(self) -> None:
        story = StoryFactory()
        Story.objects.all().delete()

        with pytest.raises(ItemNotFound):
            operations.publish_now(item=story, by=None)

    def test_logs_a_line_once_it_is_committed(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        story = StoryFactory()

        with caplog.at_level(logging.INFO, "armo.publish"):
            with django_capture_on_commit_callbacks() as callbacks:
                operations.publish_now(item=story, by=None)
            before = caplog.messages[:]
            for callback in callbacks:
                callback()

        at = row(story).published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert before == []
        assert caplog.messages == [f"[publish-now] {story.label} → published @{at}"]


class TestUnpublishNow:
    def test_takes_it_down(self, editor: User) -> None:
        story = StoryFactory(published=True)

        job = operations.unpublish_now(item=story, by=editor, reason="오보")

        saved = row(story)
        assert (saved.status, saved.published_at) == (Status.UNPUBLISHED, LONG_AGO)
        assert saved.unpublish_at == job.finished_at
        assert saved.version == 2
        assert (job.kind, job.state) == (Kind.UNPUBLISH, State.SUCCEEDED)
        assert (last_event(job).by, last_event(job).reason) == (editor, "오보")

    def test_cancels_the_end_that_was_to_come(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=FAR_OFF)

        operations.unpublish_now(item=notice, by=None)

        assert not open_jobs(notice)
        assert not OrmQ.objects.exists()
        assert row(notice).unpublish_at < FAR_OFF

    def test_needs_no_publishable_item(self) -> None:
        story = StoryFactory(published=True, body="")

        operations.unpublish_now(item=story, by=None)

        assert row(story).status == Status.UNPUBLISHED

    @pytest.mark.parametrize("situation", ["draft", "scheduled", "unpublished", "failed"])
    def test_refuses_what_is_not_live(self, situation: str) -> None:
        story = StoryFactory(**({} if situation == "draft" else {situation: True}))
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.unpublish_now(item=story, by=None)

        assert everything() == before

    def test_refuses_what_was_live_before_and_is_scheduled_again(self) -> None:
        story = StoryFactory(unpublished=True)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        before = everything()

        with pytest.raises(InvalidTransition):
            operations.unpublish_now(item=story, by=None)

        assert everything() == before

    def test_refuses_an_item_that_is_gone(self) -> None:
        story = StoryFactory(published=True)
        Story.objects.all().delete()

        with pytest.raises(ItemNotFound):
            operations.unpublish_now(item=story, by=None)


class TestARollback:
    """An operation joins the caller's transaction: what it wrote goes when that goes."""

    @pytest.mark.parametrize(
        "operation",
        [
            lambda story: operations.schedule(item=story, run_at=FAR_OFF + HOUR, by=None),
            lambda story: operations.unschedule(item=story, by=None),
            lambda story: operations.publish_now(item=story, by=None),
        ],
        ids=["schedule", "unschedule", "publish_now"],
    )
    def test_takes_item_job_history_and_message_with_it(
        self, operation: Callable[[Story], Job]
    ) -> None:
        story = StoryFactory(scheduled=True)
        before = everything()

        with transaction.atomic():
            operation(story)
            changed = everything()
            transaction.set_rollback(True)

        assert changed != before
        assert everything() == before

    def test_of_one_that_failed_halfway_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        story = StoryFactory()
        before = everything()
        monkeypatch.setattr("scheduling.queue.messages.messages", lambda _: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert everything() == before


class TestReconcile:
    def test_follows_what_was_written_around_the_operations(self) -> None:
        notice = NoticeFactory(scheduled=True)
        type(notice).objects.update(publish_at=LONG_AGO, unpublish_at=FAR_OFF)

        operations.reconcile(item=notice, reason="dump restored")

        assert open_jobs(notice) == {Kind.PUBLISH: LONG_AGO, Kind.UNPUBLISH: FAR_OFF}
        assert {last_event(job).reason for job in Job.objects.all()} == {"dump restored"}

    def test_twice_changes_nothing_more(self) -> None:
        story = StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)
        before = everything()

        operations.reconcile(item=story, reason="again")

        assert everything() == before

    def test_leaves_an_item_that_is_gone_alone(self) -> None:
        story = StoryFactory()
        Story.objects.all().delete()

        operations.reconcile(item=story, reason="late")

        assert not Job.objects.exists()
