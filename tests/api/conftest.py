"""What holds for every test of the API."""

import pytest
from django.core.cache import caches
from rest_framework.throttling import SimpleRateThrottle


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    """Forget how often anyone has asked: the counts outlive a test."""
    caches["default"].clear()


@pytest.fixture
def unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everyone ask as often as he likes."""
    for scope in ("anon", "user", "bulk"):
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, scope, None)
