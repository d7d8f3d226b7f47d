"""The broker: what it hands out, in which order, when, and how long it sleeps."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event
from time import monotonic
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from pytest_django import DjangoDbBlocker, Settings

from content.models import Story
from scheduling import tasks
from scheduling.broker import TimedBroker
from scheduling.models import Job, Lease, Pause
from scheduling.models.clock import database_now
from scheduling.models.task_names import BEAT, RUN_JOB
from scheduling.queue import broker as module
from scheduling.queue import leases, messages
from scheduling.queue.messages import Message, insert_messages
from scheduling.queue.outages import REMIND_SECONDS
from scheduling.queue.payload import build_payload, read_payload
from scheduling.worker import supervisor
from tests.conftest import InBackground
from tests.factories import FAR_OFF, LONG_AGO, StoryFactory
from tests.process.server import execute

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("transactional_db")]

Claimed = list[tuple[int | None, str]] | None

SECONDS = 20  # after which a test fails
# How late a wake-up may be on a busy machine, and still not be the next regular look at the queue.
SOON = 0.6


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Allow the database, and empty the queue; nothing else is written here, and this is quick."""
    with django_db_blocker.unblock():
        yield
        OrmQ.objects.all().delete()
        Pause.objects.all().delete()
        connection.close()  # it may listen


@pytest.fixture(autouse=True)
def _quick_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every dequeue return soon, unless the test asks for `real_loop`."""
    if "real_loop" not in request.fixturenames:
        monkeypatch.setattr(module, "LOOP_SECONDS", 0.1)


@pytest.fixture
def real_loop() -> None:
    """Have a dequeue return only as often as in production."""


def plain_broker(lane: str = "publish") -> TimedBroker:
    """Return a broker that has handed out its first sweep already."""
    broker = TimedBroker(lane)
    if lane == "publish":
        assert broker.dequeue() is not None
    return broker


def put(*times: datetime) -> list[int]:
    return messages.enqueue_many(
        [messages.Wake(n, at, "publish", RUN_JOB) for n, at in enumerate(times)]
    )


def ids(claimed: Claimed) -> list[int | None]:
    return [row for row, _ in claimed or ()]


def functions(claimed: Claimed) -> list[str]:
    return [SignedPackage.loads(payload)["func"] for _, payload in claimed or ()]


class OnItsThread:
    """A broker on a thread and connection of its own, as it has in the pusher's process."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.broker = self.pool.submit(plain_broker).result(SECONDS)
        self.asleep = Event()
        self.broker.on_sleep = self.asleep.set  # type: ignore[method-assign] # for this one
        self.pid: int = self.pool.submit(self.backend_pid).result(SECONDS)

    def backend_pid(self) -> int:
        return int(connection.connection.info.backend_pid)

    def dequeue(self) -> Future[Claimed]:
        """Begin a dequeue, and return once it sleeps."""
        self.asleep.clear()
        claimed = self.pool.submit(self.broker.dequeue)
        assert self.asleep.wait(SECONDS)
        return claimed

    def dequeue_until_claimed(self) -> Future[tuple[Claimed, float]]:
        """Begin to dequeue until there is something, and return once it sleeps."""
        self.asleep.clear()
        future = self.pool.submit(self.until_claimed)
        assert self.asleep.wait(SECONDS)
        return future

    def until_claimed(self) -> tuple[Claimed, float]:
        """Dequeue until there is something; return that, and when by `monotonic()`."""
        end = monotonic() + SECONDS
        while monotonic() < end:
            if claimed := self.broker.dequeue():
                return claimed, monotonic()
        return None, monotonic()

    def close(self) -> None:
        self.pool.submit(connections.close_all).result(SECONDS)
        self.pool.shutdown()


@pytest.fixture
def sleeper(transactional_db: None) -> Iterator[OnItsThread]:
    broker = OnItsThread()
    yield broker
    broker.close()


