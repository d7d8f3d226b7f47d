"""The form of what is live or scheduled leaves nothing out that it needs, and keeps the text."""

from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from content.models import Story
from tests.admin_pages import page_of, sent
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


class TestTheFormOfWhatIsLiveOrScheduled:
    @pytest.fixture(params=["published", "scheduled"])
    def story(self, request: pytest.FixtureRequest) -> Any:
        return StoryFactory(title="첫눈", body="눈이 온다.", **{request.param: True})

    def test_shows_what_would_be_missing_at_its_field(self, editor: Client, story: Story) -> None:
        data = sent(editor, story) | {"body": " ", "summary": "짧게", "language": "ko"}

        response = editor.post(page_of(story), data)

        assert response.status_code == 200
        assert response.context["adminform"].form.errors == {"body": ["Its body is empty."]}
        assert "짧게" in response.content.decode()
        assert Story.objects.get().body == "눈이 온다."

    def test_says_it_in_korean(self, editor: Client, story: Story) -> None:
        data = sent(editor, story) | {"title": "", "language": "ko"}

        response = editor.post(page_of(story), data, headers={"Accept-Language": "ko"})

        with translation.override("ko"):
            expected = translation.gettext("It has no title.")
        assert response.context["adminform"].form.errors == {"title": [expected]}
        assert expected != "It has no title."

    def test_saves_what_is_complete(self, editor: Client, story: Story) -> None:
        data = sent(editor, story) | {"title": "함박눈", "language": "ko"}

        response = editor.post(page_of(story), data)

        assert response.status_code == 302
        assert Story.objects.get().title == "함박눈"

    def test_mends_what_was_broken_before_step_by_step(self, editor: Client) -> None:
        story = StoryFactory(published=True, title="", body="")

        response = editor.post(
            page_of(story), sent(editor, story) | {"title": "첫눈", "language": "ko"}
        )

        assert response.status_code == 302
        assert Story.objects.get().title == "첫눈"
