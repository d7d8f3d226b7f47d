"""The environment of a round: the database server, its workers, and their work."""

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Self

import psutil
from django.conf import settings
from django.db import transaction

from armo.common import postgres
from content.models import Story
from scheduling import operations
from scheduling.models import clock
from scheduling.operations import NotInFuture
from tests.chaos.traps.models import Mode, Trap
from tests.process.pooler import Pooler
from tests.process.server import Server, execute, wait_until_time
from tests.process.worker import Worker, wait_until

TITLE = re.compile(r"qcluster (?P<lane>[a-z]+)(?:-\d+)? (?P<role>sentinel|pusher|monitor|idle|p)")
# What a whole worker has: a lane's name, and how many workers are in it.
LANES = {"publish": 2, "slow": 2, "mail": 1}
# How long what belongs to a dead process may take to follow it.
LEFTOVER_SECONDS = 3

SINGLES, BURST, TRAPS = 20, 2000, 4
# How many can be scheduled in a second; if it was not so, it is tried again with a lower figure.
WRITTEN_PER_SECOND = (1000, 200, 50)
LEAD_SECONDS, SPREAD_SECONDS, BURST_AFTER_SECONDS = 1.5, 3.0, 1.5

TABLES = (
    "content_story",
    "traps_trap",
    "scheduling_job",
    "scheduling_jobevent",
    "django_q_ormq",
    "django_q_task",
)


class Cluster(Worker):
    """A worker, as chaos sees it: its processes by role, and those that outlive it."""

    def __init__(self, log: Path, **env: str) -> None:
        super().__init__(log, DJANGO_SETTINGS_MODULE="tests.chaos.settings", **env)
        # What its fault asks for.
        self.env = env
        self.up_at = 0.0

    def wait_until_ready(self) -> Self:
        """Return once it says that it has started; note when."""
        super().wait_until_ready()
        self.up_at = time.time()
        return self

    def members(self, role: str, lane: str) -> list[psutil.Process]:
        """Return the processes that play a role in a lane: sentinel, pusher, monitor or worker."""
        return sorted(
            (process for (its, name), process in self._cast() if (its, name) == (role, lane)),
            key=lambda process: process.pid,
        )

    def is_whole(self) -> bool:
        """Whether each lane has all it should, and there is nobody else."""
        wanted = Counter({("supervisor", ""): 1})
        for lane, workers in LANES.items():
            wanted += Counter({(role, lane): 1 for role in ("sentinel", "pusher", "monitor")})
            wanted[("worker", lane)] = workers
        cast = Counter(who for who, _ in self._cast())
        return cast == wanted and len(self.session()) == wanted.total()

    def _cast(self) -> Iterator[tuple[tuple[str, str], psutil.Process]]:
        family = self.family()
        if not family:
            return
        yield ("supervisor", ""), family[0]
        sentinels = set()
        for process in family[1:]:
            with contextlib.suppress(psutil.Error):
                title = TITLE.match(" ".join(process.cmdline()))
                parent = process.ppid()
                if title is None:
                    continue
                role = {"idle": "worker", "p": "worker"}.get(title["role"], title["role"])
                # A fork has its parent's title at first: who is whose child shows which is which.
                if role == "sentinel" and parent == self.process.pid:
                    sentinels.add(process.pid)
                    yield (role, title["lane"]), process
                elif role != "sentinel" and parent in sentinels:
                    yield (role, title["lane"]), process

    def session(self) -> list[psutil.Process]:
        """Return every living process that it started, whoever its parent is by now."""
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getsid(pid) == self.process.pid:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    def items(self) -> list[str]:
        """Return what is still there of a worker that has ended, after a little patience."""
        assert self.process.poll() is not None
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.session(), seconds=LEFTOVER_SECONDS, what="nobody left")
        return describe(self.session())

    def end(self) -> list[str]:
        """Stop it politely; return what is wrong with how it ends."""
        wrong = []
        try:
            code = self.stop(seconds=settings.STOP_AFTER + 10)
            if code != 0:
                wrong.append(f"it ended with exit code {code}")
        except Exception as error:  # noqa: BLE001 (it is reported; the next round needs the place)
            wrong.append(f"it did not stop: {error}")
            self.process.kill()
            self.process.wait()
        wrong += [f"left over: {process}" for process in self.items()]
        for process in self.session():
            process.kill()
        return wrong

    def freeze(self, processes: Sequence[psutil.Process], seconds: float) -> None:
        """Stop processes as they are, and let them go on later."""
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        wait_until_time(time.time() + seconds)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def describe(processes: Sequence[psutil.Process]) -> list[str]:
    """Return a line for each."""
    lines = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
    return lines


