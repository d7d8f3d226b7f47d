"""A real worker while publishing is paused, and after."""

from collections import Counter
from datetime import timedelta
from random import Random

from django_q.models import OrmQ, Success

from content.models import Story
from scheduling import operations
from scheduling.models import Job, JobEvent, State, Status
from scheduling.models.clock import database_now
from scheduling.operations import pause as pausing
from scheduling.queue.messages import Message, insert_messages
from scheduling.queue.payload import build_payload
from tests.process.conftest import StartWorker
from tests.process.test_worker import LOG_LINE, assert_each_published_once, published, write_stories
from tests.process.worker import wait_until


class TestAPause:
    def test_holds_what_is_due_and_lets_it_go_in_order_when_it_is_over(
        self, start_worker: StartWorker
    ) -> None:
        # One that publishes: two share a batch, and which of them writes its line first is chance.
        worker = start_worker(WORKERS="1")
        stories = write_stories(20)
        first = database_now() + timedelta(seconds=1)
        times = [first + timedelta(milliseconds=10 * n) for n in range(20)]
        Random(20).shuffle(times)
        pausing.pause(by=None, reason="잘못된 첫 화면")
        for story, run_at in zip(stories, times, strict=True):
            operations.schedule(item=story, run_at=run_at, by=None)
        # A task of somebody else's, later than all of them, shows that their moment has passed.
        root = build_payload("math.sqrt", 4, lane="publish", name="root")
        insert_messages([Message("publish", root, max(times) + timedelta(seconds=0.2))])

        wait_until(Success.objects.exists, seconds=10, what="the other task is done")
        assert database_now() > max(times)
        assert published() == 0
        assert set(Job.objects.values_list("state", "attempts")) == {(State.WAITING, 0)}
        # The other task's queue row is deleted after its result has been saved.
        wait_until(lambda: OrmQ.objects.count() == 20, seconds=10, what="only their rows are left")
        pausing.resume(by=None)
        wait_until(lambda: published() == 20, seconds=2, what="all live")

        assert_each_published_once()
        in_time = Job.objects.order_by("run_at")
        ended = [job.finished_at for job in in_time if job.finished_at]
        assert ended == sorted(ended)
        labels = [f"story:{job.object_id}" for job in in_time]
        lines = [LOG_LINE.search(line) for line in worker.lines()]
        assert [line[1] for line in lines if line] == labels
        assert not [line for line in worker.lines() if "missing" in line]

    def test_that_comes_while_the_worker_waits_for_a_moment_holds_that_too(
        self, start_worker: StartWorker
    ) -> None:
        start_worker()
        stories = write_stories(20)
        moment = database_now() + timedelta(seconds=1)
        for story in stories:
            operations.schedule(item=story, run_at=moment, by=None)
        root = build_payload("math.sqrt", 4, lane="publish", name="root")
        insert_messages([Message("publish", root, moment + timedelta(seconds=0.2))])

        pausing.pause(by=None, reason="이유")
        assert database_now() < moment, "the machine was too slow to begin in time"
        wait_until(Success.objects.exists, seconds=10, what="the other task is done")
        held = Counter(Story.objects.values_list("status", flat=True))
        pausing.resume(by=None)

        assert held == {Status.SCHEDULED: 20}
        wait_until(lambda: published() == 20, seconds=2, what="all live")
        assert_each_published_once()
        assert not JobEvent.objects.filter(what=JobEvent.What.ATTEMPT_FAILED).exists()
