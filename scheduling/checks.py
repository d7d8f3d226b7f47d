"""System checks, run by `manage.py check`: what the engine needs and a project lacks."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import ERROR, WARNING, CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.utils.module_loading import import_string
from django_q.conf import Conf

from scheduling import conf
from scheduling.broker import TimedBroker
from scheduling.models import schedulable_models

BROKER = f"{TimedBroker.__module__}.{TimedBroker.__qualname__}"


@register
def check_project(**kwargs: Any) -> list[CheckMessage]:
    """Return what keeps the engine from working in this project."""
    return [
        *_check_settings(),
        *_check_broker(),
        *_check_lanes(),
        *(problem for model in schedulable_models() for problem in check_model(model)),
    ]


def _check_settings() -> Iterator[CheckMessage]:
    names = [config.name for config in apps.get_app_configs()]
    if names.index("scheduling") > names.index("django_q"):
        yield Error(
            "'scheduling' stands after 'django_q' in INSTALLED_APPS.",
            hint="Put it before: its command `qcluster` takes the place of django-q2's own.",
            id="scheduling.E001",
        )
    elif settings.Q_CLUSTER.get("max_attempts") != Conf.MAX_ATTEMPTS:
        yield Error(
            "django_q was imported before 'scheduling' had completed its settings.",
            hint="Put 'scheduling' before every application that imports django_q.",
            id="scheduling.E010",
        )
    if connection.vendor != "postgresql":
        yield Error(
            f"The database is {connection.vendor}; the engine needs PostgreSQL.",
            hint="Set the ENGINE of DATABASES['default'] to 'django.db.backends.postgresql'.",
            id="scheduling.E002",
        )
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is off; the engine needs times that have a zone.",
            hint="Set USE_TZ = True.",
            id="scheduling.E003",
        )
    try:
        is_function = conf.LOCALE_OF is None or callable(import_string(conf.LOCALE_OF))
    except ImportError:
        is_function = False
    if not is_function:
        yield Error(
            f"LOCALE_OF is {conf.LOCALE_OF!r}, which names no function.",
            hint="Name one that takes a user and returns a time zone and a language.",
            id="scheduling.E011",
        )


def _check_broker() -> Iterator[CheckMessage]:
    name = settings.Q_CLUSTER.get("broker_class")
    try:
        is_ours = name is not None and issubclass(import_string(name), TimedBroker)
    except (ImportError, TypeError):
        is_ours = False
    if not is_ours:
        yield Error(
            f"The broker of django-q2 is {name or 'not set'}; the engine needs its own.",
            hint=f"Set Q_CLUSTER['broker_class'] to '{BROKER}'.",
            id="scheduling.E004",
        )
    alias = settings.Q_CLUSTER.get("orm")
    if alias != DEFAULT_DB_ALIAS:
        yield Error(
            f"The queue's database is {alias or 'not set'}; jobs and queue must commit together.",
            hint=f"Set Q_CLUSTER['orm'] to '{DEFAULT_DB_ALIAS}'.",
            id="scheduling.E005",
        )


def _check_lanes() -> Iterator[CheckMessage]:
    for name in conf.lanes():
        lane = conf.lane_settings(name)
        # Tasks of the site in a lane of its own are the site's to judge.
        is_ours = name in conf.own_lanes()
        level, letter = (ERROR, "E") if is_ours else (WARNING, "W")
        if not lane["timeout"]:
            yield CheckMessage(
                level,
                f"Lane {name} has no time-out: a task that hangs would hold a worker for ever.",
                hint="Set its `timeout` in Q_CLUSTER, or leave it out.",
                id=f"scheduling.{letter}006",
            )
        elif lane["retry"] <= (longest := conf.longest_stay(lane)):
            yield CheckMessage(
                level,
                f"Lane {name} hands a task out again after {lane['retry']} s,"
                f" while the first run may take {longest:g} s.",
                hint="Raise its `retry` in Q_CLUSTER, or leave it out.",
                id=f"scheduling.{letter}007",
            )


def check_model(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Yield what keeps the jobs of a type of content from working."""
    key: Any = model._meta.pk
    while key.remote_field:
        key = key.target_field
    if not isinstance(key, models.IntegerField):
        yield Error(
            f"The primary key of {model._meta.label} is a {type(key).__name__};"
            " jobs name their item by an integer.",
            hint="Use a BigAutoField, and another field, unique, for the present key.",
            obj=model,
            id="scheduling.E008",
        )
    if "schedule" not in model._meta.default_permissions:
        yield Error(
            f"The Meta of {model._meta.label} does not inherit Schedulable.Meta,"
            " which has the permissions, constraints and indexes.",
            hint="Write `class Meta(Schedulable.Meta):`.",
            obj=model,
            id="scheduling.E009",
        )
