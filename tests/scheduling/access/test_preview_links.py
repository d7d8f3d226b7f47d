"""Preview links: they show an item that is not live, to anyone, for a limited time."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Notice, Story
from scheduling.access.preview_links import make_preview_token
from scheduling.models import Schedulable
from scheduling.models.clock import database_now
from tests.admin_pages import messages_in, page_of, press, signed_in
from tests.factories import NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def maker() -> User:
    return UserFactory(is_superuser=True)


def link_to(item: Schedulable, maker: User) -> str:
    return reverse("preview", args=[make_preview_token(item, by=maker)])


class TestALink:
    def test_shows_a_draft_as_it_will_look(self, client: Client, maker: User) -> None:
        story = StoryFactory(title="첫눈", body="**굵게** <script>alert(1)</script>")

        response = client.get(link_to(story, maker))

        page = response.content.decode()
        assert response.status_code == 200
        assert "첫눈" in page
        assert "<strong>굵게</strong>" in page
        assert "<script" not in page
        assert "This is a preview. It is not public." in page

    def test_says_when_it_goes_live(self, client: Client, maker: User, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        story = StoryFactory(scheduled=True)

        page = client.get(link_to(story, maker)).content.decode()

        assert "It goes live at 2100-10-31 10:00:00 (Asia/Seoul)." in page

    def test_shows_a_notice(self, client: Client, maker: User) -> None:
        notice = NoticeFactory(title="승강기가 쉽니다", severity=Notice.Severity.URGENT)

        page = client.get(link_to(notice, maker)).content.decode()

        assert "승강기가 쉽니다" in page
        assert "notice-urgent" in page

    def test_leads_on_to_what_is_live(self, client: Client, maker: User) -> None:
        story = StoryFactory(published=True)

        response = client.get(link_to(story, maker))

        assert response.status_code == 302
        assert response["Location"] == story.get_absolute_url()

    def test_leads_on_to_where_a_live_notice_is(self, client: Client, maker: User) -> None:
        notice = NoticeFactory(published=True)

        assert client.get(link_to(notice, maker))["Location"] == reverse("front-page")

    def test_is_nobodys_to_keep_find_or_pass_on(self, client: Client, maker: User) -> None:
        response = client.get(link_to(StoryFactory(), maker))

        assert response["Cache-Control"] == "no-store"
        assert response["X-Robots-Tag"] == "noindex"
        assert response["Referrer-Policy"] == "no-referrer"

    def test_expires(self, client: Client, maker: User, settings: Settings) -> None:
        settings.PREVIEW_HOURS = 1
        link = link_to(StoryFactory(title="비밀"), maker)

        with time_machine.travel(database_now() + timedelta(minutes=61)):
            response = client.get(link)

        assert response.status_code == 410
        assert "비밀" not in response.content.decode()

    @pytest.mark.parametrize("spoil", [str.swapcase, lambda token: token + "x", lambda _: "x:y:z"])
    def test_that_was_tampered_with_shows_nothing(
        self, client: Client, maker: User, spoil: Any
    ) -> None:
        token = make_preview_token(StoryFactory(title="비밀"), by=maker)

        response = client.get(reverse("preview", args=[spoil(token)]))

        assert response.status_code == 404
        assert "비밀" not in response.content.decode()

    def test_ends_with_its_item(self, client: Client, maker: User) -> None:
        story = StoryFactory()
        link = link_to(story, maker)
        story.delete()

        assert client.get(link).status_code == 404

    def test_ends_when_its_maker_may_not_sign_in_any_more(
        self, client: Client, maker: User
    ) -> None:
        link = link_to(StoryFactory(), maker)
        User.objects.update(is_active=False)

        assert client.get(link).status_code == 404

    def test_ends_when_its_maker_may_not_see_it_any_more(self, client: Client, maker: User) -> None:
        link = link_to(StoryFactory(), maker)
        User.objects.update(is_superuser=False)

        assert client.get(link).status_code == 404


class TestTheButton:
    def test_makes_a_link_that_works(self, client: Client) -> None:
        story = StoryFactory(title="첫눈")

        response = press(signed_in("Editors"), story, "share")

        [message] = messages_in(response)
        found = re.search(r'href="http://testserver(/preview/[^"]+)"', message)
        assert found
        assert "for 72 hours" in message
        assert "첫눈" in client.get(found[1]).content.decode()

    def test_is_for_authors_of_what_is_theirs(self) -> None:
        author = signed_in("Authors")
        own = StoryFactory(author=User.objects.get(username="one-of-Authors"))
        others = StoryFactory()

        assert press(author, own, "share").status_code == 302
        assert press(author, others, "share").status_code == 404

    def test_is_not_offered_for_what_is_live(self) -> None:
        story = StoryFactory(published=True)
        editor = signed_in("Editors")

        assert "/share/" not in editor.get(page_of(story)).content.decode()
        assert press(editor, story, "share").status_code == 404

    def test_of_a_story_that_was_deleted_finds_nothing(self) -> None:
        story = StoryFactory()
        pk = story.pk
        story.delete()

        assert press(signed_in("Editors"), Story(pk=pk), "share").status_code == 404
