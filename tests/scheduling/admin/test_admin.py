"""The admin: the pages of items and jobs, and the buttons that call operations."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from content.models import Category, Notice, Story, Tag
from scheduling import operations
from scheduling.admin import ACTIONS, JOB_ACTIONS, bulk
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status
from scheduling.models.clock import database_now
from scheduling.operations import pause as pausing
from tests.database_rows import failed_end, failed_publish
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

SOON_ENOUGH = "2100-03-01T09:30"


def signed_in(group: str) -> Client:
    """Return the browser of a new member of the group."""
    user = UserFactory(username=f"one-of-{group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


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


def page_of(item: Schedulable | Job) -> str:
    opts = item._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[item.pk])


def list_of(model: type[Schedulable] | type[Job]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def press(client: Client, item: Schedulable | Job, name: str, **data: Any) -> Any:
    """Press the button of that name on the item's page."""
    opts = item._meta
    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_{name}", args=[item.pk])
    return client.post(url, data)


def submit(client: Client, page: str, name: str) -> Any:
    """Send the form of the button as the page has it, with the hidden fields that are in it."""
    html = client.get(page).content.decode()
    form = re.search(rf'<form method="post" action="([^"]*/{name}/)">(.*?)</form>', html, re.DOTALL)
    assert form
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[2])
    return client.post(form[1], dict(hidden))


def confirm(
    client: Client, model: type[Schedulable] | type[Job], action: str, *pks: int, **data: Any
) -> Any:
    """Do something to many rows, past the page that says what would happen."""
    return agree(client, model, action, looked_at(client, model, action, *pks, **data))


def looked_at(
    client: Client, model: type[Schedulable] | type[Job], action: str, *pks: int, **data: Any
) -> dict[str, Any]:
    """Return what the page would send that says what would happen to many rows."""
    asked = {"action": action, "select_across": "1", "_selected_action": "0"}
    sent = asked | {"rows": str(list(pks))} | data
    page = client.post(list_of(model), sent).content.decode()
    seen = re.search(r'name="seen" value="([^"]*)"', page)
    return sent | {"seen": unescape(seen[1]) if seen else ""}


def agree(
    client: Client, model: type[Schedulable] | type[Job], action: str, page: dict[str, Any]
) -> Any:
    """Say yes to what a page has shown."""
    return client.post(list_of(model), page | {"confirmed": "1"})


def foreseen(client: Client, model: Any, action: str, *pks: int, **data: Any) -> str:
    """Return the page that says what would happen to some rows."""
    chosen = {"action": action, "_selected_action": [str(pk) for pk in pks], **data}
    return str(client.post(list_of(model), chosen).content.decode())


def fields_of(client: Client, item: Schedulable, name: str) -> dict[str, str]:
    """Return what the form of a button holds, on the item's page."""
    html = client.get(page_of(item)).content.decode()
    form = re.search(rf'<form method="post" action="[^"]*/{name}/">(.*?)</form>', html, re.DOTALL)
    assert form
    return fields_in(form[1])


def fields_in(html: str) -> dict[str, str]:
    inputs = re.findall(r"<input (.*?)>", html, re.DOTALL)
    return {
        unescape(name[1]): unescape(value[1]) if value else ""
        for text in inputs
        if (name := re.search(r'name="([^"]*)"', text))
        and 'type="radio"' not in text
        and [value := re.search(r'value="([^"]*)"', text)]
    }


