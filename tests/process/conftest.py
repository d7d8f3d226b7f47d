"""Fixtures of tests with real processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import override_settings

from tests.chaos.environment import Cluster
from tests.chaos.traps.models import Trap
from tests.process.worker import PROJECT, Worker, running, wait_until

StartWorker = Callable[..., Worker]
StartCluster = Callable[..., Cluster]


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers on this test's database; they are stopped before it is emptied."""
    with ExitStack() as stack:

        def start(*arguments: str, project: Path | str = PROJECT, **env: str) -> Worker:
            log = tmp_path / f"worker-{len(list(tmp_path.iterdir()))}.log"
            return stack.enter_context(running(log, *arguments, project=project, **env))

        yield start


@pytest.fixture
def _traps(transactional_db: None) -> Iterator[None]:
    """Install the traps, with their table, for one test."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.chaos.traps"]):
        with connection.schema_editor() as editor:
            editor.create_model(Trap)
        # As `migrate` does: else this process and a worker's may both make it, at once.
        ContentType.objects.get_for_model(Trap)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Trap)


@pytest.fixture
def start_cluster(_traps: None, tmp_path: Path) -> Iterator[StartCluster]:
    """Start workers that know the traps; in the end they must stop well and leave nobody."""
    with ExitStack() as stack:

        def start(**env: str) -> Cluster:
            cluster = Cluster(tmp_path / f"worker-{len(list(tmp_path.iterdir()))}.log", **env)
            stack.callback(cluster.kill)
            cluster.wait_until_ready()
            wait_until(cluster.is_whole, seconds=10, what="a whole worker")
            return cluster

        yield start
