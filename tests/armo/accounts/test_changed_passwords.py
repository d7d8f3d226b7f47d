"""What ends with a password, or with an account: tokens and the calendar link."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher, identify_hasher, make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from knox.models import AuthToken

from scheduling.access.permissions import NotAllowed
from scheduling.ical.tokens import find_calendar_user, make_calendar_link
from scheduling.models import CalendarLink
from tests.api_clients import API, number_waiting, person, superuser
from tests.conftest import InBackground

OLD, NEW = "열려라 참깨", "닫혀라 참깨 2"
LOGIN = f"{API}/auth/login/"

pytestmark = pytest.mark.django_db

Change = Callable[[User], Any]


@pytest.fixture
def user() -> User:
    return with_password("editor")


def with_password(name: str) -> User:
    made = person(username=name, group="Editors", is_staff=True)
    made.set_password(OLD)
    made.save()
    return made


def log_in(name: str = "editor", password: str = OLD) -> Any:
    data = {"username": name, "password": password}
    return Client().post(LOGIN, data, content_type="application/json")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class Access:
    """A token and a calendar link of somebody, from before a change."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.token = log_in(user.get_username()).json()["token"]
        self.link = make_calendar_link(User.objects.get(pk=user.pk))

    def works(self) -> tuple[bool, bool]:
        """Return whether the token does, and whether the link does."""
        answer = Client(HTTP_AUTHORIZATION=f"Bearer {self.token}").get(f"{API}/auth/tokens/")
        return answer.status_code == 200, find_calendar_user(self.link) == self.user

    def is_kept(self) -> tuple[bool, bool]:
        """Return whether there is a row of each."""
        own = {"user": self.user}
        return (
            AuthToken.objects.filter(**own).exists(),
            CalendarLink.objects.filter(**own).exists(),
        )


def on_their_own_page(user: User) -> None:
    data = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    assert signed_in(user).post("/admin/password_change/", data).status_code == 302


def by_an_administrator(user: User) -> None:
    data = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    client = signed_in(superuser())
    assert client.post(f"/admin/auth/user/{user.pk}/password/", data).status_code == 302


def by_command(user: User) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("getpass.getpass", lambda *args, **kwargs: NEW)
        call_command("changepassword", user.get_username(), verbosity=0)


def in_code(user: User) -> None:
    user.set_password(NEW)
    user.save()


def with_update_fields(user: User) -> None:
    user.set_password(NEW)
    user.save(update_fields=["password"])


def by_its_hash(user: User) -> None:
    # As Django itself saves a password that it has hashed anew, on a row saved by `set_password`.
    user.password = make_password(NEW)
    user.save(update_fields=["password"])


def by_update(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=make_password(NEW))


def in_bulk(user: User) -> None:
    user.password = make_password(NEW)
    User.objects.bulk_update([user], ["password"])


def by_sql(user: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET password = 'x' WHERE id = %s", [user.pk])


def to_none(user: User) -> None:
    user.set_unusable_password()
    user.save()


def by_deactivation_in_the_admin(user: User) -> None:
    data = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    client = signed_in(superuser())
    assert client.post(f"/admin/auth/user/{user.pk}/change/", data).status_code == 302
    User.objects.filter(pk=user.pk).update(is_active=True)


def by_deactivation(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    User.objects.filter(pk=user.pk).update(is_active=True)


CHANGES: list[Change] = [
    *(on_their_own_page, by_an_administrator, by_command, in_code, with_update_fields),
    *(by_its_hash, by_update, in_bulk, by_sql, to_none),
    *(by_deactivation_in_the_admin, by_deactivation),
]


class TestAChange:
    @pytest.mark.parametrize("change", CHANGES)
    def test_ends_tokens_and_the_calendar_link(self, user: User, change: Change) -> None:
        access = Access(user)

        change(user)

        assert access.works() == (False, False)
        assert access.is_kept() == (False, False)

    @pytest.mark.parametrize("change", CHANGES)
    def test_leaves_those_of_others_alone(self, user: User, change: Change) -> None:
        other = Access(with_password("other"))

        change(user)

        assert other.works() == (True, True)

    def test_of_anything_else_leaves_them_alone(self, user: User) -> None:
        access = Access(user)

        user.email = "editor@example.org"
        user.save()
        signed_in(user)

        assert access.works() == (True, True)

    def test_of_the_secret_key_leaves_them_alone(self, user: User, settings: Any) -> None:
        access = Access(user)

        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another-key-of-the-site"

        assert access.works() == (True, True)

    def test_that_is_rolled_back_leaves_them_alone(self, user: User) -> None:
        access = Access(user)

        with transaction.atomic():
            in_code(user)
            transaction.set_rollback(True)

        assert access.works() == (True, True)


class StrongerHasher(MD5PasswordHasher):
    """The hasher of a later release of Django."""

    algorithm = "stronger"


STRONGER = [f"{__name__}.StrongerHasher", *settings.PASSWORD_HASHERS]


class TestAPasswordThatIsHashedAnew:
    """Django does so at a sign-in when its hashers have changed: the password is the same."""

    @staticmethod
    def by_the_api() -> None:
        assert log_in().status_code == 200

    @staticmethod
    def by_the_admin() -> None:
        data = {"username": "editor", "password": OLD}
        assert Client().post("/admin/login/?next=/admin/", data).status_code == 302

    @pytest.mark.parametrize("sign_in", ["by_the_api", "by_the_admin"])
    def test_ends_nothing(self, user: User, settings: Any, sign_in: str) -> None:
        access = Access(user)
        settings.PASSWORD_HASHERS = STRONGER

        getattr(self, sign_in)()

        user.refresh_from_db()
        assert identify_hasher(user.password).algorithm == "stronger"
        assert access.works() == (True, True)

    def test_ends_nothing_within_a_transaction(self, user: User, settings: Any) -> None:
        access = Access(user)
        settings.PASSWORD_HASHERS = STRONGER

        with transaction.atomic():
            assert User.objects.get(pk=user.pk).check_password(OLD)

        assert access.works() == (True, True)

    def test_lets_a_change_in_the_same_transaction_end_them(
        self, user: User, settings: Any
    ) -> None:
        access = Access(user)
        settings.PASSWORD_HASHERS = STRONGER

        with transaction.atomic():
            fresh = User.objects.get(pk=user.pk)
            assert fresh.check_password(OLD)
            in_code(fresh)

        assert access.works() == (False, False)

    @pytest.mark.parametrize("change", [on_their_own_page, in_code, with_update_fields])
    def test_and_then_changed_ends_them(self, user: User, settings: Any, change: Change) -> None:
        access = Access(user)
        settings.PASSWORD_HASHERS = STRONGER

        change(user)

        assert access.works() == (False, False)


@pytest.mark.django_db(transaction=True)
class TestWhatIsBeingMade:
    """A request that was let in by the old password may not leave anything behind."""

    def test_ends_with_a_change_that_comes_meanwhile(
        self, user: User, in_background: InBackground
    ) -> None:
        with transaction.atomic():
            in_code(User.objects.get(pk=user.pk))
            late_link = in_background(make_calendar_link, user)
            late_login: Future[Any] = in_background(log_in)
            while number_waiting() < 2:
                pass

        assert late_login.result().status_code == 401
        with pytest.raises(NotAllowed):
            late_link.result()
        assert not AuthToken.objects.exists()
        assert not CalendarLink.objects.exists()
