"""This version and the one before its newest migration, side by side on one database."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from content.models import Story
from scheduling import operations
from scheduling.models import Heartbeat
from scheduling.models.clock import database_now
from scheduling.operations import pause as pausing
from tests.process.conftest import StartWorker
from tests.process.test_worker import LOG_LINE, assert_each_published_once, published, write_stories
from tests.process.worker import PROJECT, Worker, database_url, wait_until

MIGRATIONS = ":(glob)**/migrations/0*.py"
# What the version before does with a new schema besides running jobs: it writes and schedules.
WRITE = """
from datetime import timedelta
from content.models import Story
from scheduling import operations
from scheduling.models import Heartbeat
from scheduling.models.clock import database_now
story = Story.objects.create(title="이전 판", body="본문", slug="before")
operations.schedule(item=story, run_at=database_now() + timedelta(seconds=1), by=None)
"""


def git(*arguments: str) -> str:
    """Return what git prints; nothing if it fails, as where there is no history."""
    command = ["git", "-C", str(PROJECT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the project as it was before its newest migration."""
    newest = git("log", "-1", "--format=%H", "--diff-filter=A", "--", MIGRATIONS)
    is_committed = not git("status", "--porcelain", "--untracked-files=all", "--", MIGRATIONS)
    commit = git("rev-parse", "--verify", f"{newest}~1" if is_committed else "HEAD")
    if not commit:
        pytest.skip("There is no git history with the version before here.")
    folder = tmp_path_factory.mktemp("before")
    archive = folder / "project.tar"
    git("archive", f"--output={archive}", commit, "manage.py", "armo", "content", "scheduling")
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def manage(
    *arguments: str, project: Path | str = PROJECT, **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a version to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "armo.settings",
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines_of_publishes(worker: Worker) -> list[str]:
    """Return the worker's lines of publishes; no other may be a warning or an error."""
    lines = worker.lines()
    assert not [line for line in lines if "WARNING" in line or "ERROR" in line]
    assert not [line for line in lines if "Traceback" in line]
    return [line for line in lines if LOG_LINE.search(line)]


class TestTheVersionBefore:
    def test_publishes_beside_this_one_and_alone(
        self, start_worker: StartWorker, before: Path
    ) -> None:
        old, new = start_worker(project=before), start_worker()
        for story in write_stories(100):
            moment = database_now() + timedelta(seconds=1)
            operations.schedule(item=story, run_at=moment, by=None)
        wait_until(lambda: published() == 100, seconds=20, what="all live")
        assert_each_published_once()
        wait_until(
            lambda: len(lines_of_publishes(old) + lines_of_publishes(new)) == 100,
            seconds=5,
            what="one line for each",
        )
        assert new.stop() == 0

        written = manage("shell", "-c", WRITE, project=before)

        assert written.returncode == 0, written.stderr
        wait_until(lambda: published() == 101, seconds=20, what="its own is live too")
        assert_each_published_once()
        assert any(Story.objects.get(slug="before").label in it for it in lines_of_publishes(old))

    def test_publishes_nothing_in_a_pause(self, start_worker: StartWorker, before: Path) -> None:
        pausing.pause(by=None, reason="잘못된 첫 화면")
        for story in write_stories(3):
            moment = database_now() + timedelta(seconds=1)
            operations.schedule(item=story, run_at=moment, by=None)
        start_worker(project=before)
        wait_until(Heartbeat.objects.filter(lane="publish").exists, seconds=20, what="it works")
        wait_until(lambda: database_now() > moment, seconds=20, what="all are due")
        assert published() == 0

        pausing.resume(by=None)

        wait_until(lambda: published() == 3, seconds=20, what="all live")
        assert_each_published_once()


class TestThisVersionOnTheSchemaBefore:
    @pytest.fixture
    def schema_before(self, transactional_db: None, before: Path) -> Iterator[str]:
        """Return the address of a copy of the database, with the newest migrations undone."""
        name = f"{connection.settings_dict['NAME']}_before"
        with connection.cursor() as cursor:
            template = connection.settings_dict["NAME"]
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        url = database_url(name)
        for app, target in newest_migrations(before).items():
            undone = manage("migrate", app, target, DATABASE_URL=url)
            assert undone.returncode == 0, undone.stderr
        yield url
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def test_stops_with_one_line_that_says_what_to_do(
        self, schema_before: str, tmp_path: Path
    ) -> None:
        worker = Worker(tmp_path / "log", DATABASE_URL=schema_before)
        try:
            assert worker.process.wait(20) == 1
        finally:
            worker.kill()
        [line] = worker.lines()
        assert line.startswith("CommandError: The database lacks migrations: ")
        assert line.endswith(". Run manage.py migrate.")

        refused = manage("publish_due", DATABASE_URL=schema_before)

        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.splitlines() == [line]
        assert manage("migrate", DATABASE_URL=schema_before).returncode == 0
        assert manage("qcluster", "--run-once", DATABASE_URL=schema_before).returncode == 0


def newest_migrations(before: Path) -> dict[str, str]:
    """Return, of each app that has newer ones, the newest migration that the version before has."""
    known: dict[str, str] = {}
    newer: set[str] = set()
    for (app, name), migration in sorted(MigrationLoader(None).disk_migrations.items()):
        file = Path(inspect.getfile(type(migration)))
        if not file.is_relative_to(PROJECT) or file.is_relative_to(sys.prefix):
            continue  # Django's, or a package's: a virtual environment may lie in the project
        if (before / file.relative_to(PROJECT)).exists():
            known[app] = name
        else:
            newer.add(app)
    return {app: known.get(app, "zero") for app in sorted(newer)}
