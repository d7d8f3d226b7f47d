"""
The worker: a supervisor, with one django-q2 cluster a lane.

```
supervisor                  hears signals; starts a lane's cluster again when it breaks
└── sentinel, one a lane    guards its processes; when one dies it ends the rest and itself
    ├── pusher              claims messages
    ├── worker, several     run tasks
    └── monitor             keeps results, acknowledges messages
```

Stock django-q2 replaces a child that died. But its processes share queues, and a killed process
never releases the locks of a queue: killing an idle worker can block the others for ever, killing
the monitor can lose every later result. So here a lane fails as a whole, and runs again within a
second: its claims are released at once (`scheduling.queue.broker`), and a job that it had begun is
recorded as cut off (`scheduling.worker.job_runner`).

No process is left behind: each asks the kernel to be killed when its parent ends. Only the
supervisor handles SIGTERM and SIGINT, so that a signal to the whole group interrupts no work; its
handler only wakes its loop.
"""

import logging
import os
import pickle
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import RawValue
from threading import Event, Thread
from time import monotonic, sleep
from types import FrameType
from typing import Any, NoReturn
from uuid import uuid4

import psycopg
import setproctitle
from django.conf import settings
from django.db import Error, connections
from django_q import cluster as stock
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.pusher import pusher
from django_q.signals import post_execute, post_execute_in_worker, pre_execute
from django_q.worker import worker

from scheduling import conf
from scheduling.models.task_names import BEAT
from scheduling.models.worker import WORKER_NAME
from scheduling.queue import leases
from scheduling.queue.broker import TimedBroker
from scheduling.queue.outages import REMIND_SECONDS, first_line, is_outage
from scheduling.worker import heartbeat
from scheduling.worker.processes import end_with_parent

logger = logging.getLogger(__name__)

# Exit codes, from sysexits.h: the supervisor cannot go on; a lane lost one of its processes; it got
# no answer from the database.
EXIT_BROKEN = 70
EXIT_LOST_A_PROCESS = 75
EXIT_SILENT = 76

# A lane that dies is started again at once; one that dies again within STEADY_SECONDS, after a
# pause that doubles each time.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
STEADY_SECONDS = 10.0
# After so many failed starts in a row the supervisor exits.
MOST_STARTS = 20

CYCLE_SECONDS = 0.5
# If a pusher has waited for an answer for so long, its connection is half open, unless a new one is
# not answered either: what it asks takes milliseconds, and its wait for a lock ends sooner. That a
# network was cut is noticed by TCP, after a similar time; but a proxy that has lost its other side
# still acknowledges what it receives.
SILENT_SECONDS = 20.0
# How long a new connection may take to be made, to each host, and to be answered.
ANSWER_SECONDS = 2
# Whether commits wait for a standby that is away, as the pusher's then has for long. Where one is
# synchronous, each commit waits for a moment.
COMMITS_WAIT = (
    b"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    b" AND query_start < clock_timestamp() - interval '10 s')"
)
# If the sentinel did not look for so long, the worker stood still: a frozen container or a stopped
# process.
STOOD_STILL_SECONDS = 5.0
# Of a task's name and group, in django-q2's tables.
LONGEST_NAME = 100
# A worker that timed out exits by itself once its result is written.
LEAVE_SECONDS = 2.0


