"""Users of the admin, each with a browser."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from tests.admin_pages import signed_in
from tests.factories import UserFactory


@pytest.fixture
def editor() -> Client:
    return signed_in("Editors")


@pytest.fixture
def author() -> Client:
    return signed_in("Authors")


@pytest.fixture
def operator() -> Client:
    return signed_in("Operators")


@pytest.fixture
def scheduler(client: Client) -> Client:
    """Return the browser of somebody who may see stories and schedule them, and no more."""
    user = UserFactory(is_staff=True)
    permissions = Group.objects.get(name="Editors").permissions
    user.user_permissions.set(permissions.filter(codename__in=["view_story", "schedule_story"]))
    client.force_login(user)
    return client
