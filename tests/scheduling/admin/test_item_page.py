"""An item's page: what it shows, and what it offers to whom."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Category, Story
from scheduling import operations
from scheduling.models import Job, JobEvent, Status
from tests.admin_pages import buttons_on, fields_in, fields_of, list_of, page_of, press
from tests.factories import FAR_OFF, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestItemPage:
    @pytest.mark.parametrize(
        ("situation", "expected"),
        [
            ({}, ["schedule", "publish"]),
            ({"scheduled": True}, ["move", "publish", "cancel"]),
            ({"published": True}, ["end", "unpublish"]),
            ({"published": True, "unpublish_at": FAR_OFF}, ["end", "cancel-end", "unpublish"]),
            ({"unpublished": True}, ["schedule", "publish"]),
            ({"failed": True}, ["schedule", "publish", "cancel"]),
            ({"title": ""}, []),
        ],
    )
    def test_offers_an_editor_what_the_status_allows(
        self, editor: Client, situation: dict[str, Any], expected: list[str]
    ) -> None:
        story = StoryFactory(**situation)

        assert buttons_on(editor, story) == expected

    def test_offers_an_author_nothing(self, author: Client) -> None:
        assert buttons_on(author, StoryFactory()) == []
        assert buttons_on(author, StoryFactory(published=True)) == []

    def test_offers_who_may_only_schedule_no_publishing(self, scheduler: Client) -> None:
        assert buttons_on(scheduler, StoryFactory(scheduled=True)) == ["move", "cancel"]

    def test_does_not_move_back_what_another_has_moved(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        mine = fields_of(editor, story, "move")
        bora = UserFactory(username="bora")
        operations.schedule(item=story, run_at=FAR_OFF + timedelta(hours=5), by=bora)

        response = press(editor, story, "move", **mine | {"unpublish_at": "2100-12-01T00:00"})

        page = response.content.decode()
        story.refresh_from_db()
        assert response.status_code == 422
        assert "changed meanwhile, by bora" in page
        assert story.publish_at == FAR_OFF + timedelta(hours=5)
        # The one that was left shows the new time, the other what was typed.
        again = fields_in(page)
        assert again["run_at"] == f"{FAR_OFF + timedelta(hours=5):%Y-%m-%dT%H:%M:%S}"
        assert again["unpublish_at"] == "2100-12-01T00:00"
        assert press(editor, story, "move", **again).status_code == 302
        story.refresh_from_db()
        assert story.publish_at == FAR_OFF + timedelta(hours=5)
        assert story.unpublish_at == datetime(2100, 12, 1, tzinfo=UTC)

    def test_keeps_the_milliseconds_of_a_time_that_comes_twice(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "America/New_York"
        at = datetime(2100, 11, 7, 6, 30, 0, 123_000, tzinfo=UTC)
        story = StoryFactory()
        operations.schedule(item=story, run_at=at, by=None)
        mine = fields_of(editor, story, "move")

        press(editor, story, "move", **mine | {"run_at_which": "1", "reason": "only said why"})

        assert Job.objects.get().run_at == at
        assert not JobEvent.objects.filter(what=JobEvent.What.MOVED).exists()

    def test_takes_a_time_for_what_its_page_showed_it_to_be(
        self, editor: Client, settings: Settings
    ) -> None:
        story = StoryFactory()
        mine = fields_of(editor, story, "schedule")
        settings.TIME_ZONE = "Asia/Seoul"

        press(editor, story, "schedule", **mine | {"run_at": "2100-03-01T12:00"})

        assert mine["run_at_zone"] == "UTC"
        assert Job.objects.get().run_at == datetime(2100, 3, 1, 12, 0, tzinfo=UTC)

    def test_says_before_a_delete_what_is_cancelled_with_it(self, editor: Client) -> None:
        story = StoryFactory(title="첫눈", scheduled=True, publish_at=FAR_OFF)
        story.categories.add(Category.objects.create(name="정원"))
        address = reverse("admin:content_story_delete", args=[story.pk])
        chosen = {"action": "delete_selected", "_selected_action": [str(story.pk)]}

        alone = editor.get(address).content.decode()
        among_many = editor.post(list_of(Story), chosen).content.decode()

        for page in (alone, among_many):
            assert re.search(r"This is cancelled: 첫눈, publish <time .*>2100-", page)
            assert "Story-category" not in page

    def test_names_no_rows_of_many_to_many_tables_before_a_category_is_deleted(
        self, admin_client: Client
    ) -> None:
        category = Category.objects.create(name="정원")
        StoryFactory(title="첫눈").categories.add(category)
        chosen = {"action": "delete_selected", "_selected_action": [str(category.pk)]}

        alone = admin_client.get(reverse("admin:content_category_delete", args=[category.pk]))
        among_many = admin_client.post(reverse("admin:content_category_changelist"), chosen)

        for page in (alone, among_many):
            assert "정원" in page.content.decode()
            assert "Story-category" not in page.content.decode()

    def test_has_no_link_to_people_for_whom_their_pages_are_closed(self, scheduler: Client) -> None:
        story = StoryFactory(author=UserFactory(username="whose-it-is"))

        html = scheduler.get(page_of(story)).content.decode()

        assert "whose-it-is" in html
        assert reverse("admin:auth_user_change", args=[story.author.pk]) not in html

    def test_does_not_say_of_what_is_live_that_it_cannot_go_live(self, editor: Client) -> None:
        story = StoryFactory(published=True)
        Story.objects.update(body="")

        assert "It cannot go live" not in editor.get(page_of(story)).content.decode()

    def test_says_what_is_missing(self, editor: Client) -> None:
        story = StoryFactory(title="", body=" ")

        html = editor.get(page_of(story)).content.decode()

        assert "It has no title." in html
        assert "Its body is empty." in html

    def test_shows_who_did_what_and_why(self, editor: Client) -> None:
        story = StoryFactory()
        boss = UserFactory(username="the-boss")
        operations.schedule(item=story, run_at=FAR_OFF, by=boss, reason="“다음 호”에 <b>")

        html = editor.get(page_of(story)).content.decode()

        assert "publish: scheduled" in html
        assert "the-boss" in html
        assert "“다음 호”에 &lt;b&gt;" in html
        assert "2100-10-31 01:00:00" in html

    def test_shows_times_of_the_site_and_of_utc(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        story = StoryFactory(scheduled=True)

        html = editor.get(page_of(story)).content.decode()

        assert "2100-10-31 10:00:00</span> Asia/Seoul" in html
        assert "2100-10-31 01:00:00</span> UTC" in html

    def test_keeps_every_form_outside_the_others(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)

        html = editor.get(page_of(story)).content.decode()

        depths = {"<form": 1, "</form": -1}
        depth = 0
        for tag in re.findall(r"</?form", html):
            depth += depths[tag]
            assert depth in (0, 1)

    def test_saves_content_and_leaves_the_status_alone(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        form = {"title": "새 제목", "slug": "new", "body": "b", "extra": "{}", "language": "ko"}

        editor.post(page_of(story), form | {"status": "published", "publish_at": ""})

        story.refresh_from_db()
        assert story.title == "새 제목"
        assert (story.status, story.publish_at) == (Status.SCHEDULED, FAR_OFF)

    def test_lets_an_author_write_a_draft(self, author: Client) -> None:
        form = {"title": "초안", "slug": "초안", "body": "b", "extra": "{}", "language": "ko"}

        author.post(reverse("admin:content_story_add"), form)

        assert Story.objects.get().status == Status.DRAFT

    def test_links_to_the_site_only_what_is_there(self, editor: Client) -> None:
        live, draft = StoryFactory(published=True), StoryFactory()

        assert live.get_absolute_url() in editor.get(page_of(live)).content.decode()
        assert draft.get_absolute_url() not in editor.get(page_of(draft)).content.decode()
