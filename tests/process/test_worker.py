"""Real workers, as processes of their own, on a real queue."""

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import psutil
import pytest
from django.db import connection
from django.db.models import F, Max, Min
from django_q.models import OrmQ, Success

from content.models import Notice, Story
from scheduling import operations
from scheduling.broker import TimedBroker
from scheduling.models import Job, JobEvent, Kind, State, Status
from scheduling.models.clock import database_now
from scheduling.queue.payload import build_payload
from scheduling.worker.reconciler import sweep
from tests.process.conftest import StartWorker
from tests.process.worker import ON_TIME, wait_until

LOG_LINE = re.compile(
    r"INFO armo\.publish \[publish-worker\] (story:\d+) → published "
    r"@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
)


def write_stories(number: int) -> list[Story]:
    return Story.objects.bulk_create(
        Story(title=f"제목 {n}", slug=f"story-{n}", body="본문") for n in range(number)
    )


def done_in_time(operation: Callable[..., Job], **arguments: object) -> bool:
    """Do it; False when the worker was first, so that it is refused by that name."""
    try:
        operation(**arguments)
    except operations.InvalidTransition:
        return False
    return True


def published() -> int:
    return Story.objects.published().count()


def assert_each_published_once() -> None:
    """Every story is live, not before its time, by one job with one success; nothing is left."""
    assert not Story.objects.exclude(status=Status.PUBLISHED).exists()
    assert not Story.objects.filter(published_at__lt=F("publish_at")).exists()
    assert not Job.objects.exclude(state=State.SUCCEEDED).exists()
    successes = JobEvent.objects.filter(what=JobEvent.What.SUCCEEDED)
    assert Counter(successes.values_list("job_id", flat=True)) == Counter(
        Job.objects.values_list("pk", flat=True)
    )
    assert Job.objects.count() == Story.objects.count()
    wait_until(lambda: not OrmQ.objects.exists(), seconds=5, what="no message left")


class TestOneStory:
    def test_goes_live_at_its_moment(self, start_worker: StartWorker) -> None:
        worker = start_worker()
        moment = database_now() + timedelta(seconds=2)

        story = Story.objects.create(
            title="제시간에", slug="on-time", body="본문", status="scheduled", publish_at=moment
        )

        assert OrmQ.objects.get().lock == moment
        line = worker.wait_for_line("armo.publish", seconds=5)
        assert LOG_LINE.search(line)
        assert story.label in line
        story.refresh_from_db()
        assert story.status == Status.PUBLISHED
        assert story.published_at is not None
        assert moment <= story.published_at <= moment + ON_TIME
        assert Job.objects.get().state == State.SUCCEEDED
        assert JobEvent.objects.filter(what=JobEvent.What.SUCCEEDED).count() == 1
        wait_until(lambda: not OrmQ.objects.exists(), seconds=5, what="no message left")

    def test_scheduled_before_the_worker_sleeps_or_after_is_as_punctual(
        self, start_worker: StartWorker
    ) -> None:
        start_worker()
        stories = write_stories(20)
        chance = random.Random(20)

        for story in stories:
            wait = timedelta(seconds=chance.uniform(0.1, 0.9))
            operations.schedule(item=story, run_at=database_now() + wait, by=None)

        wait_until(lambda: published() == 20, seconds=5, what="all live")
        late = [job.lateness_ms or 0 for job in Job.objects.all()]
        # One stall of the machine makes some of them late, and not the half.
        assert median(late) < 200
        assert max(late) < ON_TIME.total_seconds() * 1000

    def test_a_notice_is_taken_down_at_its_end(self, start_worker: StartWorker) -> None:
        start_worker()
        notice = Notice.objects.create(title="점검", body="곧 끝납니다.")
        start = database_now() + timedelta(seconds=0.5)
        end = start + timedelta(seconds=1)

        operations.schedule(item=notice, run_at=start, unpublish_at=end, by=None)

        wait_until(
            lambda: Notice.objects.filter(status=Status.UNPUBLISHED).exists(),
            seconds=5,
            what="taken down",
        )
        up, down = Job.objects.order_by("run_at")
        assert (up.kind, up.run_at, up.state) == (Kind.PUBLISH, start, State.SUCCEEDED)
        assert (down.kind, down.run_at, down.state) == (Kind.UNPUBLISH, end, State.SUCCEEDED)
        assert down.finished_at is not None
        assert end <= down.finished_at <= end + ON_TIME


