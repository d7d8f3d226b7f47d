"""
The worker: a supervisor, with one django-q2 cluster a lane.

```
supervisor                  hears signals; starts a lane's cluster again when it breaks
└── sentinel, one a lane    guards its processes; when one dies it ends the rest and itself
    ├── pusher              claims messages
    ├── worker, several     run tasks
    └── monitor             keeps results, acknowledges messages
```

Stock django-q2 replaces a child that died. But its processes share queues, and the locks of a
queue die with whoever holds them: killing an idle worker can freeze the rest for ever, killing the
monitor can lose every result from then on. So here a lane fails as a whole, and is back within a
second: what it had claimed is given back at once (`scheduling.queue.broker`), and a job it had
begun is known to have been cut off (`scheduling.worker.job_runner`).

Nothing is left behind: every process asks the kernel to be killed when its parent ends. Only the
supervisor hears SIGTERM and SIGINT, so that a signal to the whole group cuts off no work, and it
does no more in the handler than wake its loop.
"""

import logging
import os
import pickle
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from time import monotonic
from types import FrameType
from typing import Any, NoReturn
from uuid import uuid4

import setproctitle
from django.conf import settings
from django.db import connections
from django_q import cluster as stock
from django_q.conf import Conf
from django_q.signals import post_execute, post_execute_in_worker, pre_execute
from django_q.worker import worker

from scheduling import conf
from scheduling.models.task_names import BEAT
from scheduling.queue.broker import TimedBroker
from scheduling.worker import heartbeat
from scheduling.worker.processes import end_with_parent

logger = logging.getLogger(__name__)

# Exit codes, of sysexits.h: the supervisor cannot go on; a lane lost one of its processes.
EXIT_BROKEN = 70
EXIT_LOST_A_PROCESS = 75

# A lane that breaks is started again at once; one that breaks again and again, after a pause.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
STEADY_SECONDS = 10.0
# Starts in a row that came to nothing, until the supervisor gives up.
MOST_STARTS = 20

CYCLE_SECONDS = 0.5
# Of a task's name and group, in django-q2's tables.
LONGEST_NAME = 100
# A worker whose time-out was raised leaves by itself once its result is written.
LEAVE_SECONDS = 2.0


class Flag:
    """What stock django-q2 keeps in a shared event; here each process has its own."""

    def __init__(self) -> None:
        self.value = False

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self.value

    def set(self) -> None:
        """Set it."""
        self.value = True


