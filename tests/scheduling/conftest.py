"""What the engine's tests share: a second connection, and work in the background."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

InBackground = Callable[..., Future[Any]]


@pytest.fixture
def in_background(transactional_db: None) -> Iterator[InBackground]:
    """Run functions in threads, each with a connection of its own."""

    def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as pool:
        yield lambda *args, **kwargs: pool.submit(run, *args, **kwargs)


@pytest.fixture
def other(in_background: InBackground) -> Iterator[BaseDatabaseWrapper]:
    """Return a second connection, in a transaction that is open until the test ends it."""
    # It ends before the threads do, which may wait for a lock that it holds.
    second = connection.copy()
    second.set_autocommit(False)
    yield second
    second.close()
