"""The engine in a project that has nothing else of Armo."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

import scheduling
from tests.process.worker import wait_until

DATABASE = "fresh_project"

SETTINGS = """
INSTALLED_APPS += ["scheduling", "django_q", "notes"]
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.postgresql",
    "NAME": {name!r}, "USER": {user!r}, "HOST": {host!r},
}}}}
Q_CLUSTER = {{"broker_class": "scheduling.broker.TimedBroker", "orm": "default"}}
# So that the test client may ask.
ALLOWED_HOSTS = ["testserver"]
"""

MODELS = """
from django.db import models
from scheduling.models import Schedulable

class Note(Schedulable):
    text = models.TextField()

    def __str__(self):
        return self.text
"""

ADMIN = """
from django.contrib import admin
from notes.models import Note
from scheduling.admin.plain import PlainItemAdmin

admin.site.register(Note, PlainItemAdmin)
"""

SCHEDULE = """
from datetime import timedelta
from notes.models import Note
from scheduling import operations
from scheduling.models import Kind, clock

note = Note.objects.create(text="hello")
run_at = clock.database_now() + timedelta(seconds=1)
operations.schedule(item=note, run_at=run_at, by=None)
"""

KEYED_BY_UUID = """
from uuid import uuid4
from django.db import models
from scheduling.models import Schedulable

class Letter(Schedulable):
    id = models.UUIDField(primary_key=True, default=uuid4)
"""

# Users who sign in by another field than a username, and whose keys are no integers.
MEMBERS = """
from uuid import uuid4
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

class Member(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid4)
    number = models.IntegerField(unique=True)
    is_staff = models.BooleanField(default=False)
    USERNAME_FIELD = "number"
    objects = BaseUserManager()
"""

FORGET_A_MEMBER = """
from datetime import timedelta
from members.models import Member
from notes.models import Note
from scheduling import operations
from scheduling.models import Job, clock
from scheduling.queries.explain import explain

note = Note.objects.create(text="hello")
member = Member.objects.create(number=42)
run_at = clock.database_now() + timedelta(days=1)
job = operations.schedule(item=note, run_at=run_at, by=member)
Member.objects.all().delete()
job.refresh_from_db()
print(job.scheduled_by_name, job.events.get().by_name)
print(next(it.text for it in explain(note) if it.subject == "job"))
"""

# With every page of the stock admin that has to do with the engine.
ASK_THE_ADMIN = """
import json
import sys
from django.contrib.auth.models import User
from django.test import Client

client = Client()
client.force_login(User.objects.create_superuser("root"))
pages = ["", "notes/note/", "notes/note/add/", "notes/note/1/change/", "scheduling/job/",
         "scheduling/job/1/change/", "django_q/ormq/", "django_q/success/", "auth/user/"]
answers = {page: client.get("/admin/" + page).status_code for page in pages}
saved = client.post("/admin/notes/note/1/change/", {"text": "changed", "status": "draft"})
not_needed = {"armo", "django_filters", "icalendar", "knox", "rest_framework", "unfold"}
print(json.dumps([answers, saved.status_code, sorted(not_needed & set(sys.modules))]))
"""

LANES = "SELECT string_agg(lane, ',' ORDER BY lane) FROM scheduling_heartbeat"
LATE_SECONDS = "SELECT extract(epoch FROM published_at - publish_at) FROM notes_note"


class Project:
    """A project as `startproject` makes it, with the engine beside it."""

    def __init__(self, folder: Path, database: str = DATABASE) -> None:
        self.folder, self.database = folder, database
        folder.mkdir(exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", "site_", str(folder)],
            check=True,
            env=self.env(),
        )
        (folder / "scheduling").symlink_to(Path(scheduling.__file__).parent)
        (folder / "notes").mkdir()
        (folder / "notes" / "models.py").write_text(MODELS)
        (folder / "notes" / "admin.py").write_text(ADMIN)
        (folder / "early").mkdir()
        (folder / "early" / "__init__.py").write_text("import django_q.conf")
        (folder / "letters").mkdir()
        (folder / "letters" / "models.py").write_text(KEYED_BY_UUID)
        at = connection.settings_dict
        self.settings = SETTINGS.format(name=database, user=at["USER"], host=at["HOST"])
        with (folder / "site_" / "settings.py").open("a") as file:
            file.write(self.settings)

    def check(self, changes: str) -> str:
        """Return what `check` says when the settings are changed."""
        changed = f"from site_.settings import *\n{changes}\n"
        (self.folder / "site_" / "changed.py").write_text(changed)
        return self.run("check", "--settings=site_.changed")

    def env(self) -> dict[str, str]:
        """Return the environment of its processes, in which the tests' own settings are not."""
        ours = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")
        return {name: value for name, value in os.environ.items() if name not in ours}

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a command that runs until it is ended."""
        with log.open("w") as stderr:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.folder,
                env=self.env(),
                stderr=stderr,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> str:
        """Run a command; return what it printed, also when it failed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout

    def query(self, sql: str) -> object:
        """Return the first value of a query of its database."""
        at = connection.settings_dict
        with psycopg.connect(dbname=self.database, user=at["USER"], host=at["HOST"]) as its_own:
            row = its_own.execute(sql).fetchone()
            return row and row[0]


