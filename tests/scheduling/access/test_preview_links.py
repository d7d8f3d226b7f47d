"""Preview links: they show an item that is not live, to anyone, for a limited time."""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Notice, Story
from scheduling import operations
from scheduling.access.permissions import NotAllowed
from scheduling.access.preview_links import make_preview_token
from scheduling.models import Job, Kind, PreviewLink, Schedulable, State, Status
from scheduling.models.clock import database_now
from scheduling.worker.batch_runner import run_due_jobs
from tests.admin_pages import messages_in, page_of, press, signed_in
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory

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
        made = PreviewLink.objects.get()
        assert made.expires_at == made.made_at + timedelta(hours=1)

        PreviewLink.objects.update(expires_at=database_now())
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

    @pytest.mark.parametrize(
        "delete", [Story.delete, lambda it: Story.objects.filter(pk=it.pk).delete()]
    )
    def test_does_not_show_another_item_that_gets_the_id(
        self, client: Client, maker: User, delete: Callable[[Story], Any]
    ) -> None:
        story, other = StoryFactory(), StoryFactory()
        link, link_to_other = link_to(story, maker), link_to(other, maker)
        pk = story.pk

        delete(story)
        StoryFactory(pk=pk, title="엠바고")

        assert client.get(link).status_code == 404
        assert client.get(link_to_other).status_code == 200

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

    def test_ends_when_its_maker_may_only_view_it(self, client: Client) -> None:
        editor = UserFactory()
        editor.groups.add(Group.objects.get(name="Editors"))
        link = link_to(StoryFactory(), editor)
        assert client.get(link).status_code == 200

        editor.groups.set([Group.objects.get(name="Operators")])

        assert client.get(link).status_code == 404

    def test_is_not_known_from_the_table(self, maker: User) -> None:
        token = make_preview_token(StoryFactory(), by=maker)

        assert token not in str(list(PreviewLink.objects.values()))

    def test_is_forgotten_long_after_it_has_ended(self, client: Client, maker: User) -> None:
        link = link_to(StoryFactory(), maker)
        PreviewLink.objects.update(expires_at=database_now() - timedelta(days=31))

        make_preview_token(StoryFactory(), by=maker)

        assert PreviewLink.objects.count() == 1
        assert client.get(link).status_code == 404


class TestATakeDown:
    """What a court has forbidden no link shows again, whoever took it down, and by what."""

    def by_operation(item: Schedulable) -> None:  # type: ignore[misc]  # a way, given as parameter
        operations.unpublish_now(item=item, by=None)

    def by_a_batch(item: Schedulable) -> None:  # type: ignore[misc]
        now = database_now()
        type(item)._base_manager.filter(pk=item.pk).update(unpublish_at=now)
        ends = Job.objects.of(item).filter(kind=Kind.UNPUBLISH, state=State.WAITING)
        assert ends.update(run_at=now, next_attempt_at=now) == 1
        run_due_jobs()

    def by_sql(item: Schedulable) -> None:  # type: ignore[misc]
        type(item)._base_manager.filter(pk=item.pk).update(status=Status.UNPUBLISHED)

    @pytest.mark.parametrize("take_down", [by_operation, by_a_batch, by_sql])
    @pytest.mark.parametrize("make", [StoryFactory, NoticeFactory])
    def test_ends_the_links_made_before_it(
        self, client: Client, maker: User, make: Any, take_down: Any
    ) -> None:
        item = make(title="비밀")
        link = link_to(item, maker)
        operations.publish_now(item=item, by=None)
        assert client.get(link).status_code == 302
        if take_down is TestATakeDown.by_a_batch:
            operations.schedule(item=item, run_at=FAR_OFF, kind=Kind.UNPUBLISH, by=None)

        take_down(item)

        response = client.get(link)
        assert response.status_code == 410
        assert "비밀" not in response.content.decode()

    def test_ends_them_again_when_it_was_live_once_more(self, client: Client, maker: User) -> None:
        story = StoryFactory(published=True)
        operations.unpublish_now(item=story, by=None)
        link = link_to(story, maker)
        assert client.get(link).status_code == 200

        for _ in range(2):
            operations.publish_now(item=story, by=None)
            operations.unpublish_now(item=story, by=None)

        assert client.get(link).status_code == 410

    def test_ends_them_though_the_item_has_the_time_of_before(
        self, client: Client, maker: User
    ) -> None:
        story = StoryFactory(published=True)
        operations.unpublish_now(item=story, by=None)
        link = link_to(story, maker)
        operations.publish_now(item=story, by=None)
        operations.unpublish_now(item=story, by=None)
        Story.objects.filter(pk=story.pk).update(
            published_at=PreviewLink.objects.get().published_at
        )

        assert client.get(link).status_code == 410

    def test_lets_others_be(self, client: Client, maker: User) -> None:
        story, other = StoryFactory(published=True), StoryFactory()
        link = link_to(other, maker)

        operations.unpublish_now(item=story, by=None)

        assert client.get(link).status_code == 200
        assert client.get(link_to(story, maker)).status_code == 200


