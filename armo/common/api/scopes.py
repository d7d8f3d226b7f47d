"""
What a key may be used for: its scopes, and the one type of content that it may be limited to.

A key never allows more than its owner's rights: those are checked as for any request.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.db.models import Model, TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from armo.common.api.models import ApiKey


class Scope(TextChoices):
    """What a key may be used for."""

    READ = "read", gettext_lazy("read items, jobs and when they are due")
    WRITE = "write", gettext_lazy("create, change and delete items")
    SCHEDULE = "schedule", gettext_lazy("schedule, move and cancel")
    PUBLISH = "publish", gettext_lazy("publish and take down at once")
    JOBS = "jobs", gettext_lazy("run failed jobs again; move and cancel jobs")
    RELEASES = "releases", gettext_lazy("change releases")
    WEBHOOKS = "webhooks", gettext_lazy("change webhooks")


# Any one of these.
Scopes = tuple[Scope, ...]

READ = (Scope.READ,)
WRITE = (Scope.WRITE,)
SCHEDULE = (Scope.SCHEDULE,)
PUBLISH = (Scope.PUBLISH,)
JOBS = (Scope.JOBS,)
# Not even a scope is needed: everybody may.
ANYBODY = None
# No scope is enough: what is made there outlives the key, or is another way in.
NO_KEY: Scopes = ()

# Every route: what it is about (see `resource_of`), what is done there, and which scopes allow it.
# What an item's body asks of the schedule needs `schedule` as well, whatever the route; to delete
# what is live needs `publish` as well.
TABLE: Mapping[str, Mapping[str, Scopes | None]] = {
    "item": {
        "list": READ,
        "retrieve": READ,
        "create": WRITE,
        "partial_update": WRITE,
        "destroy": WRITE,
        "schedule": SCHEDULE,
        "unschedule": SCHEDULE,
        "bulk_schedule": SCHEDULE,
        "publish": PUBLISH,
        "unpublish": PUBLISH,
    },
    "job": {
        "list": READ,
        "retrieve": READ,
        "create": SCHEDULE,
        "move": (Scope.SCHEDULE, Scope.JOBS),
        "cancel": (Scope.SCHEDULE, Scope.JOBS),
        "rerun": JOBS,
        "rerun_many": JOBS,
    },
    "calendar": {"get": READ, "post": NO_KEY, "delete": NO_KEY},
    "login": {"post": ANYBODY},
    "logout": {"post": NO_KEY},
    "tokens": {"get": NO_KEY, "delete": NO_KEY},
    "token": {"delete": NO_KEY},
    "keys": {"get": NO_KEY, "post": NO_KEY},
    "key": {"delete": NO_KEY},
    "index": {"get": ANYBODY},
    "problems": {"get": ANYBODY},
    "schema": {"get": ANYBODY},
    "docs": {"get": ANYBODY},
}

# The types of content that a key may be limited to, by names such as `content.story`.
TYPES: dict[str, type[Model]] = {}


class ScopeMissing(APIException):
    """The key has no scope for this."""

    status_code = HTTPStatus.FORBIDDEN
    code = default_code = "scope_missing"

    def __init__(self, scope: str, text: str) -> None:
        """
        Say what the key lacks.

        :param scope: a scope; or a type of content, of a key that is limited to another.
        """
        super().__init__(text)
        self.scope = scope

    def facts(self) -> dict[str, Any]:
        """Return what is missing."""
        return {"scope": self.scope}


class SignInNeeded(APIException):
    """A person has to sign in for this: no key can do it."""

    status_code = HTTPStatus.FORBIDDEN
    default_detail = gettext_lazy("A person has to sign in for this: no key can do it.")
    default_code = "sign_in_needed"


def resource_of(view: Any) -> str:
    """
    Return what a view is about, as `TABLE` has it: items of all types are one.

    A viewset is named by its route, any other view by its class.
    """
    found = getattr(view, "generic_name", None) or getattr(view, "basename", None)
    return str(found or type(view).__name__.removesuffix("View").lower())


def scopes_of(view: Any, method: str) -> Scopes | None:
    """
    Return the scopes of which a request needs one.

    :returns: `ANYBODY` if none is needed, `NO_KEY` if none is enough. Of routes that are not in the
        table, such as those that a site adds: `read` to read, `write` for the rest.
    """
    method = {"HEAD": "GET"}.get(method, method)
    if method == "OPTIONS":
        return ANYBODY
    action = getattr(view, "action", None) or method.lower()
    default = READ if method == "GET" else WRITE
    return TABLE.get(resource_of(view), {}).get(action, default)


def require_scope_of_route(key: ApiKey, view: Any, method: str) -> None:
    """
    Check that a key has a scope for what a view does, and is not limited to another type.

    :raises ScopeMissing:
    :raises SignInNeeded:
    """
    needed = scopes_of(view, method)
    if needed is ANYBODY:
        return
    if needed == NO_KEY:
        raise SignInNeeded
    _require_scope(key, needed)
    if model := getattr(view, "model", None):
        _require_type(key, model)


def require_scope(request: Request, needed: Scopes) -> None:
    """
    Check that the key of a request, if it comes with one, has one of these scopes.

    :raises ScopeMissing:
    """
    if isinstance(request.auth, ApiKey):
        _require_scope(request.auth, needed)


def require_type(request: Request, model: type[Model]) -> None:
    """
    Check that the key of a request, if it comes with one, is not limited to another type.

    :raises ScopeMissing:
    """
    if isinstance(request.auth, ApiKey):
        _require_type(request.auth, model)


def _require_scope(key: ApiKey, needed: Scopes) -> None:
    if not {*needed} & {*key.scopes}:
        first = needed[0].value
        raise ScopeMissing(first, _("This key lacks the scope “%(scope)s”.") % {"scope": first})


def _require_type(key: ApiKey, model: type[Model]) -> None:
    name = model._meta.label_lower
    if key.type not in ("", name):
        raise ScopeMissing(name, _("This key is for %(type)s only.") % {"type": key.type})


def type_of_key(request: Request) -> str:
    """
    Return the one type that the key of a request is limited to; empty if it is not.

    :raises ScopeMissing: the type is not installed any more.
    """
    only = request.auth.type if isinstance(request.auth, ApiKey) else ""
    if only and only not in TYPES:
        raise ScopeMissing(only, _("This key is for %(type)s only.") % {"type": only})
    return only


def find_type(name: str) -> str | None:
    """Return the whole name, `content.story`, of a type that is called so or `story`."""
    name = name.lower()
    found = [label for label in TYPES if name in (label, label.rpartition(".")[2])]
    return found[0] if len(found) == 1 else None
