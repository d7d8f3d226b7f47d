"""A primary and its standby in DATABASE_URL: workers and commands go where writes are accepted."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.conf import settings
from django.db import connection

from armo.common import postgres
from content.models import Story
from scheduling import operations
from scheduling.models import Job
from scheduling.models.clock import database_now
from tests.armo.test_settings import ENOUGH, manage
from tests.factories import StoryFactory
from tests.process import standby
from tests.process.worker import running, wait_until


@pytest.fixture
def second(transactional_db: None) -> Iterator[Path]:
    """Return the folder of a standby of the test's server."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        data_dir = Path(folder, "two")
        try:
            standby.start_standby(settings.DATABASES["default"]["DATA_DIR"], data_dir)
            yield data_dir
        finally:
            postgres.stop(data_dir, mode="immediate")


class TestAStandbyThatComesFirst:
    def test_is_passed_over(self, second: Path, tmp_path: Path) -> None:
        primary = settings.DATABASES["default"]["DATA_DIR"]
        url = standby.address(second, primary, database=connection.settings_dict["NAME"])
        story = StoryFactory()

        with running(tmp_path / "log", DATABASE_URL=url):
            operations.schedule(item=story, run_at=database_now() + timedelta(seconds=0.5), by=None)
            wait_until(Story.objects.published().exists, seconds=10, what="live")

            doctor = manage("doctor", "--json", **{**ENOUGH, "DATABASE_URL": url})

        assert Job.objects.get().attempts == 1
        [database] = [it for it in json.loads(doctor.stdout)["checks"] if it["name"] == "database"]
        assert database["facts"]["host"] == str(primary)
