"""The supervisor's rules, and what is done in django-q2's signals; processes: tests/process."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from time import monotonic
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django_q import cluster
from django_q.conf import Conf

from scheduling import __version__
from scheduling.models import Heartbeat, Lease
from scheduling.models.clock import database_now
from scheduling.queue import leases
from scheduling.queue.broker import CONNECTING_SECONDS, TimedBroker
from scheduling.worker import heartbeat, supervisor
from scheduling.worker.supervisor import SILENT_SECONDS, Lane, Sentinel, Supervisor
from tests.factories import LONG_AGO
from tests.process.server import execute, wait_for

ASLEEP = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
OF_A_LANE = ("CLUSTER_NAME", "WORKERS", "QUEUE_LIMIT", "TIMEOUT", "RETRY")


@pytest.fixture
def _conf_as_it_was() -> Iterator[None]:
    before = {name: getattr(Conf, name) for name in OF_A_LANE}
    yield
    for name, value in before.items():
        setattr(Conf, name, value)


@pytest.mark.slow
class TestALanesSettings:
    @pytest.mark.usefixtures("_conf_as_it_was")
    @pytest.mark.parametrize("name", ["publish", "slow", "mail"])
    def test_are_those_that_django_q2_itself_would_read(self, name: str) -> None:
        program = (
            "import django, json; django.setup()\n"
            "from django_q.conf import Conf\n"
            f"print(json.dumps([getattr(Conf, name) for name in {OF_A_LANE}]))"
        )
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "Q_CLUSTER_NAME": name}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, check=True
        )

        supervisor.enter_lane(name)

        assert [getattr(Conf, name) for name in OF_A_LANE] == json.loads(done.stdout)

    @pytest.mark.parametrize("name", ["publish", "slow", "mail"])
    def test_hand_nothing_out_again_that_may_still_run(self, name: str) -> None:
        config = settings.Q_CLUSTER["ALT_CLUSTERS"].get(name, settings.Q_CLUSTER)

        longest = config["timeout"] * (2 + config["queue_limit"] / config["workers"])

        assert config["retry"] > longest

    def test_give_a_hook_its_time_before_the_task_around_it_ends(self) -> None:
        slow = settings.Q_CLUSTER["ALT_CLUSTERS"]["slow"]

        assert slow["timeout"] > settings.HOOK_TIMEOUT + 5


class TestAConnectionOfAWorker:
    @pytest.fixture(autouse=True)
    def _settings_as_they_were(self) -> Iterator[None]:
        """Have connections closed after each request, as Django does by default."""
        kept = [settings.DATABASES["default"], connection.settings_dict]
        before = [deepcopy(each) for each in kept]
        for each in kept:
            each.update(CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False)
        yield
        for each, was in zip(kept, before, strict=True):
            each.clear()
            each.update(was)

    @pytest.mark.django_db
    def test_is_kept_whatever_the_site_has_set(self) -> None:
        supervisor.prepare_connections()

        for each in (connection.settings_dict, connection.copy().settings_dict):
            assert (each["CONN_MAX_AGE"], each["CONN_HEALTH_CHECKS"]) == (None, True)
            assert each["OPTIONS"]["application_name"] == "armo-worker"


def broken_lane(**fields: Any) -> Lane:
    lane = Lane("publish", heartbeat.SharedHeartbeats(["publish"], pid=1), **fields)
    lane.pipe, _ = Pipe()
    lane.owner = 7
    return lane


class TestALaneThatBreaks:
    def test_is_started_again_at_once(self) -> None:
        lane = broken_lane(started_at=monotonic() - 60, is_up=True)

        lane.note_end()

        assert lane.start_at is not None
        assert lane.start_at <= monotonic()

    def test_again_and_again_is_given_a_growing_pause_of_a_second_at_most(self) -> None:
        lane = broken_lane(started_at=monotonic(), is_up=True)
        pauses = []

        for _ in range(10):
            lane.pipe, _other = Pipe()
            lane.note_end()
            pauses.append(lane.pause)

        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (0.05, 1.0)

    def test_has_its_claims_given_back_by_name(self) -> None:
        lane = broken_lane()

        lane.note_end()

        assert lane.dead_owners == [7]

    def test_before_it_was_up_counts_as_a_failed_start(self) -> None:
        lane = broken_lane()

        lane.note_end()

        assert lane.failed_starts == 1

    def test_and_was_up_does_not(self) -> None:
        lane = broken_lane(is_up=True)

        lane.note_end()

        assert lane.failed_starts == 0

    @pytest.mark.usefixtures("_signals_as_they_were")
    def test_and_for_which_there_is_no_process_left_waits_and_counts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lane = broken_lane(started_at=monotonic() - 60, is_up=True)
        process = Mock(return_value=Mock(start=Mock(side_effect=BlockingIOError)))
        monkeypatch.setattr(cluster, "get_mp_context", lambda: Mock(Process=process))
        lane.note_end()

        Supervisor([])._start(lane)

        assert (lane.pause, lane.failed_starts) == (0.05, 1)


@pytest.fixture
def _signals_as_they_were() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_as_they_were")
class TestAPusherWithoutAnAnswer:
    @pytest.fixture
    def sentinel(self, monkeypatch: pytest.MonkeyPatch) -> Sentinel:
        """Return the sentinel of a lane."""
        monkeypatch.setattr(TimedBroker, "asking_since", None)
        return Sentinel(Pipe()[0])

    @pytest.mark.django_db(transaction=True)
    def test_for_long_has_a_connection_that_is_half_open(self, sentinel: Sentinel) -> None:
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1

        assert sentinel._is_silent()

    @pytest.mark.django_db(transaction=True)
    def test_is_left_alone_while_commits_wait_for_a_standby(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1
        # As it is then; a real standby is in tests/chaos.
        monkeypatch.setattr(supervisor, "COMMITS_WAIT", b"SELECT true")

        assert not sentinel._is_silent()

    @pytest.mark.django_db(transaction=True)
    def test_is_not_left_alone_for_commits_that_wait_for_a_moment(
        self, sentinel: Sentinel, other: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1
        # As each commit does where a standby is synchronous.
        waits = supervisor.COMMITS_WAIT.replace(b"SyncRep", b"PgSleep")
        monkeypatch.setattr(supervisor, "COMMITS_WAIT", waits)
        other.ensure_connection()
        other.connection.pgconn.send_query(b"SELECT pg_sleep(10)")
        assert wait_for(lambda: bool(execute(ASLEEP)), 5)

        is_silent = sentinel._is_silent()

        other.connection.cancel_safe()
        assert is_silent

    @pytest.mark.django_db(transaction=True)
    def test_is_left_alone_while_a_new_connection_is_only_asked_to_wait(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TimedBroker.asking_since.value = began = monotonic() - SILENT_SECONDS - 1
        # As PgBouncer notes with `query_wait_notify`; the sentinel has its lane to look after.
        notice = b"DO $$ BEGIN RAISE WARNING 'Waiting.'; END $$; SELECT pg_sleep(4)"
        monkeypatch.setattr(supervisor, "COMMITS_WAIT", notice)

        assert not sentinel._is_silent()

        assert monotonic() - began < SILENT_SECONDS + 4

    @pytest.mark.parametrize("accepts", [True, False])
    def test_is_left_alone_while_a_new_connection_is_not_answered_either(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch, *, accepts: bool
    ) -> None:
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
            if not accepts:
                nobody.close()
            for name, value in {"HOST": "127.0.0.1", "PORT": str(port)}.items():
                monkeypatch.setitem(connection.settings_dict, name, value)

            assert not sentinel._is_silent()

    @pytest.mark.django_db(transaction=True)
    def test_is_left_alone_if_it_was_answered_meanwhile(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        TimedBroker.asking_since.value = monotonic() - SILENT_SECONDS - 1

        def answer_late(seconds: float) -> None:
            TimedBroker.asking_since.value = monotonic()

        monkeypatch.setattr(supervisor, "sleep", answer_late)

        assert not sentinel._is_silent()

    @pytest.mark.parametrize("asking_since", [0, monotonic])
    def test_is_left_alone_while_it_asks_nothing_or_has_just_asked(
        self, sentinel: Sentinel, asking_since: float | Callable[[], float]
    ) -> None:
        since = asking_since() if callable(asking_since) else asking_since
        TimedBroker.asking_since.value = since

        assert not sentinel._is_silent()

    def test_is_given_time_after_the_whole_worker_stood_still(self, sentinel: Sentinel) -> None:
        sentinel.pusher, sentinel.monitor = Mock(), Mock()
        TimedBroker.asking_since.value = sentinel.looked_at = monotonic() - SILENT_SECONDS - 1

        assert sentinel._look_after_children() == ""

        assert not sentinel._is_silent()

    @pytest.mark.django_db
    def test_is_given_time_to_connect(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[float] = []
        monkeypatch.setattr(
            TimedBroker, "_dequeue", lambda broker: seen.append(broker.asking_since.value)
        )
        before = monotonic()

        TimedBroker(list_key="publish").dequeue()

        assert seen[0] - before >= CONNECTING_SECONDS

    @pytest.mark.django_db
    def test_is_one_whose_query_has_not_returned(
        self, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[float] = []

        def look(broker: TimedBroker) -> None:
            seen.append(broker.asking_since.value)
            raise OperationalError("the connection is lost")

        monkeypatch.setattr(TimedBroker, "_dequeue", look)
        broker = TimedBroker(list_key="publish")
        broker.listening_on = object()
        before = monotonic()

        broker.dequeue()

        assert before <= seen[0] <= monotonic()
        assert TimedBroker.asking_since.value == 0


@pytest.mark.usefixtures("_signals_as_they_were")
class TestLanesWithoutAnAnswer:
    def test_end_those_that_are_as_old_and_not_those_that_began_since(self) -> None:
        supervisor = Supervisor(["publish", "slow", "mail"])
        for lane, age in zip(supervisor.lanes, (60, 1, 60), strict=True):
            lane.sentinel, lane.started_at = Mock(), monotonic() - age
        supervisor.lanes[2].sentinel.is_alive.return_value = False

        supervisor._end_older_lanes()

        killed = [lane.name for lane in supervisor.lanes if lane.sentinel.kill.called]
        assert killed == ["publish"]


@pytest.mark.usefixtures("_signals_as_they_were")
class TestAWorkerWithoutItsDatabase:
    def test_says_so_again_and_again(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(supervisor, "REMIND_SECONDS", 0)
        monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 0)
        refused = OperationalError("password authentication failed\nfor user armo")
        examine = Mock(side_effect=[refused, refused, None])

        Supervisor(["publish"]).wait_for_database(examine)

        assert caplog.text.count("password authentication failed") == 2
        assert "for user armo" not in caplog.text


class TestAResult:
    def test_that_cannot_be_pickled_ends_as_a_failed_task(self) -> None:
        task: dict[str, Any] = {"name": "task", "result": lambda: None, "success": True}

        supervisor.keep_storable(task)

        assert (task["success"], task["ack_failure"]) == (False, True)
        assert "cannot be stored" in task["result"]

    def test_that_breaks_while_it_is_pickled_too(self) -> None:
        class Broken:
            def __reduce__(self) -> str:
                raise ZeroDivisionError("in __reduce__")

        task: dict[str, Any] = {"name": "task", "result": Broken(), "success": True}

        supervisor.keep_storable(task)

        assert "ZeroDivisionError: in __reduce__" in task["result"]

    def test_that_can_be_kept_is_left_as_it_is(self) -> None:
        task: dict[str, Any] = {"name": "task", "result": {"done": 3}, "success": True}

        supervisor.keep_storable(task)

        assert task == {"name": "task", "result": {"done": 3}, "success": True}

    def test_with_too_long_a_name_for_the_table_has_it_cut(self) -> None:
        task: dict[str, Any] = {"name": "가" * 300, "group": "나" * 300, "result": None}

        supervisor.keep_storable(task)

        assert (len(task["name"]), len(task["group"])) == (100, 100)


class TestATask:
    def test_begins_when_a_worker_takes_it_up(self) -> None:
        task: dict[str, Any] = {"started": datetime(2020, 1, 1, tzinfo=UTC)}

        supervisor.note_start(task)

        assert datetime.now(UTC) - task["started"] < timedelta(seconds=10)


@pytest.mark.django_db(transaction=True)
class TestABeat:
    @pytest.fixture(autouse=True)
    def _of_a_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.board = heartbeat.SharedHeartbeats(["publish", "slow"], pid=4711)
        self.board.enter("publish", 7)
        self.board.enter("slow", 8)
        monkeypatch.setattr(heartbeat.OwnHeartbeat, "board", self.board)
        monkeypatch.setattr(heartbeat.OwnHeartbeat, "lane", "publish")
        monkeypatch.setattr(heartbeat.OwnHeartbeat, "last_at", 0.0)

    def test_is_written_when_its_task_has_come_through(self) -> None:
        before = database_now()

        supervisor.note_end({"func": "scheduling.tasks.beat"})

        beat = Heartbeat.objects.get()
        assert (beat.owner, beat.lane, beat.pid) == (7, "publish", 4711)
        assert beat.version == __version__
        assert before <= beat.beat_at <= database_now()
        assert abs(beat.clock_ahead_ms) < 1000

    def test_renews_the_one_before(self) -> None:
        heartbeat.beat()
        first = Heartbeat.objects.get()

        heartbeat.beat()

        assert Heartbeat.objects.get().beat_at > first.beat_at
        assert Heartbeat.objects.get().started_at == first.started_at

    def test_is_written_though_its_connection_was_cut_meanwhile(
        self, other: BaseDatabaseWrapper
    ) -> None:
        connection.ensure_connection()
        with other.cursor() as cursor:
            pid = connection.connection.info.backend_pid
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        heartbeat.beat()

        assert Heartbeat.objects.get().owner == 7

    def test_is_not_of_any_other_task(self) -> None:
        supervisor.note_end({"func": "scheduling.tasks.sweep"})

        assert not Heartbeat.objects.exists()

    def test_is_of_no_web_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat.OwnHeartbeat, "board", None)

        heartbeat.beat()

        assert not Heartbeat.objects.exists()

    def test_of_another_lane_is_written_with_the_first_ones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(heartbeat.OwnHeartbeat, "lane", "slow")
        heartbeat.beat()
        assert not Heartbeat.objects.exists()

        monkeypatch.setattr(heartbeat.OwnHeartbeat, "lane", "publish")
        heartbeat.beat()

        slow, publish = Heartbeat.objects.order_by("-owner")
        assert (slow.owner, slow.lane, publish.owner) == (8, "slow", 7)
        assert slow.beat_at < publish.beat_at

    def test_of_a_cluster_that_has_ended_is_not_its_successors(self) -> None:
        heartbeat.beat()

        self.board.enter("publish", 9)

        assert self.board.beaten() == []

    def test_comes_once_a_second_at_most_within_a_backlog(self) -> None:
        heartbeat.beat_within_a_batch()
        first = Heartbeat.objects.get().beat_at

        heartbeat.beat_within_a_batch()

        assert Heartbeat.objects.get().beat_at == first

    def test_ends_with_its_cluster(self) -> None:
        Heartbeat.objects.create(owner=8, lane="slow", host="here", pid=1)
        heartbeat.beat()

        heartbeat.delete_heartbeat(7)

        assert Heartbeat.objects.get().owner == 8

    @pytest.mark.parametrize("model", [Heartbeat, Lease])
    def test_ends_though_that_of_a_cluster_that_ended_long_ago_is_locked(
        self, other: BaseDatabaseWrapper, model: type[Model]
    ) -> None:
        Heartbeat.objects.create(owner=8, lane="slow", host="here", pid=1, beat_at=LONG_AGO)
        Lease.objects.create(owner=8, ends_at=LONG_AGO)
        leases.renew(7)
        heartbeat.beat()
        with other.cursor() as cursor:
            cursor.execute(f"SELECT FROM {model._meta.db_table} WHERE owner = 8 FOR UPDATE")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")

            heartbeat.delete_heartbeat(7)

        assert list(model._base_manager.values_list("pk", flat=True)) == [8]
