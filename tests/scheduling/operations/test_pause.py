"""Publishing paused: what waits, what goes on, who is notified, and how it goes on afterwards."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from time import monotonic
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from content.models import Story
from scheduling import operations, tasks
from scheduling.broker import TimedBroker
from scheduling.models import Heartbeat, Job, Kind, Pause, PauseEvent, State, Status
from scheduling.models.clock import database_now
from scheduling.models.task_names import RUN_JOB
from scheduling.operations import pause as pausing
from scheduling.queries import explain as explaining
from scheduling.queries import health, workers
from scheduling.queries.holds import described_pause
from scheduling.queue import broker
from scheduling.queue.messages import Message, insert_messages
from scheduling.queue.payload import build_payload
from scheduling.worker import job_runner
from scheduling.worker.batch_runner import run_due_jobs
from scheduling.worker.reconciler import sweep
from tests.conftest import InBackground
from tests.database_rows import everything, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory
from tests.scheduling.management.test_commands import Manage
from tests.scheduling.operations.test_concurrency import SECONDS, wait_until_blocked

pytestmark = pytest.mark.django_db

# How late a wake-up may be on a busy machine, and still not be the next regular look at the queue.
SOON = 0.6

INSERT_NEXT_EVENT = """
INSERT INTO scheduling_jobevent (id, job_id, what, at, reason)
SELECT last_value + 1, %s, 'moved', now(), '' FROM scheduling_jobevent_id_seq
"""


@pytest.fixture
def paused(db: None) -> Pause:
    """Pause publishing."""
    return pausing.pause(by=None, reason="잘못된 첫 화면")


def history() -> list[tuple[str, str, str]]:
    """Return what became of publishing, by whom, and why."""
    events = PauseEvent.objects.order_by("pk").select_related("by")
    return [(event.what, str(event.by), event.reason) for event in events]


class TestPausing:
    def test_keeps_who_when_and_why(self) -> None:
        before = database_now()
        operator = UserFactory(username="오퍼")

        pause = pausing.pause(by=operator, reason="엠바고")

        assert before <= pause.paused_at <= database_now()
        current = pausing.current()
        assert current is not None
        assert (current.by, current.reason) == (operator, "엠바고")
        assert history() == [("paused", "오퍼", "엠바고")]
        assert PauseEvent.objects.get().at == current.paused_at == pause.paused_at

    def test_is_refused_when_it_is_paused_already(self, paused: Pause) -> None:
        with pytest.raises(pausing.AlreadyPaused) as refusal:
            pausing.pause(by=None, reason="딴 이유")

        assert refusal.value.code == "already_paused"
        assert pausing.current() == paused
        assert paused.reason == "잘못된 첫 화면"
        assert history() == [("paused", "None", "잘못된 첫 화면")]

    def test_is_one_row_whatever_writes_it(self, paused: Pause) -> None:
        with pytest.raises(IntegrityError, match="pause_is_the_only_one"), transaction.atomic():
            Pause.objects.create(pk=2)

    def test_outlives_who_asked_for_it(self) -> None:
        operator = UserFactory()
        pausing.pause(by=operator)

        operator.delete()

        current = pausing.current()
        assert current is not None
        assert current.by is None

    def test_is_one_line_of_the_log_once_it_is_true(
        self, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        operator = UserFactory(username="오퍼")

        with django_capture_on_commit_callbacks() as callbacks:
            pausing.pause(by=operator, reason="둘째\n줄")
            pausing.resume(by=None)
        assert caplog.messages == []
        for callback in callbacks:
            callback()

        assert caplog.messages == [
            "Publishing is paused by 오퍼: 둘째 줄",
            "Publishing is resumed by a command: no reason given",
        ]

    @pytest.mark.django_db(transaction=True)
    def test_happens_once_when_two_ask_at_the_same_time(self, in_background: InBackground) -> None:
        asked = [in_background(pausing.pause, by=None) for _ in range(2)]

        refusals = [future.exception(SECONDS) for future in asked]

        assert Counter(type(it) for it in refusals) == {type(None): 1, pausing.AlreadyPaused: 1}
        assert PauseEvent.objects.count() == 1


class TestResuming:
    def test_ends_the_pause_and_is_kept(self, paused: Pause) -> None:
        operator = UserFactory(username="오퍼")

        pausing.resume(by=operator, reason="고쳤음")

        assert pausing.current() is None
        assert history()[1:] == [("resumed", "오퍼", "고쳤음")]
        assert PauseEvent.objects.latest("pk").at > paused.paused_at

    def test_is_refused_when_nothing_is_paused(self) -> None:
        with pytest.raises(pausing.NotPaused) as refusal:
            pausing.resume(by=None)

        assert refusal.value.code == "not_paused"
        assert history() == []

    @pytest.mark.django_db(transaction=True)
    def test_happens_once_when_two_ask_at_the_same_time(self, in_background: InBackground) -> None:
        pausing.pause(by=None)
        asked = [in_background(pausing.resume, by=None) for _ in range(2)]

        refusals = [future.exception(SECONDS) for future in asked]

        assert Counter(type(it) for it in refusals) == {type(None): 1, pausing.NotPaused: 1}
        assert PauseEvent.objects.count() == 2

    def test_is_refused_when_another_pause_was_seen(self, paused: Pause) -> None:
        pausing.resume(by=None)
        newer = pausing.pause(by=None, reason="사고")

        with pytest.raises(operations.ChangedMeanwhile):
            pausing.resume(by=None, expected=operations.Seen(paused_at=paused.paused_at))

        pausing.resume(by=None, expected=operations.Seen(paused_at=newer.paused_at))
        assert pausing.current() is None

    def test_may_be_followed_by_another_pause(self, paused: Pause) -> None:
        pausing.resume(by=None)

        pausing.pause(by=None, reason="다시")

        assert [what for what, *_ in history()] == ["paused", "resumed", "paused"]


class TestADrain:
    @pytest.fixture(autouse=True)
    def _due(self, db: None) -> None:
        StoryFactory(due=True)
        NoticeFactory(published=True, unpublish_at=LONG_AGO + timedelta(days=1))
        NoticeFactory(due=True, unpublish_at=LONG_AGO + timedelta(days=1))

    @pytest.mark.usefixtures("paused")
    def test_does_nothing_while_paused(self) -> None:
        before = everything()

        assert run_due_jobs() == 0

        assert everything() == before

    @pytest.mark.usefixtures("paused")
    def test_does_everything_after_the_resume(self) -> None:
        run_due_jobs()
        pausing.resume(by=None)

        assert run_due_jobs() == 4

        assert set(Job.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


@pytest.mark.django_db(transaction=True)
class TestABatch:
    def test_that_a_pause_overtakes_changes_nothing_until_the_resume(
        self, in_background: InBackground, other: BaseDatabaseWrapper
    ) -> None:
        StoryFactory(due=True)
        before = everything()
        # It waits in the middle of its statement, for the number that its event is to have.
        with other.cursor() as cursor:
            cursor.execute(INSERT_NEXT_EVENT, [Job.objects.get().pk])
        running = in_background(run_due_jobs)
        wait_until_blocked()

        pausing.pause(by=None)
        other.rollback()

        assert running.result(SECONDS) == 0
        assert everything() == before
        pausing.resume(by=None)
        assert run_due_jobs() == 1

    def test_that_takes_down_what_it_has_published_does_both_or_neither(
        self, in_background: InBackground
    ) -> None:
        NoticeFactory(due=True, unpublish_at=LONG_AGO + timedelta(days=1))
        before = everything()

        def pause(execute: Any, sql: str, params: Any, *args: Any) -> Any:
            # The ends of what was published just now, in the same transaction.
            if isinstance(params, dict) and params.get("items"):
                in_background(pausing.pause, by=None).result(SECONDS)
            return execute(sql, params, *args)

        with connection.execute_wrapper(pause):
            assert run_due_jobs() == 0

        assert pausing.current()
        assert everything() == before


class TestCodeThatKnowsNothingOfPauses:
    """A worker of a version before, or SQL."""

    BEGIN = "UPDATE scheduling_job SET attempts = attempts + 1"

    @pytest.mark.usefixtures("paused")
    @pytest.mark.parametrize(
        "begin",
        [
            f"{BEGIN}, attempt_begun_at = clock_timestamp()",
            f"{BEGIN}, state = 'succeeded', finished_at = clock_timestamp()",
            # As a batch: in a part of the statement, after the item.
            "WITH live AS (UPDATE content_story SET status = 'published', published_at = now()),"
            f" done AS ({BEGIN}, state = 'succeeded', finished_at = clock_timestamp()) SELECT",
        ],
    )
    def test_begins_no_job_and_waits_as_for_a_lost_database(self, begin: str) -> None:
        StoryFactory(due=True)
        before = everything()

        with (
            pytest.raises(OperationalError, match="Publishing is paused"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(begin)

        assert everything() == before

    def test_begins_jobs_while_nothing_is_paused(self) -> None:
        StoryFactory(due=True)

        with connection.cursor() as cursor:
            cursor.execute(self.BEGIN)

        assert Job.objects.get().attempts == 1

    def test_finishes_an_attempt_that_has_begun(self) -> None:
        StoryFactory(due=True)
        with connection.cursor() as cursor:
            cursor.execute(f"{self.BEGIN}, attempt_begun_at = clock_timestamp()")
            pausing.pause(by=None)

            cursor.execute(
                "UPDATE scheduling_job SET state = 'succeeded', finished_at = clock_timestamp()"
            )

        assert Job.objects.get().state == State.SUCCEEDED

    @pytest.mark.usefixtures("paused")
    def test_moves_and_cancels_jobs_as_ever(self) -> None:
        StoryFactory.create_batch(2, due=True)

        with connection.cursor() as cursor:
            cursor.execute("UPDATE scheduling_job SET run_at = %s", [FAR_OFF])
            cursor.execute(
                "UPDATE scheduling_job SET state = 'cancelled', finished_at = clock_timestamp()"
            )

        assert set(Job.objects.values_list("state", "run_at")) == {(State.CANCELLED, FAR_OFF)}


class TestAnAttempt:
    @pytest.mark.usefixtures("paused")
    def test_is_not_begun_and_its_message_is_put_in_again(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        claimed = job.message_id

        tasks.run_job(job.pk)
        # As django-q2 does with what came to an end.
        OrmQ.objects.filter(pk=claimed).delete()

        held = Job.objects.get()
        assert (held.state, held.attempts, held.next_attempt_at) == (State.WAITING, 0, LONG_AGO)
        message = OrmQ.objects.get()
        assert (message.pk, message.lock, message.key) == (held.message_id, LONG_AGO, "publish")

    @pytest.mark.usefixtures("paused")
    def test_is_made_after_the_resume(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()
        tasks.run_job(job.pk)
        pausing.resume(by=None)

        tasks.run_job(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
        assert not OrmQ.objects.exists()

    @pytest.mark.usefixtures("paused")
    def test_in_the_slow_lane_waits_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called: list[Story] = []
        monkeypatch.setattr(Story, "before_publish", called.append)
        monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
        StoryFactory(due=True)
        job = Job.objects.get()

        tasks.run_job(job.pk)

        assert called == []
        assert OrmQ.objects.get(pk=Job.objects.get().message_id).key == "slow"

    def test_that_was_cut_off_is_found_out_only_afterwards(self) -> None:
        StoryFactory(due=True)
        Job.objects.update(attempts=1, attempt_begun_at=LONG_AGO)
        pausing.pause(by=None)

        job_runner.run_alone(Job.objects.get().pk)

        job = Job.objects.get()
        assert (job.attempts, job.attempt_begun_at) == (1, LONG_AGO)
        assert list(job.events.values_list("what", flat=True)) == ["scheduled"]

    @pytest.mark.usefixtures("paused")
    def test_is_not_charged_either(self) -> None:
        StoryFactory(due=True)
        job = Job.objects.get()

        tasks.give_up(job.pk, "It never came to an end.")

        held = Job.objects.get()
        assert (held.state, held.attempts) == (State.WAITING, 0)
        assert OrmQ.objects.get(pk=held.message_id).lock == LONG_AGO

    def test_that_has_begun_is_finished(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Story, "before_publish", lambda story: pausing.pause(by=None))
        story = StoryFactory(due=True)

        job_runner.run_alone(Job.objects.get().pk)

        assert pausing.current()
        assert row(story).is_published

    @pytest.mark.usefixtures("paused")
    def test_of_everything_that_is_due_is_refused(self) -> None:
        StoryFactory(due=True)
        before = everything()

        with pytest.raises(pausing.PublishingPaused) as refusal:
            job_runner.run_everything_due()

        assert refusal.value.code == "publishing_paused"
        assert "잘못된 첫 화면. Resume it first." in str(refusal.value)
        assert everything() == before


@pytest.mark.usefixtures("paused")
class TestByHand:
    def test_an_item_goes_live_at_once(self) -> None:
        story = StoryFactory()

        operations.publish_now(item=story, by=None)

        assert row(story).is_published

    def test_an_item_is_taken_down_at_once(self) -> None:
        story = StoryFactory(published=True)

        operations.unpublish_now(item=story, by=None)

        assert row(story).status == Status.UNPUBLISHED

    def test_an_item_with_a_hook_waits_for_the_resume(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Story, "before_publish", lambda story: None)
        monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
        story = StoryFactory()

        job = operations.publish_now(item=story, by=None)
        tasks.run_job(job.pk)
        held = row(story).status
        pausing.resume(by=None)
        tasks.run_job(job.pk)

        assert held == Status.SCHEDULED
        assert row(story).is_published


@pytest.mark.usefixtures("paused")
class TestTheSweep:
    def test_repairs_and_publishes_nothing(self) -> None:
        story = StoryFactory(due=True)
        NoticeFactory(scheduled=True)
        OrmQ.objects.all().delete()
        Job.objects.filter(kind=Kind.PUBLISH, run_at=LONG_AGO).delete()

        swept = sweep()

        assert swept == (0, 1, 1)
        assert row(story).status == Status.SCHEDULED
        assert OrmQ.objects.count() == 2


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestTheBroker:
    @pytest.fixture(autouse=True)
    def _quick_loop(
        self, transactional_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        monkeypatch.setattr(broker, "LOOP_SECONDS", 0.02)
        yield
        connection.close()  # it listens

    @pytest.fixture
    def pausing_broker(self, _quick_loop: None) -> TimedBroker:
        """Return the broker of a site that is paused, with a job that is due."""
        StoryFactory(due=True)
        pausing.pause(by=None, reason="이유")
        publisher = TimedBroker("publish")
        assert publisher.dequeue() is not None  # its first sweep
        return publisher

    def functions(self, publisher: TimedBroker, times: int = 5) -> list[str]:
        """Return what it hands out when it is asked so often."""
        claimed = [one for _ in range(times) for one in publisher.dequeue() or ()]
        return [SignedPackage.loads(payload)["func"] for _, payload in claimed]

    def test_hands_out_everything_but_jobs(self, pausing_broker: TimedBroker) -> None:
        pausing_broker.enqueue(build_payload("math.sqrt", 4, lane="publish", name="root"))

        handed_out = self.functions(pausing_broker)

        assert handed_out == ["math.sqrt"]
        assert OrmQ.objects.get(pk=Job.objects.get().message_id).lock == LONG_AGO

    def test_of_the_slow_lane_holds_jobs_too(self, pausing_broker: TimedBroker) -> None:
        OrmQ.objects.update(key="slow")

        assert self.functions(TimedBroker("slow")) == []

    def test_wakes_for_a_task_of_others_at_its_time(self, pausing_broker: TimedBroker) -> None:
        self.functions(pausing_broker)
        root = build_payload("math.sqrt", 4, lane="publish", name="root")
        insert_messages([Message("publish", root, database_now() + timedelta(seconds=0.2))])
        deadline = monotonic() + SECONDS

        while not (handed_out := self.functions(pausing_broker, 1)) and monotonic() < deadline:
            pass

        assert handed_out == ["math.sqrt"]

    def test_does_not_ask_again_and_again(self, pausing_broker: TimedBroker) -> None:
        self.functions(pausing_broker)
        asked: list[str] = []

        def note(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            asked.append(sql)
            return execute(sql, *args)

        with connection.execute_wrapper(note):
            self.functions(pausing_broker, 20)

        assert TimedBroker.statements.claim not in asked
        # What is looked for is claims of dead workers, less and less often.
        assert asked.count(TimedBroker.statements.look) <= 3

    def test_asks_for_others_tasks_alone(self, pausing_broker: TimedBroker) -> None:
        self.functions(pausing_broker)
        pausing_broker.enqueue(build_payload("math.sqrt", 4, lane="publish", name="root"))
        said: list[bool] = []

        def note(execute: Callable[..., Any], sql: str, params: Any, *args: Any) -> Any:
            if sql == TimedBroker.statements.claim:
                said.append(params["is_paused"])
            return execute(sql, params, *args)

        with connection.execute_wrapper(note):
            self.functions(pausing_broker)

        assert set(said) == {True}

    def test_sees_no_message_missing(
        self, pausing_broker: TimedBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        job_runner.run_alone(Job.objects.get().pk)  # its message had been claimed before

        handed_out = self.functions(pausing_broker, 20)

        assert handed_out == []
        assert caplog.messages == []

    def test_still_has_a_message_put_in_that_is_really_missing(
        self, pausing_broker: TimedBroker
    ) -> None:
        OrmQ.objects.all().delete()

        assert "scheduling.tasks.sweep" in self.functions(pausing_broker)

    def test_hands_out_what_was_held_as_soon_as_it_is_resumed(
        self, pausing_broker: TimedBroker, in_background: InBackground
    ) -> None:
        self.functions(pausing_broker)
        # It does not look round by itself meanwhile.
        pausing_broker.release_at = monotonic() + SECONDS
        in_background(pausing.resume, by=None).result(SECONDS)
        resumed_at = monotonic()

        while not (handed_out := self.functions(pausing_broker, 1)):
            assert monotonic() - resumed_at < SECONDS

        assert handed_out == ["scheduling.tasks.run_job"]
        assert monotonic() - resumed_at < SOON

    def test_hears_of_the_resume_while_others_tasks_keep_it_busy(
        self,
        pausing_broker: TimedBroker,
        in_background: InBackground,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(broker, "LOOK_IN_A_PAUSE_SECONDS", 0.01)
        pausing_broker.release_pause = SECONDS  # it has not looked for dead workers' claims lately
        self.functions(pausing_broker)
        root = build_payload("math.sqrt", 4, lane="publish", name="root")
        insert_messages([Message("publish", root)] * 500)

        in_background(pausing.resume, by=None).result(SECONDS)

        while not (handed_out := self.functions(pausing_broker, 1)).count(RUN_JOB):
            assert handed_out == ["math.sqrt"], "none of theirs was left to hand out"


class TestWhoMay:
    def test_is_operators_and_no_other_group(self) -> None:
        right = Permission.objects.get(codename="pause_job")

        assert right.name == "Can pause publishing"
        assert [group.name for group in Group.objects.filter(permissions=right)] == ["Operators"]

    def test_is_operators_of_a_site_that_was_there_before(self) -> None:
        right = Permission.objects.get(codename="pause_job")
        right.delete()
        migration = import_module("scheduling.migrations.0013_operators_may_pause")

        with connection.schema_editor() as schema_editor:
            migration.grant(apps, schema_editor)

        group = Group.objects.get(permissions__codename="pause_job")
        assert group.name == "Operators"

    def test_is_nobody_where_there_is_no_such_group(self) -> None:
        Group.objects.all().delete()
        Permission.objects.filter(codename="pause_job").delete()
        migration = import_module("scheduling.migrations.0013_operators_may_pause")

        with connection.schema_editor() as schema_editor:
            migration.grant(apps, schema_editor)

        assert not Permission.objects.filter(codename="pause_job").exists()


class TestTheCommands:
    @pytest.fixture
    def manage(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Manage:
        monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)
        return Manage(capsys)

    def test_pause(self, manage: Manage) -> None:
        result = manage("pause", "--reason", "엠바고")

        pause = pausing.current()
        assert pause is not None
        assert result == (0, f"{pausing.sentence(pause)}\n", "")
        assert (pause.reason, pause.by) == ("엠바고", None)

    @pytest.mark.usefixtures("paused")
    def test_pause_twice(self, manage: Manage) -> None:
        result = manage("pause", "--reason", "x")

        assert result == (1, "", "CommandError: Publishing is paused already.\n")

    @pytest.mark.parametrize("arguments", [[], ["--reason", " "]])
    def test_pause_without_a_reason(self, manage: Manage, arguments: list[str]) -> None:
        assert manage("pause", *arguments).code == 2

        assert pausing.current() is None

    @pytest.mark.usefixtures("paused")
    def test_resume(self, manage: Manage) -> None:
        result = manage("resume", "--reason", "고쳤음")

        assert result == (0, "Publishing is resumed.\n", "")
        assert history()[1:] == [("resumed", "None", "고쳤음")]

    def test_resume_without_a_pause(self, manage: Manage) -> None:
        assert manage("resume") == (1, "", "CommandError: Publishing is not paused.\n")

    def test_publish_due_is_refused(self, manage: Manage, paused: Pause) -> None:
        story = StoryFactory(due=True)

        result = manage("publish_due")

        line = f"CommandError: {pausing.sentence(paused)} Resume it first.\n"
        assert result == (1, "", line)
        assert row(story).status == Status.SCHEDULED

    def test_publish_due_still_shows_what_would_be_done(
        self, manage: Manage, paused: Pause
    ) -> None:
        StoryFactory(due=True)

        code, out, _ = manage("publish_due", "--dry-run")

        first, *_, last = out.splitlines()
        assert code == 0
        assert (first, last) == (pausing.sentence(paused), "1 would be done, 0 would fail.")


class TestTheSentence:
    @pytest.mark.parametrize(
        ("reason", "end"),
        [("엠바고", ": 엠바고."), ("Wrong.\n\nSee desk.", ": Wrong. See desk."), ("", ".")],
    )
    def test_is_one_line(self, reason: str, end: str) -> None:
        pause = Pause(paused_at=LONG_AGO, reason=reason)

        said = pausing.sentence(pause)

        assert said == f"Publishing is paused since 2025-03-30T01:00:00.123Z{end}"


class TestTheDiagnosis:
    @pytest.fixture(autouse=True)
    def _well(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have workers seem to be connected, and beat."""
        monkeypatch.setattr(workers, "count_clusters", lambda: 8)
        for number, lane in enumerate(("publish", "slow", "mail")):
            Heartbeat.objects.create(owner=number, lane=lane, host="here", pid=1)

    def ask(self, client: Client) -> tuple[int, dict[str, Any]]:
        answer = client.get("/health/publisher/")
        return answer.status_code, answer.json()

    def test_of_a_site_that_is_not_paused_says_so(self, client: Client) -> None:
        status, facts = self.ask(client)

        assert (status, facts["paused_since"]) == (200, None)

    def test_takes_a_pause_for_no_fault_while_nothing_is_overdue(
        self, client: Client, paused: Pause
    ) -> None:
        StoryFactory(scheduled=True)

        status, facts = self.ask(client)

        assert (status, facts["reasons"]) == (200, [])
        assert facts["paused_since"] == paused.paused_at.isoformat(timespec="milliseconds").replace(
            "+00:00", "Z"
        )

    def test_says_since_when_but_not_why_nor_by_whom_once_something_is_overdue(
        self, client: Client
    ) -> None:
        pausing.pause(by=UserFactory(username="오퍼"), reason="엠바고")
        StoryFactory(due=True)

        status, facts = self.ask(client)

        [reason] = facts["reasons"]
        assert status == 503
        since = f"Publishing is paused since {facts['paused_since']}."
        assert reason.startswith(f"{since} The oldest job it holds has been due ")
        assert "오퍼" not in str(facts)
        assert "엠바고" not in str(facts)

    @pytest.mark.usefixtures("paused")
    def test_of_a_worker_that_is_stuck_besides_says_that_too(self, client: Client) -> None:
        Heartbeat.objects.update(beat_at=LONG_AGO)

        status, facts = self.ask(client)

        assert status == 503
        assert facts["reasons"][0].startswith("The queue has stopped moving")

    def test_by_the_doctor_says_what_is_held(self, paused: Pause) -> None:
        StoryFactory(due=True)

        checks = {check.name: check for check in health.examine()}

        assert checks["worker"].ok
        assert checks["publishing"].ok
        assert checks["publishing"].text.startswith(pausing.sentence(paused))
        assert not checks["overdue jobs"].ok
        assert "1 of them held by the pause." in checks["overdue jobs"].text

    def test_by_the_doctor_says_that_nothing_is_paused(self) -> None:
        checks = {check.name: check for check in health.examine()}

        assert (checks["publishing"].ok, checks["publishing"].text) == (True, "It is not paused.")

    def test_of_a_due_item_blames_the_pause(self, paused: Pause) -> None:
        found = {it.subject: it for it in explaining.explain(StoryFactory(due=True))}

        assert found["pause"] == ("pause", described_pause(paused), False)
        assert found["message"].text.endswith("and held by the pause.")

    def test_of_an_item_to_come_names_the_pause(self, paused: Pause) -> None:
        found = {it.subject: it for it in explaining.explain(StoryFactory(scheduled=True))}

        assert found["pause"] == ("pause", described_pause(paused), True)
        assert Job.objects.get().run_at == FAR_OFF

    def test_of_an_item_while_nothing_is_paused_says_nothing_of_it(self) -> None:
        found = {it.subject for it in explaining.explain(StoryFactory(due=True))}

        assert "pause" not in found
