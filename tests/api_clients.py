"""Users, their API clients, rows in large numbers, and who waits for a lock."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from rest_framework.test import APIClient

from content.models import Story
from tests.factories import StoryFactory, UserFactory

API = "/api/v1"


def person(*rights: str, group: str = "", **fields: Any) -> User:
    """Return someone with these rights, as `content.view_story`, or with those of a group."""
    user: User = UserFactory(**fields)
    if group:
        user.groups.add(Group.objects.get(name=group))
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def superuser(**fields: Any) -> User:
    return person(is_staff=True, is_superuser=True, **fields)


def client_of(user: User | None = None) -> APIClient:
    """Return an API client logged in as this user; without one, an anonymous client."""
    # A server error is a response here, as a program would see it.
    client = APIClient(raise_request_exception=False)
    if user is not None:
        client.force_authenticate(user)
    return client


def stories(number: int, **fields: Any) -> list[Story]:
    """Make stories in one statement, without jobs."""
    return Story.objects.bulk_create(StoryFactory.build_batch(number, **fields))


def stories_at(times: Iterable[datetime | None], **fields: Any) -> list[Story]:
    """Make stories, published, with these as both of their times; drafts where there is none."""
    made = []
    for at in times:
        status = "draft" if at is None else "published"
        made.append(StoryFactory.build(status=status, publish_at=at, published_at=at, **fields))
    return Story.objects.bulk_create(made)


def analyze(*tables: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(tables)}")


def number_waiting() -> int:
    """Return how many connections wait for a lock of another."""
    with connection.cursor() as cursor:
        # Not pg_stat_activity, which stays the same for as long as a transaction lasts.
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        [number] = cursor.fetchone()
    return int(number)
