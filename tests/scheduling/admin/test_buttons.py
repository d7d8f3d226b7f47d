"""The buttons on an item's page, each of which calls an operation."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Story
from scheduling import operations
from scheduling.admin import ACTIONS
from scheduling.models import Job, JobEvent, Kind, State, Status
from tests.admin_pages import SOON_ENOUGH, messages_in, page_of, press, submit
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db


class TestButtons:
    def test_schedule_an_item_in_the_time_of_the_site(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        story = StoryFactory()

        response = press(
            editor,
            story,
            "schedule",
            run_at=SOON_ENOUGH,
            unpublish_at="2100-03-02T09:30:15",
            reason="봄 호",
        )

        story.refresh_from_db()
        assert response["Location"] == page_of(story)
        assert story.status == Status.SCHEDULED
        assert story.publish_at == datetime(2100, 3, 1, 0, 30, tzinfo=UTC)
        assert story.unpublish_at == datetime(2100, 3, 2, 0, 30, 15, tzinfo=UTC)
        event = JobEvent.objects.get(job__kind=Kind.PUBLISH)
        assert (str(event.by), event.reason) == ("one-of-Editors", "봄 호")

    def test_move_an_item_and_keep_the_fraction_of_an_end_left_alone(self, editor: Client) -> None:
        story = StoryFactory()
        end = FAR_OFF + timedelta(days=1)
        operations.schedule(item=story, run_at=FAR_OFF, unpublish_at=end, by=None)

        press(editor, story, "move", run_at=SOON_ENOUGH, unpublish_at=f"{end:%Y-%m-%dT%H:%M:%S}")

        story.refresh_from_db()
        assert story.publish_at == datetime(2100, 3, 1, 9, 30, tzinfo=UTC)
        assert story.unpublish_at == end

    def test_say_the_new_time_in_the_time_zone_of_the_reader(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        story = StoryFactory()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        response = press(editor, story, "move", run_at=SOON_ENOUGH)

        assert messages_in(response) == ["Moved to Mon 1 Mar, 09:30."]

    def test_move_an_item_and_take_its_end_away(self, editor: Client) -> None:
        story = StoryFactory()
        end = FAR_OFF + timedelta(days=1)
        operations.schedule(item=story, run_at=FAR_OFF, unpublish_at=end, by=None)

        press(editor, story, "move", run_at=SOON_ENOUGH, unpublish_at="")

        story.refresh_from_db()
        assert story.unpublish_at is None
        assert not Job.objects.open().filter(kind=Kind.UNPUBLISH).exists()

    def test_schedule_what_was_taken_down_without_its_old_end(self, editor: Client) -> None:
        story = StoryFactory(unpublished=True)

        press(editor, story, "schedule", run_at=SOON_ENOUGH)

        story.refresh_from_db()
        assert (story.status, story.unpublish_at) == (Status.SCHEDULED, None)

    def test_publish_an_item_now(self, editor: Client) -> None:
        story = StoryFactory()

        response = press(editor, story, "publish", reason="breaking")

        story.refresh_from_db()
        assert story.is_published
        assert messages_in(response) == ["It is live."]
        assert JobEvent.objects.get().reason == "breaking"

    def test_take_an_item_down_now(self, editor: Client) -> None:
        story = StoryFactory(published=True)

        press(editor, story, "unpublish")

        story.refresh_from_db()
        assert story.status == Status.UNPUBLISHED

    def test_give_a_live_item_an_end_and_take_it_away(self, editor: Client) -> None:
        notice = NoticeFactory(published=True)

        press(editor, notice, "end", run_at=SOON_ENOUGH)
        notice.refresh_from_db()
        given = notice.unpublish_at
        press(editor, notice, "cancel-end")
        notice.refresh_from_db()

        assert given == datetime(2100, 3, 1, 9, 30, tzinfo=UTC)
        assert notice.unpublish_at is None
        assert Job.objects.get().state == State.CANCELLED

    def test_cancel_a_schedule(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)

        press(editor, story, "cancel", reason="not ready")

        story.refresh_from_db()
        assert story.status == Status.DRAFT
        assert Job.objects.get().state == State.CANCELLED

    @pytest.mark.parametrize(
        ("name", "data", "situation"),
        [
            ("schedule", {"run_at": "2001-01-01T00:00"}, {}),
            ("schedule", {"run_at": SOON_ENOUGH}, {"published": True}),
            ("schedule", {"run_at": SOON_ENOUGH}, {"body": ""}),
            ("schedule", {"run_at": SOON_ENOUGH, "unpublish_at": "2099-01-01T00:00"}, {}),
            ("schedule", {"run_at": ""}, {}),
            ("schedule", {}, {}),
            ("schedule", {"run_at": "tomorrow"}, {}),
            ("schedule", {"run_at": "9999-12-31T23:59:59"}, {}),
            ("schedule", {"run_at": "0001-01-01T00:00"}, {}),
            ("schedule", {"run_at": SOON_ENOUGH, "reason": "x" * 1001}, {}),
            ("schedule", {"run_at": SOON_ENOUGH, "reason": "\x00"}, {}),
            ("publish", {}, {"published": True}),
            ("publish", {}, {"title": ""}),
            ("unpublish", {}, {}),
            ("unpublish", {}, {"scheduled": True}),
            ("end", {"run_at": SOON_ENOUGH}, {}),
            ("cancel", {}, {}),
            ("cancel-end", {}, {"published": True}),
        ],
    )
    def test_say_why_they_did_nothing(
        self, editor: Client, name: str, data: dict[str, str], situation: dict[str, Any]
    ) -> None:
        story = StoryFactory(**situation)
        before = Story.objects.values("status", "publish_at", "unpublish_at").get()

        response = press(editor, story, name, **data)

        assert response.status_code == 422
        assert 'role="alert"' in response.content.decode()
        assert Story.objects.values("status", "publish_at", "unpublish_at").get() == before

    def test_keep_what_was_typed_when_they_refuse(self, editor: Client) -> None:
        story = StoryFactory()

        response = press(editor, story, "schedule", run_at="2001-01-01T00:00", reason="축제 때문에")

        page = response.content.decode()
        assert "That time has already passed." in page
        assert 'value="2001-01-01T00:00"' in page
        assert 'value="축제 때문에"' in page

    def test_refuse_a_time_that_the_clocks_skip(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "America/New_York"
        story = StoryFactory()

        response = press(editor, story, "schedule", run_at="2100-03-14T02:30")

        page = response.content.decode()
        assert "The clocks skip 2100-03-14 02:30 that night. The same moment is 03:30." in page
        assert not Job.objects.exists()

    def test_ask_which_is_meant_of_a_time_that_the_clocks_show_twice(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "America/New_York"
        story = StoryFactory()

        response = press(editor, story, "schedule", run_at="2100-11-07T01:30")

        page = response.content.decode()
        assert "The clocks show 2100-11-07 01:30 twice that night." in page
        assert re.search(r'name="run_at_which" value="0">\s*the first \(UTC-04:00\)', page)
        assert re.search(r'name="run_at_which" value="1">\s*the second \(UTC-05:00\)', page)
        assert not Job.objects.exists()

    @pytest.mark.parametrize(("which", "hour"), [("0", 5), ("1", 6)])
    def test_take_the_one_that_is_meant(
        self, editor: Client, settings: Settings, which: str, hour: int
    ) -> None:
        settings.TIME_ZONE = "America/New_York"
        story = StoryFactory()

        press(editor, story, "schedule", run_at="2100-11-07T01:30", run_at_which=which)

        assert Job.objects.get().run_at == datetime(2100, 11, 7, hour, 30, tzinfo=UTC)
        page = editor.get(page_of(story)).content.decode()
        assert f'name="run_at_which" value="{which}" checked' in page

    @pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
    def test_are_closed_to_authors(self, author: Client, action: Any) -> None:
        story = StoryFactory(scheduled=True)

        response = press(author, story, action.name, run_at=SOON_ENOUGH)

        story.refresh_from_db()
        assert response.status_code == 403
        assert story.publish_at == FAR_OFF

    @pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
    def test_are_closed_to_who_is_not_signed_in(self, client: Client, action: Any) -> None:
        response = press(client, StoryFactory(), action.name, run_at=SOON_ENOUGH)

        assert response["Location"].startswith(reverse("admin:login"))
        assert not Job.objects.exists()

    @pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
    def test_need_a_post_with_its_token(self, editor: Client, action: Any) -> None:
        story = StoryFactory()
        url = reverse(f"admin:content_story_{action.name}", args=[story.pk])
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = editor.cookies

        assert editor.get(url)["Location"] == page_of(story)
        assert strict.post(url, {"run_at": SOON_ENOUGH}).status_code == 403
        assert not Job.objects.exists()

    def test_have_their_token_on_the_page(self, editor: Client) -> None:
        story = StoryFactory()
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = editor.cookies

        response = submit(strict, page_of(story), "publish")

        story.refresh_from_db()
        assert response.status_code == 302
        assert story.is_published

    def test_do_not_find_what_is_gone(self, editor: Client) -> None:
        story = StoryFactory()
        Story.objects.all().delete()

        assert press(editor, Story(pk=story.pk or 1), "publish").status_code == 404
