"""What a story or a notice holds."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from hypothesis import given
from hypothesis import strategies as st

from content.models import EMPTY_BODY, NO_TITLE, Notice, Story
from scheduling.errors import Reason
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


class TestSlug:
    def test_is_made_from_the_title_when_none_is_given(self) -> None:
        story = Story.objects.create(title="가을 수확 2026", body="본문")

        assert story.slug.startswith("가을-수확-2026-")

    def test_of_two_stories_with_one_title_differs(self) -> None:
        first, second = Story.objects.bulk_create([Story(title="Harvest"), Story(title="Harvest")])

        assert first.slug != second.slug

    def test_fits_however_long_the_title_is(self) -> None:
        story = Story.objects.create(title="긴 " * 100)

        assert len(story.slug) <= 200

    def test_of_a_title_without_letters_is_still_one(self) -> None:
        assert Story.objects.create(title="!?").slug

    def test_that_is_given_stays(self) -> None:
        story = Story.objects.create(title="Harvest", slug="autumn")

        assert story.slug == "autumn"

    def test_is_refused_when_another_story_has_it(self) -> None:
        Story.objects.create(title="Harvest", slug="autumn")

        with pytest.raises(ValidationError) as refusal:
            Story(title="Harvest, again", slug="autumn").full_clean()

        assert list(refusal.value.error_dict) == ["slug"]
        with pytest.raises(IntegrityError, match="content_story_slug_is_its_own"):
            Story.objects.create(title="Harvest, again", slug="autumn")

    def test_that_no_address_can_hold_is_refused(self) -> None:
        with pytest.raises(IntegrityError, match="content_story_slug_is_one_step_of_a_path"):
            StoryFactory(slug="a/b")


class TestPublishProblems:
    @pytest.mark.parametrize(
        ("title", "body", "problems"),
        [
            ("제목", "본문", []),
            ("", "Body", [NO_TITLE]),
            ("Title", " \n\t ", [EMPTY_BODY]),
            ("\u3164", "\u200b\ufeff", [NO_TITLE, EMPTY_BODY]),
        ],
    )
    def test_name_what_a_reader_would_not_see(
        self, title: str, body: str, problems: list[Reason]
    ) -> None:
        assert Notice(title=title, body=body).publish_problems() == problems

    @given(title=st.text(max_size=3), body=st.text(max_size=3))
    def test_only_ask_for_something_visible(self, title: str, body: str) -> None:
        written = Notice(title=f"a{title}", body=f"{body}b")

        assert written.publish_problems() == []
