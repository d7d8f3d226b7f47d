"""Buttons of pages that were opened before a change, committed or still pending."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any, NamedTuple

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.db import transaction
from django.test import Client
from django.urls import reverse

from content.models import Story, Tag
from scheduling import operations
from scheduling.admin import ACTIONS
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status, clock
from scheduling.operations import store
from tests.admin_pages import (
    SOON_ENOUGH,
    agree,
    fields_in,
    fields_of,
    list_of,
    looked_at,
    messages_in,
    page_of,
    press,
    sent,
)
from tests.conftest import InBackground
from tests.database_rows import everything, failed_publish, open_jobs, row
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory
from tests.scheduling.operations.test_concurrency import SECONDS, wait_until_blocked

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)


@pytest.fixture
def boss(db: None) -> Client:
    """Return the browser of somebody who may do anything."""
    client = Client()
    client.force_login(UserFactory(username="boss", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def bora(db: None) -> Any:
    """Return the colleague."""
    return UserFactory(username="bora")


def swap_text(item: Schedulable, by: Any) -> None:
    """Change the text as the admin does."""
    other = row(item)
    other.body = "바뀐 본문"
    other.save()
    LogEntry.objects.log_actions(
        user_id=by.pk, queryset=[other], action_flag=CHANGE, change_message="", single_object=True
    )


def move_on(item: Schedulable, by: Any) -> None:
    """Move the start, or what comes next of the item."""
    other = row(item)
    if other.is_published:
        operations.schedule(item=other, run_at=FAR_OFF + 9 * HOUR, kind=Kind.UNPUBLISH, by=by)
    else:
        operations.schedule(item=other, run_at=FAR_OFF + 9 * HOUR, by=by)


class Button(NamedTuple):
    """A button, an item that has it, what is typed, and the change that makes it refuse."""

    name: str
    make: Callable[[], Schedulable]
    typed: dict[str, str]
    change: Callable[[Schedulable, Any], None]


BUTTONS = [
    Button("schedule", StoryFactory, {"run_at": SOON_ENOUGH}, move_on),
    Button("move", lambda: StoryFactory(scheduled=True), {"run_at": SOON_ENOUGH}, move_on),
    Button("publish", StoryFactory, {}, swap_text),
    Button("end", lambda: NoticeFactory(published=True), {"run_at": SOON_ENOUGH}, move_on),
    Button("cancel-end", lambda: NoticeFactory(published=True, unpublish_at=FAR_OFF), {}, move_on),
    Button("cancel", lambda: StoryFactory(scheduled=True), {}, move_on),
    Button("unpublish", lambda: StoryFactory(published=True), {}, swap_text),
]

each_button = pytest.mark.parametrize("button", BUTTONS, ids=lambda button: button.name)


class TestAButtonOfAnOldPage:
    def test_is_tried_whichever_it_is(self) -> None:
        assert [button.name for button in BUTTONS] == [action.name for action in ACTIONS]

    @each_button
    @pytest.mark.django_db(transaction=True)
    def test_is_refused_once_the_colleague_has_committed(
        self, button: Button, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        item = button.make()
        page = fields_of(boss, item, button.name) | button.typed
        with transaction.atomic():
            button.change(item, bora)
            waiting = in_background(press, boss, item, button.name, **page)
            wait_until_blocked()

        response = waiting.result(SECONDS)
        assert response.status_code == 422
        assert "meanwhile, by bora" in response.content.decode()
        assert JobEvent.objects.filter(by__username="boss").count() == 0

    @each_button
    @pytest.mark.django_db
    def test_does_it_when_pressed_again_on_the_page_that_says_so(
        self, button: Button, boss: Client, bora: Any
    ) -> None:
        item = button.make()
        page = fields_of(boss, item, button.name) | button.typed
        button.change(item, bora)
        again = fields_in(press(boss, item, button.name, **page).content.decode())

        if button.name == "schedule":
            assert again["run_at"] == SOON_ENOUGH  # as it was typed
        response = press(boss, item, button.name, **again)

        assert response.status_code == 302
        assert JobEvent.objects.filter(by__username="boss").exists()

    @pytest.mark.parametrize(
        "button",
        [button for button in BUTTONS if button.name in ("schedule", "move", "end", "cancel-end")],
        ids=lambda button: button.name,
    )
    @pytest.mark.django_db
    def test_that_sets_a_time_goes_through_where_only_the_text_was_changed(
        self, button: Button, boss: Client, bora: Any
    ) -> None:
        item = button.make()
        page = fields_of(boss, item, button.name) | button.typed
        swap_text(item, bora)

        assert press(boss, item, button.name, **page).status_code == 302
        assert row(item).body == "바뀐 본문"

    @each_button
    @pytest.mark.parametrize(
        "seen",
        [
            "nonsense",
            "4123456.654321 -",
            "[]",
            "[0,2,3,4,5]",
            '["x","y",1e400,{},1]',
            "[" * 100_000,
        ],
        ids=["no JSON", "as it was before", "too short", "other types", "infinite", "too deep"],
    )
    @pytest.mark.django_db
    def test_is_refused_what_no_page_has_shown(
        self, button: Button, boss: Client, seen: str
    ) -> None:
        item = button.make()
        before = everything()

        response = press(boss, item, button.name, **button.typed, seen=seen)

        assert response.status_code == 422
        assert everything() == before

    @pytest.mark.django_db
    def test_names_the_text_with_a_link_to_it(self, boss: Client, bora: Any) -> None:
        story = StoryFactory()
        page = fields_of(boss, story, "publish")
        swap_text(story, bora)

        html = press(boss, story, "publish", **page).content.decode()

        assert "The text was changed meanwhile, by bora. Read it before you press again." in html
        assert f'<a href="{page_of(story)}" target="_blank"' in html
        assert not row(story).is_published

    @pytest.mark.django_db
    def test_names_the_text_too_where_the_status_was_changed_after_it(
        self, boss: Client, bora: Any
    ) -> None:
        story = StoryFactory()
        page = fields_of(boss, story, "publish")
        swap_text(story, bora)
        operations.schedule(item=row(story), run_at=FAR_OFF, by=UserFactory(username="chan"))

        html = press(boss, story, "publish", **page).content.decode()

        assert "The status was changed meanwhile, by chan: it is scheduled now." in html
        assert "The text was changed meanwhile, by bora." in html

    @pytest.mark.django_db
    def test_hears_of_other_tags_too(self, boss: Client) -> None:
        story = StoryFactory()
        page = fields_of(boss, story, "publish")
        other = row(story)
        other.save()
        other.tags.add(Tag.objects.create(name="봄"))

        html = press(boss, story, "publish", **page).content.decode()

        assert "The text was changed meanwhile, by somebody else." in html

    @pytest.mark.django_db
    def test_says_of_what_was_changed_back_that_it_was_changed(self, boss: Client) -> None:
        story = StoryFactory()
        page = fields_of(boss, story, "publish")
        row(story).save()

        html = press(boss, story, "publish", **page).content.decode()

        assert "It was changed meanwhile, by somebody else." in html


@pytest.mark.django_db
class TestARefreshedPanel:
    def panel_url(self, client: Client, item: Schedulable) -> str:
        html = client.get(page_of(item)).content.decode()
        return self.url_in(html)

    def url_in(self, html: str) -> str:
        found = re.search(r'data-armo-panel="([^"]*)"', html)
        assert found
        return unescape(found[1])

    def form_in(self, html: str, name: str) -> dict[str, str]:
        form = re.search(rf'action="[^"]*/{name}/">(.*?)</form>', html, re.DOTALL)
        assert form
        return fields_in(form[1])

    def test_goes_by_what_it_shows(self, boss: Client, bora: Any) -> None:
        story = StoryFactory(scheduled=True)
        url = self.panel_url(boss, story)
        move_on(story, bora)

        panel = boss.get(url).content.decode()

        assert "this page does not show it" not in panel
        assert press(boss, story, "publish", **self.form_in(panel, "publish")).status_code == 302

    def test_does_not_publish_a_text_that_the_page_around_it_does_not_show(
        self, boss: Client, bora: Any
    ) -> None:
        story = StoryFactory(scheduled=True)
        url = self.panel_url(boss, story)
        swap_text(story, bora)
        move_on(story, bora)

        panel = boss.get(url).content.decode()
        response = press(boss, story, "publish", **self.form_in(panel, "publish"))

        assert "The text has changed meanwhile: this page does not show it." in panel
        assert response.status_code == 422
        assert "The text was changed meanwhile, by bora." in response.content.decode()
        assert not row(story).is_published

    def test_moves_from_the_times_that_it_shows_beside_an_old_text(
        self, boss: Client, bora: Any
    ) -> None:
        story = StoryFactory(scheduled=True)
        url = self.panel_url(boss, story)
        swap_text(story, bora)
        move_on(story, bora)

        fields = self.form_in(boss.get(url).content.decode(), "move") | {"run_at": SOON_ENOUGH}

        assert press(boss, story, "move", **fields).status_code == 302

    def test_knows_the_stored_text_beside_a_form_that_came_back(self, boss: Client) -> None:
        story = StoryFactory()
        typed = sent(boss, story) | {"body": "getippt", "extra": "{", "language": "en"}

        came_back = boss.post(page_of(story), typed).content.decode()
        panel = boss.get(self.url_in(came_back)).content.decode()

        assert "getippt" in came_back
        assert "this page does not show it" not in panel

    @pytest.mark.parametrize("query", ["", "?version=x&text=y", "?version=²"])
    def test_takes_a_page_that_does_not_name_its_text_for_a_new_one(
        self, boss: Client, query: str
    ) -> None:
        story = StoryFactory()
        url = reverse("admin:content_story_panel", args=[story.pk])

        assert "this page does not show it" not in boss.get(url + query).content.decode()


def job_fields(client: Client, job: Job, name: str) -> dict[str, str]:
    html = client.get(page_of(job)).content.decode()
    form = re.search(rf'<form method="post" action="[^"]*/{name}/">(.*?)</form>', html, re.DOTALL)
    assert form
    return fields_in(form[1])


class TestAButtonOfAJob:
    @pytest.mark.django_db(transaction=True)
    def test_does_not_cancel_what_a_colleague_has_moved(
        self, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()
        page = job_fields(boss, job, "cancel")
        with transaction.atomic():
            move_on(story, bora)
            waiting = in_background(press, boss, job, "cancel", **page)
            wait_until_blocked()

        html = waiting.result(SECONDS).content.decode()
        assert "The job was moved meanwhile, by bora: it runs at " in html
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + 9 * HOUR}
        assert press(boss, job, "cancel", **fields_in(html)).status_code == 302

    @pytest.mark.django_db(transaction=True)
    def test_does_not_run_again_what_a_colleague_runs_again(
        self, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        job = failed_publish()
        page = job_fields(boss, job, "rerun")
        with transaction.atomic():
            operations.rerun(job=Job.objects.get(), by=bora)
            waiting = in_background(press, boss, job, "rerun", **page)
            wait_until_blocked()

        html = waiting.result(SECONDS).content.decode()
        assert "The job was changed meanwhile, by bora: it is waiting now." in html

    @pytest.mark.django_db
    def test_does_not_run_again_what_has_failed_once_more(self, boss: Client, bora: Any) -> None:
        job = failed_publish()
        page = job_fields(boss, job, "rerun")
        operations.rerun(job=Job.objects.get(), by=bora)
        again = Job.objects.get()
        at, what = clock.database_now(), JobEvent.What.FAILED
        store.close_job(job=again, state=State.FAILED, what=what, at=at, by=None)
        Story.objects.update(status=Status.FAILED)

        assert press(boss, job, "rerun", **page).status_code == 422
        assert press(boss, job, "rerun", **job_fields(boss, job, "rerun")).status_code == 302


class TestDeletingAnItem:
    def delete(self, client: Client, item: Schedulable, seen: str) -> Any:
        url = reverse("admin:content_story_delete", args=[item.pk])
        return client.post(url, {"post": "yes", "seen": seen})

    def seen_on_page(self, client: Client, item: Schedulable) -> str:
        url = reverse("admin:content_story_delete", args=[item.pk])
        return fields_in(client.get(url).content.decode())["seen"]

    @pytest.mark.django_db(transaction=True)
    def test_is_refused_where_a_colleague_has_changed_it(
        self, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)
        seen = self.seen_on_page(boss, story)
        with transaction.atomic():
            swap_text(story, bora)
            waiting = in_background(self.delete, boss, story, seen)
            wait_until_blocked()

        response = waiting.result(SECONDS)
        assert messages_in(response) == [
            "It was changed meanwhile, by bora. Look at it, and press again."
        ]
        assert response["Location"] == reverse("admin:content_story_delete", args=[story.pk])
        assert Job.objects.get().is_open
        assert LogEntry.objects.count() == 1  # bora's

    @pytest.mark.django_db
    def test_deletes_what_its_page_has_shown(self, boss: Client) -> None:
        story = StoryFactory()

        response = self.delete(boss, story, self.seen_on_page(boss, story))

        assert response.status_code == 302
        assert not Story.objects.exists()

    @pytest.mark.django_db
    @pytest.mark.parametrize("seen", ["abc", "-1", "1,2", "9" * 20])
    def test_is_refused_where_it_sends_what_no_page_has_shown(
        self, boss: Client, seen: str
    ) -> None:
        story = StoryFactory()

        self.delete(boss, story, seen)

        assert Story.objects.get() == story


@pytest.mark.django_db
class TestDeletingTheSelectedItems:
    def ask(self, client: Client, *items: Schedulable, query: str = "") -> dict[str, Any]:
        """Return what the page that asks whether to delete them sends."""
        chosen = {"action": "delete_selected", "_selected_action": [item.pk for item in items]}
        html = client.post(list_of(Story) + query, chosen).content.decode()
        sent = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html)
        names = dict.fromkeys(name for name, _ in sent)
        return {name: [value for each, value in sent if each == name] for name in names}

    def test_deletes_what_its_page_has_shown(self, boss: Client) -> None:
        page = self.ask(boss, StoryFactory(), StoryFactory())

        response = boss.post(list_of(Story), page)

        assert messages_in(response) == ["Successfully deleted 2 stories."]
        assert not Story.objects.exists()
        assert LogEntry.objects.filter(action_flag=DELETION).count() == 2

    def test_leaves_and_names_what_a_colleague_has_changed(self, boss: Client, bora: Any) -> None:
        story, other = StoryFactory(title="Fair"), StoryFactory()
        page = self.ask(boss, story, other)
        operations.publish_now(item=story, by=bora)

        response = boss.post(list_of(Story), page)

        assert messages_in(response) == [
            "Delete: “Fair”: It was changed meanwhile, by bora.",
            "Successfully deleted 1 story.",
        ]
        assert Story.objects.get() == story
        assert LogEntry.objects.filter(action_flag=DELETION).count() == 1

    def test_names_what_its_list_does_not_show_any_more(self, boss: Client, bora: Any) -> None:
        story = StoryFactory(title="Fair")
        page = self.ask(boss, story, query="?status=draft")
        operations.publish_now(item=story, by=bora)

        response = boss.post(list_of(Story) + "?status=draft", page)

        assert messages_in(response) == ["Delete: “Fair”: It was changed meanwhile, by bora."]
        assert Story.objects.get() == story

    def test_deletes_nothing_that_no_page_has_shown(self, boss: Client) -> None:
        page = self.ask(boss, StoryFactory())
        del page["seen"]

        boss.post(list_of(Story), page)

        assert Story.objects.exists()


class TestTheCalendar:
    def move(self, client: Client, job: Job, to: str, expected: str) -> Any:
        data = {"job": job.pk, "to": to, "expected": expected}
        return client.post(reverse("admin-calendar-move"), data)

    @pytest.mark.django_db(transaction=True)
    def test_does_not_move_what_a_colleague_has_moved(
        self, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()
        with transaction.atomic():
            move_on(story, bora)
            waiting = in_background(self.move, boss, job, SOON_ENOUGH, FAR_OFF.isoformat())
            wait_until_blocked()

        response = waiting.result(SECONDS)
        assert response.status_code == 409
        assert "by bora" in response.json()["text"]
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + 9 * HOUR}

    @pytest.mark.django_db(transaction=True)
    def test_does_not_undo_what_a_colleague_has_moved_since(
        self, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()
        moved = self.move(boss, job, SOON_ENOUGH, FAR_OFF.isoformat()).json()
        with transaction.atomic():
            move_on(story, bora)
            # As the page undoes it.
            waiting = in_background(self.move, boss, job, moved["was"], moved["entry"]["run_at"])
            wait_until_blocked()

        assert waiting.result(SECONDS).status_code == 409
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + 9 * HOUR}


class Bulk(NamedTuple):
    """A bulk action, an item for it, what is typed, and the change that makes it refuse."""

    action: str
    make: Callable[[], Schedulable]
    typed: dict[str, str]
    change: Callable[[Schedulable, Any], None]


def failed_story() -> Schedulable:
    failed_publish()
    return Story.objects.get()


BULKS = [
    Bulk(
        "schedule_selected", lambda: StoryFactory(scheduled=True), {"run_at": SOON_ENOUGH}, move_on
    ),
    Bulk(
        "shift_selected",
        lambda: StoryFactory(scheduled=True),
        {"number": "1", "unit": "days"},
        move_on,
    ),
    Bulk("cancel_selected", lambda: StoryFactory(scheduled=True), {}, move_on),
    Bulk("publish_selected", StoryFactory, {}, swap_text),
    Bulk("unpublish_selected", lambda: StoryFactory(published=True), {}, swap_text),
    Bulk("rerun_selected", failed_story, {}, swap_text),
]


@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    @pytest.mark.parametrize("bulk", BULKS, ids=lambda bulk: bulk.action)
    def test_leave_alone_what_a_colleague_changes_while_they_wait(
        self, bulk: Bulk, boss: Client, bora: Any, in_background: InBackground
    ) -> None:
        item = bulk.make()
        page = looked_at(boss, Story, bulk.action, item.pk, **bulk.typed)
        with transaction.atomic():
            bulk.change(item, bora)
            waiting = in_background(agree, boss, Story, bulk.action, page)
            wait_until_blocked()

        [message] = messages_in(waiting.result(SECONDS))
        assert "It was changed meanwhile, by bora." in message
        assert not JobEvent.objects.filter(by__username="boss").exists()

    @pytest.mark.parametrize(
        ("action", "make"),
        [
            ("cancel_selected", lambda: StoryFactory(scheduled=True)),
            ("rerun_selected", failed_story),
        ],
        ids=["cancel", "rerun"],
    )
    def test_leave_alone_a_job_that_a_colleague_changes_while_they_wait(
        self,
        action: str,
        make: Callable[[], Schedulable],
        boss: Client,
        bora: Any,
        in_background: InBackground,
    ) -> None:
        item = make()
        job = Job.objects.get()
        page = looked_at(boss, Job, action, job.pk)
        with transaction.atomic():
            if action == "rerun_selected":
                operations.rerun(job=Job.objects.get(), by=bora)
            else:
                move_on(item, bora)
            waiting = in_background(agree, boss, Job, action, page)
            wait_until_blocked()

        [message] = messages_in(waiting.result(SECONDS))
        assert "It was changed meanwhile, by bora." in message
        assert not JobEvent.objects.filter(by__username="boss").exists()