def told(response: Any) -> list[str]:
    """Return the messages that the next page will show."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def buttons_on(client: Client, item: Schedulable) -> list[str]:
    html = client.get(page_of(item)).content.decode()
    return [action.name for action in ACTIONS if f'/{item.pk}/{action.name}/"' in html]


class TestItemPage:
    @pytest.mark.parametrize(
        ("situation", "expected"),
        [
            ({}, ["schedule", "publish"]),
            ({"scheduled": True}, ["move", "publish", "cancel"]),
            ({"published": True}, ["end", "unpublish"]),
            (
                {"published": True, "unpublish_at": FAR_OFF},
                ["end", "cancel-end", "unpublish"],
            ),
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
        assert told(response) == ["It is live."]
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
    def test_tell_why_they_did_nothing(
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


class TestList:
    def test_shows_status_times_and_author(self, editor: Client) -> None:
        user = UserFactory(username="writer")
        StoryFactory(title="제목", scheduled=True, author=user)
        StoryFactory(title="")

        html = editor.get(list_of(Story)).content.decode()

        for part in ("제목", "(no title)", "armo-scheduled", "2100-10-31", "01:00:00", "writer"):
            assert part in html

    def test_searches_and_filters(self, editor: Client) -> None:
        StoryFactory(title="찾는 글", scheduled=True)
        StoryFactory(title="찾는 초안")
        StoryFactory(title="다른 글", scheduled=True)

        html = editor.get(list_of(Story), {"q": "찾는", "status": "scheduled"}).content.decode()

        assert "찾는 글" in html
        assert "찾는 초안" not in html
        assert "다른 글" not in html

    @pytest.mark.parametrize(("model", "factory"), [(Story, StoryFactory), (Notice, NoticeFactory)])
    def test_asks_the_database_as_often_for_many_items_as_for_one(
        self, editor: Client, model: type[Schedulable], factory: Any
    ) -> None:
        extra = {"author": UserFactory()} if model is Story else {}
        factory(**extra)
        with CaptureQueriesContext(
            connection,
        ) as one:
            editor.get(list_of(model))
        for _ in range(9):
            factory(**({"author": UserFactory()} if model is Story else {}))
        with CaptureQueriesContext(connection) as many:
            editor.get(list_of(model))

        assert len(many) == len(one)

    def test_says_what_would_happen_and_what_not_before_it_does_anything(
        self, editor: Client
    ) -> None:
        good, live, blank = (
            StoryFactory(title="좋은 글"),
            StoryFactory(title="이미 나간 글", published=True),
            StoryFactory(title="빈 글", body=""),
        )

        page = foreseen(editor, Story, "publish_selected", good.pk, live.pk, blank.pk)

        assert "Refused: 2" in page
        assert "Will be done: 1" in page
        assert "It is published and cannot become published." in page
        assert "Its body is empty." in page
        assert not Story.objects.exclude(pk=live.pk).published().exists()

    def test_publishes_what_was_confirmed_and_tells_each_refusal(self, editor: Client) -> None:
        good, live, blank = (
            StoryFactory(title="좋은 글"),
            StoryFactory(title="이미 나간 글", published=True),
            StoryFactory(title="빈 글", body=""),
        )

        response = confirm(editor, Story, "publish_selected", good.pk, live.pk, blank.pk)

        good.refresh_from_db()
        assert good.is_published
        messages = told(response)
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
        assert told(response) == [
            "Publish now: 1 done.",
            "Publish now: “빈 글”: It has been changed since you looked.",
        ]

    def test_shifts_nothing_from_where_the_page_did_not_show_it(self, editor: Client) -> None:
        story = StoryFactory(title="첫눈", scheduled=True)
        hour = {"number": "1", "unit": "hours"}
        page = looked_at(editor, Story, "shift_selected", story.pk, **hour)
        agree(editor, Story, "shift_selected", page)

        twice = agree(editor, Story, "shift_selected", page)

        assert Job.objects.open().get().run_at == FAR_OFF + timedelta(hours=1)
        assert told(twice)[-1:] == [
            "Shift by an interval: “첫눈”: It has been changed since you looked."
        ]

    def test_leaves_for_the_next_time_what_would_take_too_long(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "PATIENCE_SECONDS", -1.0)
        story = StoryFactory(title="첫눈", scheduled=True)

        response = confirm(editor, Story, "shift_selected", story.pk, number="1", unit="hours")

        assert Job.objects.open().get().run_at == FAR_OFF
        assert "There was no time left for it." in told(response)[0]

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

        page = foreseen(editor, Story, "schedule_selected", *pks)
        checked = foreseen(
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

        assert told(response) == [f"Schedule at a time: “{story}”: That time has already passed."]

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
        assert "Shift by an interval: “초안”: Only what is scheduled can be shifted." in told(
            answer
        )

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

        [message] = told(response)
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
        monkeypatch.setattr(bulk, "PUBLISH", replace(bulk.PUBLISH, most=2))

        response = editor.post(
            list_of(Story),
            {"action": "publish_selected", "select_across": "1", "_selected_action": ["0"]},
        )

        assert told(response) == ["At most 2 at once: narrow the list by its filters."]

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


FIELDS = ("_seen", "title", "slug", "summary", "body", "extra", "keywords")


def typed(page: str) -> dict[str, Any]:
    """Return what the form of an item's page would send, as the page has it."""
    fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page))
    texts = re.findall(r'<textarea name="(\w+)"[^>]*>\n?([^<]*)</textarea>', page)
    data = {name: unescape(value) for name, value in [*fields.items(), *texts]}
    return {name: data.get(name, "") for name in FIELDS}


def sent(client: Client, story: Story) -> dict[str, Any]:
    """Return what a browser would send of a story's form, if nobody touched it."""
    data = typed(client.get(page_of(story)).content.decode())
    areas = ("summary", "body", "extra", "keywords")
    # HTML 4.10.11.2: the lines of a form end with CRLF.
    return data | {name: data[name].replace("\n", "\r\n") for name in areas}


