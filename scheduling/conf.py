"""
The engine's settings: read from Django's when they are asked for, each with a default here.

A site sets only what it wants otherwise. Times are seconds unless the name says hours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone, translation
from django.utils.module_loading import import_string

# One cluster each; `publish` runs only the engine's own database work.
PUBLISH_LANE: str
# Where a type's own code runs, and where mail is sent.
SLOW_LANE: str
MAIL_LANE: str
# Off behind a pooler in transaction mode: LISTEN and session locks need a connection of their own.
QUEUE_LISTEN: bool
# How long a type's own `before_publish()` may take.
HOOK_TIMEOUT: int
# The pause before each further attempt.
RETRY_DELAYS: list[int]
# How late an open job is when it counts as overdue.
OVERDUE_AFTER: int
# How often the reconciler looks for what was lost.
SWEEP_EVERY: int
# How long running work may take to finish when the worker is told to stop.
STOP_AFTER: int
# Who hears of failures, beside whoever scheduled the job.
FAILURE_EMAILS: list[str]
# How long a link to a preview works.
PREVIEW_HOURS: int
# What links in mail and feeds begin with, without a slash at the end.
SITE_URL: str
# Dotted name of a function that returns the names of a user's time zone and language, each empty
# when they have chosen none; None: everybody reads in the site's.
LOCALE_OF: str | None

DEFAULTS: dict[str, Any] = {
    "PUBLISH_LANE": "publish",
    "SLOW_LANE": "slow",
    "MAIL_LANE": "mail",
    "QUEUE_LISTEN": True,
    "HOOK_TIMEOUT": 60,
    "RETRY_DELAYS": [10, 60, 300],
    "OVERDUE_AFTER": 60,
    "SWEEP_EVERY": 60,
    "STOP_AFTER": 25,
    "FAILURE_EMAILS": [],
    "PREVIEW_HOURS": 72,
    "SITE_URL": "http://127.0.0.1:8000",
    "LOCALE_OF": None,
}


def __getattr__(name: str) -> Any:
    """Return a setting as it is now: tests, and `override_settings`, change them."""
    if name not in DEFAULTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(settings, name, DEFAULTS[name])


def lanes() -> list[str]:
    """Return every lane that a worker serves, `publish` first."""
    return [__getattr__("PUBLISH_LANE"), *settings.Q_CLUSTER["ALT_CLUSTERS"]]


@contextmanager
def locale_of(person: AbstractBaseUser | None) -> Iterator[str]:
    """
    Activate the time zone and the language that a person reads in, for as long as the block lasts.

    Instead of a zone that is empty, or not known any more, it is the site's; instead of such a
    language the one that is active.

    :param person: None for somebody without an account, or for several people.
    :returns: the language.
    """
    name = __getattr__("LOCALE_OF")
    zone, language = import_string(name)(person) if name and person is not None else ("", "")
    if language not in dict(settings.LANGUAGES):
        language = translation.get_language() or settings.LANGUAGE_CODE
    with timezone.override(_find_zone(zone)), translation.override(language):
        yield language


def _find_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else timezone.get_default_timezone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return timezone.get_default_timezone()
