"""Faults of processes, connections, hooks, clocks and messages."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import psutil
from django.db import connection
from django_q.tasks import async_task

from tests.chaos.environment import Cluster
from tests.chaos.fault import Fault, Scene
from tests.chaos.memory import Bound
from tests.chaos.traps.models import Mode
from tests.process.server import execute, patiently, wait_until_time
from tests.process.worker import wait_until

FROZEN_SECONDS = 5.0
AWAY_SECONDS = 30.0
WRONG_CLOCK = Path(__file__).resolve().parents[1] / "process" / "wrong_clock"
ROLES = ("sentinel", "pusher", "monitor", "worker")


# Processes


class Kill(Fault):
    """`kill -9` of one process of a lane."""

    def __init__(self, role: str, lane: str) -> None:
        self.role, self.lane = role, lane
        self.name = f"kill {role}, {lane}"

    def strike(self, scene: Scene) -> float:
        """Kill it."""
        victim = scene.pick(scene.cluster.members(self.role, self.lane))
        now = time.time()
        victim.kill()
        return now


class KillHook(Fault):
    """`kill -9` of the process that runs a hook, in the middle of it."""

    name = "kill a hook's process"
    moments = ("busy",)

    def strike(self, scene: Scene) -> float:
        """Kill it as soon as there is one."""
        deadline = time.time() + 10
        while time.time() < deadline:
            for worker in scene.cluster.members("worker", "slow"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if hooks := worker.children():
                        now = time.time()
                        hooks[0].kill()
                        return now
        raise AssertionError("no hook has run")


class KillTwoWorkers(Fault):
    """`kill -9` of all workers of a lane at once."""

    name = "kill two workers"

    def strike(self, scene: Scene) -> float:
        """Kill them."""
        victims = scene.cluster.members("worker", scene.chance.choice(["publish", "slow"]))
        now = time.time()
        for victim in victims:
            victim.kill()
        return now


class KillStorm(Fault):
    """`kill -9` of any process but the supervisor, ten times in three seconds."""

    name = "kill storm"
    # More than a single process, and a hook that is cut off twice waits for its retry: not for long
    # here, and there are enough of them for one that is cut off each time.
    target_ms = None
    env: ClassVar = {"RETRY_DELAYS": "2,2,2,2,2,2,2,2,2,2"}
    moments = ("between",)

    def strike(self, scene: Scene) -> float:
        """Kill every process found."""
        for _ in range(10):
            wait_until_time(time.time() + scene.chance.uniform(0.1, 0.5))
            if below := scene.cluster.family()[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    scene.pick(below).kill()
        return time.time()


class KillAll(Fault):
    """The whole worker is killed, by `kill -9`, and started again."""

    target_ms = 1000
    left: Cluster | None = None
    code = 0

    def __init__(self, whom: str) -> None:
        self.whom = whom
        self.name = f"kill {whom}"

    def strike(self, scene: Scene) -> float:
        """Kill it; start another."""
        struck = scene.cluster
        if self.whom == "supervisor":
            struck.process.kill()
        else:
            os.killpg(struck.process.pid, signal.SIGKILL)
        struck.process.wait()
        self.left = scene.stage.replace_cluster(**self.env)
        return scene.cluster.up_at

    def clean_up(self, scene: Scene) -> list[str]:
        """Look for processes of the one that was killed."""
        return [f"left over: {process}" for process in self.left.items()] if self.left else []


class Terminate(KillAll):
    """SIGTERM, twice, to the process or to its whole group; then it is started again."""

    def __init__(self, whom: str) -> None:
        super().__init__(whom)
        self.name = f"SIGTERM {whom} twice"

    def strike(self, scene: Scene) -> float:
        """Ask it to stop, and ask again."""
        struck = scene.cluster
        send: Callable[[int, int], None] = os.kill if self.whom == "process" else os.killpg
        send(struck.process.pid, signal.SIGTERM)
        wait_until_time(time.time() + scene.chance.uniform(0, 0.3))
        with contextlib.suppress(ProcessLookupError):
            send(struck.process.pid, signal.SIGTERM)
        self.code = struck.process.wait(40)
        self.left = scene.stage.replace_cluster(**self.env)
        return scene.cluster.up_at

    def clean_up(self, scene: Scene) -> list[str]:
        """Look at how it ended, too."""
        wrong = [f"it ended with exit code {self.code}"] if self.code else []
        return wrong + super().clean_up(scene)


class Freeze(Fault):
    """SIGSTOP of one process, or of all, for 5 s."""

    def __init__(self, whom: str) -> None:
        self.whom = whom
        self.name = f"SIGSTOP {whom}, 5 s"

    def strike(self, scene: Scene) -> float:
        """Stop it, and let it go on."""
        if self.whom == "all":
            victims = scene.cluster.family()
        else:
            lane = scene.chance.choice(["publish", "slow"])
            victims = [scene.pick(scene.cluster.members(self.whom, lane))]
        scene.cluster.freeze(victims, FROZEN_SECONDS)
        return time.time()


# The database

BACK_ENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'armo-worker'"


class EndConnections(Fault):
    """`pg_terminate_backend` of one connection of the worker, or of all."""

    def __init__(self, which: str) -> None:
        self.which = which
        self.name = f"end {which}"
        if which == "idle connections":
            self.moments = ("long before",)  # type: ignore[misc]  # of this one

    def strike(self, scene: Scene) -> float:
        """End them."""
        statement = BACK_ENDS
        if self.which == "idle connections":
            statement += " AND state = 'idle'"
        pids = sorted(pid for (pid,) in execute(statement))
        if self.which == "one connection" and pids:
            pids = [scene.chance.choice(pids)]
        now = time.time()
        execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
        return now


class CrashBackEnd(Fault):
    """`kill -9` of one of PostgreSQL's own processes: the server ends all sessions."""

    name = "kill a back end"

    def strike(self, scene: Scene) -> float:
        """Kill one that serves the worker."""
        pids = sorted(pid for (pid,) in execute(BACK_ENDS))
        # No backend may be connected: then the server has nothing to lose.
        os.kill(scene.chance.choice(pids), signal.SIGKILL)
        connection.close()
        wait_until(_is_refused_or_new(pids), seconds=10, what="the server has noticed")
        return scene.stage.server.wait_until_it_accepts()


