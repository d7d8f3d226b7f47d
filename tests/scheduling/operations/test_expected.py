"""Every operation compares what the person saw with the row, under the lock."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from content.models import Story
from scheduling import operations
from scheduling.models import Job, Kind, Schedulable, State, Status
from scheduling.models.references import ItemNotFound
from scheduling.operations import ChangedMeanwhile, Seen
from tests.conftest import InBackground
from tests.database_rows import everything, failed_end, failed_publish, open_jobs, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.scheduling.operations.test_concurrency import SECONDS, wait_until_blocked

HOUR = timedelta(hours=1)


class Case(NamedTuple):
    """An operation on one item, and what it is done to."""

    make: Callable[[], Schedulable]
    operate: Callable[..., Any]


def live_with_end() -> Schedulable:
    return NoticeFactory(published=True, unpublish_at=FAR_OFF)


ITEM_CASES = {
    "schedule": Case(
        StoryFactory, lambda item, **seen: operations.schedule(item=item, run_at=FAR_OFF, **seen)
    ),
    "move by schedule": Case(
        lambda: StoryFactory(scheduled=True),
        lambda item, **seen: operations.schedule(item=item, run_at=FAR_OFF + HOUR, **seen),
    ),
    "set the end": Case(
        lambda: NoticeFactory(published=True),
        lambda item, **seen: operations.schedule(
            item=item, run_at=FAR_OFF, kind=Kind.UNPUBLISH, **seen
        ),
    ),
    "cancel the end": Case(
        live_with_end,
        lambda item, **seen: operations.unschedule(item=item, kind=Kind.UNPUBLISH, **seen),
    ),
    "unschedule": Case(
        lambda: StoryFactory(scheduled=True),
        lambda item, **seen: operations.unschedule(item=item, **seen),
    ),
    "publish now": Case(
        StoryFactory, lambda item, **seen: operations.publish_now(item=item, **seen)
    ),
    "unpublish now": Case(
        lambda: StoryFactory(published=True),
        lambda item, **seen: operations.unpublish_now(item=item, **seen),
    ),
}

JOB_CASES = {
    "move": Case(
        lambda: StoryFactory(scheduled=True),
        lambda job, **seen: operations.move(job=job, run_at=FAR_OFF + 2 * HOUR, **seen),
    ),
    "cancel": Case(
        lambda: StoryFactory(scheduled=True), lambda job, **seen: operations.cancel(job=job, **seen)
    ),
    "cancel an end": Case(live_with_end, lambda job, **seen: operations.cancel(job=job, **seen)),
}

of_item = pytest.mark.parametrize("case", ITEM_CASES.values(), ids=ITEM_CASES)
of_job = pytest.mark.parametrize("case", JOB_CASES.values(), ids=JOB_CASES)


def swap_text(item: Schedulable) -> None:
    """Change the text as a colleague does, who has the item in memory of their own."""
    other = row(item)
    other.body = "바뀐 본문"
    other.save()


@pytest.mark.django_db
class TestAnOperationOnAnItem:
    @of_item
    def test_refuses_an_item_that_has_another_version(self, case: Case) -> None:
        item = case.make()
        seen = Seen(version=item.version)
        swap_text(item)
        before = everything()

        with pytest.raises(ChangedMeanwhile) as refusal:
            case.operate(item, by=None, expected=seen)

        assert refusal.value.code == "version_conflict"
        assert refusal.value.row.body == "바뀐 본문"  # type: ignore[union-attr]
        assert everything() == before

    @of_item
    def test_changes_an_item_that_has_the_version(self, case: Case) -> None:
        item = case.make()

        case.operate(item, by=None, expected=Seen(version=item.version))

        assert row(item).version == 2

    @of_item
    def test_asks_the_database_no_more_than_without(self, case: Case) -> None:
        items = [case.make() for _ in range(3)]
        case.operate(items[0], by=None)

        with CaptureQueriesContext(connection) as without:
            case.operate(items[1], by=None)
        with CaptureQueriesContext(connection) as with_it:
            case.operate(items[2], by=None, expected=Seen(version=1))

        assert len(with_it) == len(without)

    def test_goes_by_the_times_where_those_are_what_was_seen(self) -> None:
        story = StoryFactory(scheduled=True)
        seen = Seen(status=Status.SCHEDULED, publish_at=FAR_OFF, unpublish_at=None)
        swap_text(story)

        operations.schedule(item=story, run_at=FAR_OFF + HOUR, by=None, expected=seen)

        with pytest.raises(ChangedMeanwhile):
            operations.schedule(item=story, run_at=FAR_OFF, by=None, expected=seen)
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + HOUR}


@pytest.mark.django_db
class TestAnOperationOnAJob:
    @of_job
    def test_refuses_a_job_that_was_moved(self, case: Case) -> None:
        item = case.make()
        job = Job.objects.of(item).get()
        old = Job.objects.of(item).get()
        operations.move(job=job, run_at=FAR_OFF + HOUR, by=None)
        before = everything()

        with pytest.raises(ChangedMeanwhile) as refusal:
            case.operate(old, by=None, expected=Seen.job(run_at=FAR_OFF))

        assert refusal.value.row.run_at == FAR_OFF + HOUR  # type: ignore[union-attr]
        assert everything() == before

    @of_job
    def test_refuses_where_the_item_is_not_what_was_seen(self, case: Case) -> None:
        item = case.make()
        swap_text(item)

        with pytest.raises(ChangedMeanwhile):
            case.operate(Job.objects.get(), by=None, expected=Seen(version=1))

    @of_job
    def test_changes_a_job_that_is_as_it_was_seen(self, case: Case) -> None:
        case.make()
        job = Job.objects.get()

        case.operate(job, by=None, expected=Seen.job(run_at=FAR_OFF, state=State.WAITING))

        job.refresh_from_db()
        assert job.state == State.CANCELLED or job.run_at > FAR_OFF

    def test_says_that_it_was_changed_rather_than_that_it_is_over(self) -> None:
        StoryFactory(scheduled=True)
        old = Job.objects.get()
        operations.cancel(job=Job.objects.get(), by=None)

        with pytest.raises(ChangedMeanwhile):
            operations.cancel(job=old, by=None, expected=Seen.job(state=State.WAITING))
        with pytest.raises(operations.InvalidTransition):
            operations.cancel(job=old, by=None)

    @pytest.mark.parametrize("make", [failed_publish, failed_end])
    def test_runs_a_failed_job_again_only_as_it_was_seen(self, make: Callable[[], Job]) -> None:
        job = make()
        seen = Seen.job(state=State.FAILED, finished_at=job.finished_at)
        earlier = Seen.job(state=State.FAILED, finished_at=LONG_AGO)

        with pytest.raises(ChangedMeanwhile):
            operations.rerun(job=job, by=None, expected=earlier)
        operations.rerun(job=job, by=None, expected=seen)

        with pytest.raises(ChangedMeanwhile):
            operations.rerun(job=job, by=None, expected=seen)

    def test_runs_a_failed_job_again_only_with_the_text_that_was_seen(self) -> None:
        job = failed_publish()
        story = Story.objects.get()
        seen = Seen(version=story.version)
        swap_text(story)

        with pytest.raises(ChangedMeanwhile):
            operations.rerun(job=job, by=None, expected=seen)

    def test_compares_the_job_of_an_item_that_is_gone(self) -> None:
        StoryFactory(scheduled=True)
        old = Job.objects.get()
        Story.objects.get().delete()

        with pytest.raises(ChangedMeanwhile):
            operations.cancel(job=old, by=None, expected=Seen.job(state=State.WAITING))
        with pytest.raises(ItemNotFound):
            operations.cancel(job=old, by=None)

    def test_on_one_that_was_pruned_says_so(self) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        Job.objects.filter(pk=job.pk).delete()

        with pytest.raises(operations.JobNotFound):
            operations.cancel(job=job, by=None)


@pytest.mark.django_db
class TestSchedulingMany:
    def test_refuses_each_item_that_is_not_what_was_seen_and_changes_none(self) -> None:
        stories = StoryFactory.create_batch(3)
        notice = NoticeFactory()
        seen = {item: Seen(version=item.version) for item in (*stories, notice)}
        for item in (stories[1], notice):
            swap_text(item)
        before = everything()

        with pytest.raises(operations.SomeRefused) as some:
            operations.schedule_many(
                items=[*stories, notice], run_at=FAR_OFF, by=None, expected=seen
            )

        assert set(some.value.refusals) == {stories[1], notice}
        assert {type(it) for it in some.value.refusals.values()} == {ChangedMeanwhile}
        assert some.value.code == "version_conflict"
        assert everything() == before

    def test_schedules_what_is_as_it_was_seen_and_what_nothing_is_said_of(self) -> None:
        one, other = StoryFactory.create_batch(2)
        swap_text(other)

        operations.schedule_many(
            items=[one, other], run_at=FAR_OFF, by=None, expected={one: Seen(version=1)}
        )

        assert Story.objects.filter(status=Status.SCHEDULED).count() == 2

    def test_compares_times_too(self) -> None:
        story = StoryFactory(scheduled=True)
        seen = Seen(status=Status.SCHEDULED, publish_at=FAR_OFF, unpublish_at=None)

        operations.schedule_many(
            items=[story], run_at=FAR_OFF + HOUR, by=None, expected={story: seen}
        )
        with pytest.raises(operations.SomeRefused):
            operations.schedule_many(items=[story], run_at=FAR_OFF, by=None, expected={story: seen})


@pytest.mark.django_db
class TestLockingForAChangeOfContent:
    def test_returns_the_item_as_it_is(self) -> None:
        story = StoryFactory()
        swap_text(story)

        found = operations.lock_for_change(
            items=Story.objects.filter(pk=story.pk), expected=Seen(version=2)
        )

        assert found.body == "바뀐 본문"

    def test_refuses_what_is_not_what_was_seen_or_not_there(self) -> None:
        story = StoryFactory()

        with pytest.raises(ChangedMeanwhile):
            operations.lock_for_change(items=Story.objects.all(), expected=Seen(version=2))
        story.delete()
        with pytest.raises(ItemNotFound):
            operations.lock_for_change(items=Story.objects.all())


def refused(operate: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        operate(*args, **kwargs)
    except ChangedMeanwhile:
        return True
    except operations.SomeRefused as some:
        return all(isinstance(each, ChangedMeanwhile) for each in some.refusals.values())
    return False


@pytest.mark.django_db(transaction=True)
class TestWhoWaitsForAColleague:
    """The colleague's change is not committed yet when the person, with an older page, asks."""

    @of_item
    def test_is_refused_once_the_colleague_has_committed(
        self, case: Case, in_background: InBackground
    ) -> None:
        item = case.make()
        with transaction.atomic():
            swap_text(item)
            waiting = in_background(
                refused, case.operate, row(item), by=None, expected=Seen(version=item.version)
            )
            wait_until_blocked()

        assert waiting.result(SECONDS)

    @of_job
    def test_is_refused_a_job_that_the_colleague_has_moved(
        self, case: Case, in_background: InBackground
    ) -> None:
        case.make()
        old = Job.objects.get()
        with transaction.atomic():
            operations.move(job=Job.objects.get(), run_at=FAR_OFF + HOUR, by=None)
            waiting = in_background(
                refused, case.operate, old, by=None, expected=Seen.job(run_at=FAR_OFF)
            )
            wait_until_blocked()

        assert waiting.result(SECONDS)
        assert Job.objects.open().get().run_at == FAR_OFF + HOUR

    def test_is_refused_a_second_run_of_a_failed_job(self, in_background: InBackground) -> None:
        old = failed_publish()
        seen = Seen.job(state=State.FAILED, finished_at=old.finished_at)
        with transaction.atomic():
            operations.rerun(job=Job.objects.get(), by=None)
            waiting = in_background(refused, operations.rerun, job=old, by=None, expected=seen)
            wait_until_blocked()

        assert waiting.result(SECONDS)

    def test_is_refused_many(self, in_background: InBackground) -> None:
        stories = StoryFactory.create_batch(2, scheduled=True)
        with transaction.atomic():
            operations.schedule(item=row(stories[0]), run_at=FAR_OFF + HOUR, by=None)
            waiting = in_background(
                refused,
                operations.schedule_many,
                items=stories,
                run_at=FAR_OFF + 2 * HOUR,
                by=None,
                expected={story: Seen(version=story.version) for story in stories},
            )
            wait_until_blocked()

        assert waiting.result(SECONDS)
        assert set(Job.objects.values_list("run_at", flat=True)) == {FAR_OFF, FAR_OFF + HOUR}

    def test_is_refused_the_lock_for_a_change_of_content(self, in_background: InBackground) -> None:
        story = StoryFactory()

        @transaction.atomic
        def change() -> None:
            operations.lock_for_change(items=Story.objects.all(), expected=Seen(version=1))

        with transaction.atomic():
            swap_text(story)
            waiting = in_background(refused, change)
            wait_until_blocked()

        assert waiting.result(SECONDS)
