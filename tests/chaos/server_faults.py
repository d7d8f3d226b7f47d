"""Faults of a server that is there: locked rows, no free slot, no writes, no space on its disk."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from armo.common import postgres
from content.models import Story
from scheduling.queries import health
from tests.chaos.environment import Stage
from tests.chaos.fault import Fault, Scene
from tests.chaos.small_disk import SmallDisk, cannot_mount
from tests.chaos.traps.models import Mode, Trap
from tests.process.server import Server, execute, patiently, wait_for, wait_until_time
from tests.process.web import Web

IDLE_SECONDS = 60.0
SHORT_SECONDS = 20.0
AWAY_SECONDS = 70.0
# How soon readers see an item that nothing holds.
LIVE_SECONDS = 2.0


class IdleInTransaction(Fault):
    """Sessions lock items, jobs and a row elsewhere, and then idle in transaction for 60 s."""

    name = "idle in transaction, 60 s"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("long before",)
    # What is locked waits in pauses of up to ten seconds by then.
    target_ms = 11_000
    wrong: Sequence[str] = ()

    def strike(self, scene: Scene) -> float:
        """Lock the rows of two stories and two items with hooks; release them after that time."""
        item, of_job = scene.load.stories[-2:]
        working = [pk for pk, mode in scene.load.traps.items() if mode == Mode.WORK]
        story, trap = (ContentType.objects.get_for_model(model).pk for model in (Story, Trap))
        statements: list[tuple[str, list[Any]]] = [
            ("SELECT FROM content_story WHERE id = %s FOR UPDATE", [item]),
            ("SELECT FROM traps_trap WHERE id = %s FOR UPDATE", [working[0]]),
            (
                "SELECT FROM scheduling_job WHERE (content_type_id, object_id)"
                " IN ((%s, %s), (%s, %s)) FOR UPDATE",
                [story, of_job, trap, working[1]],
            ),
            # Its snapshot keeps VACUUM from removing what is newer.
            ("INSERT INTO auth_group (name) VALUES ('idle')", []),
        ]
        with contextlib.ExitStack() as stack:
            for statement, params in statements:
                session = stack.enter_context(scene.stage.server.connect())
                if params == []:
                    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                session.execute(statement, params)
                stack.callback(session.rollback)
            wait_until_time(time.time() + IDLE_SECONDS - LIVE_SECONDS)
            self.wrong = list(_not_live(item, of_job))
            wait_until_time(time.time() + LIVE_SECONDS)
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Return what waited although nothing held it."""
        return list(self.wrong)


def _not_live(*held: int) -> Iterator[str]:
    [(number,)] = execute(
        "SELECT count(*) FROM content_story WHERE status <> 'published'"
        " AND publish_at < clock_timestamp() AND NOT id = ANY(%s)",
        [list(held)],
    )
    if number:
        yield f"{number} stories that nothing holds are not live"


class NoSlots(Fault):
    """A foreign client takes every connection that the server has, for 20 s."""

    name = "max_connections used up, 20 s"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("long before", "busy")
    web: Web | None = None

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def set_up(self, stage: Stage) -> None:
        """Start a web process."""
        self.web = Web(stage.folder / "web.log", {})
        self.web.wait_until_ready()

    def strike(self, scene: Scene) -> float:
        """Take the free slots, then those of the worker and of the web process, one by one."""
        assert self.web
        taken: list[psycopg.Connection[Any]] = []
        ends_at = time.time() + SHORT_SECONDS
        wanted = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND application_name LIKE 'armo-%%' ORDER BY pid"
        )
        try:
            with scene.stage.server.connect() as admin:
                admin.autocommit = True
                while time.time() < ends_at - 3:
                    while (session := _try_to_connect(scene)) is not None:
                        taken.append(session)
                    left = [pid for (pid,) in admin.execute(wanted)]
                    if left:
                        admin.execute("SELECT pg_terminate_backend(%s)", [left[0]])
                    else:
                        time.sleep(0.05)
            connection.close()
            taken += filter(None, [_try_to_connect(scene), _try_to_connect(scene)])
            reached = health.database()
            if reached.ok or "too many clients" not in reached.text:
                self.wrong.append(f"health says {reached.text!r} while every slot is taken")
            if (code := _ask(self.web)) != 503:
                self.wrong.append(f"the web process answers {code} while every slot is taken")
            wait_until_time(ends_at)
        finally:
            for session in taken:
                session.close()
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Ask the web process once more, and end it."""
        if self.web:
            if not wait_for(lambda: self.web is not None and _ask(self.web) == 200, LIVE_SECONDS):
                self.wrong.append("the web process has not come back")
            self.web.stop()
        return self.wrong


def _try_to_connect(scene: Scene) -> "psycopg.Connection[Any] | None":
    try:
        return scene.stage.server.connect()
    except psycopg.OperationalError:
        return None


def _ask(web: Web) -> int:
    try:
        with urllib.request.urlopen(f"{web.url}/health/ready/", timeout=10) as answer:
            json.load(answer)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class ReadOnly(Fault):
    """The server takes no writes for 20 s, in sessions that are there already too."""

    name = "read-only, 20 s"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("long before", "between", "busy")

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def strike(self, scene: Scene) -> float:
        """Set it, and take it back."""
        with scene.stage.server.connect() as admin:
            admin.autocommit = True
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            ends_at = time.time() + SHORT_SECONDS
            wait_until_time(ends_at - 1)
            taken = patiently(health.writes)
            if taken.ok:
                self.wrong.append("doctor does not say that the server takes no writes")
            wait_until_time(ends_at)
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Return what was not as it should be."""
        patiently(lambda: execute("SELECT 1"))
        return self.wrong


