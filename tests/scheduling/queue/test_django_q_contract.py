"""
What Armo rests on in the installed django-q2.

A new version of django-q2 that changes any of this must fail here first, and not at a customer's.
"""

import inspect
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing import Event, Value
from os import getpid
from typing import Any

import pytest
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django_q import cluster, signals
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ, Task
from django_q.monitor import monitor
from django_q.pusher import pusher
from django_q.queues import Queue
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from django_q.worker import worker

from scheduling.broker import TimedBroker
from scheduling.queue.payload import build_payload

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep django-q2, which runs in this process here, from its connection and its title."""
    for module in ("worker", "monitor"):
        monkeypatch.setattr(f"django_q.{module}.close_old_django_connections", lambda: None)
    for module in ("pusher", "worker", "monitor", "cluster"):
        monkeypatch.setattr(f"django_q.{module}.setproctitle", None)


def put(*locks: Any) -> list[int]:
    """Put messages in by hand, with these locks."""
    return [OrmQ.objects.create(key="publish", payload=str(at), lock=at).pk for at in locks]


class TestTheStockBroker:
    @pytest.fixture
    def broker(self, monkeypatch: pytest.MonkeyPatch) -> ORM:
        monkeypatch.setattr(Conf, "POLL", 0)
        return ORM("publish")

    def test_hands_out_a_message_whose_lock_has_passed(self, broker: ORM) -> None:
        [message_id] = put(timezone.now() - HOUR)

        assert [pk for pk, _ in broker.dequeue()] == [message_id]

    def test_hands_out_none_whose_lock_lies_ahead(self, broker: ORM) -> None:
        put(timezone.now() + HOUR)

        assert broker.dequeue() is None

    def test_pushes_the_lock_of_what_it_hands_out_ahead_by_retry(self, broker: ORM) -> None:
        put(timezone.now() - HOUR)
        before = timezone.now()

        broker.dequeue()

        retry = timedelta(seconds=Conf.RETRY)
        assert before + retry <= OrmQ.objects.get().lock <= timezone.now() + retry
        assert broker.dequeue() is None

    def test_returns_pairs_of_row_and_payload(self, broker: ORM) -> None:
        at = timezone.now() - HOUR
        [message_id] = put(at)

        assert broker.dequeue() == [(message_id, str(at))]

    def test_deletes_what_is_acknowledged_or_failed(self, broker: ORM) -> None:
        first, second = put(timezone.now(), timezone.now())

        broker.acknowledge(first)
        broker.fail(second)

        assert not OrmQ.objects.exists()

    def test_enqueues_in_the_transaction_of_the_caller(self, broker: ORM) -> None:
        with transaction.atomic():
            broker.enqueue("payload")
            inside = OrmQ.objects.count()
            transaction.set_rollback(True)

        assert (inside, OrmQ.objects.count()) == (1, 0)

    def test_keeps_only_lane_and_information_when_it_is_sent_to_a_process(self) -> None:
        broker = TimedBroker("slow")

        copy = pickle.loads(pickle.dumps(broker))

        assert copy.list_key == "slow"
        assert copy.ask_at == copy.sweep_at == 0

    def test_is_still_made_of_what_the_timed_broker_overrides(self) -> None:
        for name in ("get_connection", "enqueue", "dequeue"):
            assert name in vars(ORM), name
            ours = inspect.signature(getattr(TimedBroker, name)).parameters
            theirs = inspect.signature(getattr(ORM, name)).parameters
            assert list(ours) == list(theirs), name


class TestAMessage:
    def test_is_built_as_the_pusher_reads_it(self) -> None:
        task = SignedPackage.loads(
            build_payload("scheduling.tasks.run_job", 42, lane="publish", name="job 42")
        )

        assert (task["func"], task["args"], task["kwargs"]) == (
            "scheduling.tasks.run_job",
            (42,),
            {},
        )
        assert (task["name"], task["ack_failure"]) == ("job 42", True)
        assert not {"broker", "sync", "cached", "chain", "group", "hook"} & set(task)

    def test_is_built_without_being_enqueued(self) -> None:
        build_payload("math.sqrt", 4, lane="publish", name="root")

        assert not OrmQ.objects.exists()

    def test_carries_a_name_short_enough_for_the_history(self) -> None:
        task = SignedPackage.loads(build_payload("math.sqrt", 4, lane="publish", name="가" * 300))

        assert len(task["name"]) == Task._meta.get_field("name").max_length == 100

    def test_carries_options_by_name(self) -> None:
        task = SignedPackage.loads(
            build_payload("math.sqrt", 4, lane="publish", name="root", save=False)
        )

        assert task["save"] is False


class OneSet:
    """A broker with one set of messages, that stops the pusher when it has handed it out."""

    list_key = "publish"

    def __init__(self, handed_out: list[tuple[int | None, str]] | None, stop: Any) -> None:
        self.handed_out, self.stop = handed_out, stop
        self.failed: list[int | None] = []

    def dequeue(self) -> list[tuple[int | None, str]] | None:
        self.stop.set()
        return self.handed_out

    def fail(self, ack_id: int | None) -> None:
        self.failed.append(ack_id)


class TestThePusher:
    def push(self, handed_out: list[tuple[int | None, str]] | None) -> tuple[list[Any], OneSet]:
        """Run the pusher on one answer of a broker; return the tasks it passed on."""
        tasks, stop = Queue(), Event()
        broker = OneSet(handed_out, stop)
        pusher(tasks, stop, broker)
        tasks.put("STOP")
        passed_on = list(iter(tasks.get, "STOP"))
        tasks.close()
        tasks.join_thread()
        return passed_on, broker

    def test_passes_each_message_on_with_the_row_to_acknowledge(self) -> None:
        payload = build_payload("math.sqrt", 4, lane="publish", name="root")

        passed_on, _ = self.push([(7, payload), (None, payload)])

        assert [(task["ack_id"], task["name"]) for task in passed_on] == [
            (7, "root"),
            (None, "root"),
        ]

    def test_takes_none_for_nothing(self) -> None:
        assert self.push(None)[0] == []

    def test_fails_a_message_that_it_cannot_open(self) -> None:
        passed_on, broker = self.push([(7, "not a message")])

        assert (passed_on, broker.failed) == ([], [7])


@pytest.fixture
def heard() -> Iterator[Callable[[Signal], list[int]]]:
    """Listen to a signal; return the ids of the processes in which it was sent."""
    connected: list[tuple[Signal, Any]] = []

    def listen(signal: Signal) -> list[int]:
        pids: list[int] = []

        def receiver(**kwargs: Any) -> None:
            pids.append(getpid())

        signal.connect(receiver)
        connected.append((signal, receiver))
        return pids

    yield listen
    for signal, receiver in connected:
        signal.disconnect(receiver)


def work(*tasks: Any) -> list[Any]:
    """Run django-q2's worker on these tasks, in this process; return the results."""
    task_queue, result_queue = Queue(), Queue()
    for task in (*tasks, "STOP"):
        task_queue.put(task)
    worker(task_queue, result_queue, Value("f", -1))
    result_queue.put("STOP")
    results = list(iter(result_queue.get, "STOP"))
    for queue in (task_queue, result_queue):
        queue.close()
        queue.join_thread()
    return results