class TestWhatNobodyTouched:
    """A form sends texts otherwise than it got them."""

    BODY = "    code first\n\nline two\n\nlast\n"

    @pytest.fixture
    def story(self) -> Story:
        return StoryFactory(
            title=" 첫눈",
            body=self.BODY,
            keywords=["Seoul, Korea", "b"],
            extra={"b": [1], "a": "가"},
        )

    def test_stays_as_it_is(self, editor: Client, story: Story) -> None:
        response = editor.post(page_of(story), sent(editor, story) | {"language": "ko"})

        after = Story.objects.get()
        assert response.status_code == 302
        assert (after.body, after.keywords) == (self.BODY, ["Seoul, Korea", "b"])
        assert (after.title, after.extra) == (story.title, story.extra)
        assert after.language == "ko"

    def test_is_not_in_the_history(self, editor: Client, story: Story) -> None:
        editor.post(page_of(story), sent(editor, story) | {"language": "ko"})

        assert LogEntry.objects.get().get_change_message() == "Changed Language."

    def test_keeps_its_lines_when_another_is_added(self, editor: Client, story: Story) -> None:
        data = sent(editor, story)
        data |= {"language": "en", "body": data["body"] + "\r\nmore", "keywords": "c, d\r\n\r\ne"}

        editor.post(page_of(story), data)

        after = Story.objects.get()
        assert (after.body, after.keywords) == (self.BODY + "\nmore", ["c, d", "e"])

    def test_may_be_moved_to_the_left(self, editor: Client, story: Story) -> None:
        data = sent(editor, story) | {"language": "en"}

        editor.post(page_of(story), data | {"body": self.BODY.strip()})

        assert Story.objects.get().body == self.BODY.strip()