class Sentinel(stock.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """The process that guards one lane's processes."""

    def __init__(self, parent: Connection) -> None:
        self.parent = parent
        # Stock takes SIGTERM back, for a moment.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        super().__init__(Flag(), Flag(), cluster_id=uuid4(), start=False)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self.looked_at = monotonic()

    def run(self) -> int:
        """
        Guard the lane until the supervisor says stop, or until one of its processes dies.

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
        """Replace workers that have left as they should; return who has died, if anyone."""
        now = monotonic()
        passed, self.looked_at = now - self.looked_at, now
        for process in (self.pusher, self.monitor):
            if not process.is_alive():
                role = "pusher" if process is self.pusher else "monitor"
                return f"its {role} ({_how(process)})"
        for process in list(self.pool):
            if died := self._look_after(process, passed):
                return died
        return ""

    def _look_after(self, process: Any, passed: float) -> str:
        # The lock of the timer may have died with the worker: look without it first.
        timer = process.timer.get_obj()
        if not process.is_alive():
            # It leaves by itself after a time-out (0), or when it has run many tasks (-2).
            if process.exitcode == 0 and timer.value in (0, -2):
                self._replace(process)
                return ""
            return f"worker {process.name} ({_how(process)})"
        if not process.timer.get_lock().acquire(timeout=CYCLE_SECONDS):
            return ""  # it is just writing a result down
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
            return f"worker {process.name}, which hangs beyond its time-out"
        self._replace(process)
        return ""

    def _replace(self, process: Any) -> None:
        logger.info("Worker %s has left; another takes its place.", process.name)
        connections.close_all()
        self.pool.remove(process)
        self.spawn_worker()

    def _kill_children(self) -> None:
        for process in self._children():
            process.kill()
        for process in self._children():
            process.join(LEAVE_SECONDS)


def _with_parent(parent: int, target: Callable[..., None], args: Sequence[Any]) -> None:
    """Be a child of the sentinel: what the new process does first."""
    end_with_parent(parent)
    target(*args)


def _how(process: Any) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# What stock django-q2 leaves out, mended in its signals. None of them may raise: that would end the
# process they run in.


def note_start(task: dict[str, Any], **kwargs: Any) -> None:
    """Have a task begin when a worker takes it up; stock writes when it was put in."""
    task["started"] = datetime.now(UTC)


def keep_storable(task: dict[str, Any], **kwargs: Any) -> None:
    """
    Have a result that cannot be kept end as a failed task, in the worker that ran it.

    Stock loses it on the way to the monitor, and the task is run again, for ever.
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
    """Beat, in the monitor, when the task that shows the way is clear has come through."""
    if task["func"] == BEAT:
        heartbeat.beat()


@dataclass
class Lane:
    """One lane, as the supervisor sees it: its cluster now, and how it has fared."""

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
    starts_in_vain: int = 0

    def start(self) -> None:
        """Fork the lane's sentinel."""
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
        self.pipe, self.started_at, self.start_at, self.is_up = ours, monotonic(), None, False

    def is_running(self) -> bool:
        """Whether its sentinel lives."""
        return self.sentinel is not None and self.sentinel.is_alive()

    def hear(self) -> None:
        """Note that the cluster has said it is up."""
        assert self.pipe
        try:
            self.pipe.recv_bytes()
        except (EOFError, OSError):
            return  # it has ended, which its sentinel's end tells
        self.is_up, self.starts_in_vain = True, 0

    def note_end(self) -> None:
        """Note that its cluster has ended, and plan the next."""
        assert self.pipe
        self.pipe.close()
        self.pipe = None
        # Only these can still have claims that the database takes for a living owner's.
        self.dead_owners = [*self.dead_owners, self.owner][-10:]
        self.plan_next_start()

    def plan_next_start(self) -> None:
        """Have it started at once, or after a pause when it breaks again and again."""
        steady = monotonic() - self.started_at > STEADY_SECONDS
        self.pause = (
            0 if steady else min(max(2 * self.pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        )
        self.start_at = monotonic() + self.pause
        self.starts_in_vain += not self.is_up

    def ask_to_stop(self) -> None:
        """Have it finish what it runs and end."""
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
    """Be a lane's sentinel: what the new process does first."""
    others.close()
    end_with_parent(parent)
    # Inherited by every child: a signal to the whole group must not cut off running tasks.
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
        logger.exception("The sentinel of lane %s broke.", lane)
        code = EXIT_BROKEN
    logging.shutdown()
    # Not `sys.exit`: that would wait for the threads of queues whose readers were killed.
    os._exit(code)


def enter_lane(name: str) -> None:
    """
    Give this process django-q2's settings of one lane.

    django-q2 reads Q_CLUSTER_NAME when it is imported, which is long past; this does the same.
    """
    config = conf.lane_settings(name)
    Conf.CLUSTER_NAME = name
    Conf.WORKERS, Conf.QUEUE_LIMIT = config["workers"], config["queue_limit"]
    Conf.TIMEOUT, Conf.RETRY = config["timeout"], config["retry"]


class Supervisor:
    """Keeps the clusters of some lanes running until it is told to stop."""

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

    def run(self, *, once: bool = False) -> int:
        """
        Work until a SIGTERM or SIGINT, then finish what is running.

        :param once: stop as soon as all has started.
        :returns: the exit code: 0 when it was asked to stop, `EXIT_BROKEN` when a lane cannot be
            started at all.
        """
        is_up = False
        while not self.stop_asked:
            for lane in self.lanes:
                if lane.start_at is not None and monotonic() >= lane.start_at:
                    self._start(lane)
            self._wait_for_news()
            if any(lane.starts_in_vain >= MOST_STARTS for lane in self.lanes):
                logger.critical("A lane cannot be started; the worker gives up.")
                self.stop()
                return EXIT_BROKEN
            if not is_up and all(lane.is_up for lane in self.lanes):
                is_up = True
                self.stop_asked |= once
                logger.info(
                    "Worker started: %s.", ", ".join(f"lane {it.name}" for it in self.lanes)
                )
        logger.info("Worker stops; what is running is finished first.")
        self.stop()
        logger.info("Worker stopped.")
        return 0

    def _start(self, lane: Lane) -> None:
        try:
            lane.start()
        except OSError as error:  # no memory, no process left: it may be better in a moment
            logger.critical("Lane %s cannot be started: %s", lane.name, error)
            lane.plan_next_start()

    def _wait_for_news(self) -> None:
        """Wait for a signal, a lane's end or word, or the time to start one again."""
        starts = [lane.start_at for lane in self.lanes if lane.start_at is not None]
        timeout = max(min(starts) - monotonic(), 0) if starts else None
        pipes = {lane.pipe: lane for lane in self.lanes if lane.pipe and not lane.is_up}
        ends = {lane.sentinel.sentinel: lane for lane in self.lanes if lane.pipe}
        for news in wait([self._wake_reader, *pipes, *ends], timeout):
            if news in pipes:
                pipes[news].hear()
            elif news in ends:
                lane = ends[news]
                lane.sentinel.join()
                lane.note_end()
                logger.critical(
                    "Lane %s ended by itself (%s) and is started again.",
                    lane.name,
                    _how(lane.sentinel),
                )

    def stop(self) -> None:
        """End every lane: politely, and after `STOP_AFTER` seconds at once."""
        for lane in self.lanes:
            lane.ask_to_stop()
        deadline = monotonic() + conf.STOP_AFTER
        for lane in self.lanes:
            if lane.is_running():
                lane.sentinel.join(max(deadline - monotonic(), 0))
        for lane in self.lanes:
            if lane.is_running():
                logger.error(
                    "Lane %s is cut off after %s s; its work is done again by the next worker.",
                    lane.name,
                    conf.STOP_AFTER,
                )
                # Its children die with it.
                lane.sentinel.kill()
                lane.sentinel.join()


def prepare_connections() -> None:
    """
    Have every connection of this process and its children say that it is a worker's, and stay.

    One that is closed after each task is no listener, and costs each publish a new one; without
    the check, the first result after a dropped connection is lost by django-q2.
    """
    for alias in connections:
        kept = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
        settings.DATABASES[alias].update(kept)
        connections[alias].settings_dict.update(kept)
        options = settings.DATABASES[alias].setdefault("OPTIONS", {})
        options["application_name"] = "armo-worker"
        connections[alias].settings_dict.setdefault("OPTIONS", {}).update(options)
