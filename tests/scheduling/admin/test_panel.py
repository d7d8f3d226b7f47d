"""A page that stays open: its panel, and what it asks while somebody reads or writes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Story
from scheduling import operations
from scheduling.models.clock import database_now
from tests.admin_pages import page_of
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db


class TestAPageThatStaysOpen:
    def live(self, client: Client, *pks: int) -> Any:
        url = reverse("admin:content_story_live")
        return client.get(url, {"ids": ",".join(map(str, pks))}).json()

    def test_hears_that_an_item_went_live(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        before = self.live(editor, story.pk)["rows"][str(story.pk)]
        operations.publish_now(item=story, by=None)

        after = self.live(editor, story.pk)["rows"][str(story.pk)]

        assert "armo-scheduled" in before["status_badge"]
        assert "armo-published" in after["status_badge"]

    def test_hears_of_times_that_others_have_set(self, editor: Client) -> None:
        draft, live = StoryFactory(), StoryFactory(published=True)
        moved = StoryFactory(scheduled=True)
        operations.schedule(item=moved, run_at=FAR_OFF + timedelta(days=1), by=None)

        rows = self.live(editor, draft.pk, live.pk, moved.pk)["rows"]

        assert rows[str(draft.pk)]["published_at"] == "-"
        assert "<time" in rows[str(live.pk)]["published_at"]
        assert "2100-11-01" in rows[str(moved.pk)]["goes_live"]

    def test_asks_less_and_less_often_about_what_is_late(self, editor: Client) -> None:
        story = StoryFactory(due=True)
        again = self.live(editor, story.pk)["again"]
        now = database_now()
        Story.objects.update(publish_at=now - timedelta(seconds=50))

        assert again == 10
        assert 5 <= self.live(editor, story.pk)["again"] < 6

    def test_asks_again_just_after_the_next_moment(self, editor: Client) -> None:
        soon = StoryFactory(scheduled=True, publish_at=database_now() + timedelta(seconds=5))

        assert 0 < self.live(editor, soon.pk)["again"] < 5.2
        assert self.live(editor)["again"] == 10

    def test_hears_nothing_of_what_one_may_not_see(self, author: Client) -> None:
        story = StoryFactory(title="남의 초안")

        assert self.live(author, story.pk)["rows"] == {}

    def test_survives_numbers_that_are_none(self, editor: Client) -> None:
        url = reverse("admin:content_story_live")

        assert editor.get(url, {"ids": "x,,-1,²," + "9" * 40}).json()["rows"] == {}

    def test_shows_its_panel_anew(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)

        html = editor.get(reverse("admin:content_story_panel", args=[story.pk])).content.decode()

        assert html.lstrip().startswith("<aside")
        assert "armo-scheduled" in html

    def test_says_what_a_time_means(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "America/New_York"
        StoryFactory(scheduled=True, publish_at=datetime(2100, 7, 1, 13, 30, 20, tzinfo=UTC))
        url = reverse("admin:content_story_when")

        page = editor.get(url, {"name": "run_at", "at": "2100-07-01T09:30"}).content.decode()

        assert "2100-07-01 13:30:00</span> UTC" in page
        assert "1 other item goes live in that minute." in page

    def test_counts_only_what_the_person_may_see(self, author: Client) -> None:
        StoryFactory.create_batch(
            2, scheduled=True, publish_at=datetime(2100, 7, 1, 13, 30, 20, tzinfo=UTC)
        )
        me = get_user_model().objects.get(pk=author.session["_auth_user_id"])
        mine = StoryFactory(author=me)
        asked = {"name": "run_at", "at": "2100-07-01T13:30"}
        url = reverse("admin:content_story_when")

        before = author.get(url, asked).content.decode()
        StoryFactory(author=me, scheduled=True, publish_at=datetime(2100, 7, 1, 13, 30, tzinfo=UTC))
        after = author.get(url, {**asked, "item": mine.pk}).content.decode()

        assert "in that minute" not in before
        assert "1 other item goes live in that minute." in after

    def test_does_not_count_the_item_itself(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True, publish_at=datetime(2100, 7, 1, 13, 30, tzinfo=UTC))
        asked = {"name": "run_at", "at": "2100-07-01T13:30:40", "item": story.pk}

        page = editor.get(reverse("admin:content_story_when"), asked).content.decode()

        assert "2100-07-01" not in page  # in UTC alone there is nothing to add
        assert "in that minute" not in page

    @pytest.mark.parametrize(
        ("at", "said"),
        [
            ("0001-01-01T00:00", "That year is out of range."),
            ("9999-12-31T23:59", "That year is out of range."),
            ("2100-03-14T02:30", "The clocks skip"),
            ("2100-11-07T01:30", 'name="run_at_which"'),
            ("2001-01-01T00:00", "that has passed"),
            ("rubbish", "Enter a valid date/time."),
            ("", ""),
        ],
    )
    def test_says_what_is_wrong_with_a_time(
        self, editor: Client, settings: Settings, at: str, said: str
    ) -> None:
        settings.TIME_ZONE = "America/New_York"

        answer = editor.get(reverse("admin:content_story_when"), {"name": "run_at", "at": at})

        assert answer.status_code == 200
        assert said in answer.content.decode()

    def test_previews_only_what_is_being_written(self, editor: Client, operator: Client) -> None:
        story = StoryFactory()

        assert "data-armo-preview" in editor.get(page_of(story)).content.decode()
        assert "data-armo-preview" not in operator.get(page_of(story)).content.decode()

    def test_shows_a_text_as_readers_will_see_it(self, editor: Client) -> None:
        data = {"title": "제목", "body": "**굵게** <script>alert(1)</script>"}

        page = editor.post(reverse("admin:content_story_preview_text"), data).content.decode()

        assert "<strong>굵게</strong>" in page
        assert "<script" not in page