class TestTheLog:
    """The address is a secret: it must not reach a log."""

    def ask_in_every_way(self, link: str) -> list[int]:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        mistyped = [client.get(it).status_code for it in (link, f"{link[:-1]}x/", f"{link})")]
        return [*mistyped, client.post(link).status_code]

    def test_never_holds_the_secret(self, maker: User, caplog: pytest.LogCaptureFixture) -> None:
        story = StoryFactory()
        secret = make_preview_token(story, by=maker)
        link = reverse("preview", args=[secret])
        caplog.set_level(logging.DEBUG)

        statuses = self.ask_in_every_way(link)
        User.objects.update(is_active=False)
        statuses += self.ask_in_every_way(link)

        assert statuses == [200, 404, 404, 405, 404, 404, 404, 405]
        assert len(caplog.records) >= 7
        assert not [record for record in caplog.records if secret in str(vars(record))]


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

    def test_is_not_for_who_may_only_view(self) -> None:
        operator, story = signed_in("Operators"), StoryFactory()

        assert "/share/" not in operator.get(page_of(story)).content.decode()
        assert press(operator, story, "share").status_code == 403
        assert press(operator, story, "unshare").status_code == 403
        with pytest.raises(NotAllowed):
            make_preview_token(story, by=User.objects.get(username="one-of-Operators"))
        assert not PreviewLink.objects.exists()

    def test_is_in_the_items_history(self) -> None:
        story, editor = StoryFactory(), signed_in("Editors")

        press(editor, story, "share")
        press(editor, story, "unshare")

        url = reverse("admin:content_story_history", args=[story.pk])
        page = unescape(editor.get(url).content.decode())
        assert "Added link to a preview “72 h”." in page
        assert "Deleted link to a preview “1”." in page
        korean = unescape(editor.get(url, headers={"Accept-Language": "ko"}).content.decode())
        assert "미리 보기 링크" in korean

    def test_is_no_line_of_the_page_that_deletes_its_maker(
        self, admin_client: Client, maker: User
    ) -> None:
        link_to(StoryFactory(), maker)

        page = admin_client.get(f"/admin/auth/user/{maker.pk}/delete/").content.decode().lower()

        assert maker.get_username() in page
        assert "preview link" not in page

    def test_to_end_them_ends_all_of_the_item(self, client: Client, maker: User) -> None:
        story, other, editor = StoryFactory(), StoryFactory(), signed_in("Editors")
        mine = [link_to(story, maker) for _ in range(2)]
        others = link_to(other, maker)
        page = editor.get(page_of(story)).content.decode()
        assert "2 links to a preview, the last until" in page

        response = press(editor, story, "unshare")

        assert messages_in(response) == ["2 links to a preview ended."]
        assert [client.get(link).status_code for link in (*mine, others)] == [404, 404, 200]
        assert "/unshare/" not in editor.get(page_of(story)).content.decode()
        assert not LogEntry.objects.filter(object_id=str(other.pk)).exists()