@pytest.fixture(scope="module")
def project(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        yield Project(tmp_path_factory.mktemp("fresh"))
        cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


class TestAFreshProject:
    def test_passes_its_checks(self, project: Project) -> None:
        assert "no issues" in project.run("check")

    def test_may_use_the_theme_of_armos_pages_itself(self, project: Project) -> None:
        assert "no issues" in project.check('INSTALLED_APPS.insert(0, "unfold")')

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ('INSTALLED_APPS.remove("django_q")', "'scheduling' needs 'django_q' in INSTALLED"),
            (
                'INSTALLED_APPS = ["scheduling", "django_q"]',
                "needs 'django.contrib.contenttypes', 'django.contrib.auth' in INSTALLED_APPS",
            ),
            (
                'INSTALLED_APPS.sort(key=lambda name: name == "scheduling")',
                "'scheduling' stands after 'django_q' in INSTALLED_APPS",
            ),
            (
                'INSTALLED_APPS.insert(0, "early")',
                "django_q was imported before 'scheduling' had completed its settings",
            ),
            (
                'DATABASES["default"]["ENGINE"] = "django.db.backends.sqlite3"',
                "The database is sqlite; the engine needs PostgreSQL",
            ),
            (
                'Q_CLUSTER["cluster_name"] = "mysite"',
                "Q_CLUSTER['cluster_name'] is 'mysite', which no lane is called",
            ),
            ("del Q_CLUSTER", "Set Q_CLUSTER['broker_class'] to 'scheduling.broker.TimedBroker'"),
            (
                'INSTALLED_APPS += ["letters"]',
                "The primary key of letters.Letter is a UUIDField; jobs name their item by an int",
            ),
        ],
        ids=[
            "no queue",
            "only itself",
            "wrong order",
            "read early",
            "SQLite",
            "no such lane",
            "no broker",
            "a UUID",
        ],
    )
    def test_has_check_say_what_is_missing(
        self, project: Project, changes: str, words: str
    ) -> None:
        assert words in project.check(changes)

    def test_publishes_and_keeps_its_stock_admin(self, project: Project, tmp_path: Path) -> None:
        assert "Create model Note" in project.run("makemigrations", "notes")
        assert "No changes detected" in project.run("makemigrations", "--check")
        assert "OK" in project.run("migrate")
        log = tmp_path / "worker.log"
        worker = project.start("qcluster", log=log)
        try:
            assert "Error" not in project.run("shell", "-c", dedent(SCHEDULE))
            wait_until(
                lambda: project.query("SELECT status FROM notes_note") == "published",
                seconds=20,
                what="the note is live",
            )
            wait_until(
                lambda: project.query(LANES) == "mail,publish,slow",
                seconds=20,
                what="a beat of each lane",
            )
        finally:
            worker.terminate()
            assert worker.wait(20) == 0
        answers, saved, not_needed = json.loads(
            project.run("shell", "-c", ASK_THE_ADMIN).splitlines()[-1]
        )

        assert answers == dict.fromkeys(answers, 200)
        assert saved == 302
        assert not_needed == []
        assert project.query("SELECT (text, status)::text FROM notes_note") == "(changed,published)"
        assert not [line for line in log.read_text().splitlines() if "INFO" not in line]
        assert 0 <= Decimal(str(project.query(LATE_SECONDS))) < 5


@pytest.fixture
def project_with_members(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path: Path
) -> Iterator[Project]:
    name = f"{DATABASE}_with_members"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        project = Project(tmp_path / "site", name)
        (project.folder / "members").mkdir()
        (project.folder / "members" / "models.py").write_text(MEMBERS)
        with (project.folder / "site_" / "settings.py").open("a") as file:
            file.write('INSTALLED_APPS.insert(0, "members")\nAUTH_USER_MODEL = "members.Member"\n')
        yield project
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


class TestAProjectWithUsersOfItsOwn:
    def test_keeps_the_names_of_those_that_it_deletes(self, project_with_members: Project) -> None:
        project_with_members.run("makemigrations", "members", "notes")
        assert "OK" in project_with_members.run("migrate")

        *_, names, text = project_with_members.run(
            "shell", "-c", dedent(FORGET_A_MEMBER)
        ).splitlines()

        assert names == "42 42"
        assert "asked for by 42 (account deleted)" in text