class TestWhatItHandsOut:
    def test_is_the_oldest_first_and_of_one_moment_the_one_put_in_first(self) -> None:
        broker = plain_broker()
        old, older, oldest, twin = put(
            LONG_AGO, LONG_AGO - timedelta(microseconds=1), LONG_AGO - timedelta(days=1), LONG_AGO
        )

        handed_out = [ids(broker.dequeue()) for _ in range(4)]

        assert handed_out == [[oldest], [older], [old], [twin]]

    def test_is_as_many_as_bulk_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Conf, "BULK", 3)
        broker = plain_broker()
        put(*[LONG_AGO] * 7)

        handed_out = [len(ids(broker.dequeue())) for _ in range(3)]

        assert handed_out == [3, 3, 1]

    def test_in_bulk_is_the_oldest_first_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Conf, "BULK", 3)
        broker = plain_broker()
        newest_first = put(*(LONG_AGO - timedelta(days=n) for n in range(6)))

        handed_out = ids(broker.dequeue()) + ids(broker.dequeue())

        assert handed_out == newest_first[::-1]

    def test_is_nobody_elses_until_retry_has_passed(self) -> None:
        broker, second = plain_broker(), plain_broker()
        [message_id] = put(LONG_AGO)
        before = database_now()

        first_time, second_time = ids(broker.dequeue()), ids(second.dequeue())

        assert (first_time, second_time) == ([message_id], [])
        retry = timedelta(seconds=Conf.RETRY)
        assert before + retry <= OrmQ.objects.get().lock <= database_now() + retry

    def test_is_of_its_lane(self) -> None:
        put(LONG_AGO)
        broker = plain_broker("slow")

        assert broker.dequeue() is None

    def test_is_the_payload_as_it_was_put_in(self) -> None:
        broker = plain_broker()
        put(LONG_AGO)

        [(_, payload)] = broker.dequeue() or []

        assert SignedPackage.loads(payload)["args"] == (0,)

    def test_passes_over_what_another_transaction_holds(self, other: BaseDatabaseWrapper) -> None:
        broker = plain_broker()
        held, free = put(LONG_AGO, LONG_AGO + timedelta(days=1))
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq WHERE id = %s FOR UPDATE", [held])

        handed_out = ids(broker.dequeue())

        assert handed_out == [free]

    def test_is_each_message_once_with_several_clusters_at_work(
        self, in_background: InBackground
    ) -> None:
        put(*[LONG_AGO] * 200)

        def take_all() -> list[int | None]:
            broker, taken = plain_broker(), []
            while claimed := broker.dequeue():
                taken += ids(claimed)
            return taken

        takers = [in_background(take_all) for _ in range(3)]

        taken = [pk for taker in takers for pk in taker.result(SECONDS)]
        assert Counter(taken) == Counter(OrmQ.objects.values_list("pk", flat=True))


def claims() -> list[Any]:
    """Return id, owner and deliveries of each queue row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, armo_owner, armo_deliveries FROM django_q_ormq ORDER BY id")
        return list(cursor.fetchall())


def become(monkeypatch: pytest.MonkeyPatch, owner: int, *dead: int) -> TimedBroker:
    """Return a broker of a cluster with that number, past its first sweep and beat."""
    monkeypatch.setattr(TimedBroker, "owner", owner)
    monkeypatch.setattr(TimedBroker, "dead_owners", dead)
    broker = plain_broker()
    assert functions(broker.dequeue()) == ["scheduling.tasks.beat"]
    return broker


def hang_up() -> None:
    """Close the connection, and wait until the server has seen it: it keeps locks until then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid = %s", pid
        )


