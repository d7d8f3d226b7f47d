"""Two editors save one item: neither overwrites the other's text without seeing it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from content.models import Story, Tag
from scheduling import operations
from scheduling.models import Status
from tests.admin_pages import SOON_ENOUGH, fields_in, page_of, press, typed
from tests.factories import StoryFactory, UserFactory

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


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
        refused = self.save(editor, story, mine, body="눈이 그쳤다.")

        response = self.save(editor, story, typed(refused.content.decode()))

        story.refresh_from_db()
        assert response.status_code == 302
        assert story.body == "눈이 그쳤다."

    def test_keeps_what_the_other_wrote_in_another_field(
        self, editor: Client, other: Client, story: Story
    ) -> None:
        mine, theirs = self.page(editor, story), self.page(other, story)
        self.save(other, story, theirs, title="첫눈이 왔다")

        refused = self.save(editor, story, mine, body="눈이 그쳤다.")
        before = Story.objects.get()
        self.save(editor, story, typed(refused.content.decode()))

        after = Story.objects.get()
        assert (before.title, before.body) == ("첫눈이 왔다", "눈이 온다.")
        assert (after.title, after.body) == ("첫눈이 왔다", "눈이 그쳤다.")

    def test_who_wrote_the_same_see_no_conflict(
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

    def test_by_the_api_is_named(self, editor: Client, other: Client, story: Story) -> None:
        mine = self.page(editor, story)
        other.patch(f"/api/v1/stories/{story.pk}/", {"body": "눈이 많이 온다."}, "application/json")

        page = self.save(editor, story, mine, body="눈이 그쳤다.").content.decode()

        assert "by 보라 김: “Body”" in page

    def test_one_of_whom_deletes_it_leaves_the_other_what_they_wrote(
        self, editor: Client, story: Story
    ) -> None:
        mine = self.page(editor, story)
        pk, address = story.pk, page_of(story)
        story.delete()

        response = editor.post(address, mine | {"body": "밤새 쓴 글"})

        assert response.status_code == 410
        assert "밤새 쓴 글" in response.content.decode()
        assert not Story.objects.filter(pk=pk).exists()

    def test_who_may_not_change_it_any_more_keeps_what_they_wrote(
        self, author: Client, editor: Client, story: Story
    ) -> None:
        story.author = User.objects.get(username="one-of-Authors")
        story.save()
        mine = self.page(author, story)
        press(editor, story, "schedule", run_at=SOON_ENOUGH)

        scheduled = self.save(author, story, mine, body="밤새 쓴 글")
        Story.objects.update(author=None)
        reassigned = self.save(author, story, mine, body="밤새 쓴 글")

        for response, why in (
            (scheduled, "It is scheduled now"),
            (reassigned, "You may not see it any more"),
        ):
            page = response.content.decode()
            assert response.status_code == 403
            assert why in page
            assert "밤새 쓴 글</textarea>" in page
            assert "<h3>Body</h3>" in page
        assert Story.objects.get().body == "눈이 온다."

    @pytest.mark.parametrize("is_new", [False, True])
    def test_who_was_signed_out_saves_it_once_they_are_back(
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
