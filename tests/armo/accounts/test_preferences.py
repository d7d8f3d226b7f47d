"""Each person's time zone and language, in the admin."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from armo.accounts.middleware import KEY
from armo.accounts.models import Preferences
from content.models import Story
from scheduling.models import Job
from tests.admin_pages import list_of, page_of, press, signed_in
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor() -> Client:
    return signed_in("Editors")


def choose(client: Client, time_zone: str = "", language: str = "") -> Any:
    data = {"time_zone": time_zone, "language": language}
    return client.post(reverse("admin-preferences"), data)


class TestATimeZone:
    def test_that_is_chosen_shows_and_takes_all_times(self, editor: Client) -> None:
        story = StoryFactory()
        choose(editor, "Asia/Seoul")

        press(editor, story, "schedule", run_at="2100-03-01T09:30")
        page = editor.get(page_of(story)).content.decode()

        assert Job.objects.get().run_at == datetime(2100, 3, 1, 0, 30, tzinfo=UTC)
        assert "2100-03-01 09:30:00</span> Asia/Seoul" in page
        assert "Times are those of Asia/Seoul." in editor.get(list_of(Story)).content.decode()

    def test_is_a_persons_own(self, editor: Client) -> None:
        choose(editor, "Asia/Seoul")

        other = signed_in("Operators").get(list_of(Story)).content.decode()

        assert "Times are those of UTC." in other

    def test_of_the_api_stays_utc(self, editor: Client) -> None:
        StoryFactory(scheduled=True)
        choose(editor, "Asia/Seoul")

        [row] = editor.get("/api/v1/stories/").json()["results"]

        assert row["publish_at"].endswith("Z")

    def test_of_feeds_stays_the_sites(self, editor: Client) -> None:
        choose(editor, "Asia/Seoul", "ko")

        response = editor.get("/feeds/stories/", headers={"accept-language": "en"})

        assert response["Content-Language"] == "en"

    def test_that_is_none_is_refused(self, editor: Client) -> None:
        response = choose(editor, "Mars/Olympus")

        assert response.status_code == 422
        assert not Preferences.objects.exists()

    def test_that_was_abolished_breaks_no_page(self, editor: Client) -> None:
        session = editor.session
        session[KEY] = {"time_zone": "Mars/Olympus", "language": "tlh"}
        session.save()

        page = editor.get(list_of(Story)).content.decode()

        assert "Times are those of UTC." in page

    def test_is_offered_with_its_distance_from_utc(self, editor: Client) -> None:
        page = editor.get(reverse("admin-preferences")).content.decode()

        assert '<option value="Asia/Seoul">Asia/Seoul (UTC+09:00)</option>' in page
        assert "Etc/GMT" not in page


class TestALanguage:
    def test_that_is_chosen_wins_over_the_browsers(self, editor: Client) -> None:
        choose(editor, language="ko")

        response = editor.get(list_of(Story), headers={"accept-language": "en"})

        assert response["Content-Language"] == "ko"
        assert 'lang="ko"' in response.content.decode()

    def test_is_the_browsers_otherwise(self, editor: Client) -> None:
        response = editor.get(list_of(Story), headers={"accept-language": "ko"})

        assert response["Content-Language"] == "ko"


class TestASession:
    def test_begins_with_what_was_chosen_in_another(self) -> None:
        user = User.objects.create_user("haru", password="haru", is_staff=True, is_superuser=True)
        Preferences.objects.create(user=user, time_zone="Asia/Seoul")
        client = Client()

        client.post(reverse("admin:login"), {"username": "haru", "password": "haru"})

        assert "Times are those of Asia/Seoul." in client.get(list_of(Story)).content.decode()

    def test_asks_the_database_for_nothing_more(self, editor: Client) -> None:
        choose(editor, "Asia/Seoul")

        with CaptureQueriesContext(connection) as queries:
            editor.get(list_of(Story))

        assert not [each for each in queries if "people_preferences" in each["sql"]]

    def test_is_not_begun_by_who_only_reads(self, client: Client) -> None:
        response = client.get("/")

        assert "sessionid" not in response.cookies


class TestThePage:
    def test_is_for_who_has_signed_in(self, client: Client) -> None:
        assert client.get(reverse("admin-preferences")).status_code == 302

    def test_is_open_to_authors(self) -> None:
        assert signed_in("Authors").get(reverse("admin-preferences")).status_code == 200