class NoStandby(Fault):
    """Commits wait for a synchronous standby that is away for 70 s, longer than a task may take."""

    name = "synchronous standby away, 70 s"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("long before", "between", "busy")
    spoils_worker = True

    def strike(self, scene: Scene) -> float:
        """Ask for one that nobody is, and stop asking."""
        with scene.stage.server.connect() as admin:
            admin.autocommit = True
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            admin.execute("SELECT pg_reload_conf()")
            wait_until_time(time.time() + AWAY_SECONDS)
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Return which lanes have ended, and which attempts were taken for a dead worker's."""
        lines = [line for cluster in scene.stage.clusters for line in cluster.lines()]
        wrong = [line for line in lines if "ended by itself" in line or "dead worker" in line]
        failed = execute("SELECT reason FROM scheduling_jobevent WHERE what = 'attempt_failed'")
        return [*wrong, *(f"attempt failed: {reason}" for (reason,) in failed)]


# The disk

KEPT_TABLES = ("content_story", "traps_trap", "scheduling_job", "scheduling_jobevent")
QUEUE_TABLES = ("django_q_ormq", "django_q_task")


class DiskFull(Fault):
    """The disk with the tables of content, jobs and queue is full for 20 s."""

    name = "disk full, 20 s: tables"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("between", "busy")
    disk: SmallDisk

    @classmethod
    def cannot_run(cls) -> str:
        """Return why no small disk can be mounted."""
        return cannot_mount()

    def set_up(self, stage: Stage) -> None:
        """Move the tables to a small disk."""
        self.disk = SmallDisk(stage.folder / "small", megabytes=64)
        self.disk.give_to(stage.server.data_dir)
        execute("DROP TABLESPACE IF EXISTS small")
        execute(f"CREATE TABLESPACE small LOCATION '{self.disk.folder}'")
        _move_tables("small")

    def strike(self, scene: Scene) -> float:
        """Fill it, wait, and empty it."""
        self.disk.fill()
        wait_until_time(time.time() + SHORT_SECONDS)
        self.disk.empty()
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Move the tables back."""
        self.disk.empty()
        _move_tables("pg_default")
        # Files that are no longer used are removed by a checkpoint.
        execute("CHECKPOINT")
        execute("DROP TABLESPACE small")
        self.disk.unmount()
        return []


def _move_tables(tablespace: str) -> None:
    for table in KEPT_TABLES + QUEUE_TABLES:
        execute(f"ALTER TABLE {table} SET TABLESPACE {tablespace}")
        for (index,) in execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", [table]):
            execute(f'ALTER INDEX "{index}" SET TABLESPACE {tablespace}')


class WalDiskFull(DiskFull):
    """The disk with the write-ahead log is full for 20 s: PostgreSQL stops, and is started."""

    name = "disk full, 20 s: WAL"

    def set_up(self, stage: Stage) -> None:
        """Move the log to a small disk."""
        self.disk = SmallDisk(stage.folder / "small", megabytes=160)
        self.disk.give_to(stage.server.data_dir)
        # As little of it as there can be: without this it grows to a gigabyte.
        execute("ALTER SYSTEM SET max_wal_size = '64MB'")
        execute("ALTER SYSTEM SET min_wal_size = '32MB'")
        execute("SELECT pg_reload_conf()")
        patiently(_use_up_log)
        _move_log(stage.server, self.disk, self.disk.folder / "pg_wal")

    def strike(self, scene: Scene) -> float:
        """Fill it with what the server would write next, wait, empty it, and have a server."""
        self.disk.fill()
        # Segments that are there already take a few megabytes more.
        with contextlib.suppress(psycopg.Error), scene.stage.server.connect() as session:
            session.execute("SELECT pg_switch_wal()")
            session.commit()
            session.execute("CREATE TEMP TABLE filler AS SELECT g FROM generate_series(1, 100) g")
            session.execute(
                "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))"
                " FROM generate_series(1, 200)"
            )
        wait_until_time(time.time() + SHORT_SECONDS)
        self.disk.empty()
        connection.close()
        if not postgres.is_running(scene.stage.server.data_dir):
            scene.stage.server.start()
        return scene.stage.server.wait_until_it_accepts()

    def clean_up(self, scene: Scene) -> list[str]:
        """Move the log back."""
        self.disk.empty()
        _move_log(scene.stage.server, self.disk, None)
        for name in ("max_wal_size", "min_wal_size"):
            execute(f"ALTER SYSTEM RESET {name}")
        execute("SELECT pg_reload_conf()")
        self.disk.unmount()
        return []


def _use_up_log() -> None:
    """
    Write until little of the log is left: segments made ready before stay until they are used.

    :raises AssertionError: there is more than fits on the small disk.
    """
    for _ in range(100):
        execute("SELECT pg_logical_emit_message(false, 'used up', '')")
        execute("SELECT pg_switch_wal()")
        execute("CHECKPOINT")
        [(megabytes,)] = execute("SELECT sum(size) / 1048576 FROM pg_ls_waldir()")
        if megabytes <= 112:
            return
    raise AssertionError(f"{megabytes} MB of the log are left.")


def _move_log(server: Server, disk: SmallDisk, elsewhere: Path | None) -> None:
    connection.close()
    postgres.stop(server.data_dir)
    disk.move(server.data_dir / "pgdata" / "pg_wal", elsewhere)
    server.start()
    patiently(lambda: execute("SELECT 1"))


def all_faults() -> list[Fault]:
    """Return a new one of each."""
    return [IdleInTransaction(), NoSlots(), ReadOnly(), NoStandby(), DiskFull(), WalDiskFull()]