def _is_refused_or_new(pids: Sequence[int]) -> Callable[[], bool]:
    """Return a condition: the server is in recovery, or has been through it already."""

    def holds() -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [list(pids)]
                )
                return not cursor.fetchone()[0]
        except Exception:  # noqa: BLE001 (whatever it is, the server does not answer)
            connection.close()
            return True

    return holds


class Restart(Fault):
    """`pg_ctl restart -m immediate`."""

    name = "restart PostgreSQL"

    def strike(self, scene: Scene) -> float:
        """Restart it."""
        return scene.stage.server.restart()


class Away(Fault):
    """PostgreSQL is away for 30 s."""

    name = "PostgreSQL away, 30 s"

    def strike(self, scene: Scene) -> float:
        """Stop the server for that long."""
        return scene.stage.server.restart(pause=AWAY_SECONDS)


class Truncate(Fault):
    """TRUNCATE of the queue table."""

    name = "truncate the queue"
    target_ms = None
    patience_seconds = 90.0

    def strike(self, scene: Scene) -> float:
        """Empty it."""
        now = time.time()
        execute("TRUNCATE django_q_ormq")
        return now


# Hooks


class Hook(Fault):
    """A type's hook fails, hangs, or ends its process."""

    env: ClassVar = {"HOOK_TIMEOUT": "2", "RETRY_DELAYS": "0"}
    max_attempts = 2
    moments = ("busy",)
    patience_seconds = 60.0
    counts_traps = False

    def __init__(self, mode: Mode) -> None:
        self.name = f"hook: {mode}"
        self.traps = (mode, mode)  # type: ignore[misc]  # of this one


class EatingHook(Hook):
    """A hook takes memory until the kernel kills it."""

    spoils_worker = True

    def __init__(self) -> None:
        super().__init__(Mode.EAT)

    def prepare(self, scene: Scene) -> None:
        """Bound the worker's memory."""
        self.bound = Bound(scene.cluster.session)
        self.name = f"hook: eat ({self.bound.how})"

    def clean_up(self, scene: Scene) -> list[str]:
        """Take the bound away, once nobody is below it."""
        wrong = scene.stage.end_clusters()
        self.bound.lift()
        return wrong


class TenPoisons(Hook):
    """Ten hooks that hang, fail or kill, beside 1,000 healthy items due at the same instant."""

    env: ClassVar = {"HOOK_TIMEOUT": "2", "RETRY_DELAYS": "0,0,0"}
    max_attempts = 4
    burst = 1000
    patience_seconds = 120.0

    def __init__(self) -> None:
        self.name = "ten poisoned hooks"
        self.traps = (Mode.HANG, Mode.RAISE, Mode.KILL) * 3 + (Mode.EXIT,)  # type: ignore[misc]


# Clocks


