"""What every test may ask for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from armo import postgres


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Give the run a server of its own, durable as in production, and remove it at the end."""
    data_dir: Path = settings.DATABASES["default"]["DATA_DIR"]
    postgres.start(data_dir)
    yield
    postgres.stop(data_dir, mode="immediate")
    shutil.rmtree(data_dir)


@pytest.fixture(autouse=True)
def _english(settings: object) -> Iterator[None]:
    """Leave no language active that a test switched to."""
    from django.utils import translation

    with translation.override("en"):
        yield
