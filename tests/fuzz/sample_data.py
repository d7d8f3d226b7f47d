"""Rows for the generated requests: users of each role, items and jobs in every state."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Model
from knox.models import AuthToken

from armo.common.api.keys import make_key
from armo.common.api.models import ApiKey
from content.models import Category, Notice, Story, Tag
from scheduling import operations
from scheduling.models import Job, JobEvent, State, Status, clock
from scheduling.operations import store
from tests.factories import NoticeFactory, StoryFactory

# Rows for each route that changes some.
MANY = 10

GROUPS = {
    "author": "Authors",
    "other": "Authors",
    "editor": "Editors",
    "operator": "Operators",
    "admin": None,
}


def prepare() -> dict[str, list[int]]:
    """
    Start from the same people and rows, whatever the role before has made of them.

    :returns: the ids of rows, by the paths of what can be done to them.
    """
    models: list[type[Model]] = [Job, Story, Notice, Category, Tag, AuthToken, ApiKey]
    for model in models:
        model._default_manager.all().delete()
    people = {name: _person(name, group) for name, group in GROUPS.items()}
    for name, group in GROUPS.items():
        # Who tries the routes that end all of one's tokens.
        _person(f"{name}-leaving", group)
    ids: dict[str, list[int]] = {}
    for name, make in (("stories", StoryFactory), ("notices", NoticeFactory)):
        ids |= _items(f"/api/v1/{name}/", make, people)
    failed = [_failed_job(people["editor"]) for _ in range(MANY)]
    is_open = Job.objects.open().order_by("pk").values_list("pk", flat=True)
    jobs = "/api/v1/jobs/"
    return {
        **ids,
        "/api/v1/auth/keys/{id}/": [pk for person in people.values() for pk in _keys(person)],
        jobs: list(Job.objects.values_list("pk", flat=True)),
        f"{jobs}{{id}}/move/": list(is_open[::2]),
        f"{jobs}{{id}}/cancel/": list(is_open[1::2]),
        f"{jobs}{{id}}/rerun/": failed[::2],
        f"{jobs}rerun/": failed[1::2],
    }


def _items(path: str, make: Any, people: dict[str, User]) -> dict[str, list[int]]:
    """Make items in every status, and say which of them are for what."""
    found: dict[str, list[int]] = defaultdict(list)
    for number in range(MANY):
        by = people[("author", "other")[number % 2]]
        at = clock.database_now() + timedelta(days=30)
        waiting = make(author=by)
        operations.schedule(
            item=waiting, run_at=at, unpublish_at=at + timedelta(days=100_000), by=people["editor"]
        )
        made = {
            "": make(author=by),
            "{id}/": make(author=by),
            "{id}/schedule/": make(author=by),
            "{id}/publish/": make(author=by),
            "{id}/unpublish/": make(author=by, published=True),
            "{id}/unschedule/": waiting,
            "bulk/schedule/": make(author=by),
            "unpublished": make(author=by, unpublished=True),
            "failed": make(author=by, failed=True),
        }
        for route, item in made.items():
            found[path + route].append(item.pk)
    every = [pk for ids in found.values() for pk in ids]
    return {**found, path: every}


def _person(name: str, group: str | None) -> User:
    user, is_new = User.objects.get_or_create(
        username=name, defaults={"is_superuser": group is None}
    )
    if is_new:
        user.set_password(name)
        user.save()
        if group:
            user.groups.add(Group.objects.get(name=group))
    return user


def _keys(owner: User) -> list[int]:
    """Make keys for somebody; return their ids."""
    names = [f"key {number}" for number in range(MANY)]
    return [make_key(owner=owner, name=name, scopes=["read"])[0].pk for name in names]


def _failed_job(by: User) -> int:
    """Leave a job that has failed and can be run again; return its id."""
    story = StoryFactory()
    at = clock.database_now() + timedelta(days=1)
    job = operations.schedule(item=story, run_at=at, by=by)
    store.close_job(
        job=job,
        state=State.FAILED,
        what=JobEvent.What.FAILED,
        at=clock.database_now(),
        by=None,
        reasons=["made up"],
    )
    Story.objects.filter(pk=story.pk).update(status=Status.FAILED)
    return job.pk
