"""The sweep: finds jobs and queue rows that are missing, and creates them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django_q.models import OrmQ

from content.models import Notice, Story
from scheduling import tasks
from scheduling.models import Job, Kind, Status, transition_of
from scheduling.models.clock import database_now
from scheduling.worker import reconciler
from tests.database_rows import (
    due_stories,
    everything,
    failed_end,
    last_event,
    open_jobs,
    over,
    row,
    wakes_at,
)
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def write_around_the_engine(**fields: Any) -> Story:
    """Make a story as a dump or a bulk change does, without a job."""
    story: Story = StoryFactory.build(**fields)
    Story.objects.bulk_create([story])
    return story


class TestASweep:
    def test_does_what_is_overdue(self) -> None:
        due_stories(3)

        swept = reconciler.sweep()

        assert (swept.drained, swept.created, swept.messages) == (3, 0, 0)
        assert Story.objects.published().count() == 3

    def test_finds_nothing_to_do_the_second_time(self) -> None:
        write_around_the_engine(status=Status.SCHEDULED, publish_at=FAR_OFF)
        due_stories(2, body="")
        reconciler.sweep()
        before = everything()

        swept = reconciler.sweep()

        assert swept == (0, 0, 0)
        assert everything() == before

    def test_logs_only_what_it_repaired(self, caplog: pytest.LogCaptureFixture) -> None:
        StoryFactory(scheduled=True)
        reconciler.sweep()
        silent = not caplog.records

        OrmQ.objects.all().delete()
        reconciler.sweep()

        assert silent
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "0 jobs" in caplog.text
        assert "1 queue rows" in caplog.text

    def test_goes_by_the_name_the_messages_have(self) -> None:
        due_stories(2)

        result = tasks.sweep()

        assert result == {"drained": 2, "created": 0, "messages": 0}


class TestPruning:
    def test_is_left_to_people_by_default(self) -> None:
        over(StoryFactory())

        reconciler.sweep()

        assert Job.objects.count() == 1

    def test_deletes_old_jobs_when_it_is_asked_for(self, settings: Any) -> None:
        settings.PRUNE_AFTER_DAYS = 90
        over(StoryFactory())
        young = over(StoryFactory(), finished_at=database_now() - 89 * DAY)

        reconciler.sweep()

        assert Job.objects.get() == young


class TestAnItemWithoutAJob:
    def test_gets_one_with_message_and_history(self) -> None:
        story = write_around_the_engine(status=Status.SCHEDULED, publish_at=FAR_OFF)

        swept = reconciler.sweep()

        assert swept.created == 1
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        job = Job.objects.get()
        assert (wakes_at(job), job.item_title) == (FAR_OFF, story.title)
        assert last_event(job).reason
        assert (row(story).version, row(story).status) == (1, Status.SCHEDULED)

    def test_that_should_be_live_already_goes_live_in_the_same_sweep(self) -> None:
        story = write_around_the_engine(status=Status.SCHEDULED, publish_at=LONG_AGO)

        swept = reconciler.sweep()

        assert (swept.created, swept.drained) == (1, 1)
        assert row(story).is_published

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": Status.PUBLISHED, "published_at": LONG_AGO},
            {"status": Status.SCHEDULED, "publish_at": LONG_AGO + HOUR},
        ],
        ids=["published", "scheduled"],
    )
    def test_for_its_end_gets_that(self, fields: dict[str, Any]) -> None:
        story = write_around_the_engine(unpublish_at=FAR_OFF, **fields)

        reconciler.sweep()

        assert open_jobs(story)[Kind.UNPUBLISH] == FAR_OFF

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": Status.DRAFT, "publish_at": LONG_AGO, "unpublish_at": FAR_OFF},
            {"status": Status.FAILED, "publish_at": LONG_AGO, "unpublish_at": FAR_OFF},
            {"status": Status.UNPUBLISHED, "published_at": LONG_AGO, "unpublish_at": FAR_OFF},
            {"status": Status.PUBLISHED, "published_at": LONG_AGO},
        ],
        ids=["draft", "failed", "unpublished", "published for good"],
    )
    def test_that_asks_for_none_gets_none(self, fields: dict[str, Any]) -> None:
        write_around_the_engine(**fields)

        swept = reconciler.sweep()

        assert swept.created == 0
        assert not Job.objects.exists()

    def test_because_taking_it_down_has_failed_gets_none(self) -> None:
        job = failed_end()

        swept = reconciler.sweep()

        assert swept.created == 0
        assert list(Job.objects.all()) == [job]

    def test_because_taking_it_down_at_another_time_has_failed_gets_one(self) -> None:
        failed_end()
        Notice.objects.update(unpublish_at=FAR_OFF)

        swept = reconciler.sweep()

        assert swept.created == 1
        assert Job.objects.open().get().run_at == FAR_OFF

    def test_of_every_type_gets_one(self) -> None:
        Notice.objects.bulk_create(
            NoticeFactory.build_batch(2, status=Status.SCHEDULED, publish_at=FAR_OFF)
        )
        write_around_the_engine(status=Status.SCHEDULED, publish_at=FAR_OFF)

        assert reconciler.sweep().created == 3

    def test_gets_one_in_batches_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciler, "BATCH", 3)
        Story.objects.bulk_create(
            StoryFactory.build_batch(7, status=Status.SCHEDULED, publish_at=FAR_OFF)
        )

        assert reconciler.sweep().created == 7
        assert Job.objects.open().count() == 7

    @pytest.mark.timeout(20)
    def test_gets_one_though_a_batch_before_it_has_jobs_that_run_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciler, "BATCH", 2)
        due_stories(5)
        Job.objects.update(next_attempt_at=FAR_OFF)
        story = write_around_the_engine(
            status=Status.SCHEDULED, publish_at=database_now() - timedelta(seconds=1)
        )

        created = reconciler.create_missing_jobs(
            Story, transition_of(Kind.PUBLISH), database_now() + HOUR
        )

        assert created == 1
        assert open_jobs(story) == {Kind.PUBLISH: story.publish_at}


class TestAJobWithoutAMessage:
    @pytest.fixture(autouse=True)
    def _jobs(self) -> None:
        """Have one job soon, and others far off."""
        StoryFactory(status=Status.SCHEDULED, publish_at=database_now() + HOUR / 2)
        StoryFactory.create_batch(3, scheduled=True)

    @pytest.mark.parametrize("everything_", [True, False])
    def test_gets_one_for_its_time(self, everything_: bool) -> None:
        OrmQ.objects.all().delete()

        swept = reconciler.sweep(everything=everything_)

        assert swept.messages == OrmQ.objects.count() == 4
        for job in Job.objects.all():
            assert wakes_at(job) == job.run_at

    def test_gets_one_though_only_one_far_off_is_missing(self) -> None:
        lost = Job.objects.order_by("-run_at")[0]
        OrmQ.objects.filter(pk=lost.message_id).delete()

        swept = reconciler.sweep(everything=False)

        assert swept.messages == 1
        assert wakes_at(lost) == lost.run_at

    def test_gets_one_for_its_next_attempt(self) -> None:
        soon = database_now() + timedelta(seconds=30)
        retrying = Job.objects.order_by("run_at")[0]
        Job.objects.filter(pk=retrying.pk).update(next_attempt_at=soon)
        OrmQ.objects.all().delete()

        reconciler.sweep(everything=False)

        assert wakes_at(retrying) == soon

    def test_gets_one_though_an_old_message_of_it_is_about(self) -> None:
        Job.objects.update(message_id=None)

        swept = reconciler.sweep()

        assert swept.messages == 4
        assert OrmQ.objects.count() == 8

    def test_gets_one_in_batches_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciler, "BATCH", 2)
        OrmQ.objects.all().delete()

        assert reconciler.sweep().messages == 4
        assert len(set(Job.objects.values_list("message_id", flat=True))) == 4

    def test_gets_one_after_the_whole_queue_was_emptied(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE django_q_ormq RESTART IDENTITY")

        swept = reconciler.sweep()

        assert swept.messages == 4

    def test_gets_none_when_it_is_finished(self) -> None:
        Story.objects.all().delete()

        assert reconciler.sweep().messages == 0
        assert not OrmQ.objects.exists()
