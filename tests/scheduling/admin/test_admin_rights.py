"""The author of an item decides who may read and change it."""

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from content.models import Story
from tests.admin_pages import page_of, press
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


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