def keep(*results: Any) -> None:
    """Run django-q2's monitor on these results, in this process."""
    result_queue = Queue()
    for result in (*results, "STOP"):
        result_queue.put(result)
    monitor(result_queue, ORM("publish"))
    result_queue.close()
    result_queue.join_thread()


def task(func: str, *args: Any, ack_id: int | None = None, **options: Any) -> Any:
    """Return a message as the pusher passes it on."""
    opened = SignedPackage.loads(build_payload(func, *args, lane="publish", name=func, **options))
    return opened | {"ack_id": ack_id, "cluster": "publish"}


@pytest.mark.slow
class TestAWorkerAndItsMonitor:
    def test_call_the_function_by_its_dotted_name_and_keep_the_result(self) -> None:
        results = work(task("math.sqrt", 4))

        keep(*results)

        done = Task.objects.get()
        assert (done.success, done.result, done.name) == (True, 2.0, "math.sqrt")

    def test_keep_a_failed_task_with_its_error_and_go_on(self) -> None:
        results = work(task("math.sqrt", "four"), task("math.sqrt", 9))

        keep(*results)

        assert [result["success"] for result in results] == [False, True]
        failed = Task.objects.get(success=False)
        assert "must be real number" in failed.result
        assert "Traceback" in failed.result

    def test_keep_a_task_whose_function_has_moved_as_failed(self) -> None:
        [result] = work(task("scheduling.gone.run"))

        assert result["success"] is False

    def test_acknowledge_a_failed_task_that_says_ack_failure(self) -> None:
        [message_id] = put(timezone.now())

        keep(*work(task("math.sqrt", "four", ack_id=message_id)))

        assert not OrmQ.objects.exists()

    def test_do_not_acknowledge_a_failed_task_that_does_not(self) -> None:
        [message_id] = put(timezone.now())
        without = task("math.sqrt", "four", ack_id=message_id) | {"ack_failure": False}

        keep(*work(without))

        assert OrmQ.objects.get().pk == message_id

    def test_acknowledge_nothing_for_a_message_without_a_row(self) -> None:
        put(timezone.now())

        keep(*work(task("math.sqrt", 4, ack_id=None)))

        assert OrmQ.objects.count() == 1

    def test_keep_no_success_that_says_save_is_off_but_every_failure(self) -> None:
        keep(*work(task("math.sqrt", 4, save=False), task("math.sqrt", "four", save=False)))

        assert Task.objects.get().success is False

    def test_end_a_worker_whose_task_took_too_long_after_its_result(self) -> None:
        results = work(task("time.sleep", 30, timeout=1), task("math.sqrt", 4))

        assert [result["success"] for result in results] == [False]
        assert "maximum timeout value" in results[0]["result"]

    def test_raise_a_timeout_that_no_except_exception_catches(self) -> None:
        assert not issubclass(TimeoutException, Exception)


