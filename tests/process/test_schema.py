"""
A site in a schema of its own, by a role that owns nothing else.

Its worker stands behind PgBouncer, where that is installed; what is scheduled comes directly.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from scheduling.queue.messages import CHANNEL
from tests.process import pooler
from tests.process.worker import PROJECT, database_url, running

ROLE = SCHEMA = "news"
SCHEDULE = """
from datetime import timedelta
from content.models import Story
from scheduling import operations
from scheduling.models.clock import database_now
story = Story.objects.create(title="제목", body="본문")
job = operations.schedule(item=story, run_at=database_now() + timedelta(seconds=1), by=None)
print(story.pk, job.pk)
"""
LATENESS = "SELECT extract(epoch FROM finished_at - run_at) FROM news.scheduling_job WHERE id = %s"
ELSEWHERE = """
    SELECT count(*) FROM pg_class
    WHERE relowner = 'news'::regrole
      AND relnamespace NOT IN ('news'::regnamespace, 'pg_toast'::regnamespace)
"""


def manage(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "armo.settings", **env},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def superuser(transactional_db: None) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """Have a role that owns an empty schema of this test's database, and may do nothing else."""
    config = connection.settings_dict
    with psycopg.connect(
        host=config["HOST"], user=config["USER"], dbname=config["NAME"], autocommit=True
    ) as session:
        for statement in (
            *("CREATE ROLE news LOGIN", "CREATE SCHEMA news AUTHORIZATION news"),
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        ):
            session.execute(statement)
        yield session
        session.execute("DROP SCHEMA news CASCADE")
        session.execute(
            sql.SQL("ALTER ROLE news IN DATABASE {} RESET ALL").format(
                sql.Identifier(config["NAME"])
            )
        )
        session.execute("DROP ROLE news")
        session.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


class TestASchemaOfItsOwn:
    def test_holds_a_whole_site_beside_another(
        self, superuser: "psycopg.Connection[tuple[Any, ...]]", tmp_path: Path
    ) -> None:
        name = connection.settings_dict["NAME"]
        direct = {"DATABASE_URL": database_url().replace("postgres@", f"{ROLE}@")}
        direct["DATABASE_SCHEMA"] = SCHEMA
        with ExitStack() as stack:
            pooled = dict(direct)
            if pooler.find_program():
                # As `keepalives --set` does.
                statement = sql.SQL("ALTER ROLE news IN DATABASE {} SET search_path = news")
                superuser.execute(statement.format(sql.Identifier(name)))
                bouncer = pooler.running(Path(connection.settings_dict["HOST"]), roles=(ROLE,))
                url = stack.enter_context(bouncer).url(name)
                pooled["DATABASE_URL"] = url.replace("postgres@", f"{ROLE}@")
            manage("migrate", "--verbosity=0", **pooled)
            superuser.execute(f"LISTEN {CHANNEL}")
            worker = stack.enter_context(running(tmp_path / "log", **pooled))

            story_id, job_id = map(int, manage("shell", "-v0", "-c", SCHEDULE, **direct).split())

            worker.wait_for_line(f"story:{story_id} → published", seconds=60)
            row = superuser.execute(LATENESS, [job_id]).fetchone()
            assert row is not None
            assert 0 <= row[0] < 2
            assert not list(superuser.notifies(timeout=0))
            assert superuser.execute(ELSEWHERE).fetchone() == (0,)
