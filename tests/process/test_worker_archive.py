"""A kind of job that an application adds, in real workers that know it and that do not."""

from datetime import timedelta

import pytest
from django_q.models import Failure, OrmQ

from content.models import Story
from scheduling import operations
from scheduling.models import TRANSITIONS, Job, JobEvent, State, Status
from scheduling.models.clock import database_now
from tests.archive.transitions import Archive
from tests.factories import StoryFactory
from tests.process.conftest import StartWorker
from tests.process.worker import ON_TIME, wait_until


@pytest.fixture(autouse=True)
def _archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, "archive", Archive())


def archive_soon(**fields: str) -> Job:
    return operations.schedule(
        item=StoryFactory(published=True, **fields),
        kind="archive",
        run_at=database_now() + timedelta(seconds=1),
        by=None,
        params={"last_word": "안녕"},
    )


class TestAnArchive:
    def test_is_run_at_its_moment_by_a_worker_that_knows_it(
        self, start_worker: StartWorker
    ) -> None:
        start_worker(DJANGO_SETTINGS_MODULE="tests.archive.settings")

        job = archive_soon()

        wait_until(
            lambda: Job.objects.filter(state=State.SUCCEEDED).exists(), seconds=10, what="archived"
        )
        job.refresh_from_db()
        story = Story.objects.get()
        assert (story.status, story.body) == (Status.UNPUBLISHED, "안녕")
        assert job.finished_at is not None
        assert job.run_at <= job.finished_at <= job.run_at + ON_TIME
        assert job.events.filter(what=JobEvent.What.SUCCEEDED).count() == 1
        wait_until(lambda: not OrmQ.objects.exists(), seconds=5, what="no message left")

    def test_that_cannot_be_done_fails_under_the_name_of_its_own_task(
        self, start_worker: StartWorker
    ) -> None:
        start_worker(DJANGO_SETTINGS_MODULE="tests.archive.settings")

        # No batch takes it: it is left to its own message.
        job = archive_soon(title="forever")

        wait_until(Failure.objects.exists, seconds=10, what="a failed task")
        job.refresh_from_db()
        assert Failure.objects.get().func == "scheduling.tasks.run_archive"
        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert Story.objects.get().status == Status.PUBLISHED

    def test_is_left_open_by_a_worker_that_does_not_know_it(
        self, start_worker: StartWorker
    ) -> None:
        worker = start_worker()

        job = archive_soon()

        worker.wait_for_line("is of a kind that this worker does not know", seconds=10)
        in_half_a_minute = job.run_at + timedelta(seconds=30)
        wait_until(
            OrmQ.objects.filter(lock__gt=in_half_a_minute).exists,
            seconds=5,
            what="a message for later",
        )
        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.WAITING, 0)
        assert Story.objects.get().status == Status.PUBLISHED