class TestFilters:
    @pytest.mark.parametrize(
        ("due", "expected"),
        [
            ("today", ["오늘"]),
            ("week", ["오늘", "일요일"]),
            ("overdue", ["늦은"]),
            ("failed", ["실패한"]),
            ("nonsense", ["늦은", "실패한", "오늘", "월요일", "일요일", "초안"]),
        ],
    )
    def test_say_when_it_is_due_in_the_readers_time_zone(
        self, editor: Client, settings: Settings, due: str, expected: list[str]
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        # In Seoul it is Saturday already.
        now = datetime(2100, 10, 29, 16, 0, tzinfo=UTC)
        StoryFactory(title="초안")
        StoryFactory(title="실패한", failed=True)
        StoryFactory(title="늦은", due=True)
        StoryFactory(title="오늘", scheduled=True, publish_at=now + timedelta(hours=2))
        StoryFactory(title="일요일", scheduled=True, publish_at=now + timedelta(hours=46))
        StoryFactory(title="월요일", scheduled=True, publish_at=now + timedelta(hours=48))

        with time_machine.travel(now):
            editor.force_login(User.objects.get(username="one-of-Editors"))
            rows = editor.get(list_of(Story), {"due": due}).context["cl"].result_list

        assert sorted(story.title for story in rows) == sorted(expected)

    def test_know_category_tag_and_author(self, editor: Client) -> None:
        garden, soon = Category.objects.create(name="정원"), Tag.objects.create(name="곧")
        me = User.objects.get(username="one-of-Editors")
        mine = StoryFactory(author=me)
        mine.categories.add(garden)
        mine.tags.add(soon)
        StoryFactory(author=UserFactory())

        for query in (f"categories={garden.pk}", f"tags={soon.pk}", "author=me"):
            rows = editor.get(f"{list_of(Story)}?{query}").context["cl"].result_list
            assert list(rows) == [mine], query

    def test_offer_as_authors_those_who_have_written(self, editor: Client) -> None:
        last, first = UserFactory(username="zoe"), UserFactory(username="ari")
        UserFactory(username="reads-only")
        for author in (first, last, first, None):
            StoryFactory(author=author)

        html = editor.get(list_of(Story)).content.decode()

        select = re.search(r'<select name="author".*?</select>', html, re.DOTALL)
        assert select
        names = re.findall(r">([^<>]*)</option>", select[0])
        assert [name.strip() for name in names] == ["All", "me", "ari", "zoe"]

    def test_have_words_looked_up_not_listed(self, editor: Client) -> None:
        tags = Tag.objects.bulk_create([Tag(name=f"word-{number:03}") for number in range(600)])

        html = editor.get(list_of(Story), {"tags": tags[599].pk}).content.decode()

        assert "word-599" in html
        assert html.count("word-") == 1
        look_up = {"app_label": "content", "model_name": "story", "field_name": "tags"}
        found = editor.get(reverse("admin:autocomplete"), {**look_up, "term": "word-42"}).json()
        assert [row["text"] for row in found["results"]][:2] == ["word-420", "word-421"]

    @pytest.mark.parametrize("name", ["categories", "tags", "author", "status", "due"])
    @pytest.mark.parametrize("value", ["x", "²", "9" * 18, "9" * 30, "-1"])
    def test_survive_what_is_no_choice(self, editor: Client, name: str, value: str) -> None:
        Category.objects.create(name="정원")
        Tag.objects.create(name="곧")

        assert editor.get(list_of(Story), {name: value}).status_code == 200


class TestTwoEditorsAtOnce:
    @pytest.fixture
    def other(self) -> Client:
        user = UserFactory(username="bora", first_name="보라", last_name="김", is_superuser=True)
        user.is_staff = True
        user.save()
        client = Client()
        client.force_login(user)
        return client

    @pytest.fixture
    def story(self) -> Story:
        return StoryFactory(title="첫눈", body="눈이 온다.", summary="")

    def save(self, client: Client, story: Story, seen: dict[str, Any], **changes: str) -> Any:
        data = seen | {"language": "en"} | changes
        return client.post(page_of(story), data)

    def page(self, client: Client, story: Story) -> dict[str, Any]:
        return typed(client.get(page_of(story)).content.decode())

    def test_who_changed_the_same_text_both_have_it_kept(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, body="눈이 많이 온다.")

        response = self.save(editor, story, mine, body="눈이 그쳤다.")

        page = response.content.decode()
        story.refresh_from_db()
        assert story.body == "눈이 많이 온다."
        assert "보라 김" in page
        assert "눈이 그쳤다." in page
        assert "눈이 많이 온다." in page

    def test_are_shown_all_that_the_other_wrote(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, body="눈 " * 15_000 + "끝.")

        response = self.save(editor, story, mine, body="눈이 그쳤다.")

        assert "눈 끝.</textarea>" in response.content.decode()

    def test_saves_what_was_seen_the_second_time(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, body="눈이 많이 온다.")
        told = self.save(editor, story, mine, body="눈이 그쳤다.")

        response = self.save(editor, story, typed(told.content.decode()))

        story.refresh_from_db()
        assert response.status_code == 302
        assert story.body == "눈이 그쳤다."

    def test_keeps_what_the_other_wrote_in_another_field(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, title="첫눈이 왔다")

        told = self.save(editor, story, mine, body="눈이 그쳤다.")
        before = Story.objects.get()
        self.save(editor, story, typed(told.content.decode()))

        after = Story.objects.get()
        assert (before.title, before.body) == ("첫눈이 왔다", "눈이 온다.")
        assert (after.title, after.body) == ("첫눈이 왔다", "눈이 그쳤다.")

    def test_who_wrote_the_same_are_not_bothered(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, title="첫눈이 왔다")

        response = self.save(editor, story, mine, title="첫눈이 왔다")

        assert response.status_code == 302

    def test_is_no_conflict_with_a_publish(self, editor: Client, story: Story) -> None:
        mine = self.page(editor, story)
        operations.publish_now(item=story, by=None)

        response = self.save(editor, story, mine, body="눈이 그쳤다.")

        story.refresh_from_db()
        assert response.status_code == 302
        assert (story.body, story.status) == ("눈이 그쳤다.", Status.PUBLISHED)

    def test_is_seen_also_when_something_else_was_wrong_first(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        wrong = self.save(editor, story, mine, slug="not a slug", body="눈이 그쳤다.")
        self.save(other, story, theirs, body="눈이 많이 온다.")

        again = typed(wrong.content.decode()) | {"slug": mine["slug"]}
        response = self.save(editor, story, again)

        story.refresh_from_db()
        assert response.status_code == 200
        assert story.body == "눈이 많이 온다."

    def test_by_the_api_is_told_with_its_name(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine = self.page(editor, story)
        other.patch(f"/api/v1/stories/{story.pk}/", {"body": "눈이 많이 온다."}, "application/json")

        page = self.save(editor, story, mine, body="눈이 그쳤다.").content.decode()

        assert "by 보라 김: “Body”" in page

    def test_one_of_whom_deletes_it_leaves_the_other_what_he_wrote(
        self, editor: Client, story: Story
    ) -> None:
        mine = self.page(editor, story)
        pk, address = story.pk, page_of(story)
        story.delete()

        response = editor.post(address, mine | {"body": "밤새 쓴 글"})

        assert response.status_code == 410
        assert "밤새 쓴 글" in response.content.decode()
        assert not Story.objects.filter(pk=pk).exists()

    def test_who_may_not_change_it_any_more_keeps_what_he_wrote(
        self, author: Client, editor: Client, story: Story
    ) -> None:
        story.author = User.objects.get(username="one-of-Authors")
        story.save()
        mine = self.page(author, story)
        press(editor, story, "schedule", run_at=SOON_ENOUGH)

        scheduled = self.save(author, story, mine, body="밤새 쓴 글")
        Story.objects.update(author=None)
        reassigned = self.save(author, story, mine, body="밤새 쓴 글")

        for response, why in ((scheduled, "It is scheduled by now"), (reassigned, "not yours")):
            page = response.content.decode()
            assert response.status_code == 403
            assert why in page
            assert "밤새 쓴 글</textarea>" in page
            assert "<h3>Body</h3>" in page
        assert Story.objects.get().body == "눈이 온다."

    @pytest.mark.parametrize("is_new", [False, True])
    def test_who_was_signed_out_saves_it_once_he_is_back(
        self, editor: Client, story: Story, is_new: bool
    ) -> None:
        soon = Tag.objects.create(name="곧")
        address = reverse("admin:content_story_add") if is_new else page_of(story)
        mine = typed(editor.get(address).content.decode()) | {"language": "ko"}
        session, gone = editor.cookies.pop("sessionid"), Client()

        response = gone.post(
            address, mine | {"title": "밤새", "body": "쓴 글\r\n둘째 줄", "tags": soon.pk}
        )
        page = response.content.decode()
        gone.cookies["sessionid"] = session
        saved = gone.post(address, fields_in(page))

        assert response.status_code == 401
        assert "둘째 줄</textarea>" in page
        assert saved.status_code == 302
        after = Story.objects.get(title="밤새")
        assert (after.body, list(after.tags.all())) == ("쓴 글\n둘째 줄", [soon])

    def test_by_nobody_known_is_seen_too(self, editor: Client, story: Story) -> None:
        mine = self.page(editor, story)
        story.body = "눈이 많이 온다."
        story.save()

        page = self.save(editor, story, mine, body="눈이 그쳤다.").content.decode()

        assert "somebody else" in page
        assert "눈이 많이 온다." in page


class TestAPageThatStaysOpen:
    def live(self, client: Client, *pks: int) -> Any:
        url = reverse("admin:content_story_live")
        return client.get(url, {"ids": ",".join(map(str, pks))}).json()

    def test_hears_that_an_item_went_live(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        before = self.live(editor, story.pk)["items"][str(story.pk)]
        operations.publish_now(item=story, by=None)

        after = self.live(editor, story.pk)["items"][str(story.pk)]

        assert (before["status"], after["status"]) == ("scheduled", "published")
        assert "armo-published" in after["badge"]
        assert after["version"] > before["version"]

    def test_hears_since_when_it_is_live_and_of_a_pause(self, editor: Client) -> None:
        draft, live = StoryFactory(), StoryFactory(published=True)
        pausing.pause(by=None, reason="추모 기간")

        answer = self.live(editor, draft.pk, live.pk)

        assert answer["items"][str(draft.pk)]["published"] == "-"
        assert "<time" in answer["items"][str(live.pk)]["published"]
        assert "추모 기간" in answer["banner"]

    def test_asks_less_and_less_often_about_what_is_late(self, editor: Client) -> None:
        story = StoryFactory(due=True)
        again = self.live(editor, story.pk)["again"]
        now = database_now()
        Story.objects.update(publish_at=now - timedelta(seconds=50))

        assert again == 15
        assert 5 <= self.live(editor, story.pk)["again"] < 6

    def test_asks_again_just_after_the_next_moment(self, editor: Client) -> None:
        soon = StoryFactory(scheduled=True, publish_at=database_now() + timedelta(seconds=5))

        assert 0 < self.live(editor, soon.pk)["again"] < 5.2
        assert self.live(editor)["again"] == 15

    def test_hears_nothing_of_what_one_may_not_see(self, author: Client) -> None:
        story = StoryFactory(title="남의 초안")

        assert self.live(author, story.pk)["items"] == {}

    def test_survives_numbers_that_are_none(self, editor: Client) -> None:
        url = reverse("admin:content_story_live")

        assert editor.get(url, {"ids": "x,,-1,²," + "9" * 40}).json()["items"] == {}

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

    def test_does_not_count_the_item_itself(self, editor: Client) -> None:
        story = StoryFactory(scheduled=True, publish_at=datetime(2100, 7, 1, 13, 30, tzinfo=UTC))
        asked = {"name": "run_at", "at": "2100-07-01T13:30:40", "item": story.pk}

        page = editor.get(reverse("admin:content_story_when"), asked).content.decode()

        assert "2100-07-01" not in page  # in UTC alone there is nothing to add
        assert "in that minute" not in page

    @pytest.mark.parametrize(
        ("at", "said"),
        [
            ("0001-01-01T00:00", "greater than or equal"),
            ("9999-12-31T23:59", "less than or equal"),
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


class TestWhoseAnItemIs:
    def test_decides_who_reads_what_was_decided_and_why(
        self, author: Client, editor: Client
    ) -> None:
        own = StoryFactory(author=User.objects.get(username="one-of-Authors"))
        others = StoryFactory()
        for story in (own, others):
            press(editor, story, "publish", reason="법무 확인")

        assert "법무 확인" in author.get(page_of(own)).content.decode()
        assert "법무 확인" not in author.get(page_of(others)).content.decode()

    def test_is_no_way_to_a_drafts_title(self, author: Client) -> None:
        story = StoryFactory(title="secret-merger")
        type_of_story = ContentType.objects.get_for_model(Story)

        response = author.get(f"/admin/r/{type_of_story.pk}/{story.pk}/")

        assert response.status_code == 404

    def test_is_its_writers_without_asking(self, author: Client) -> None:
        page = author.get(reverse("admin:content_story_add")).content.decode()
        author.post(
            reverse("admin:content_story_add"),
            {"title": "내 글", "body": "본문", "extra": "{}", "language": "ko", "author": "1"},
        )

        assert 'name="author"' not in page
        assert str(Story.objects.get().author) == "one-of-Authors"

    def test_decides_what_an_author_may_change(self, author: Client) -> None:
        me = User.objects.get(username="one-of-Authors")
        own, planned = StoryFactory(author=me), StoryFactory(author=me, scheduled=True)
        others = StoryFactory()

        assert 'name="_save"' in author.get(page_of(own)).content.decode()
        assert 'name="_save"' not in author.get(page_of(planned)).content.decode()
        assert author.get(page_of(others)).status_code == 302  # to a page that says it is not there

    def test_is_offered_to_those_who_work_here_and_to_whose_it_is(self, editor: Client) -> None:
        reader, writer = UserFactory(username="reader"), UserFactory(username="guest-writer")
        story = StoryFactory(author=writer)

        page = editor.get(page_of(story)).content.decode()

        assert f'<option value="{writer.pk}" selected>guest-writer</option>' in page
        assert f'<option value="{reader.pk}"' not in page

    def test_keeps_a_forged_save_out(self, author: Client) -> None:
        me = User.objects.get(username="one-of-Authors")
        story = StoryFactory(author=me, scheduled=True, title="예약된 글")

        answer = author.post(page_of(story), {"title": "바꾼 글", "body": "b", "extra": "{}"})

        story.refresh_from_db()
        assert answer.status_code == 403
        assert story.title == "예약된 글"


class TestJobs:
    def test_are_listed_with_their_item(self, operator: Client) -> None:
        story = StoryFactory(title="제목")
        operations.publish_now(item=story, by=None)

        html = operator.get(list_of(Job)).content.decode()

        assert f'<a href="{page_of(story)}">제목</a>' in html
        assert "armo-succeeded" in html

    def test_are_listed_also_when_their_item_is_gone(self, operator: Client) -> None:
        story = StoryFactory(title="사라진 글", scheduled=True)
        story.delete()

        html = operator.get(list_of(Job)).content.decode()

        assert "사라진 글" in html

    def test_are_listed_with_as_many_queries_for_many_as_for_one(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        operator.get(list_of(Job))
        with CaptureQueriesContext(connection) as one:
            operator.get(list_of(Job))
        StoryFactory.create_batch(9, scheduled=True)
        NoticeFactory.create_batch(9, scheduled=True)
        with CaptureQueriesContext(connection) as many:
            operator.get(list_of(Job))

        assert len(many) == len(one)

    def test_are_found_by_title_and_number(self, operator: Client) -> None:
        story = StoryFactory(title="찾는 글", scheduled=True)
        StoryFactory(title="다른 글", scheduled=True)

        for wanted in ("찾는", str(story.pk)):
            html = operator.get(list_of(Job), {"q": wanted}).content.decode()
            assert "찾는 글" in html
            assert "다른 글" not in html

    def test_show_their_history(self, operator: Client) -> None:
        boss: User = UserFactory(username="the-boss")
        story = StoryFactory()
        job = operations.schedule(item=story, run_at=FAR_OFF, by=boss, reason="first")
        operations.move(job=job, run_at=FAR_OFF + timedelta(hours=1), by=boss, reason="second")

        html = operator.get(page_of(job)).content.decode()

        [history] = re.findall('<ol class="armo-history">.*?</ol>', html, re.DOTALL)
        assert re.findall("first|second", history) == ["second", "first"]
        assert "2100-10-31 01:00:00 → 2100-10-31 02:00:00" in history

    def test_show_the_traceback_of_a_failed_attempt(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        detail = {"error": "RuntimeError", "traceback": "Traceback <here>"}
        JobEvent.objects.create(job=job, what=JobEvent.What.ATTEMPT_FAILED, detail=detail)

        html = operator.get(page_of(job)).content.decode()

        assert "Traceback &lt;here&gt;" in html

    def test_are_cancelled_by_a_button(self, operator: Client) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()

        response = press(operator, job, "cancel", reason="wrong day")

        job.refresh_from_db()
        story.refresh_from_db()
        assert response["Location"] == page_of(job)
        assert (job.state, story.status) == (State.CANCELLED, Status.DRAFT)
        assert job.events.latest("pk").reason == "wrong day"

    def test_have_the_token_of_the_button_on_the_page(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        response = submit(strict, page_of(Job.objects.get()), "cancel")

        assert response.status_code == 302
        assert Job.objects.get().state == State.CANCELLED

    def test_are_not_cancelled_twice(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        press(operator, job, "cancel")

        response = press(operator, job, "cancel")

        assert "The job has already run or been cancelled." in response.content.decode()
        assert "/cancel/" not in operator.get(page_of(job)).content.decode()

    def test_are_cancelled_by_who_may_schedule_their_type(self, client: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Editors").permissions
        user.user_permissions.set(
            permissions.filter(codename__in=["view_job", "view_story", "schedule_story"])
        )
        client.force_login(user)

        press(client, job, "cancel")

        job.refresh_from_db()
        assert job.state == State.CANCELLED

    def test_are_closed_to_authors(self, author: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()

        response = press(author, job, "cancel")

        job.refresh_from_db()
        assert response.status_code == 404  # they do not see that there is one
        assert author.get(list_of(Job)).status_code == 403
        assert job.state == State.WAITING

    def test_that_failed_are_run_again_by_a_button(self, operator: Client) -> None:
        job = failed_publish()

        response = press(operator, job, "rerun", reason="fixed")

        job.refresh_from_db()
        assert response["Location"] == page_of(job)
        assert told(response) == ["The job runs again."]
        assert (job.state, Story.objects.get().status) == (State.WAITING, Status.SCHEDULED)
        event = job.events.latest("pk")
        assert (event.what, str(event.by), event.reason) == ("rerun", "one-of-Operators", "fixed")

    def test_have_the_token_of_that_button_on_the_page(self, operator: Client) -> None:
        job = failed_publish()
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        submit(strict, page_of(job), "rerun")

        job.refresh_from_db()
        assert job.state == State.WAITING

    def test_offer_the_one_button_that_fits_their_state(self, operator: Client) -> None:
        failed = failed_publish()
        StoryFactory(scheduled=True)
        done = operations.publish_now(item=StoryFactory(), by=None)

        def buttons(job: Job) -> list[str]:
            html = operator.get(page_of(job)).content.decode()
            return [action.name for action in JOB_ACTIONS if f'/{action.name}/"' in html]

        assert buttons(failed) == ["rerun"]
        assert buttons(Job.objects.open().get()) == ["cancel"]
        assert buttons(done) == []

    def test_tell_why_they_do_not_run_again(self, operator: Client) -> None:
        job = failed_publish()
        operations.publish_now(item=Story.objects.get(), by=None)

        response = press(operator, job, "rerun")

        assert "It has been published since." in response.content.decode()

    def test_are_run_again_by_who_may_rerun_their_type(self, client: Client) -> None:
        job, other = failed_publish(), failed_end()
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Operators").permissions
        names = ["view_job", "view_story", "rerun_story", "view_notice", "schedule_notice"]
        user.user_permissions.set(permissions.filter(codename__in=names))
        client.force_login(user)

        response = press(client, other, "rerun")
        press(client, job, "rerun")

        assert response.status_code == 403
        assert Job.objects.open().get() == job

    @pytest.mark.parametrize("action", JOB_ACTIONS, ids=lambda action: action.name)
    def test_have_buttons_that_need_a_post_with_its_token(
        self, operator: Client, action: Any
    ) -> None:
        job = failed_publish()
        url = reverse(f"admin:scheduling_job_{action.name}", args=[job.pk])
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        assert operator.get(url)["Location"] == page_of(job)
        assert strict.post(url).status_code == 403

    def test_are_not_run_again_by_editors(self, editor: Client) -> None:
        job = failed_publish()

        response = press(editor, job, "rerun")
        bulk = {"action": "rerun_selected", "_selected_action": [job.pk]}
        editor.post(list_of(Job), bulk)

        job.refresh_from_db()
        assert response.status_code == 403
        assert job.state == State.FAILED
        assert "/rerun/" not in editor.get(page_of(job)).content.decode()
        assert "rerun_selected" not in editor.get(list_of(Job)).content.decode()

    def test_that_are_selected_run_again_and_each_refusal_is_told(self, operator: Client) -> None:
        good, end = failed_publish(title="좋은 글"), failed_end()
        published = failed_publish(title="이미 나간 글")
        operations.publish_now(item=Story.objects.get(title="이미 나간 글"), by=None)

        response = confirm(operator, Job, "rerun_selected", good.pk, end.pk, published.pk)

        assert told(response) == [
            "Run again: 2 done.",
            "Run again: “이미 나간 글”: It has been published since.",
        ]
        assert set(Job.objects.open()) == {good, end}
        assert str(good.events.latest("pk").by) == "one-of-Operators"

    def test_that_are_selected_run_again_only_of_types_one_has_the_right_to(
        self, client: Client
    ) -> None:
        job, other = failed_publish(), failed_end(title="남의 공지")
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Operators").permissions
        names = ["view_job", "view_story", "rerun_story", "view_notice", "schedule_notice"]
        user.user_permissions.set(permissions.filter(codename__in=names))
        client.force_login(user)

        response = confirm(client, Job, "rerun_selected", job.pk, other.pk)

        assert told(response) == [
            "Run again: 1 done.",
            "Run again: “남의 공지”: You have no right to do this.",
        ]
        assert Job.objects.open().get() == job

    def test_are_edited_by_nobody(self, admin_client: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()

        for name, args in (("add", []), ("delete", [job.pk])):
            url = reverse(f"admin:scheduling_job_{name}", args=args)
            assert admin_client.get(url).status_code == 403
        assert admin_client.post(page_of(job), {"state": "succeeded"}).status_code == 403


class TestAName:
    """What a job calls its item."""

    def test_follows_its_item_until_the_job_is_done(self, editor: Client) -> None:
        StoryFactory(published=True)
        failed, story = failed_publish(title="옛 제목"), StoryFactory(title="옛 제목")
        done = operations.publish_now(item=story, by=None)
        planned = operations.schedule(item=story, kind=Kind.UNPUBLISH, run_at=FAR_OFF, by=None)

        for item in Story.objects.filter(title="옛 제목"):
            item.title = "새 제목"
            item.save()

        names = dict(Job.objects.values_list("pk", "item_title"))
        assert names[failed.pk] == names[planned.pk] == "새 제목"
        assert names[done.pk] == "옛 제목"

    @pytest.mark.parametrize(
        ("term", "found"),
        [("story:{pk}", True), ("{pk}", True), ("제목: 둘", True), ("x:1", False)],
    )
    def test_finds_its_job(self, operator: Client, term: str, found: bool) -> None:
        story = StoryFactory(title="제목: 둘", scheduled=True)

        page = operator.get(list_of(Job), {"q": term.format(pk=story.pk)})

        assert bool(page.context["cl"].result_list) == found


class TestPausing:
    def post(self, client: Client, name: str, **data: str) -> Any:
        return client.post(reverse(f"admin:scheduling_job_{name}"), data)

    def test_is_an_operators_with_a_reason(self, operator: Client) -> None:
        response = self.post(operator, "pause", reason="추모 기간")

        pause = pausing.current()
        assert pause is not None
        assert (pause.reason, str(pause.by)) == ("추모 기간", "one-of-Operators")
        assert told(response) == ["Publishing is paused."]

    def test_is_told_on_every_page(self, operator: Client, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        self.post(operator, "pause", reason="추모 기간")

        for page in (page_of(story), list_of(Story), reverse("admin:index")):
            assert "추모 기간" in editor.get(page).content.decode()
        assert (
            "Nothing will go out: publishing is paused."
            in editor.get(page_of(story)).content.decode()
        )

    def test_needs_a_reason(self, operator: Client) -> None:
        response = self.post(operator, "pause", reason=" ")

        assert pausing.current() is None
        assert told(response) == ["This field is required."]

    def test_ends_with_a_resume(self, operator: Client) -> None:
        self.post(operator, "pause", reason="점검")

        response = self.post(operator, "resume", reason="끝났다")

        assert pausing.current() is None
        assert told(response)[-1] == "Publishing goes on."
        assert "끝났다" in operator.get(list_of(Job)).content.decode()

    def test_twice_is_refused(self, operator: Client) -> None:
        self.post(operator, "pause", reason="점검")

        response = self.post(operator, "pause", reason="점검")

        assert told(response)[-1] == "Publishing is paused already."

    def test_is_closed_to_editors(self, editor: Client) -> None:
        response = self.post(editor, "pause")

        assert response.status_code == 403
        assert "armo-pause" not in editor.get(list_of(Job)).content.decode()
        assert pausing.current() is None


class TestQueries:
    """As many however much there is: nobody waits longer on a large site."""

    def count(self, client: Client, *urls: str) -> list[int]:
        counts = []
        for url in urls:
            client.get(url)  # what a process learns once
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counts.append(len(queries))
        return counts

    def test_are_the_same_for_much_as_for_little(self, operator: Client) -> None:
        job = failed_publish()
        story = StoryFactory(scheduled=True)
        urls = [
            page_of(story),
            reverse("admin:content_story_panel", args=[story.pk]),
            reverse("admin:content_story_live") + f"?ids={story.pk}",
            list_of(Story) + "?due=failed",
            list_of(Job),
            page_of(job),
            reverse("admin-preferences"),
        ]
        few = self.count(operator, *urls)
        for days in range(1, 30):
            at = FAR_OFF + timedelta(days=days)
            operations.schedule(item=story, run_at=at, by=None, reason="또")
        StoryFactory.create_batch(30, scheduled=True, publish_at=FAR_OFF)
        for _ in range(3):
            failed_publish()

        assert self.count(operator, *urls) == few

    def test_to_foresee_many_are_the_same_as_for_one(self, editor: Client) -> None:
        stories = StoryFactory.create_batch(30)
        counts = []
        for chosen in (stories[:1], stories):
            pks = [story.pk for story in chosen]
            data = {"rows": str(pks), "run_at": SOON_ENOUGH}
            foreseen(editor, Story, "schedule_selected", *pks, **data)
            with CaptureQueriesContext(connection) as queries:
                foreseen(editor, Story, "schedule_selected", *pks, **data)
            counts.append(len(queries))

        assert counts[0] == counts[1]


class TestSite:
    def test_says_in_ones_own_language_what_is_refused(self, author: Client) -> None:
        strict = Client(enforce_csrf_checks=True, headers={"Accept-Language": "ko"})
        strict.cookies = author.cookies

        forbidden = author.get(list_of(Job), headers={"Accept-Language": "ko"})
        too_old = strict.post(page_of(StoryFactory()), {})

        assert (forbidden.status_code, too_old.status_code) == (403, 403)
        assert "권한이 없습니다" in forbidden.content.decode()
        assert "쓰신 글은 그대로 있습니다" in too_old.content.decode()

    def test_keeps_its_pages_when_applications_are_loaded_again(self) -> None:
        with override_settings(INSTALLED_APPS=list(settings.INSTALLED_APPS)):
            pass

        assert admin.site.is_registered(Story)

    def test_has_no_page_of_django_q(self) -> None:
        shown = {model._meta.app_label for model in admin.site._registry}

        assert "scheduling" in shown
        assert "django_q" not in shown

    def test_has_a_page_for_every_type_of_content(self) -> None:
        assert admin.site.is_registered(Story)
        assert admin.site.is_registered(Notice)