class Sentinel(stock.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """The process that guards one lane's processes."""

    def __init__(self, parent: Connection) -> None:
        self.parent = parent
        # Stock django-q2 sets its own handler of SIGTERM for a moment.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # Stock django-q2 shares these events among processes; here each has its own.
        super().__init__(Event(), Event(), cluster_id=uuid4(), start=False)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self.looked_at, self.awake_since = monotonic(), 0.0
        self.asking_since = TimedBroker.asking_since = RawValue("d")

    def run(self) -> int:
        """
        Guard the lane until the supervisor asks to stop, or until one of its processes dies.

        :returns: the exit code.
        """
        self.spawn_cluster()
        self.start_event.set()
        self.parent.send_bytes(b"started")
        while True:
            if lost := self._look_after_children():
                logger.error("Lane %s lost %s.", Conf.CLUSTER_NAME, lost)
                self._kill_children()
                return EXIT_LOST_A_PROCESS
            if self._is_silent():
                text = "The database has not answered lane %s for %.0f s."
                logger.error(text, Conf.CLUSTER_NAME, SILENT_SECONDS)
                self._kill_children()
                return EXIT_SILENT
            stock.Stat(self).save()
            children = [process.sentinel for process in self._children()]
            if self.parent in wait([self.parent, *children], CYCLE_SECONDS):
                break
        self.stop_event.set()
        self.stop()
        connections.close_all()
        heartbeat.delete_heartbeat(TimedBroker.owner or 0)
        return 0

    def spawn_process(self, target: Callable[..., None], *args: Any) -> Any:
        """Fork a child that ends when this process does."""
        name = self._free_name() if target is worker else Conf.CLUSTER_NAME
        process = stock.get_mp_context().Process(
            target=_with_parent, args=(os.getpid(), target, args), name=name, daemon=True
        )
        if target is worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return process

    def _free_name(self) -> str:
        taken = {process.name for process in self.pool}
        numbers = range(1, len(taken) + 2)
        return next(n for n in (f"{Conf.CLUSTER_NAME}-{i}" for i in numbers) if n not in taken)

    def _children(self) -> Sequence[Any]:
        return [self.pusher, self.monitor, *self.pool]

    def _look_after_children(self) -> str:
        """Replace workers that have exited as planned; return which process died, if any did."""
        now = monotonic()
        passed, self.looked_at = now - self.looked_at, now
        if passed > STOOD_STILL_SECONDS:
            self.awake_since = now
        for process in (self.pusher, self.monitor):
            if not process.is_alive():
                role = "pusher" if process is self.pusher else "monitor"
                return f"its {role} ({_how_it_ended(process)})"
        for process in list(self.pool):
            if died := self._look_after(process, passed):
                return died
        return ""

    def _look_after(self, process: Any, passed: float) -> str:
        # A worker that was killed may still hold the timer's lock: read without it first.
        timer = process.timer.get_obj()
        if not process.is_alive():
            # It exits by itself after a time-out (0), or when it has run many tasks (-2).
            if process.exitcode == 0 and timer.value in (0, -2):
                self._replace(process)
                return ""
            return f"worker {process.name} ({_how_it_ended(process)})"
        if not process.timer.get_lock().acquire(timeout=CYCLE_SECONDS):
            return ""  # it is writing a result
        try:
            if timer.value > 0:
                timer.value = max(timer.value - passed, 0)
            is_over = timer.value == 0
        finally:
            process.timer.get_lock().release()
        if not is_over:
            return ""
        process.join(LEAVE_SECONDS)
        if process.is_alive():
            return f"worker {process.name}, which hangs after its time-out"
        self._replace(process)
        return ""

    def _is_silent(self) -> bool:
        """Return whether the pusher has waited too long for an answer."""
        since: float = self.asking_since.value
        if not since or monotonic() - max(since, self.awake_since) <= SILENT_SECONDS:
            return False
        if not _is_answered():
            return False  # a new lane would only wait beside it
        # A pooler answers the pusher first, which has waited for longer.
        sleep(CYCLE_SECONDS)
        return bool(self.asking_since.value == since)

    def _replace(self, process: Any) -> None:
        # As planned, each 500 tasks: of a busy lane that is often.
        logger.debug("Worker %s has exited and is replaced.", process.name)
        connections.close_all()
        self.pool.remove(process)
        self.spawn_worker()

    def _kill_children(self) -> None:
        for process in self._children():
            process.kill()
        for process in self._children():
            process.join(LEAVE_SECONDS)


def _is_answered() -> bool:
    """
    Return whether the database answers a new connection, and lets this role commit.

    It does not answer where a pooler has no free session, and commits may wait for a synchronous
    standby.
    """
    # Not by Django's connection: what it asks when it is made has to be answered too.
    params = {**connections[Conf.ORM].get_connection_params(), "connect_timeout": ANSWER_SECONDS}
    with suppress(psycopg.Error), closing(psycopg.connect(**params)) as connection:
        asked = connection.pgconn
        asked.send_query(COMMITS_WAIT)
        deadline = monotonic() + ANSWER_SECONDS
        # What can be read may also be a pooler's notice that the query waits.
        while asked.is_busy() and wait([asked.socket], max(deadline - monotonic(), 0)):
            asked.consume_input()
        if not asked.is_busy():
            answer = asked.get_result()
            return answer is not None and answer.get_value(0, 0) == b"f"
    return False


def _with_parent(parent: int, target: Callable[..., None], args: Sequence[Any]) -> None:
    end_with_parent(parent)
    if target is pusher:
        # Apart from its own work: it waits for as long as every worker is busy.
        Thread(target=_renew_lease, daemon=True).start()
    target(*args)


def _renew_lease() -> NoReturn:
    pause = leases.RENEW_SECONDS
    while True:
        sleep(pause)
        if TimedBroker.has_lease and TimedBroker.owner is not None:
            pause = leases.RENEW_SECONDS
            try:
                TimedBroker.renew_lease(TimedBroker.owner)
            except Error as error:
                logger.debug("The lease could not be renewed: %s", error)
                pause = CYCLE_SECONDS
                with suppress(Error):  # or this thread would end
                    connections[Conf.ORM].close()


def _how_it_ended(process: Any) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# Receivers of django-q2's signals, for what it does not do itself. None of them may raise: that
# would end the process they run in.


def note_start(task: dict[str, Any], **kwargs: Any) -> None:
    """Record when a worker begins a task; stock django-q2 records when it was enqueued."""
    task["started"] = datetime.now(UTC)


def keep_storable(task: dict[str, Any], **kwargs: Any) -> None:
    """
    Make a task fail, in the worker that ran it, whose result cannot be stored.

    Stock django-q2 loses the result on its way to the monitor, and runs the task again for ever.
    """
    for name in ("name", "group"):
        if task.get(name):
            task[name] = task[name][:LONGEST_NAME]
    try:
        pickle.dumps(task["result"])
    except Exception as error:  # noqa: BLE001 (whatever a class does when it is pickled)
        task["result"] = f"Its result cannot be stored: {type(error).__name__}: {error}"
        task["success"] = False
        task["ack_failure"] = True


def note_end(task: dict[str, Any], **kwargs: Any) -> None:
    """In the monitor, when the heartbeat task has finished, record it, and delete what was left."""
    if task["func"] == BEAT:
        heartbeat.beat()
        with suppress(Error):
            get_broker().delete_left()


@dataclass
class Lane:
    """One lane as the supervisor sees it: its present cluster, and its starts so far."""

    name: str
    board: heartbeat.SharedHeartbeats
    sentinel: Any = None
    pipe: Connection | None = None
    owner: int = 0
    dead_owners: list[int] = field(default_factory=list)
    started_at: float = 0
    is_up: bool = False
    pause: float = 0
    # When to start it (again), by `monotonic()`; None while it runs.
    start_at: float | None = 0
    failed_starts: int = 0

    def start(self) -> None:
        """Start a cluster for the lane."""
        # Before anything can fail: a start that fails has not lasted, whatever the last one did.
        self.started_at, self.is_up = monotonic(), False
        # Children must not share the parent's connections.
        connections.close_all()
        ours, theirs = stock.multiprocessing.Pipe()
        self.owner = random.getrandbits(31)
        self.board.enter(self.name, self.owner)
        self.sentinel = stock.get_mp_context().Process(
            target=_be_sentinel,
            args=(self.name, self.owner, self.dead_owners, self.board, os.getpid(), ours, theirs),
            name=f"{self.name} sentinel",
        )
        self.sentinel.start()
        theirs.close()
        self.pipe, self.start_at = ours, None

    def is_running(self) -> bool:
        """Return whether the lane's cluster runs."""
        return self.sentinel is not None and self.sentinel.is_alive()

    def read_started(self) -> None:
        """Read from the pipe that the cluster has started."""
        assert self.pipe
        try:
            self.pipe.recv_bytes()
        except (EOFError, OSError):
            return  # it has ended; its sentinel's handle says so
        self.is_up, self.failed_starts = True, 0

    def note_end(self) -> None:
        """Record that its cluster has ended, and plan the next start."""
        assert self.pipe
        self.pipe.close()
        self.pipe = None
        # The database may take the claims of these for those of a live owner.
        self.dead_owners = [*self.dead_owners, self.owner][-10:]
        self.plan_next_start()

    def plan_next_start(self) -> None:
        """Plan a start at once, or after a pause if the last cluster did not last."""
        longer = min(max(2 * self.pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self.pause = 0 if monotonic() - self.started_at > STEADY_SECONDS else longer
        self.start_at = monotonic() + self.pause
        self.failed_starts += not self.is_up

    def ask_to_stop(self) -> None:
        """Ask the cluster to finish its running tasks and end."""
        self.start_at = None
        if self.pipe:
            try:
                self.pipe.send_bytes(b"stop")
            except OSError:
                return  # it has ended


def _be_sentinel(
    lane: str,
    owner: int,
    dead_owners: Sequence[int],
    board: heartbeat.SharedHeartbeats,
    parent: int,
    others: Connection,
    pipe: Connection,
) -> NoReturn:
    others.close()
    end_with_parent(parent)
    # Inherited by every child: a signal to the whole group must not interrupt running tasks.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    enter_lane(lane)
    TimedBroker.owner, TimedBroker.dead_owners = owner, tuple(dead_owners)
    heartbeat.OwnHeartbeat.board, heartbeat.OwnHeartbeat.lane = board, lane
    pre_execute.connect(note_start)
    post_execute_in_worker.connect(keep_storable)
    post_execute.connect(note_end)
    setproctitle.setproctitle(f"qcluster {lane} sentinel")
    try:
        code = Sentinel(pipe).run()
    except Exception:
        logger.exception("The sentinel of lane %s failed.", lane)
        code = EXIT_BROKEN
    logging.shutdown()
    # `sys.exit` would wait for the threads of queues whose readers were killed.
    os._exit(code)


def enter_lane(name: str) -> None:
    """
    Set django-q2's configuration of this process to that of one lane.

    django-q2 itself does so only when it is imported, from Q_CLUSTER_NAME.
    """
    config = conf.lane_settings(name)
    Conf.CLUSTER_NAME = name
    Conf.WORKERS, Conf.QUEUE_LIMIT = config["workers"], config["queue_limit"]
    Conf.TIMEOUT, Conf.RETRY = config["timeout"], config["retry"]


class Supervisor:
    """Keeps the clusters of some lanes running until a signal asks to stop."""

    def __init__(self, names: Sequence[str]) -> None:
        board = heartbeat.SharedHeartbeats(names, pid=os.getpid())
        self.lanes = [Lane(name, board) for name in names]
        self.stop_asked = False
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked = True
        try:
            os.write(self._wake_writer, b"\0")
        except BlockingIOError:
            return  # as many signals as a pipe holds: it is awake

    def wait_for_database(self, examine: Callable[[], None]) -> None:
        """
        Examine the database as soon as it can be reached; return early when asked to stop.

        :param examine: raises what keeps this worker from running on it.
        """
        remind_at = 0.0
        while not self.stop_asked:
            try:
                return examine()
            except Error as error:
                if not is_outage(error):
                    raise
                if monotonic() >= remind_at:
                    remind_at = monotonic() + REMIND_SECONDS
                    logger.warning("The database cannot be used: %s", first_line(error))
                connections.close_all()
                wait([self._wake_reader], LONGEST_PAUSE_SECONDS)

    def run(self, *, once: bool = False) -> int:
        """
        Run the lanes until a SIGTERM or SIGINT, then let running tasks finish.

        :param once: stop as soon as every lane has started.
        :returns: the exit code: 0 after a signal, `EXIT_BROKEN` when a lane cannot be started.
        """
        is_up = False
        while not self.stop_asked:
            for lane in self.lanes:
                if lane.start_at is not None and monotonic() >= lane.start_at:
                    self._start(lane)
            self._wait_for_changes()
            if any(lane.failed_starts >= MOST_STARTS for lane in self.lanes):
                logger.critical("A lane cannot be started; the worker exits.")
                self.stop()
                return EXIT_BROKEN
            if not is_up and all(lane.is_up for lane in self.lanes):
                is_up = True
                self.stop_asked |= once
                names = ", ".join(f"lane {lane.name}" for lane in self.lanes)
                logger.info("Worker started: %s.", names)
        logger.info("Worker stops when its running tasks are finished.")
        self.stop()
        logger.info("Worker stopped.")
        return 0

    def _start(self, lane: Lane) -> None:
        try:
            lane.start()
        except OSError as error:  # out of memory or processes: tried again after a pause
            logger.critical("Lane %s cannot be started: %s", lane.name, error)
            lane.plan_next_start()

    def _wait_for_changes(self) -> None:
        """Wait for a signal, a lane's start or end, or the time to start one again."""
        starts = [lane.start_at for lane in self.lanes if lane.start_at is not None]
        timeout = max(min(starts) - monotonic(), 0) if starts else None
        pipes = {lane.pipe: lane for lane in self.lanes if lane.pipe and not lane.is_up}
        ends = {lane.sentinel.sentinel: lane for lane in self.lanes if lane.pipe}
        for ready in wait([self._wake_reader, *pipes, *ends], timeout):
            if ready in pipes:
                pipes[ready].read_started()
            elif ready in ends:
                lane = ends[ready]
                lane.sentinel.join()
                lane.note_end()
                how = _how_it_ended(lane.sentinel)
                logger.critical("Lane %s ended by itself (%s) and is restarted.", lane.name, how)
                if lane.sentinel.exitcode == EXIT_SILENT:
                    self._end_older_lanes()

    def _end_older_lanes(self) -> None:
        """
        End the lanes whose connections are as old as some that turned out to be half open.

        A pusher that waits for its workers, which wait for the database, finds out nothing.
        """
        for lane in self.lanes:
            if lane.is_running() and monotonic() - lane.started_at > SILENT_SECONDS:
                lane.sentinel.kill()

    def stop(self) -> None:
        """Ask every lane to stop; kill those that still run after `STOP_AFTER` seconds."""
        for lane in self.lanes:
            lane.ask_to_stop()
        deadline = monotonic() + conf.STOP_AFTER
        for lane in self.lanes:
            if lane.is_running():
                lane.sentinel.join(max(deadline - monotonic(), 0))
        for lane in self.lanes:
            if lane.is_running():
                text = "Lane %s is killed after %s s; the next worker runs its tasks again."
                logger.error(text, lane.name, conf.STOP_AFTER)
                # Its children end with it.
                lane.sentinel.kill()
                lane.sentinel.join()


def prepare_connections() -> None:
    """
    Mark the connections of this process and its children as a worker's, and make them persistent.

    A connection closed after each task could not listen, and every publish would open a new one.
    Without health checks django-q2 would lose the first result after a lost connection.
    """
    for alias in connections:
        kept = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
        settings.DATABASES[alias].update(kept)
        connections[alias].settings_dict.update(kept)
        options = settings.DATABASES[alias].setdefault("OPTIONS", {})
        options["application_name"] = WORKER_NAME
        connections[alias].settings_dict.setdefault("OPTIONS", {}).update(options)
