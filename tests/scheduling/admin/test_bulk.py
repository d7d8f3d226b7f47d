"""Bulk actions of a list: previewed first, then confirmed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import Settings

from content.models import Story
from scheduling.admin import bulk
from scheduling.models import Job, JobEvent, State, Status
from tests.admin_pages import (
    SOON_ENOUGH,
    agree,
    confirm,
    list_of,
    looked_at,
    messages_in,
    previewed,
)
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db


class TestManyAtOnce:
    def test_says_what_would_happen_and_what_not_before_it_does_anything(
        self, editor: Client
    ) -> None:
        good, live, blank = (
            StoryFactory(title="좋은 글"),
            StoryFactory(title="이미 나간 글", published=True),
            StoryFactory(title="빈 글", body=""),
        )

        page = previewed(editor, Story, "publish_selected", good.pk, live.pk, blank.pk)

        assert "Refused: 2" in page
        assert "Will be done: 1" in page
        assert "It is published and cannot become published." in page
        assert "Its body is empty." in page
        assert not Story.objects.exclude(pk=live.pk).published().exists()

    def test_publishes_what_was_confirmed_and_names_each_refusal(self, editor: Client) -> None:
        good, live, blank = (
            StoryFactory(title="좋은 글"),
            StoryFactory(title="이미 나간 글", published=True),
            StoryFactory(title="빈 글", body=""),
        )

        response = confirm(editor, Story, "publish_selected", good.pk, live.pk, blank.pk)

        good.refresh_from_db()
        assert good.is_published
        messages = messages_in(response)
        assert messages[0] == "Publish now: 1 done."
        assert any("“이미 나간 글”" in text and "cannot become" in text for text in messages[1:])
        assert any("“빈 글”" in text and "body is empty" in text for text in messages[1:])

    def test_does_only_what_the_page_said_it_would(self, editor: Client) -> None:
        good, blank = StoryFactory(), StoryFactory(title="빈 글", body="")
        page = looked_at(editor, Story, "publish_selected", good.pk, blank.pk)
        blank.body = "반쪽 문장"
        blank.save()

        response = agree(editor, Story, "publish_selected", page)

        blank.refresh_from_db()
        assert blank.status == Status.DRAFT
        assert messages_in(response) == [
            "Publish now: 1 done.",
            "Publish now: “빈 글”: It was changed meanwhile, by somebody else.",
        ]

    def test_shifts_nothing_from_where_the_page_did_not_show_it(self, editor: Client) -> None:
        story = StoryFactory(title="첫눈", scheduled=True)
        hour = {"number": "1", "unit": "hours"}
        page = looked_at(editor, Story, "shift_selected", story.pk, **hour)
        agree(editor, Story, "shift_selected", page)

        twice = agree(editor, Story, "shift_selected", page)

        assert Job.objects.open().get().run_at == FAR_OFF + timedelta(hours=1)
        assert messages_in(twice)[-1:] == [
            "Shift by an interval: “첫눈”: It was changed meanwhile, by one-of-Editors."
        ]

    def test_leaves_for_the_next_time_what_would_take_too_long(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "PATIENCE_SECONDS", -1.0)
        story = StoryFactory(title="첫눈", scheduled=True)

        response = confirm(editor, Story, "shift_selected", story.pk, number="1", unit="hours")

        assert Job.objects.open().get().run_at == FAR_OFF
        assert "There was no time left for it." in messages_in(response)[0]

    def test_shows_anew_what_was_not_shown_like_this(self, editor: Client) -> None:
        story = StoryFactory()
        page = looked_at(editor, Story, "schedule_selected", story.pk, run_at=SOON_ENOUGH)

        response = agree(editor, Story, "schedule_selected", page | {"run_at": "2100-04-01T00:00"})

        assert response.status_code == 200
        assert not Job.objects.exists()

    @pytest.mark.parametrize("rows", ["[9999999999999999999999]", "[true]", "{}", "[-1]", "x"])
    def test_survives_what_are_no_rows(self, editor: Client, rows: str) -> None:
        asked = {"action": "cancel_selected", "select_across": "1", "_selected_action": "0"}

        assert editor.post(list_of(Story), asked | {"rows": rows}).status_code == 200

    def test_cancels_and_takes_down_what_was_confirmed(self, editor: Client) -> None:
        waiting, live = StoryFactory(scheduled=True), StoryFactory(published=True)
        for action, story in (("cancel_selected", waiting), ("unpublish_selected", live)):
            confirm(editor, Story, action, story.pk, reason="비가 와서")

        waiting.refresh_from_db()
        live.refresh_from_db()

        assert (waiting.status, live.status) == (Status.DRAFT, Status.UNPUBLISHED)
        assert set(JobEvent.objects.filter(by__isnull=False).values_list("reason", flat=True)) == {
            "비가 와서"
        }

    def test_schedules_all_at_one_time(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        drafts, live = StoryFactory.create_batch(3), StoryFactory(published=True)
        pks = [story.pk for story in (*drafts, live)]

        page = previewed(editor, Story, "schedule_selected", *pks)
        checked = previewed(
            editor, Story, "schedule_selected", *pks, rows=str(pks), run_at=SOON_ENOUGH
        )
        confirm(editor, Story, "schedule_selected", *pks, run_at=SOON_ENOUGH)

        assert "Selected: 4" in page
        assert "Will be done: 3" in checked
        assert "Refused: 1" in checked
        runs = Job.objects.open().values_list("run_at", flat=True)
        assert list(runs) == [datetime(2100, 3, 1, 0, 30, tzinfo=UTC)] * 3

    def test_refuses_to_schedule_all_in_the_past(self, editor: Client) -> None:
        story = StoryFactory()

        response = confirm(editor, Story, "schedule_selected", story.pk, run_at="2001-01-01T00:00")

        assert messages_in(response) == [
            f"Schedule at a time: “{story}”: That time has already passed."
        ]

    def test_shifts_by_days_of_the_wall_clock_and_hours_of_time(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "America/New_York"
        # Nine in the morning, the day before the clocks are set forward.
        at = datetime(2100, 3, 13, 14, 0, 0, 123456, tzinfo=UTC)
        story, draft = StoryFactory(scheduled=True, publish_at=at), StoryFactory(title="초안")

        answer = confirm(
            editor, Story, "shift_selected", story.pk, draft.pk, number="1", unit="days"
        )
        by_a_day = Job.objects.open().get().run_at
        confirm(editor, Story, "shift_selected", story.pk, number="-24", unit="hours")
        back_by_hours = Job.objects.open().get().run_at

        assert by_a_day == datetime(2100, 3, 14, 13, 0, 0, 123456, tzinfo=UTC)
        assert back_by_hours == datetime(2100, 3, 13, 13, 0, 0, 123456, tzinfo=UTC)
        refused = "Shift by an interval: “초안”: Only what is scheduled can be shifted."
        assert refused in messages_in(answer)

    @pytest.mark.parametrize("data", [{}, {"number": "0", "unit": "days"}, {"number": "x"}])
    def test_asks_again_for_an_interval_that_is_none(
        self, editor: Client, data: dict[str, str]
    ) -> None:
        story = StoryFactory(scheduled=True)

        response = confirm(editor, Story, "shift_selected", story.pk, **data)

        assert response.status_code == 422
        assert Job.objects.get().run_at == FAR_OFF

    def test_runs_failed_items_again(self, editor: Client, operator: Client) -> None:
        job = failed_publish()
        story = Story.objects.get()

        confirm(editor, Story, "rerun_selected", story.pk)
        refused = Job.objects.get().state
        confirm(operator, Story, "rerun_selected", story.pk)

        assert refused == State.FAILED
        assert Job.objects.open().get() == job

    def test_names_a_few_of_many_refused(self, editor: Client) -> None:
        stories = StoryFactory.create_batch(7, published=True)

        response = confirm(editor, Story, "publish_selected", *[story.pk for story in stories])

        [message] = messages_in(response)
        assert message.count("“") == 5
        assert "and 2 more" in message

    def test_takes_all_that_match(self, editor: Client) -> None:
        StoryFactory.create_batch(3)
        StoryFactory(published=True)

        page = editor.post(
            f"{list_of(Story)}?status=draft",
            {"action": "publish_selected", "select_across": "1", "_selected_action": ["0"]},
        ).content.decode()

        assert "Will be done: 3" in page
        assert "Refused" not in page

    def test_refuses_more_than_can_be_done_while_one_waits(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        StoryFactory.create_batch(3)
        monkeypatch.setattr(bulk.PUBLISH, "most", 2)

        response = editor.post(
            list_of(Story),
            {"action": "publish_selected", "select_across": "1", "_selected_action": ["0"]},
        )

        assert messages_in(response) == ["At most 2 at once: narrow the list by its filters."]

    @pytest.mark.parametrize(
        "action",
        [
            "schedule_selected",
            "shift_selected",
            "publish_selected",
            "cancel_selected",
            "unpublish_selected",
            "rerun_selected",
        ],
    )
    def test_offers_an_author_no_action(self, author: Client, action: str) -> None:
        story = StoryFactory(scheduled=True)

        html = author.get(list_of(Story)).content.decode()
        confirm(author, Story, action, story.pk, run_at=SOON_ENOUGH, number="1", unit="days")

        story.refresh_from_db()
        assert action not in html
        assert story.status == Status.SCHEDULED
