"""Fixtures of tests with real processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.worker import PROJECT, Worker, running

StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers on this test's database; they are stopped before it is emptied."""
    with ExitStack() as stack:

        def start(*arguments: str, project: Path | str = PROJECT, **env: str) -> Worker:
            log = tmp_path / f"worker-{len(list(tmp_path.iterdir()))}.log"
            return stack.enter_context(running(log, *arguments, project=project, **env))

        yield start