class WrongClock(Fault):
    """The clock of the worker's host is wrong by ten minutes."""

    moments = ("idle",)
    needs_new_worker = True

    def __init__(self, minutes: int) -> None:
        self.name = f"clock {minutes:+} min"
        self.env = {  # type: ignore[misc]  # of this one
            "PYTHONPATH": str(WRONG_CLOCK),
            "CLOCK_OFFSET": str(60 * minutes),
        }


# Two of them


class TwoClusters(Fault):
    """Two workers on one database, and one process of the first is killed."""

    name = "two clusters, one struck"
    spoils_worker = True
    left: Sequence[str] = ()

    def prepare(self, scene: Scene) -> None:
        """Start the second."""
        scene.stage.start_cluster(**self.env)

    def strike(self, scene: Scene) -> float:
        """Kill one, of any role."""
        choice = scene.chance.choice([*ROLES, "supervisor"])
        now = time.time()
        if choice == "supervisor":
            scene.cluster.process.kill()
            scene.cluster.process.wait()
            self.left = scene.stage.forget_cluster()
        else:
            scene.pick(
                scene.cluster.members(choice, scene.chance.choice(["publish", "slow"]))
            ).kill()
        return now

    def clean_up(self, scene: Scene) -> list[str]:
        """Return a line for each process that is left over."""
        return [f"left over: {process}" for process in self.left]


# Messages


class Undecodable(Fault):
    """Payloads in the queue are damaged: of jobs, and of somebody else's task."""

    name = "undecodable messages"

    def prepare(self, scene: Scene) -> None:
        """Damage some of those that wait."""
        execute(
            "UPDATE django_q_ormq SET payload = 'x' WHERE id IN"
            " (SELECT id FROM django_q_ormq ORDER BY lock, id LIMIT 40)"
        )

    def strike(self, scene: Scene) -> float:
        """Enqueue payloads that cannot be decoded."""
        [(pk,)] = execute(
            "INSERT INTO django_q_ormq (key, payload, lock)"
            " VALUES ('publish', 'x', clock_timestamp()) RETURNING id"
        )
        scene.load.failed_tasks[f"message {pk}"] = "cannot be decoded"
        return time.time()


class RotatedKey(Fault):
    """SECRET_KEY was changed: no message in the queue can be decoded any more."""

    name = "rotated SECRET_KEY"
    env: ClassVar = {"SECRET_KEY": "another"}

    def strike(self, scene: Scene) -> float:
        """Put in somebody else's task, signed with the old key."""
        patiently(lambda: async_task("math.sqrt", 4, task_name="old", cluster="publish"))
        scene.load.failed_tasks["message "] = "cannot be decoded"
        return time.time()


class Task(Fault):
    """
    Somebody else's task does its worst, beside one that is well.

    One that ends its worker does so five times: as often as it is handed out.
    """

    patience_seconds = 90.0

    def __init__(self, what: str, why: str, *, target_ms: int | None = 2000) -> None:
        self.what, self.why, self.target_ms = what, why, target_ms
        self.name = f"task: {what}"

    def strike(self, scene: Scene) -> float:
        """Put it in."""
        lane = scene.chance.choice(["publish", "slow"])
        # The first is well: it must not go down with the other.
        for what in ("work", self.what):
            options: dict[str, Any] = {"cluster": lane, "timeout": 2 if what != "work" else 10}
            patiently(partial(async_task, f"{TASKS}.{what}", task_name=what, q_options=options))
        scene.load.done_tasks.append("work")
        scene.load.failed_tasks[self.what] = self.why
        return time.time()


TASKS = "tests.chaos.tasks"
NEVER_ENDED = "never came to an end"


def all_faults() -> list[Fault]:
    """Return one of each."""
    return [
        Fault(),
        *(Kill(role, lane) for role in ROLES for lane in ("publish", "slow")),
        KillHook(),
        KillTwoWorkers(),
        KillStorm(),
        KillAll("supervisor"),
        KillAll("whole group"),
        Terminate("process"),
        Terminate("group"),
        *(Freeze(role) for role in ROLES),
        Freeze("all"),
        EndConnections("one connection"),
        EndConnections("all connections"),
        EndConnections("idle connections"),
        CrashBackEnd(),
        Restart(),
        Away(),
        Truncate(),
        *(Hook(m) for m in (Mode.RAISE, Mode.HANG, Mode.SWALLOW, Mode.EXIT, Mode.KILL)),
        EatingHook(),
        TenPoisons(),
        WrongClock(10),
        WrongClock(-10),
        TwoClusters(),
        Undecodable(),
        RotatedKey(),
        Task("unpicklable", "cannot be stored"),
        Task("swallow", NEVER_ENDED, target_ms=None),
        Task("die", NEVER_ENDED, target_ms=None),
        Task("leave", NEVER_ENDED, target_ms=None),
    ]
