"""
The engine's settings: read from Django's settings at each access, with defaults.

Times are in seconds, unless the name says hours.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from math import ceil
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone, translation
from django.utils.module_loading import import_string

if TYPE_CHECKING:  # settings are read before models can be loaded
    from django.contrib.auth.base_user import AbstractBaseUser

# The lanes, a cluster each. `publish` runs only the engine's own database work, `slow` the code of
# types, `mail` sends mail.
PUBLISH_LANE: str = "publish"
SLOW_LANE: str = "slow"
MAIL_LANE: str = "mail"
# On: whether a pooler stands before PostgreSQL is found out. Off: there is one, so that nothing
# relies on a session: no LISTEN, no lock of a session, no prepared statement.
QUEUE_LISTEN: bool = True
# How many processes run tasks in the lanes `publish` and `slow`.
WORKERS: int = 2
SLOW_WORKERS: int = 2
# How long a type's own `before_publish()` may take.
HOOK_TIMEOUT: int = 60
# The pause before each further attempt.
RETRY_DELAYS: list[int] = [10, 60, 300]
# How late an open job is when it counts as overdue.
OVERDUE_AFTER: int = 60
# How often the reconciler looks for lost jobs and queue rows.
SWEEP_EVERY: int = 60
# After how many days the reconciler deletes finished jobs, a batch at a time; 0: never.
PRUNE_AFTER_DAYS: int = 0
# How long running tasks may take to finish when the worker has to stop.
STOP_AFTER: int = 25
# After how many seconds PostgreSQL ends the sessions of a host that has vanished; 0: as long as the
# server's own settings say.
VANISHED_AFTER: int = 20
# The schema of the tables; empty: where the sessions look by themselves.
DATABASE_SCHEMA: str = ""
# Who gets mail about failures, besides whoever scheduled the job.
FAILURE_EMAILS: list[str] = []
# How long a preview link works.
PREVIEW_HOURS: int = 72
# The start of links in mail and feeds, without a slash at the end.
SITE_URL: str = "http://127.0.0.1:8000"
# Dotted name of a function that returns the names of a user's time zone and language, each empty
# if the user has chosen none; None: everybody has the site's.
LOCALE_OF: str | None = None

# Taken out of the module, so that every access asks `__getattr__`.
DEFAULTS: dict[str, Any] = {name: globals().pop(name) for name in tuple(__annotations__)}

LANES = ("PUBLISH_LANE", "SLOW_LANE", "MAIL_LANE")
# The least and the most of each number.
LIMITS = {
    **dict.fromkeys(("WORKERS", "SLOW_WORKERS"), (1, 1000)),
    **dict.fromkeys(("HOOK_TIMEOUT", "OVERDUE_AFTER", "SWEEP_EVERY", "STOP_AFTER"), (1, 604_800)),
    "RETRY_DELAYS": (0, 604_800),
    "PRUNE_AFTER_DAYS": (0, 36_500),
    "VANISHED_AFTER": (0, 3600),
    "PREVIEW_HOURS": (1, 87_600),
}
# A name that needs no quotes, unless it is a word of SQL, and leaves room for that of a channel.
SCHEMA = re.compile(r"(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,39}")
# What the others must be.
OTHERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "QUEUE_LISTEN": ("True or False", lambda it: isinstance(it, bool)),
    # Of a text each character would be an address.
    "FAILURE_EMAILS": (
        "a list of addresses of mail",
        lambda it: isinstance(it, list | tuple) and all("@" in str(address) for address in it),
    ),
    "SITE_URL": (
        "an address such as 'https://news.example.org', without a slash at the end",
        lambda it: bool(re.fullmatch(r"https?://[^\s?#]*[^\s?#/]", str(it))),
    ),
    "DATABASE_SCHEMA": (
        "the name of a schema in small letters, digits and _, at most 40, or empty",
        lambda it: isinstance(it, str) and (not it or bool(SCHEMA.fullmatch(it))),
    ),
    "LOCALE_OF": (
        "None or the dotted name of a function",
        lambda it: it is None or isinstance(it, str),
    ),
    **{name: ("the name of a lane", lambda it: bool(it) and isinstance(it, str)) for name in LANES},
}
OF_A_LANE = ("workers", "queue_limit", "timeout", "retry")


def __getattr__(name: str) -> Any:
    """Return the current value of a setting, which `override_settings` may change."""
    if name not in DEFAULTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(settings, name, DEFAULTS[name])


def queue_settings() -> dict[str, Any]:
    """
    Return django-q2's settings: the site's Q_CLUSTER, completed by what the engine needs.

    django-q2 reads them once, when it is imported.

    :raises ImproperlyConfigured: the settings of a lane make no sense.
    """
    own: dict[str, Any] = getattr(settings, "Q_CLUSTER", None) or {}
    publish, slow, mail = own_lanes()
    if problems := list(_problems(own, publish, slow, mail)):
        raise ImproperlyConfigured(" ".join(problems))
    others = own.get("ALT_CLUSTERS") or {}
    # Without `retry`, which fits one time-out only.
    common = {key: own[key] for key in OF_A_LANE if key in own and key != "retry"}
    slow_workers, hook_timeout = __getattr__("SLOW_WORKERS"), __getattr__("HOOK_TIMEOUT")
    of_publish = {"workers": __getattr__("WORKERS"), "timeout": 60}
    return {
        "cluster_name": publish,
        "bulk": 1,
        "poll": 0.2,
        "guard_cycle": 0.5,
        "scheduler": False,
        "catch_up": False,
        "save_limit": 0,  # with a limit, each result locks all rows of the history
        "max_attempts": 5,
        **own,
        **_lane(own, **of_publish),
        "ALT_CLUSTERS": {
            **{name: _lane({**common, **lane}, **of_publish) for name, lane in others.items()},
            slow: _lane(others.get(slow, {}), workers=slow_workers, timeout=hook_timeout + 20),
            mail: _lane(others.get(mail, {}), workers=1, timeout=60),
        },
    }


def _problems(own: Any, publish: str, slow: str, mail: str) -> Iterator[str]:
    """Yield what is wrong with the site's settings of the lanes, a sentence each."""
    others = (own.get("ALT_CLUSTERS") or {}) if isinstance(own, dict) else None
    if not isinstance(others, dict) or not all(isinstance(it, dict) for it in others.values()):
        yield "Q_CLUSTER must be a dictionary, and its ALT_CLUSTERS a dictionary of dictionaries."
        return
    yield from _problems_of_settings()
    numbers: dict[str, Any] = {}
    for place, lane in {
        "": own,
        **{f"['ALT_CLUSTERS'][{it!r}]": others[it] for it in others},
    }.items():
        given = {key: lane[key] for key in OF_A_LANE if key in lane}
        if not given.get("timeout", True):
            del given["timeout"]  # without one; see the checks
        numbers |= {f"Q_CLUSTER{place}[{key!r}]": value for key, value in given.items()}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            yield f"{name} must be a whole number above 0, not {value!r}."
    if len({publish, slow, mail}) < len(LANES):
        yield f"{', '.join(LANES)} must be different names."
    if publish in others:
        yield (
            f"Q_CLUSTER['ALT_CLUSTERS'] has {publish!r}, the lane PUBLISH_LANE: its settings belong"
            " in Q_CLUSTER itself."
        )
    cluster = own.get("cluster_name", publish)
    if cluster not in (publish, slow, mail, *others):
        yield (
            f"Q_CLUSTER['cluster_name'] is {cluster!r}, which no lane is called: leave it out, or"
            " set PUBLISH_LANE to it."
        )