@dataclass
class Load:
    """What was put in, and what should become of it."""

    stories: list[int]
    traps: dict[int, Mode]
    # When the first is due, and when the burst is; by `time.time()`, which here is the server's.
    first: float
    burst: float
    # Names of other people's tasks that must end in django-q2's failed ones, and why.
    failed_tasks: dict[str, str] = field(default_factory=dict)
    # And of those that must be among the done.
    done_tasks: list[str] = field(default_factory=list)


class Stage:
    """The server, the workers, and a folder for their logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(folder)
        self.pooler: Pooler | None = None
        # For every worker, beside what its fault asks for.
        self.env: dict[str, str] = {}
        self.clusters: list[Cluster] = []
        self.starts = 0

    @property
    def cluster(self) -> Cluster:
        """Return the worker that faults strike."""
        return self.clusters[0]

    def go_behind(self, pooler: Pooler) -> None:
        """Have workers that start from now on reach the server through a pooler only."""
        self.pooler = pooler
        database = postgres.settings(self.server.data_dir)["NAME"]
        self.env = {"DATABASE_URL": pooler.url(database)}

    def start_cluster(self, **env: str) -> Cluster:
        """Start a worker, beside any other, and wait until it is whole."""
        cluster = self._new_cluster(env)
        self.clusters.append(cluster)
        cluster.wait_until_ready()
        wait_until(cluster.is_whole, seconds=20, what="a whole worker")
        return cluster

    def replace_cluster(self, **env: str) -> Cluster:
        """
        Start another worker in place of the struck one, which has ended.

        :returns: the one that has ended.
        """
        ended, self.clusters[0] = self.clusters[0], self._new_cluster(env)
        self.cluster.wait_until_ready()
        return ended

    def _new_cluster(self, env: dict[str, str]) -> Cluster:
        self.starts += 1
        log = self.folder / f"worker-{self.starts}.log"
        cluster = Cluster(log, **{**self.env, **env})
        cluster.env = env
        return cluster

    def have_cluster(self, env: dict[str, str], *, anew: bool) -> list[str]:
        """Have one worker with these settings; return what is wrong with how another ended."""
        wrong = []
        if self.clusters and (anew or self.cluster.env != env):
            wrong = self.end_clusters()
        if not self.clusters:
            self.start_cluster(**env)
        return wrong

    def end_clusters(self) -> list[str]:
        """Stop every worker; return what is wrong with how they end."""
        wrong = [line for cluster in self.clusters for line in cluster.end()]
        self.clusters = []
        return wrong

    def forget_cluster(self) -> list[str]:
        """Forget the worker that has ended; return which of its processes are left."""
        return self.clusters.pop(0).items()

    def clear(self) -> None:
        """Empty the tables. Ids go on: a worker that stays must not meet one twice."""
        execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")

    def put_in(self, chance: Random, *, traps: Sequence[Mode], burst: int = BURST) -> Load:
        """
        Schedule single items over a few seconds, a burst at one instant, and some traps.

        :param traps: the modes of the traps, all due at the burst; the ones that work are spread.
        """
        state = chance.getstate()
        for per_second in WRITTEN_PER_SECOND:
            chance.setstate(state)
            try:
                return self._put_in(chance, LEAD_SECONDS + burst / per_second, traps, burst)
            except NotInFuture:
                # Nothing was committed that a worker would find.
                self.clear()
        raise AssertionError("the machine is too slow")

    def _put_in(self, chance: Random, seconds: float, traps: Sequence[Mode], burst: int) -> Load:
        stories = Story.objects.bulk_create(
            Story(title=f"제목 {n}", slug=f"story-{n}", body="본문") for n in range(burst + SINGLES)
        )
        made = Trap.objects.bulk_create(
            Trap(title=f"trap {n}", mode=m) for n, m in enumerate(traps)
        )
        # A margin for the writing itself: all must be in before the first is due.
        first = clock.database_now() + timedelta(seconds=seconds)
        at_once = first + timedelta(seconds=BURST_AFTER_SECONDS)

        def some_time() -> datetime:
            return first + timedelta(seconds=chance.uniform(0, SPREAD_SECONDS))

        with transaction.atomic():
            for run_at, story in zip(
                [first, *(some_time() for _ in range(SINGLES - 1))], stories[burst:], strict=True
            ):
                operations.schedule(item=story, run_at=run_at, by=None)
            working = [trap for trap in made if trap.mode == Mode.WORK]
            for trap in working:
                run_at = at_once if chance.random() < 0.5 else some_time()
                operations.schedule(item=trap, run_at=run_at, by=None)
            poisoned = [trap for trap in made if trap.mode != Mode.WORK]
            for items in (poisoned, stories[:burst]):
                operations.schedule_many(items=items, run_at=at_once, by=None)
        if clock.database_now() > first:
            print("  the machine was too slow to put all in before the first was due")  # noqa: T201
        return Load(
            stories=[story.pk for story in stories],
            traps={trap.pk: Mode(trap.mode) for trap in made},
            first=first.timestamp(),
            burst=at_once.timestamp(),
        )