class TestManyStories:
    def test_two_clusters_publish_each_of_a_thousand_once(self, start_worker: StartWorker) -> None:
        workers = [start_worker(), start_worker()]
        first = database_now() + timedelta(seconds=8)
        times = [first + timedelta(seconds=20 * n / 299) for n in range(300)]
        stories = write_stories(1000)
        for number, story in enumerate(stories):
            story.status, story.publish_at = Status.SCHEDULED, times[number % 300]
        Story.objects.bulk_update(stories, ["status", "publish_at"])

        sweep()

        assert Job.objects.open().count() == 1000, "the machine was too slow to begin in time"
        wait_until(lambda: published() == 1000, seconds=60, what="all live")
        assert_each_published_once()
        lines = [LOG_LINE.search(line) for worker in workers for line in worker.lines()]
        assert Counter(line[1] for line in lines if line) == Counter(s.label for s in stories)

    def test_five_thousand_missed_while_the_worker_was_off_follow_at_once(
        self, start_worker: StartWorker
    ) -> None:
        far_off = database_now() + timedelta(hours=1)
        Story.objects.bulk_create(
            Story(title="t", slug=f"s-{n}", body="b", status=Status.SCHEDULED, publish_at=far_off)
            for n in range(5000)
        )
        sweep()
        assert OrmQ.objects.filter(lock=far_off).count() == 5000
        # The hour passes.
        due = far_off - timedelta(hours=1)
        Story.objects.update(publish_at=due)
        Job.objects.update(run_at=due, next_attempt_at=due)
        OrmQ.objects.update(lock=due)

        start_worker()

        wait_until(lambda: published() == 5000, seconds=20, what="all live")
        ends = Story.objects.aggregate(first=Min("published_at"), last=Max("published_at"))
        # One a time would take a minute; a second is usual, more on a busy machine.
        assert ends["last"] - ends["first"] <= timedelta(seconds=5)
        assert_each_published_once()


class TestInTheLastSecond:
    """The later request wins, however near the moment it comes."""

    EACH = 15

    def test_moving(self, start_worker: StartWorker) -> None:
        start_worker()

        for story, due in self.last_second():
            later = due + timedelta(seconds=2)
            if done_in_time(operations.schedule, item=story, run_at=later, by=None):
                assert Story.objects.get(pk=story.pk).publish_at == later

        wait_until(lambda: published() == self.EACH, seconds=10, what="all live")
        assert_each_published_once()

    def test_cancelling(self, start_worker: StartWorker) -> None:
        start_worker()
        cancelled = set()

        for story, _ in self.last_second():
            if done_in_time(operations.unschedule, item=story, by=None):
                cancelled.add(story.pk)

        self.wait_until_all_is_over()
        drafts = set(Story.objects.filter(status=Status.DRAFT).values_list("pk", flat=True))
        assert drafts == cancelled
        assert published() == self.EACH - len(cancelled)

    def test_publishing_by_hand(self, start_worker: StartWorker) -> None:
        start_worker()

        for story, _ in self.last_second():
            done_in_time(operations.publish_now, item=story, by=None)

        self.wait_until_all_is_over()
        assert published() == self.EACH
        successes = JobEvent.objects.filter(what=JobEvent.What.SUCCEEDED)
        per_item = Counter(successes.values_list("job__object_id", flat=True))
        assert set(per_item.values()) == {1}

    def test_deleting(self, start_worker: StartWorker) -> None:
        start_worker()

        for story, _ in self.last_second():
            story.delete()

        self.wait_until_all_is_over()
        assert not Story.objects.exists()
        assert set(Job.objects.values_list("state", flat=True)) <= {
            State.CANCELLED,
            State.SUCCEEDED,
        }

    def test_editing_it_into_a_state_that_may_not_go_live(self, start_worker: StartWorker) -> None:
        start_worker()
        emptied_in_time = set()

        for story, due in self.last_second():
            # Past `save()`, which refuses it.
            Story.objects.filter(pk=story.pk).update(body="")
            if database_now() < due:
                emptied_in_time.add(story.pk)

        self.wait_until_all_is_over()
        failed = set(Story.objects.filter(status=Status.FAILED).values_list("pk", flat=True))
        assert emptied_in_time <= failed
        assert published() == self.EACH - len(failed)
        assert Job.objects.filter(state=State.FAILED).count() == len(failed)
        assert not Story.objects.filter(publish_at=None).exists()

    def last_second(self) -> Iterator[tuple[Story, datetime]]:
        """Schedule stories, and hand each out at a chance moment of its last second."""
        chance = random.Random(self.EACH)
        start = database_now() + timedelta(seconds=3)
        entries = []
        for number, story in enumerate(write_stories(self.EACH)):
            due = start + timedelta(seconds=0.15 * number)
            operations.schedule(item=story, run_at=due, by=None)
            entries.append((due - timedelta(seconds=chance.uniform(0, 0.9)), due, story))
        for at, due, story in sorted(entries, key=lambda entry: entry[0]):
            wait_until(
                lambda at=at: database_now() >= at,  # type: ignore[misc]  # bound to this round
                seconds=10,
                what="its last second",
            )
            yield story, due

    def wait_until_all_is_over(self) -> None:
        wait_until(lambda: not Job.objects.open().exists(), seconds=10, what="no open job")
        wait_until(lambda: not OrmQ.objects.exists(), seconds=5, what="no message left")


