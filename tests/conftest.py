"""Fixtures for all tests."""

import gc
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.management import get_commands
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import DjangoDbBlocker
from rest_framework.throttling import SimpleRateThrottle

from armo.common import postgres
from tests import emptied_database

InBackground = Callable[..., Future[Any]]


def pytest_collection_finish() -> None:
    """Collect garbage less often: it took a tenth of the run."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Give the run a server of its own, durable as in production, and remove it at the end."""
    data_dir: Path = settings.DATABASES["default"]["DATA_DIR"]
    postgres.start(data_dir)
    yield
    postgres.stop(data_dir, mode="immediate")
    shutil.rmtree(data_dir)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Keep what `migrate` has made, for `emptied_database` to put back."""
    with django_db_blocker.unblock():
        emptied_database.keep_what_migrate_made()


@pytest.fixture(autouse=True)
def _quick_flush() -> None:
    """Have a test that commits leave the database as `migrate` left it, in little time."""
    # Each time: Django looks for commands again when a test changes INSTALLED_APPS.
    get_commands()["flush"] = emptied_database.Command()  # type: ignore[assignment] # it may be one


@pytest.fixture(autouse=True)
def _english(settings: object) -> Iterator[None]:
    """Leave no language active that a test switched to."""
    from django.utils import translation

    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    """Forget how often anyone has asked the API: the counts outlive a test."""
    caches["default"].clear()


@pytest.fixture(autouse=True)
def _unheard_of() -> None:
    """Forget what pages of the admin have heard of the publisher."""
    from scheduling.admin import banner

    banner.remember(None)


@pytest.fixture
def unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everyone ask the API as often as they like."""
    for scope in ("anon", "user", "bulk"):
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, scope, None)


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
