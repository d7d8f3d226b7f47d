"""Running a failed job again: what it does, and what it refuses by name."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ

from content.models import Story
from scheduling import conf, operations
from scheduling.errors import DomainError
from scheduling.models import Job, JobEvent, Kind, State, Status
from scheduling.models.clock import database_now
from scheduling.models.references import ItemNotFound
from scheduling.operations import (
    InvalidTransition,
    ItemHasMovedOn,
    JobNotFound,
    NotPublishable,
    store,
)
from scheduling.queue import messages
from scheduling.worker import job_runner
from scheduling.worker.batch_runner import run_due_jobs
from tests.conftest import InBackground
from tests.database_rows import (
    everything,
    failed_end,
    failed_publish,
    history,
    last_event,
    open_jobs,
    row,
    wakes_at,
)
from tests.factories import FAR_OFF, LONG_AGO, UserFactory
from tests.scheduling.operations.test_concurrency import (
    SECONDS,
    together,
    try_to,
    wait_until_blocked,
)

pytestmark = pytest.mark.django_db

What = JobEvent.What
HOUR = timedelta(hours=1)


@pytest.fixture
def operator() -> User:
    user: User = UserFactory(username="운영자")
    return user


def story_of(job: Job) -> Any:
    story = job.find_item()
    assert story is not None
    return story


def values(job: Job) -> dict[str, Any]:
    """Return all fields of a job, as they are in memory."""
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


class TestRerun:
    def test_has_the_same_job_due_at_once(self) -> None:
        job = failed_publish()
        Job.objects.update(told_at=LONG_AGO, attempt_begun_at=LONG_AGO, attempts=4)
        before = database_now()

        again = operations.rerun(job=job, by=None)

        saved = Job.objects.get()
        assert again == job == saved
        assert (saved.state, saved.attempts, saved.run_at) == (State.WAITING, 0, LONG_AGO)
        assert (saved.finished_at, saved.told_at, saved.attempt_begun_at) == (None, None, None)
        assert before < saved.next_attempt_at <= database_now()

    def test_puts_in_one_fresh_message(self) -> None:
        job = failed_publish()
        OrmQ.objects.all().delete()

        operations.rerun(job=job, by=None)

        message = OrmQ.objects.get()
        job.refresh_from_db()
        assert (message.pk, message.key) == (job.message_id, "publish")
        assert message.lock == job.next_attempt_at

    def test_has_the_item_scheduled_for_the_time_it_was(self) -> None:
        job = failed_publish()
        before = story_of(job)

        operations.rerun(job=job, by=None)

        story = row(before)
        assert (before.status, story.status) == (Status.FAILED, Status.SCHEDULED)
        assert (story.publish_at, story.published_at) == (LONG_AGO, None)
        assert story.version == before.version + 1

    def test_keeps_the_history_and_records_who_and_why(self, operator: User) -> None:
        job = failed_publish()

        operations.rerun(job=job, by=operator, reason="본문을 넣었음")

        assert history(job) == [What.SCHEDULED, What.FAILED, What.RERUN]
        event = last_event(job)
        assert (event.by, event.reason) == (operator, "본문을 넣었음")
        assert event.at == Job.objects.get().next_attempt_at

    def test_leaves_the_object_as_it_is_in_the_database(self) -> None:
        job = failed_publish()
        in_memory = Job.objects.defer("state").get()

        operations.rerun(job=job, by=None)
        with pytest.raises(InvalidTransition):
            operations.rerun(job=in_memory, by=None)

        assert values(job) == values(in_memory) == values(Job.objects.get())

    def test_ends_with_the_item_live(self) -> None:
        job = failed_publish()
        operations.rerun(job=job, by=None)

        done = run_due_jobs()

        assert done == 1
        assert story_of(job).is_published
        assert history(job) == [What.SCHEDULED, What.FAILED, What.RERUN, What.SUCCEEDED]
        assert not OrmQ.objects.filter(key="publish").exists()

    def test_may_fail_and_be_run_again_as_often_as_one_likes(self) -> None:
        job = failed_publish()
        operations.rerun(job=job, by=None)
        Story.objects.update(body="")
        job_runner.run_everything_due()
        failed_again = Job.objects.get()
        Story.objects.update(body="본문")

        operations.rerun(job=job, by=None)

        assert failed_again.state == State.FAILED
        assert history(job) == [What.SCHEDULED, *[What.FAILED, What.RERUN] * 2]
        assert run_due_jobs() == 1

    def test_gives_a_job_all_its_attempts_again(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.RETRY_DELAYS = [10, 20]
        job = failed_publish()
        operations.rerun(job=job, by=None)

        def hook(story: Story) -> None:
            raise RuntimeError

        monkeypatch.setattr(Story, "before_publish", hook)
        states = []
        for _ in range(3):
            Job.objects.update(next_attempt_at=LONG_AGO)
            job_runner.run_everything_due()
            states.append(Job.objects.get().state)

        assert states == [State.RETRYING, State.RETRYING, State.FAILED]

    def test_leaves_an_end_to_come_as_it_is(self) -> None:
        job = failed_publish(unpublish_at=FAR_OFF)
        end = Job.objects.get(kind=Kind.UNPUBLISH)

        operations.rerun(job=job, by=None)

        assert end.state == State.WAITING
        assert values(Job.objects.get(kind=Kind.UNPUBLISH)) == values(end)

    def test_opens_the_job_of_an_end_that_was_lost(self) -> None:
        job = failed_publish(unpublish_at=FAR_OFF)
        lost = Job.objects.get(kind=Kind.UNPUBLISH)
        operations.reconcile(item=story_of(job), reason="")

        operations.rerun(job=job, by=None)

        lost.refresh_from_db()
        assert lost.state == State.CANCELLED
        assert open_jobs(story_of(job)) == {Kind.PUBLISH: LONG_AGO, Kind.UNPUBLISH: FAR_OFF}
        end = Job.objects.open().get(kind=Kind.UNPUBLISH)
        assert wakes_at(end) == FAR_OFF

    def test_of_an_end_has_it_taken_down(self) -> None:
        job = failed_end()

        operations.rerun(job=job, by=None)
        done = run_due_jobs()

        assert done == 1
        assert story_of(job).status == Status.UNPUBLISHED
        assert history(job) == [What.SCHEDULED, What.FAILED, What.RERUN, What.SUCCEEDED]

    def test_of_a_type_with_a_hook_goes_to_its_own_lane(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = failed_publish()
        monkeypatch.setattr(Story, "before_publish", lambda story: None)

        operations.rerun(job=job, by=None)

        job.refresh_from_db()
        assert OrmQ.objects.get(pk=job.message_id).key == conf.SLOW_LANE


def delete(job: Job) -> None:
    story_of(job).delete()


def blank(job: Job) -> None:
    Story.objects.update(body=" ")


def unschedule(job: Job) -> None:
    operations.unschedule(item=story_of(job), by=None)


def publish(job: Job) -> None:
    operations.publish_now(item=story_of(job), by=None)


def publish_and_take_down(job: Job) -> None:
    publish(job)
    operations.unpublish_now(item=story_of(job), by=None)


def schedule_anew(job: Job) -> None:
    operations.schedule(item=story_of(job), run_at=FAR_OFF, by=None)


def mark_as_scheduled(job: Job) -> None:
    Story.objects.update(status=Status.SCHEDULED)


def schedule_and_fail_again(job: Job) -> None:
    schedule_anew(job)
    newer = Job.objects.exclude(pk=job.pk).get()
    Job.objects.filter(pk=newer.pk).update(run_at=LONG_AGO)
    Story.objects.update(status=Status.FAILED, publish_at=LONG_AGO)
    newer.refresh_from_db()
    store.close_job(job=newer, state=State.FAILED, what=What.FAILED, at=database_now(), by=None)


def write_another_time(job: Job) -> None:
    Story.objects.update(publish_at=FAR_OFF)


def let_the_end_pass(job: Job) -> None:
    Story.objects.update(unpublish_at=LONG_AGO + HOUR)


def rerun_before(job: Job) -> None:
    operations.rerun(job=Job.objects.get(pk=job.pk), by=None)


def rerun_and_succeed(job: Job) -> None:
    rerun_before(job)
    run_due_jobs()


def prune(job: Job) -> None:
    Job.objects.filter(pk=job.pk).delete()


def take_down(job: Job) -> None:
    operations.unpublish_now(item=story_of(job), by=None)


def remove_the_end(job: Job) -> None:
    type(story_of(job)).objects.update(unpublish_at=None)


def set_another_end(job: Job) -> None:
    operations.schedule(item=story_of(job), run_at=FAR_OFF, by=None, kind=Kind.UNPUBLISH)


def open_another_job(job: Job) -> None:
    operations.reconcile(item=story_of(job), reason="")


ANEW = "It has been scheduled anew since."
REFUSALS: list[tuple[Callable[..., Job], Callable[[Job], None], type[DomainError], str]] = [
    (failed_publish, delete, ItemNotFound, "There is no such item."),
    (failed_publish, prune, JobNotFound, "There is no such job."),
    (failed_publish, blank, NotPublishable, "Its body is empty."),
    (failed_publish, rerun_before, InvalidTransition, "this one is waiting."),
    (failed_publish, rerun_and_succeed, InvalidTransition, "this one is succeeded."),
    (failed_publish, unschedule, ItemHasMovedOn, "It has been unscheduled since."),
    (failed_publish, publish, ItemHasMovedOn, "It has been published since."),
    (failed_publish, publish_and_take_down, ItemHasMovedOn, "It has been published since."),
    (failed_publish, schedule_anew, ItemHasMovedOn, ANEW),
    (failed_publish, mark_as_scheduled, ItemHasMovedOn, ANEW),
    (failed_publish, schedule_and_fail_again, ItemHasMovedOn, "given another time since."),
    (failed_publish, write_another_time, ItemHasMovedOn, "given another time since."),
    (failed_publish, let_the_end_pass, ItemHasMovedOn, "Its end has passed since."),
    (failed_end, delete, ItemNotFound, "There is no such item."),
    (failed_end, take_down, ItemHasMovedOn, "It has been taken down since."),
    (failed_end, remove_the_end, ItemHasMovedOn, "Its end has been removed since."),
    (failed_end, set_another_end, ItemHasMovedOn, "It has been given another end since."),
    (failed_end, open_another_job, ItemHasMovedOn, "It has been given another end since."),
]
NAMES = [f"{make.__name__}-{since.__name__}" for make, since, *_ in REFUSALS]


class TestRerunIsRefused:
    @pytest.mark.parametrize(("make", "since", "error", "text"), REFUSALS, ids=NAMES)
    @pytest.mark.parametrize(
        "attempt", [operations.rerun, operations.check_rerun], ids=["rerun", "check"]
    )
    def test_by_name_and_changes_nothing(
        self,
        make: Callable[..., Job],
        since: Callable[[Job], None],
        error: type[DomainError],
        text: str,
        attempt: Callable[..., Any],
    ) -> None:
        job = make()
        in_memory = Job.objects.get(pk=job.pk)
        since(job)
        before = everything()
        who = {"by": None} if attempt is operations.rerun else {}

        with pytest.raises(error) as refusal:
            attempt(job=in_memory, **who)

        assert type(refusal.value) is error
        assert text in str(refusal.value)
        assert everything() == before

    def test_when_the_whole_type_is_gone(self) -> None:
        failed_publish()
        gone = ContentType.objects.create(app_label="gone", model="podcast")
        Job.objects.update(content_type=gone)

        with pytest.raises(ItemNotFound):
            operations.rerun(job=Job.objects.get(), by=None)

    def test_with_codes_of_the_contract(self) -> None:
        assert ItemHasMovedOn.code == InvalidTransition.code == "invalid_transition"
        assert JobNotFound.code == ItemNotFound.code == "not_found"

    @pytest.mark.parametrize("state", [State.WAITING, State.SUCCEEDED, State.CANCELLED])
    def test_of_a_job_that_never_failed(self, state: State) -> None:
        job = failed_publish()
        finished_at = None if state == State.WAITING else database_now()
        Job.objects.update(state=state, finished_at=finished_at)

        with pytest.raises(InvalidTransition, match=f"this one is {state.label}"):
            operations.rerun(job=job, by=None)


class TestCheckRerun:
    @pytest.mark.parametrize("make", [failed_publish, failed_end])
    def test_of_a_job_that_may_run_again_changes_nothing(self, make: Callable[..., Job]) -> None:
        job = make()
        before = everything()

        operations.check_rerun(job=job)

        assert everything() == before


@pytest.mark.django_db(transaction=True)
class TestCheckRerunOnTheWire:
    def test_notifies_nobody(self, other: BaseDatabaseWrapper) -> None:
        job = failed_publish()
        other.set_autocommit(True)
        with other.cursor() as cursor:
            cursor.execute(f"LISTEN {messages.CHANNEL}")

        operations.check_rerun(job=job)
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {messages.CHANNEL}, 'the end'")

        [first] = other.connection.notifies(timeout=SECONDS, stop_after=1)
        assert first.payload == "the end"


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_who_rerun_one_job_run_it_again_once(self, in_background: InBackground) -> None:
        job = failed_publish()

        def rerun() -> str:
            return try_to(operations.rerun, job=Job.objects.get(), by=None)

        answers = together(in_background, rerun, rerun, rerun)

        assert sorted(answers) == ["done", "invalid_transition", "invalid_transition"]
        assert history(job).count(What.RERUN) == 1
        assert OrmQ.objects.filter(key="publish").count() == 1
        assert story_of(job).version == 4  # made, filled in, failed: and once more

    def test_one_rerunning_what_the_other_reruns_waits_and_is_refused(
        self, in_background: InBackground
    ) -> None:
        job = failed_publish()
        with transaction.atomic():
            operations.rerun(job=job, by=None)
            second = in_background(try_to, operations.rerun, job=Job.objects.get(), by=None)
            wait_until_blocked()

        assert second.result(SECONDS) == "invalid_transition"
        assert history(job).count(What.RERUN) == 1

    def test_one_rerunning_what_the_other_schedules_is_refused(
        self, in_background: InBackground
    ) -> None:
        job = failed_publish()
        with transaction.atomic():
            operations.schedule(item=story_of(job), run_at=FAR_OFF, by=None)
            second = in_background(try_to, operations.rerun, job=job, by=None)
            wait_until_blocked()

        assert second.result(SECONDS) == "invalid_transition"
        assert open_jobs(story_of(job)) == {Kind.PUBLISH: FAR_OFF}

    def test_one_scheduling_what_the_other_reruns_moves_it(
        self, in_background: InBackground
    ) -> None:
        job = failed_publish()
        story = story_of(job)
        with transaction.atomic():
            operations.rerun(job=job, by=None)
            second = in_background(operations.schedule, item=story, run_at=FAR_OFF, by=None)
            wait_until_blocked()

        assert second.result(SECONDS) == job
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert history(job) == [What.SCHEDULED, What.FAILED, What.RERUN, What.MOVED]

    def test_a_drain_sees_nothing_of_a_rerun_before_it_is_committed(
        self, in_background: InBackground
    ) -> None:
        job = failed_publish()
        with transaction.atomic():
            operations.rerun(job=job, by=None)
            done = in_background(run_due_jobs).result(SECONDS)

        assert (done, run_due_jobs()) == (0, 1)