class TestALostQueue:
    def test_is_filled_again_by_the_sweep_and_nothing_is_missed(
        self, start_worker: StartWorker
    ) -> None:
        start_worker(SWEEP_EVERY="1")
        stories = write_stories(60)
        start = database_now() + timedelta(seconds=2)
        for number, story in enumerate(stories):
            run_at = start + timedelta(seconds=number / 10)
            operations.schedule(item=story, run_at=run_at, by=None)
        far = Story.objects.create(title="Far", slug="far", body="b")
        far_job = operations.schedule(item=far, run_at=start + timedelta(days=400), by=None)

        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE django_q_ormq")

        wait_until(
            lambda: OrmQ.objects.filter(lock=far_job.run_at).exists(),
            seconds=10,
            what="the message of the far job",
        )
        wait_until(lambda: published() == 60, seconds=20, what="all live")
        assert not Story.objects.filter(published_at__lt=F("publish_at")).exists()
        far_job.refresh_from_db()
        assert OrmQ.objects.get(pk=far_job.message_id).lock == far_job.run_at
        assert JobEvent.objects.filter(what=JobEvent.What.SUCCEEDED).count() == 60


class TestAWrongClock:
    @pytest.mark.parametrize("offset", [600, -600], ids=["fast", "slow"])
    def test_of_the_worker_changes_nothing(self, start_worker: StartWorker, offset: int) -> None:
        worker = start_worker(
            PYTHONPATH=str(Path(__file__).parent / "wrong_clock"), CLOCK_OFFSET=str(offset)
        )
        story = Story.objects.create(title="t", slug="s", body="b")
        moment = database_now() + timedelta(seconds=2)

        operations.schedule(item=story, run_at=moment, by=None)

        line = worker.wait_for_line("armo.publish", seconds=10)
        story.refresh_from_db()
        assert story.published_at is not None
        assert moment <= story.published_at <= moment + ON_TIME
        written = datetime.strptime(line.split()[0], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert abs((written - moment).total_seconds() - offset) < 5, "its clock was not wrong"


class TestALaneOfItsOwn:
    @pytest.mark.parametrize(
        "how", [(("-n", "slow"), {}), ((), {"Q_CLUSTER_NAME": "slow"})], ids=["option", "variable"]
    )
    def test_leaves_the_other_lane_alone(
        self, start_worker: StartWorker, how: tuple[tuple[str, ...], dict[str, str]]
    ) -> None:
        arguments, env = how
        worker = start_worker(*arguments, **env)
        assert worker.wait_for_line("lane slow")
        message = OrmQ.objects.create(
            key="publish", payload="unread", lock=database_now() - timedelta(seconds=1)
        )
        operations.schedule(
            item=write_stories(1)[0], run_at=database_now() + timedelta(seconds=0.2), by=None
        )
        TimedBroker("slow").enqueue(build_payload("math.sqrt", 4, lane="slow", name="its own"))

        wait_until(lambda: Success.objects.exists(), seconds=10, what="its own task done")

        assert Success.objects.get().name == "its own"
        assert OrmQ.objects.filter(pk=message.pk).exists()
        assert published() == 0


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("whom", ["process", "group"])
    def test_ends_with_0_and_leaves_no_process(
        self, start_worker: StartWorker, number: int, whom: str
    ) -> None:
        worker = start_worker()
        family = worker.family()
        # The supervisor; in each lane a sentinel, a pusher and a monitor; two, two and one workers.
        assert len(family) == 1 + 3 * 3 + 5

        if whom == "group":
            os.killpg(worker.process.pid, number)
        else:
            worker.process.send_signal(number)

        assert worker.process.wait(15) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
