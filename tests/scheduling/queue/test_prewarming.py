"""Pre-warming: a worker is called just before a job is due."""

from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from content.models import Story
from scheduling import tasks
from scheduling.broker import TimedBroker
from scheduling.models import Job, Status
from scheduling.models.clock import database_now
from scheduling.models.task_names import RUN_JOB
from scheduling.queue import broker as module
from scheduling.queue import messages
from scheduling.queue.broker import LEAD_SECONDS
from scheduling.worker import batch_runner
from tests.database_rows import due_stories, row
from tests.factories import FAR_OFF, LONG_AGO, StoryFactory

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SECONDS = 10
# So far off that a busy machine gets from the write to the claim before it is due.
AHEAD = 1.0


def soon(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def stories_due_in(*seconds: float) -> list[Story]:
    """Make stories that are due in so many seconds, counted from when their rows are there."""
    stories = due_stories(len(seconds))
    now = database_now()
    for story, each in zip(stories, seconds, strict=True):
        story.publish_at = now + soon(each)
        Job.objects.of(story).update(run_at=story.publish_at, next_attempt_at=story.publish_at)
    Story.objects.bulk_update(stories, ["publish_at"])
    return stories


def at_monotonic(moment: datetime) -> float:
    """Return a moment of the database's clock by `monotonic()`."""
    return monotonic() + (moment - database_now()).total_seconds()


class TestAPrewarmedWorker:
    def test_publishes_at_the_moment_and_not_before(self) -> None:
        [story] = stories_due_in(0.06)
        assert story.publish_at is not None

        assert tasks.stand_by(at_monotonic(story.publish_at)) == 1

        assert row(story).published_at >= story.publish_at

    def test_stays_for_what_is_due_right_after(self) -> None:
        first, *_ = stories_due_in(0.1, 0.115, 0.13, 0.145)
        assert first.publish_at is not None

        assert tasks.stand_by(at_monotonic(first.publish_at)) == 4

    def test_called_a_moment_too_early_waits_for_the_databases_clock(self) -> None:
        stories_due_in(0.02)

        assert tasks.stand_by(monotonic() - 0.001) == 1

    def test_leaves_what_is_far_off_and_what_cannot_go_live(self) -> None:
        StoryFactory(scheduled=True)
        [broken] = due_stories(1, body="")
        began = monotonic()

        assert tasks.stand_by(monotonic()) == 0

        assert monotonic() - began < 1
        assert row(broken).status == Status.SCHEDULED

    def test_does_not_stay_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "STAY_SECONDS", 0.1)
        monkeypatch.setattr(batch_runner, "seconds_until_next", lambda *, past: 0.0)
        began = monotonic()

        tasks.stand_by(began)

        assert 0.1 < monotonic() - began < SECONDS

    def test_never_waits_long_for_a_moment_that_lies_far_off(self) -> None:
        began = monotonic()

        tasks.stand_by(began + 3600)

        assert monotonic() - began < SECONDS


class TestTheBroker:
    @pytest.fixture
    def broker(self, monkeypatch: pytest.MonkeyPatch) -> TimedBroker:
        """A broker of a cluster, that has handed out its first sweep and its first beat."""
        monkeypatch.setattr(TimedBroker, "owner", 7)
        monkeypatch.setattr(module, "BEAT_SECONDS", 3600.0)
        broker = TimedBroker("publish")
        assert [self.function(broker) for _ in range(2)] == ["sweep", "beat"]
        return broker

    def function(self, broker: TimedBroker) -> str:
        """Dequeue until there is something; return what it calls."""
        return str(self.task(broker)["func"]).rpartition(".")[2]

    def task(self, broker: TimedBroker) -> dict[str, Any]:
        end = monotonic() + SECONDS
        while monotonic() < end:
            for _, payload in broker.dequeue() or ():
                task: dict[str, Any] = SignedPackage.loads(payload)
                return task
        raise AssertionError("nothing was handed out")

    def put(self, *seconds: float) -> None:
        now = database_now()
        messages.enqueue_many(
            [messages.Wake(n, now + soon(s), "publish", RUN_JOB) for n, s in enumerate(seconds)]
        )

    def test_calls_a_worker_just_before_a_message_is_due(self, broker: TimedBroker) -> None:
        before = monotonic()
        self.put(AHEAD)
        after = monotonic()

        task = self.task(broker)

        assert task["func"] == "scheduling.tasks.stand_by"
        [called_for] = task["args"]
        assert before + AHEAD - 0.005 < called_for < after + AHEAD + 0.2
        assert called_for - LEAD_SECONDS <= monotonic()

    def test_leaves_the_message_until_it_is_due(self, broker: TimedBroker) -> None:
        self.put(AHEAD)

        assert self.function(broker) == "stand_by"

        [(lock, owner)] = OrmQ.objects.extra(select={"owner": "armo_owner"}).values_list(
            "lock", "owner"
        )
        assert owner is None
        assert lock > database_now() - soon(SECONDS)

    def test_claims_the_message_if_the_call_came_to_nothing(self, broker: TimedBroker) -> None:
        self.put(AHEAD)

        assert [self.function(broker) for _ in range(2)] == ["stand_by", "run_job"]

    def test_claims_nothing_if_the_worker_was_there(self, broker: TimedBroker) -> None:
        self.put(AHEAD, SECONDS * 2)

        assert self.function(broker) == "stand_by"
        OrmQ.objects.order_by("lock")[:1].get().delete()

        for _ in range(3):
            assert broker.dequeue() is None

    def test_calls_nobody_for_what_is_due_already(self, broker: TimedBroker) -> None:
        messages.enqueue(job_id=1, at=LONG_AGO, lane="publish", func=RUN_JOB)
        messages.enqueue(job_id=2, at=FAR_OFF, lane="publish", func=RUN_JOB)

        assert self.function(broker) == "run_job"
        assert broker.dequeue() is None

    def test_calls_once_for_one_moment(self, broker: TimedBroker) -> None:
        self.put(AHEAD, AHEAD, AHEAD)

        functions = [self.function(broker) for _ in range(4)]

        assert functions == ["stand_by", *["run_job"] * 3]

    def test_calls_again_for_the_next(self, broker: TimedBroker) -> None:
        self.put(AHEAD, AHEAD + 0.6)

        functions = [self.function(broker) for _ in range(4)]

        assert functions == ["stand_by", "run_job", "stand_by", "run_job"]

    def test_of_a_lane_of_other_peoples_code_calls_nobody(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TimedBroker, "owner", 7)
        broker = TimedBroker("slow")
        assert self.function(broker) == "beat"
        messages.enqueue(job_id=1, at=database_now() + soon(0.2), lane="slow", func=RUN_JOB)

        assert self.function(broker) == "run_job"
