"""
The engine's settings: read from Django's when they are asked for, each with a default here.

A site sets only what it wants otherwise. Times are seconds unless the name says hours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from math import ceil
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.utils import timezone, translation
from django.utils.module_loading import import_string

if TYPE_CHECKING:  # settings are read before models can be loaded
    from django.contrib.auth.base_user import AbstractBaseUser

# One cluster each; `publish` runs only the engine's own database work.
PUBLISH_LANE: str
# Where a type's own code runs, and where mail is sent.
SLOW_LANE: str
MAIL_LANE: str
# Off behind a pooler in transaction mode: LISTEN and session locks need a connection of their own.
QUEUE_LISTEN: bool
# How many processes run tasks in each.
WORKERS: int
SLOW_WORKERS: int
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
    "WORKERS": 2,
    "SLOW_WORKERS": 2,
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

OF_A_LANE = ("workers", "queue_limit", "timeout", "retry")


def __getattr__(name: str) -> Any:
    """Return a setting as it is now: tests, and `override_settings`, change them."""
    if name not in DEFAULTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(settings, name, DEFAULTS[name])


def queue_settings() -> dict[str, Any]:
    """
    Return django-q2's settings: the site's Q_CLUSTER, completed by what the engine needs.

    django-q2 reads them once, when it is imported.
    """
    own: dict[str, Any] = getattr(settings, "Q_CLUSTER", {})
    publish, slow, mail = (__getattr__(f"{lane}_LANE") for lane in ("PUBLISH", "SLOW", "MAIL"))
    others = own.get("ALT_CLUSTERS", {})
    slow_workers, hook_timeout = __getattr__("SLOW_WORKERS"), __getattr__("HOOK_TIMEOUT")
    return {
        "cluster_name": publish,
        "bulk": 1,
        "poll": 0.2,
        "guard_cycle": 0.5,
        "scheduler": False,
        "catch_up": False,
        "save_limit": 0,  # a positive limit locks every kept row at each result
        "max_attempts": 5,
        **own,
        **_lane(own, workers=__getattr__("WORKERS"), timeout=60),
        "ALT_CLUSTERS": {
            **others,
            slow: _lane(others.get(slow, {}), workers=slow_workers, timeout=hook_timeout + 20),
            mail: _lane(others.get(mail, {}), workers=1, timeout=60),
        },
    }


def _lane(own: dict[str, Any], *, workers: int, timeout: int) -> dict[str, Any]:
    """
    Return the settings of a cluster, completed.

    :param timeout: seconds after which a task is ended.
    """
    lane = {"workers": workers, "timeout": timeout, **own}
    lane.setdefault("queue_limit", lane["workers"])
    if lane["timeout"]:
        lane.setdefault("retry", ceil(longest_stay(lane)) + 30)
    return lane


def longest_stay(lane: dict[str, Any]) -> float:
    """
    Return for how many seconds at most a cluster has a message that it claimed.

    Each worker may have tasks waiting behind the one it runs, and the pusher holds one more: all of
    them must be over before the message is handed out again.
    """
    return float(lane["timeout"] * (2 + lane["queue_limit"] / lane["workers"]))


def lane_settings(name: str) -> dict[str, Any]:
    """Return django-q2's settings of one lane; what it does not say is as in `publish`."""
    common = {key: settings.Q_CLUSTER[key] for key in OF_A_LANE if key in settings.Q_CLUSTER}
    return {**common, **settings.Q_CLUSTER["ALT_CLUSTERS"].get(name, {})}


def lanes() -> list[str]:
    """Return every lane that a worker serves, `publish` first."""
    return [__getattr__("PUBLISH_LANE"), *settings.Q_CLUSTER["ALT_CLUSTERS"]]


@contextmanager
def locale_of(person: "AbstractBaseUser | None") -> Iterator[str]:
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
