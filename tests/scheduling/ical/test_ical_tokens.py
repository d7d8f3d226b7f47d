"""Calendar links: who may read the schedule without signing in."""

from datetime import timedelta
from hashlib import sha256

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from scheduling.access.permissions import NotAllowed
from scheduling.ical.tokens import (
    find_calendar_user,
    make_calendar_link,
    note_reading,
    revoke_calendar_link,
)
from scheduling.models import CalendarLink, clock
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    made: User = UserFactory()
    return made


class TestMakingALink:
    def test_gives_a_secret_that_opens_that_persons_calendar(self, user: User) -> None:
        make_calendar_link(UserFactory())

        secret = make_calendar_link(user)

        assert len(secret) == 43
        assert find_calendar_user(secret) == user

    def test_keeps_the_digest_of_the_secret_and_nothing_else_of_it(self, user: User) -> None:
        secret = make_calendar_link(user)

        [row] = CalendarLink.objects.values_list()
        assert sha256(secret.encode()).hexdigest() in row
        assert secret not in str(row)

    def test_again_closes_the_old_one(self, user: User) -> None:
        old = make_calendar_link(user)
        note_reading(user)

        new = make_calendar_link(user)

        assert find_calendar_user(old) is None
        assert find_calendar_user(new) == user
        assert CalendarLink.objects.get().last_read_at is None

    def test_is_refused_once_the_account_is_gone(self, user: User) -> None:
        User.objects.filter(pk=user.pk).delete()

        with pytest.raises(NotAllowed):
            make_calendar_link(user)

    def test_again_says_when(self, user: User) -> None:
        make_calendar_link(user)
        CalendarLink.objects.update(created_at=clock.database_now() - timedelta(days=1))

        start = clock.database_now()
        make_calendar_link(user)

        assert CalendarLink.objects.get().created_at >= start


class TestRevokingALink:
    def test_closes_it(self, user: User) -> None:
        secret = make_calendar_link(user)

        assert revoke_calendar_link(user) is True
        assert find_calendar_user(secret) is None

    def test_says_that_there_was_none(self, user: User) -> None:
        make_calendar_link(UserFactory())

        assert revoke_calendar_link(user) is False
        assert CalendarLink.objects.count() == 1


class TestFindingWhoseItIs:
    @pytest.mark.parametrize("secret", ["", "x", "x" * 43, "\x00", "한글", "\ud800", "x" * 100_000])
    def test_finds_nobody_by_what_is_no_secret(self, user: User, secret: str) -> None:
        make_calendar_link(user)

        assert find_calendar_user(secret) is None

    def test_finds_nobody_by_a_digest(self, user: User) -> None:
        make_calendar_link(user)

        assert find_calendar_user(CalendarLink.objects.get().digest) is None

    def test_finds_nobody_who_is_inactive(self, user: User) -> None:
        secret = make_calendar_link(user)

        User.objects.update(is_active=False)

        assert find_calendar_user(secret) is None

    def test_finds_nobody_who_is_gone(self, user: User) -> None:
        secret = make_calendar_link(user)

        user.delete()

        assert find_calendar_user(secret) is None

    def test_asks_the_database_once(
        self, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        secret = make_calendar_link(user)

        with django_assert_num_queries(1):
            find_calendar_user(secret)


class TestRecordingTheLastUse:
    def read_at(self, user: User) -> object:
        note_reading(user)
        return CalendarLink.objects.get(user=user).last_read_at

    def test_says_when(self, user: User) -> None:
        make_calendar_link(user)
        start = clock.database_now()

        read_at = self.read_at(user)

        assert read_at is not None
        assert start <= read_at <= clock.database_now()  # type: ignore[operator]

    def test_writes_at_most_once_an_hour(self, user: User) -> None:
        make_calendar_link(user)
        first = self.read_at(user)

        soon = self.read_at(user)
        CalendarLink.objects.update(last_read_at=clock.database_now() - timedelta(minutes=61))
        later = self.read_at(user)

        assert soon == first
        assert later != first

    def test_is_of_that_person_only(self, user: User) -> None:
        make_calendar_link(user)
        other: User = UserFactory()
        make_calendar_link(other)

        note_reading(user)

        assert CalendarLink.objects.get(user=other).last_read_at is None
