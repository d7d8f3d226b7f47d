"""The admin's history of a row outlives the accounts of those who have changed it."""

from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from armo.accounts.history import log_entries, newest_log_entry
from armo.accounts.models import KeptLogEntry
from content.models import Story, Tag
from scheduling.admin.seen import last_change_by
from tests.admin_pages import signed_in
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


def change(row: Any, by: User, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [row], CHANGE, message, single_object=True)


def history_of(row: Any, client: Client) -> str:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_history", args=[row.pk])
    return client.get(url).content.decode()


@pytest.fixture
def kim() -> User:
    return UserFactory(username="kim")


class TestTheHistoryOfARow:
    @pytest.mark.parametrize("make", [StoryFactory, lambda: Tag.objects.create(name="가을")])
    def test_names_people_whose_accounts_were_deleted(self, make: Any, kim: User) -> None:
        row, lee = make(), UserFactory(username="lee")
        change(row, kim, "Kim was here.")
        change(row, lee, "Lee was here.")
        change(row, kim, "Kim was here again.")

        kim.delete()
        UserFactory(username="kim")

        html = history_of(row, signed_in("Editors") if isinstance(row, Story) else superclient())
        assert html.count("kim (account deleted)") == 2
        places = [html.index(f"{it}.") for it in ("Kim was here", "Lee was here", "here again")]
        assert places == sorted(places)

    def test_has_pages(self, kim: User) -> None:
        story = StoryFactory()
        for number in range(101):
            change(story, kim, f"Change {number}.")
        kim.delete()
        client = signed_in("Editors")

        assert "Change 100." not in history_of(story, client)
        url = reverse("admin:content_story_history", args=[story.pk])
        assert "Change 100." in client.get(url, {"p": 2}).content.decode()

    def test_is_as_ever_for_a_row_that_is_gone(self) -> None:
        url = reverse("admin:content_story_history", args=[99999])

        assert signed_in("Editors").get(url).status_code == 302

    def test_says_who_changed_a_text_last(self, kim: User) -> None:
        story = StoryFactory()
        change(story, kim, "Kim was here.")

        kim.delete()

        assert last_change_by(story) == "kim (account deleted)"

    def test_is_not_read_as_a_whole_for_its_last_line(self, kim: User) -> None:
        story, lee = StoryFactory(), UserFactory(username="lee")
        for _ in range(3):
            change(story, lee, "Lee was here.")
        change(story, kim, "Kim was here.")
        kim.delete()

        with CaptureQueriesContext(connection) as asked:
            entry = newest_log_entry(story)

        assert entry is not None
        assert entry.change_message == "Kim was here."
        logs = [it["sql"] for it in asked if "log" in it["sql"]]
        assert len(logs) == 2
        assert all("LIMIT 1" in sql for sql in logs)

    def test_is_kept_for_each_of_many_who_are_deleted_at_once(self, kim: User) -> None:
        story, lee = StoryFactory(), UserFactory(username="lee")
        change(story, kim, "Kim was here.")
        change(story, lee, "Lee was here.")

        User.objects.filter(username__in=["kim", "lee"]).delete()

        assert [it.user.get_username() for it in log_entries(story)] == [
            "lee (account deleted)",
            "kim (account deleted)",
        ]

    def test_is_not_kept_twice_if_the_deletion_is_rolled_back(self, kim: User) -> None:
        story = StoryFactory()
        change(story, kim, "Kim was here.")

        with transaction.atomic():
            kim.delete()
            transaction.set_rollback(True)

        assert not KeptLogEntry.objects.exists()
        assert len(log_entries(story)) == 1

    def test_is_copied_in_one_statement(self, kim: User) -> None:
        for _ in range(5):
            change(StoryFactory(), kim, "Kim was here.")

        with CaptureQueriesContext(connection) as asked:
            kim.delete()

        copies = [it for it in asked if "keptlogentry" in it["sql"]]
        assert len(copies) == 1
        assert KeptLogEntry.objects.count() == 5


def superclient() -> Client:
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client