class TestSignals:
    def test_pre_enqueue_is_sent_where_the_task_is_made(
        self, heard: Callable[[Signal], list[int]]
    ) -> None:
        pids = heard(signals.pre_enqueue)

        async_task("math.sqrt", 4)

        assert pids == [getpid()]

    def test_pre_execute_and_post_execute_in_worker_are_sent_by_the_worker(
        self, heard: Callable[[Signal], list[int]]
    ) -> None:
        before, after = heard(signals.pre_execute), heard(signals.post_execute_in_worker)
        by_monitor = heard(signals.post_execute)

        work(task("math.sqrt", 4))

        assert (len(before), len(after), len(by_monitor)) == (1, 1, 0)

    def test_post_execute_is_sent_by_the_monitor(
        self, heard: Callable[[Signal], list[int]]
    ) -> None:
        results = work(task("math.sqrt", 4))
        by_worker, by_monitor = heard(signals.post_execute_in_worker), heard(signals.post_execute)

        keep(*results)

        assert (len(by_worker), len(by_monitor)) == (0, 1)

    def test_post_spawn_is_sent_when_a_worker_starts(
        self, heard: Callable[[Signal], list[int]]
    ) -> None:
        started = heard(signals.post_spawn)

        work()

        assert len(started) == 1


class TestTheCluster:
    def test_finds_its_sentinel_by_the_name_that_armo_replaces(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class FakeProcess:
            def __init__(self, target: Any, **kwargs: Any) -> None:
                targets.append(target)

            def start(self) -> None:
                raise InterruptedError

        targets: list[Any] = []
        stand_in = object()
        monkeypatch.setattr(cluster, "Sentinel", stand_in)
        monkeypatch.setattr(
            cluster, "get_mp_context", lambda: type("Context", (), {"Process": FakeProcess})
        )
        monkeypatch.setattr(cluster.signal, "signal", lambda *args: None)

        with pytest.raises(InterruptedError):
            cluster.Cluster().start()

        assert targets == [stand_in]

    def test_guards_by_the_methods_that_armo_overrides(self) -> None:
        assert {"start", "reincarnate"} <= set(vars(cluster.Sentinel))
        assert {"start", "stop", "sig_handler"} <= set(vars(cluster.Cluster))

    def test_never_hands_out_again_what_may_still_be_running(self) -> None:
        assert Conf.TIMEOUT < Conf.RETRY

    def test_reads_the_settings_that_armo_relies_on(self) -> None:
        assert Conf.BROKER_CLASS == "scheduling.broker.TimedBroker"
        assert (Conf.ORM, Conf.CLUSTER_NAME, Conf.PREFIX) == ("default", "publish", "armo")
        assert (Conf.SCHEDULER, Conf.SAVE_LIMIT, Conf.GUARD_CYCLE) == (False, 0, 0.5)