def _problems_of_settings() -> Iterator[str]:
    for name, (least, most) in LIMITS.items():
        value, must = __getattr__(name), "a whole number"
        if isinstance(DEFAULTS[name], list):
            must = "a list of whole numbers"
            numbers = list(value) if isinstance(value, list | tuple) else [None]
        else:
            numbers = [value]
        # Not isinstance(): True is an int.
        if not all(type(it) is int and least <= it <= most for it in numbers):
            yield f"{name} must be {must} from {least} to {most}, not {value!r}."
    for name, (must, is_valid) in OTHERS.items():
        if not is_valid(value := __getattr__(name)):
            yield f"{name} must be {must}, not {value!r}."


def _lane(own: dict[str, Any], *, workers: int, timeout: int) -> dict[str, Any]:
    """
    Return the settings of a cluster, completed.

    :param timeout: seconds after which django-q2 ends a task.
    """
    lane = {"workers": workers, "timeout": timeout, **own}
    lane.setdefault("queue_limit", lane["workers"])
    if lane["timeout"]:
        lane.setdefault("retry", ceil(longest_stay(lane)) + 30)
    return lane


def longest_stay(lane: dict[str, Any]) -> float:
    """
    Return the longest time in seconds between the claim of a queue row and the end of its task.

    Each worker may have tasks waiting behind the one it runs, and the pusher holds one more: all of
    them must be over before the row is delivered again.
    """
    return float(lane["timeout"] * (2 + lane["queue_limit"] / lane["workers"]))


def lane_settings(name: str) -> dict[str, Any]:
    """Return django-q2's settings of a lane; those of `publish` are the defaults."""
    common = {key: settings.Q_CLUSTER[key] for key in OF_A_LANE if key in settings.Q_CLUSTER}
    return {**common, **settings.Q_CLUSTER["ALT_CLUSTERS"].get(name, {})}


def own_lanes() -> list[str]:
    """Return the names of the engine's own lanes, `publish` first."""
    return [__getattr__(name) for name in LANES]


def lanes() -> list[str]:
    """Return the names of all lanes, `publish` first."""
    return [__getattr__("PUBLISH_LANE"), *settings.Q_CLUSTER["ALT_CLUSTERS"]]


@contextmanager
def locale_of(person: "AbstractBaseUser | None") -> Iterator[str]:
    """
    Activate the time zone and language of a person for the block.

    If the zone is empty or unknown, the site's is used; if the language is, the active one.

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