class TestAClaimOfACluster:
    def test_carries_its_number_and_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [message_id] = put(LONG_AGO)
        broker = become(monkeypatch, 7)

        for _ in range(2):
            broker.dequeue()
            OrmQ.objects.update(lock=LONG_AGO)

        assert claims() == [(message_id, 7, 2)]

    def test_is_given_back_when_the_cluster_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [message_id] = put(LONG_AGO)
        broker = become(monkeypatch, 7)
        broker.dequeue()
        hang_up()  # as the death of the pusher does

        taken_over = become(monkeypatch, 8).dequeue()

        assert ids(taken_over) == [message_id]
        assert claims() == [(message_id, 8, 2)]

    def test_is_given_back_at_once_when_the_supervisor_knows_that_it_is_gone(
        self, monkeypatch: pytest.MonkeyPatch, other: BaseDatabaseWrapper
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        with other.cursor() as cursor:
            # A connection of the dead cluster that the database has not noticed to be gone.
            cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [leases.OWNER_LOCK, 7])
        hang_up()

        assert become(monkeypatch, 8).dequeue() is None
        assert ids(become(monkeypatch, 9, 7).dequeue()) == [message_id]

    def test_whose_row_is_locked_makes_nothing_else_wait(
        self, monkeypatch: pytest.MonkeyPatch, other: BaseDatabaseWrapper
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        hang_up()
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_q_ormq WHERE id = %s FOR UPDATE", [message_id])
        [another] = put(LONG_AGO)
        broker, before = become(monkeypatch, 8), monotonic()

        assert ids(broker.dequeue()) == [another]

        assert monotonic() - before < module.LOCK_WAIT_SECONDS / 2
        assert claims() == [(message_id, 7, 1), (another, 8, 1)]

    def test_is_kept_while_the_cluster_lives(
        self, monkeypatch: pytest.MonkeyPatch, in_background: InBackground
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()

        def look() -> Claimed:
            return become(monkeypatch, 8).dequeue()

        assert in_background(look).result(SECONDS) is None
        assert claims() == [(message_id, 7, 1)]

    def test_whose_answer_was_lost_is_handed_out_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_work, lost = put(LONG_AGO, LONG_AGO)
        broker = become(monkeypatch, 7)
        assert ids(broker.dequeue()) == [in_work]

        def lose_the_answer(execute: Any, sql: str, *args: Any) -> Any:
            answer = execute(sql, *args)
            if sql == TimedBroker.statements.claim:
                raise OperationalError("server closed the connection unexpectedly")
            return answer

        with connection.execute_wrapper(lose_the_answer):
            assert broker.dequeue() is None
        handed_out = [message for _ in range(4) for message in ids(broker.dequeue())]

        assert [message for message in handed_out if message] == [lost]
        assert claims() == [(in_work, 7, 1), (lost, 7, 1)]

    def test_whose_answer_was_lost_and_whose_row_is_locked_makes_nothing_else_wait(
        self, monkeypatch: pytest.MonkeyPatch, other: BaseDatabaseWrapper
    ) -> None:
        [lost] = put(LONG_AGO)
        broker = become(monkeypatch, 7)

        def lose_the_answer(execute: Any, sql: str, *args: Any) -> Any:
            answer = execute(sql, *args)
            if sql == TimedBroker.statements.claim:
                raise OperationalError("server closed the connection unexpectedly")
            return answer

        with connection.execute_wrapper(lose_the_answer):
            assert broker.dequeue() is None
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_q_ormq WHERE id = %s FOR UPDATE", [lost])
        [another] = put(LONG_AGO)
        before = monotonic()
        handed_out = [message for _ in range(4) for message in ids(broker.dequeue())]

        assert [message for message in handed_out if message] == [another]
        assert monotonic() - before < module.LOCK_WAIT_SECONDS / 2
        other.rollback()
        broker.release_at = 0.0
        assert ids(broker.dequeue()) == [lost]
        assert claims() == [(lost, 7, 1), (another, 7, 1)]
        broker.release_at = 0.0
        assert broker.dequeue() is None

    def test_of_another_lane_is_left_to_that_lane(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        hang_up()
        monkeypatch.setattr(TimedBroker, "owner", 8)

        TimedBroker("slow").dequeue()

        assert claims() == [(message_id, 7, 1)]


class TestAClaimBehindAPooler:
    """There no session is a cluster's own, so that a lease says whether it lives."""

    @pytest.fixture(autouse=True)
    def _polling(self, settings: Any) -> None:
        settings.QUEUE_LISTEN = False

    def become_long_connected(self, monkeypatch: pytest.MonkeyPatch, owner: int) -> TimedBroker:
        broker = become(monkeypatch, owner)
        self.pass_time(leases.LEASE_SECONDS)
        module.TimedBroker.renewed_at = monotonic()  # as its thread has
        return broker

    def pass_time(self, seconds: float) -> None:
        module.TimedBroker.steady_since -= seconds
        module.TimedBroker.renewed_at -= seconds

    def test_stays_while_its_owner_renews_the_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()

        self.become_long_connected(monkeypatch, 8).dequeue()

        assert claims() == [(message_id, 7, 1)]

    @pytest.mark.parametrize("ends_at", [LONG_AGO, None])
    def test_is_released_once_the_lease_has_run_out_or_is_gone(
        self, monkeypatch: pytest.MonkeyPatch, ends_at: datetime | None
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        if ends_at:
            Lease.objects.filter(owner=7).update(ends_at=ends_at)
        else:
            Lease.objects.filter(owner=7).delete()

        broker = self.become_long_connected(monkeypatch, 8)

        assert message_id in [message for _ in range(4) for message in ids(broker.dequeue())]

    def test_stays_just_after_an_outage_in_which_nobody_could_renew(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        Lease.objects.filter(owner=7).update(ends_at=database_now() - timedelta(minutes=1))

        become(monkeypatch, 8).dequeue()

        assert claims() == [(message_id, 7, 1)]

    @pytest.mark.parametrize("is_renewed_since", [False, True])
    def test_stays_while_and_just_after_the_other_could_not_renew_its_own_lease(
        self, monkeypatch: pytest.MonkeyPatch, *, is_renewed_since: bool
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        Lease.objects.filter(owner=7).update(ends_at=database_now() - timedelta(seconds=1))
        broker = self.become_long_connected(monkeypatch, 8)
        self.pass_time(leases.LATE_SECONDS)
        if is_renewed_since:
            broker.renew_lease(8)

        for _ in range(4):
            assert not ids(broker.dequeue())

        assert claims() == [(message_id, 7, 1)]

    def test_is_released_when_the_other_has_renewed_in_time_again_for_long_enough(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        Lease.objects.filter(owner=7).update(ends_at=database_now() - timedelta(seconds=1))
        broker = self.become_long_connected(monkeypatch, 8)
        self.pass_time(leases.LATE_SECONDS)
        broker.renew_lease(8)
        self.pass_time(leases.LEASE_SECONDS)
        module.TimedBroker.renewed_at = monotonic()

        assert message_id in [message for _ in range(4) for message in ids(broker.dequeue())]

    def test_is_released_at_once_by_the_cluster_that_takes_its_owners_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()

        broker = become(monkeypatch, 8, 7)

        assert message_id in [message for _ in range(4) for message in ids(broker.dequeue())]
        assert list(Lease.objects.values_list("owner", flat=True)) == [8]

    @pytest.mark.parametrize("lock", ["LOCK TABLE {}", "SELECT FROM {} WHERE owner = 8 FOR UPDATE"])
    def test_does_not_wait_long_for_its_lease(
        self, monkeypatch: pytest.MonkeyPatch, other: BaseDatabaseWrapper, lock: str
    ) -> None:
        monkeypatch.setattr(TimedBroker, "owner", 8)
        monkeypatch.setattr(leases, "RENEW_SECONDS", 0.2)
        leases.renew(8)
        broker = TimedBroker("publish")
        with other.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '30s'")  # or it would hang
            cursor.execute(lock.format("armo_queue_lease"))

        assert broker.dequeue() is None

        other.rollback()
        assert broker.dequeue() is not None

    def test_of_an_owner_with_a_session_stays(
        self, monkeypatch: pytest.MonkeyPatch, other: BaseDatabaseWrapper
    ) -> None:
        [message_id] = put(LONG_AGO)
        become(monkeypatch, 7).dequeue()
        Lease.objects.all().delete()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [leases.OWNER_LOCK, 7])

        self.become_long_connected(monkeypatch, 8).dequeue()

        assert claims() == [(message_id, 7, 1)]


class TestAMessageThatCannotBeDecoded:
    @pytest.mark.parametrize("payload", ["", "x", "gAWV:1abc:def"])
    def test_wakes_a_worker_for_its_job_all_the_same(self, payload: str) -> None:
        [message_id] = messages.enqueue_many([messages.Wake(42, LONG_AGO, "publish", RUN_JOB)])
        OrmQ.objects.update(payload=payload)

        [(row, handed_out)] = plain_broker().dequeue() or []

        assert row == message_id
        task = SignedPackage.loads(handed_out)
        assert (task["func"], task["args"]) == ("scheduling.tasks.run_job", (42,))

    def test_for_its_key_alone_is_read_with_a_key_of_before(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Conf, "SECRET_KEY", "the key of before")
        payload = build_payload("math.sqrt", 4, lane="publish", name="of the site")
        monkeypatch.undo()
        OrmQ.objects.create(key="publish", payload=payload, lock=LONG_AGO)
        assert read_payload(payload) is None
        settings.SECRET_KEY_FALLBACKS = ["an older one", "the key of before"]

        [(_, handed_out)] = plain_broker().dequeue() or []

        assert read_payload(payload) == SignedPackage.loads(handed_out)
        assert SignedPackage.loads(handed_out)["args"] == (4,)

    def test_and_is_no_jobs_goes_to_the_failed_tasks(self) -> None:
        OrmQ.objects.create(key="publish", payload="x", lock=LONG_AGO)

        [(row, handed_out)] = plain_broker().dequeue() or []
        task = SignedPackage.loads(handed_out)
        assert (row, task["func"]) == (None, "scheduling.tasks.bury")
        tasks.bury(*task["args"])

        assert not OrmQ.objects.exists()
        assert "cannot be decoded" in Failure.objects.get().result
        Failure.objects.all().delete()

    def test_because_its_class_is_gone_neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Gone:
            pass

        monkeypatch.setitem(globals(), "Gone", Gone)
        Gone.__qualname__ = "Gone"
        payload = SignedPackage.dumps({"func": "math.sqrt", "args": (Gone(),)})
        OrmQ.objects.create(key="publish", payload=payload, lock=LONG_AGO)
        monkeypatch.undo()

        [(row, handed_out)] = plain_broker().dequeue() or []

        assert (row, functions([(row, handed_out)])) == (None, ["scheduling.tasks.bury"])


class TestAMessageHandedOutTooOften:
    def hand_out(self, times: int) -> Claimed:
        broker, claimed = plain_broker(), None
        for _ in range(times):
            claimed = broker.dequeue()
            OrmQ.objects.update(lock=LONG_AGO)
        return claimed

    def test_is_charged_to_its_job(self) -> None:
        [message_id] = messages.enqueue_many([messages.Wake(42, LONG_AGO, "publish", RUN_JOB)])

        assert functions(self.hand_out(Conf.MAX_ATTEMPTS)) == ["scheduling.tasks.run_job"]
        [(row, handed_out)] = self.hand_out(1) or []

        task = SignedPackage.loads(handed_out)
        assert (row, task["func"]) == (message_id, "scheduling.tasks.give_up")
        assert task["args"][0] == 42

    def test_goes_to_the_failed_tasks_when_it_is_no_jobs(self) -> None:
        async_task("os.abort", task_name="killer")
        OrmQ.objects.update(lock=LONG_AGO)

        [(_, handed_out)] = self.hand_out(Conf.MAX_ATTEMPTS + 1) or []
        tasks.bury(*SignedPackage.loads(handed_out)["args"])

        assert not OrmQ.objects.exists()
        failure = Failure.objects.get()
        assert (failure.name, failure.func) == ("killer", "os.abort")
        assert "5 times" in failure.result
        Failure.objects.all().delete()


class TestAnAcknowledgement:
    def test_waits_for_the_database_to_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        [message_id] = put(LONG_AGO)
        delete, failures = TimedBroker.delete, iter([OperationalError, InterfaceError])

        def unreachable_twice(broker: TimedBroker, task_id: int) -> None:
            for error in failures:
                raise error("away")
            delete(broker, task_id)

        monkeypatch.setattr(TimedBroker, "delete", unreachable_twice)

        TimedBroker("publish").acknowledge(message_id)

        assert not OrmQ.objects.exists()

    def test_of_a_row_that_is_locked_makes_no_other_wait(self, other: BaseDatabaseWrapper) -> None:
        held, free = put(LONG_AGO, LONG_AGO)
        broker = TimedBroker("publish")
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq WHERE id = %s FOR UPDATE", [held])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")

        for message_id in (held, free):
            broker.delete(message_id)

        assert [message_id for message_id, *_ in claims()] == [held]
        other.rollback()
        supervisor.note_end({"func": BEAT})  # as the lane's next heartbeat does
        assert claims() == []
        connection.close()  # with its setting


class TestABeat:
    def test_is_handed_out_by_every_lane_of_a_cluster_every_few_seconds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TimedBroker, "owner", 7)
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.2)
        broker = TimedBroker("mail")
        start, beats = monotonic(), 0

        while beats < 3 and monotonic() < start + SECONDS:
            beats += functions(broker.dequeue()) == ["scheduling.tasks.beat"]

        assert monotonic() - start >= 0.4
        assert not OrmQ.objects.exists()


class TestASweep:
    def test_is_the_first_thing_handed_out_before_any_message(self) -> None:
        put(LONG_AGO)
        broker = TimedBroker("publish")

        first, second = broker.dequeue(), broker.dequeue()

        assert ids(first) == [None, None]
        assert functions(first) == ["scheduling.tasks.sweep", "scheduling.tasks.catch_up"]
        assert functions(second) == ["scheduling.tasks.run_job"]

    def test_looks_at_everything_the_first_time_and_close_by_the_next(self, settings: Any) -> None:
        settings.SWEEP_EVERY = 0
        broker = TimedBroker("publish")

        sweeps = [SignedPackage.loads((broker.dequeue() or [])[0][1]) for _ in range(2)]

        assert [sweep["args"] for sweep in sweeps] == [(True,), (False,)]

    def test_comes_again_after_its_interval(self, settings: Any) -> None:
        settings.SWEEP_EVERY = 0.2
        broker = TimedBroker("publish")
        start = monotonic()
        broker.dequeue()
        handed_out: Claimed = None

        while not handed_out and monotonic() < start + SECONDS:
            handed_out = broker.dequeue()

        assert functions(handed_out) == ["scheduling.tasks.sweep"]
        assert monotonic() - start >= 0.2

    def test_is_for_the_publish_lane_alone(self) -> None:
        assert TimedBroker("slow").dequeue() is None

    def test_leaves_no_row_and_no_history(self) -> None:
        handed_out = TimedBroker("publish").dequeue() or []

        assert not OrmQ.objects.exists()
        assert [SignedPackage.loads(payload)["save"] for _, payload in handed_out] == [False] * 2


@pytest.mark.usefixtures("_empty_afterwards")
class TestALostMessage:
    @pytest.fixture
    def _empty_afterwards(self, transactional_db: None) -> Iterator[None]:
        yield
        Story.objects.all().delete()
        Job.objects.all().delete()

    def test_of_the_next_job_has_a_sweep_handed_out_when_it_next_asks(self) -> None:
        StoryFactory(scheduled=True)
        StoryFactory(scheduled=True)
        OrmQ.objects.all().delete()

        handed_out = plain_broker().dequeue() or []

        [(row, payload)] = handed_out
        task = SignedPackage.loads(payload)
        assert (row, task["func"], task["args"]) == (None, "scheduling.tasks.sweep", (False,))

    def test_of_a_job_that_is_due_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        StoryFactory(due=True)
        OrmQ.objects.all().delete()

        assert functions(plain_broker().dequeue()) == ["scheduling.tasks.sweep"]

    def test_has_one_sweep_handed_out_not_one_after_the_other(self) -> None:
        StoryFactory(scheduled=True)
        OrmQ.objects.all().delete()
        broker = plain_broker()
        broker.dequeue()
        broker.ask_at = 0.0

        assert broker.dequeue() is None

    def test_is_none_that_is_in_a_workers_hands(self) -> None:
        StoryFactory(due=True)
        broker = plain_broker()
        assert functions(broker.dequeue()) == ["scheduling.tasks.run_job"]

        assert broker.dequeue() is None

    def test_is_none_where_all_are_there(self) -> None:
        StoryFactory(scheduled=True)

        assert plain_broker().dequeue() is None


class TestItsSleep:
    @pytest.mark.usefixtures("real_loop")
    def test_ends_within_about_a_second_so_that_the_stop_flag_is_read(self) -> None:
        broker = plain_broker()
        # Just started it wakes more often, to look for claims of the dead.
        broker.dequeue()
        broker.release_at = monotonic() + SECONDS
        start = monotonic()

        claimed = broker.dequeue()

        assert claimed is None
        assert 0.5 < monotonic() - start < 2

    def test_ends_when_the_next_message_is_due_and_never_before(self, sleeper: OnItsThread) -> None:
        due = database_now() + timedelta(seconds=0.5)
        [message_id] = put(due)

        claimed, _ = sleeper.dequeue_until_claimed().result(SECONDS)

        assert ids(claimed) == [message_id]
        claimed_at = OrmQ.objects.get().lock - timedelta(seconds=Conf.RETRY)
        assert due <= claimed_at < due + timedelta(seconds=SOON)

    def test_is_cut_short_by_a_message_that_is_put_in(self, sleeper: OnItsThread) -> None:
        waiting = sleeper.dequeue_until_claimed()

        start = monotonic()
        [message_id] = put(LONG_AGO)

        claimed, at = waiting.result(SECONDS)
        assert ids(claimed) == [message_id]
        assert at - start < SOON

    def test_is_cut_short_by_an_earlier_message_than_the_next(self, sleeper: OnItsThread) -> None:
        put(database_now() + timedelta(seconds=8))
        waiting = sleeper.dequeue_until_claimed()

        due = database_now() + timedelta(seconds=0.3)
        start = monotonic()
        [_, earlier] = messages.enqueue_many(
            [
                messages.Wake(1, FAR_OFF, "publish", RUN_JOB),
                messages.Wake(2, due, "publish", RUN_JOB),
            ]
        )

        claimed, at = waiting.result(SECONDS)
        assert ids(claimed) == [earlier]
        assert 0.3 - 0.05 < at - start < 0.3 + SOON

    def test_is_cut_short_only_once_the_message_is_committed(self, sleeper: OnItsThread) -> None:
        with transaction.atomic():
            [message_id] = put(LONG_AGO)
            waiting = sleeper.dequeue_until_claimed()
            unseen = not waiting.done()
            start = monotonic()

        claimed, at = waiting.result(SECONDS)
        assert unseen
        assert ids(claimed) == [message_id]
        assert at - start < SOON

    def test_is_not_begun_when_a_message_came_since_it_last_looked(
        self, sleeper: OnItsThread
    ) -> None:
        assert sleeper.dequeue().result(SECONDS) is None  # nothing there, for ten seconds
        [message_id] = put(LONG_AGO)
        # Another statement on the connection must not lose the notice.
        sleeper.pool.submit(lambda: connection.cursor().execute("SELECT 1")).result(SECONDS)

        start = monotonic()
        claimed, at = sleeper.pool.submit(sleeper.until_claimed).result(SECONDS)

        assert ids(claimed) == [message_id]
        assert at - start < SOON

    def test_does_not_become_a_spin_while_a_due_message_is_held(
        self, other: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = plain_broker()
        put(LONG_AGO)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq FOR UPDATE")
        looks, end = 0, monotonic() + 1

        while monotonic() < end:
            assert broker.dequeue() is None
            looks += 1

        assert looks < 30

    @pytest.mark.parametrize(("listens", "binds"), [(True, False), (False, False), (False, True)])
    def test_does_not_wait_long_for_a_table_that_is_locked_as_a_whole(
        self,
        other: BaseDatabaseWrapper,
        monkeypatch: pytest.MonkeyPatch,
        settings: Any,
        *,
        listens: bool,
        binds: bool,
    ) -> None:
        settings.QUEUE_LISTEN = listens
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", binds)
        connection.close()
        monkeypatch.setattr(module, "LOCK_WAIT_SECONDS", 0.2)
        broker = plain_broker()
        broker.dequeue()
        session = connection.connection
        [message_id] = put(LONG_AGO)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE django_q_ormq")
        broker._ask_at_once()
        start = monotonic()

        assert broker.dequeue() is None

        assert monotonic() - start < 0.2 + SOON
        assert connection.connection is session
        other.rollback()
        assert ids(broker.dequeue()) == [message_id]

    def test_ends_soon_after_a_held_message_is_let_go(
        self, other: BaseDatabaseWrapper, sleeper: OnItsThread
    ) -> None:
        [message_id] = put(LONG_AGO)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq FOR UPDATE")
        waiting = sleeper.dequeue_until_claimed()

        start = monotonic()
        other.rollback()

        claimed, at = waiting.result(SECONDS)
        assert ids(claimed) == [message_id]
        assert at - start < 0.25 + SOON


class TestALostConnection:
    def terminate(self, sleeper: OnItsThread) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [sleeper.pid])
            assert cursor.fetchone() == (True,)

    @pytest.mark.usefixtures("real_loop")
    def test_while_it_sleeps_is_no_error(self, sleeper: OnItsThread) -> None:
        asleep = sleeper.dequeue()

        self.terminate(sleeper)

        assert asleep.result(SECONDS) is None

    def test_between_two_looks_is_no_error(self, sleeper: OnItsThread) -> None:
        sleeper.dequeue().result(SECONDS)

        self.terminate(sleeper)

        sleeper.pool.submit(sleeper.broker.dequeue).result(SECONDS)

    def test_is_made_good_at_once_with_a_sweep_and_what_came_meanwhile(
        self, sleeper: OnItsThread
    ) -> None:
        sleeper.dequeue().result(SECONDS)
        self.terminate(sleeper)
        [message_id] = put(LONG_AGO)
        start = monotonic()

        claimed: list[tuple[int | None, str]] = []
        while len(claimed) < 3 and monotonic() < start + SECONDS:
            claimed += sleeper.pool.submit(sleeper.broker.dequeue).result(SECONDS) or []

        assert functions(claimed)[0] == "scheduling.tasks.sweep"
        assert ids(claimed)[-1] == message_id
        assert monotonic() - start < 2

    def test_is_followed_by_a_beat_so_that_monitors_see_its_end(
        self, sleeper: OnItsThread, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TimedBroker, "owner", 7)
        sleeper.broker.beat_at = monotonic() + 60
        self.terminate(sleeper)
        start = monotonic()

        handed_out: list[str] = []
        while len(handed_out) < 3 and monotonic() < start + 2:
            claimed = sleeper.pool.submit(sleeper.broker.dequeue).result(SECONDS)
            handed_out += functions(claimed)

        assert handed_out[0] == "scheduling.tasks.sweep"
        assert "scheduling.tasks.beat" in handed_out

    def test_listens_again_afterwards(self, sleeper: OnItsThread) -> None:
        sleeper.dequeue().result(SECONDS)
        self.terminate(sleeper)
        sleeper.pool.submit(sleeper.until_claimed).result(SECONDS)  # a sweep
        sleeper.pid = sleeper.pool.submit(sleeper.backend_pid).result(SECONDS)
        waiting = sleeper.dequeue_until_claimed()

        start = monotonic()
        [message_id] = put(LONG_AGO)

        claimed, at = waiting.result(SECONDS)
        assert ids(claimed) == [message_id]
        assert at - start < SOON

    def test_is_also_one_to_a_server_that_accepts_no_writes(self, sleeper: OnItsThread) -> None:
        sleeper.dequeue().result(SECONDS)
        sleeper.pool.submit(execute, "SET default_transaction_read_only = on").result(SECONDS)
        [message_id] = put(LONG_AGO)
        start = monotonic()

        claimed: list[tuple[int | None, str]] = []
        while message_id not in ids(claimed) and monotonic() < start + SECONDS:
            claimed += sleeper.pool.submit(sleeper.broker.dequeue).result(SECONDS) or []

        assert ids(claimed)[-1] == message_id
        assert monotonic() - start < 2

    @pytest.mark.usefixtures("real_loop")
    def test_for_long_is_tried_with_growing_pauses(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        pauses: list[float] = []
        monkeypatch.setattr(module, "sleep", pauses.append)
        broker = TimedBroker("publish")

        def refuse(*args: object) -> None:
            raise OperationalError("connection refused\nIs the server running?")

        with connection.execute_wrapper(refuse):
            answers = [broker.dequeue() for _ in range(8)]

        assert answers == [None] * 8
        assert pauses == [0.05, 0.1, 0.2, 0.25, 0.25, 0.25, 0.25, 0.25]
        assert caplog.text.count("connection refused") == 4
        assert "Is the server running" not in caplog.text

        broker.remind_at -= REMIND_SECONDS
        with connection.execute_wrapper(refuse):
            broker.dequeue()
        assert caplog.text.count("connection refused") == 5


class TestWithoutListening:
    @pytest.fixture(autouse=True)
    def _polling(self, settings: Any) -> None:
        settings.QUEUE_LISTEN = False

    def test_it_never_listens(self) -> None:
        broker = plain_broker()

        broker.dequeue()

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_listening_channels()")
            assert cursor.fetchall() == []

    def test_a_message_is_found_at_the_next_poll(self, sleeper: OnItsThread) -> None:
        waiting = sleeper.dequeue_until_claimed()

        start = monotonic()
        [message_id] = put(LONG_AGO)

        claimed, at = waiting.result(SECONDS)
        assert ids(claimed) == [message_id]
        assert at - start < Conf.POLL + SOON

    def test_a_message_is_still_not_early(self, sleeper: OnItsThread) -> None:
        due = database_now() + timedelta(seconds=0.4)
        put(due)

        sleeper.dequeue_until_claimed().result(SECONDS)

        claimed_at = OrmQ.objects.get().lock - timedelta(seconds=Conf.RETRY)
        assert due <= claimed_at < due + timedelta(seconds=SOON)


class TestANotice:
    @pytest.fixture
    def notices(self, other: BaseDatabaseWrapper) -> Any:
        """Return the lanes that were notified since."""
        other.set_autocommit(True)
        with other.cursor() as cursor:
            cursor.execute(f"LISTEN {messages.CHANNEL}")
        return lambda: [
            notice.payload for notice in other.connection.notifies(timeout=0.2, stop_after=1)
        ]

    def test_is_given_of_a_message_that_is_near(self, notices: Any) -> None:
        put(database_now() + timedelta(seconds=messages.LONGEST_SLEEP_SECONDS + 5))

        assert notices() == ["publish"]

    def test_is_spared_for_one_that_is_far(self, notices: Any) -> None:
        put(database_now() + timedelta(seconds=messages.NOTIFY_WITHIN_SECONDS + 60))

        assert notices() == []

    def test_is_given_once_for_many(self, notices: Any) -> None:
        put(FAR_OFF, *[LONG_AGO] * 50)

        assert notices() == ["publish"]
        assert notices() == []


class TestEnqueue:
    def test_makes_a_message_due_at_once(self) -> None:
        before = database_now()

        async_task("math.sqrt", 4)

        message = OrmQ.objects.get()
        assert message.key == "publish"
        assert before <= message.lock <= database_now()
        assert ids(plain_broker().dequeue()) == [message.pk]

    def test_wakes_a_cluster_that_sleeps(self, sleeper: OnItsThread) -> None:
        waiting = sleeper.dequeue_until_claimed()

        start = monotonic()
        async_task("math.sqrt", 4)

        claimed, at = waiting.result(SECONDS)
        assert functions(claimed) == ["math.sqrt"]
        assert at - start < SOON

    def test_is_done_by_this_broker_in_every_process(self) -> None:
        assert type(get_broker()) is TimedBroker


class TestItsStatements:
    @pytest.fixture(autouse=True)
    def _many_messages(self, transactional_db: None) -> None:
        """Fill the queue with fifty thousand rows of two lanes, due far in the future."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_q_ormq (key, payload, lock, armo_job)"
                " SELECT CASE WHEN n %% 10 = 0 THEN 'slow' ELSE 'publish' END, 'x',"
                "        %s + n * interval '1 second', n FROM generate_series(1, 50000) AS n",
                [FAR_OFF],
            )
            cursor.execute("ANALYZE django_q_ormq")

    def plan(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        """Run a statement; return the steps that PostgreSQL took."""
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {statement}", params)
            [[[report]]] = cursor.fetchall()
        report = json.loads(report) if isinstance(report, str) else report
        steps = [report["Plan"]]
        for step in steps:
            steps += step.get("Plans", ())
        return steps

    @pytest.mark.parametrize("due", [0, 5])
    def test_to_claim_reads_by_the_index_only_what_is_due(self, due: int) -> None:
        put(*[LONG_AGO] * due)

        steps = self.plan(
            TimedBroker.statements.claim, key="publish", bulk=10, retry=60, owner=1, is_paused=False
        )

        [by_index] = [step for step in steps if step.get("Index Name") == "armo_ormq_due"]
        assert by_index["Actual Rows"] == due
        # Of one row at most, that of a pause.
        by_row = [step for step in steps if step["Node Type"] == "Seq Scan"]
        assert [step["Relation Name"] for step in by_row] == ["scheduling_pause"]
        assert sum(step.get("Rows Removed by Filter", 0) for step in steps) == 0

    @pytest.mark.parametrize("due", [0, 5])
    def test_to_claim_in_a_pause_reads_nothing_of_what_is_held(self, due: int) -> None:
        put(*[LONG_AGO] * 1000)
        Pause.objects.create()
        insert_messages([Message("publish", "x", LONG_AGO)] * due)

        steps = self.plan(
            TimedBroker.statements.claim, key="publish", bulk=10, retry=60, owner=1, is_paused=True
        )

        [by_index] = [
            step
            for step in steps
            if step.get("Index Name") == "armo_ormq_others" and step["Alias"] != "suspect"
        ]
        assert by_index["Actual Rows"] == due
        assert sum(step.get("Rows Removed by Filter", 0) for step in steps) == 0

    def test_to_find_the_next_in_a_pause_reads_nothing_of_what_is_held(self) -> None:
        put(*[LONG_AGO] * 1000)
        Pause.objects.create()
        insert_messages([Message("publish", "x", FAR_OFF)] * 2)

        steps = self.plan(
            TimedBroker.statements.look,
            key="publish",
            owner=1,
            dead=[2],
            lock=0,
            unseen=[3],
            may_be_late=False,
            releases=True,
            finds=True,
        )

        by_index = [step for step in steps if step.get("Index Name") == "armo_ormq_others"]
        # PostgreSQL 15 looks for it twice.
        assert sum(step["Actual Rows"] for step in by_index) <= 2
        assert not [step for step in steps if step.get("Rows Removed by Filter", 0)]

    def test_to_find_the_next_reads_one_row_of_the_index(self) -> None:
        steps = self.plan(
            TimedBroker.statements.look,
            key="slow",
            owner=1,
            dead=[2],
            lock=0,
            unseen=[3],
            may_be_late=False,
            releases=True,
            finds=True,
        )

        [by_index] = [step for step in steps if step.get("Index Name") == "armo_ormq_due"]
        assert by_index["Actual Rows"] == 1
