"""An item's form: a browser changes line ends and spaces before it sends them back."""

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import translation

from content.models import Category, Story
from tests.admin_pages import page_of, sent
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


class TestJson:
    @pytest.mark.parametrize(
        "typed",
        [
            "[" * 100_000,
            "[" * 100_000 + "]" * 100_000,
            "[" * 500 + "]" * 500,
            '{"a":' * 101 + "1" + "}" * 101,
            "NaN",
            '{"a": Infinity}',
            '{"a": "\\u0000"}',
            '{"\\u0000": 1}',
            '"\\ud800"',
            "9" * 5000,
        ],
    )
    def test_that_cannot_be_stored_is_an_error_of_its_field(
        self, editor: Client, typed: str
    ) -> None:
        story = StoryFactory(extra={"a": 1})

        answer = editor.post(page_of(story), sent(editor, story) | {"extra": typed})

        assert answer.status_code == 200
        assert answer.context["adminform"].form.errors.keys() == {"extra"}
        assert Story.objects.get().extra == {"a": 1}

    @pytest.mark.parametrize("typed", ['{"a": "\\\\u0000"}', "[" * 100 + "]" * 100])
    def test_that_only_looks_so_is_kept(self, editor: Client, typed: str) -> None:
        story = StoryFactory()

        answer = editor.post(page_of(story), sent(editor, story) | {"extra": typed})

        assert answer.status_code == 302
        assert Story.objects.get().extra == json.loads(typed)

    def test_too_deep_does_not_say_what_a_page_has_shown(self, editor: Client) -> None:
        story = StoryFactory()
        data = sent(editor, story)
        [seen] = [name for name, value in data.items() if '"fields"' in str(value)]

        answer = editor.post(page_of(story), data | {seen: "[" * 100_000})

        assert answer.status_code == 302


class TestANewForm:
    def test_takes_words_from_its_address(self, editor: Client) -> None:
        garden = Category.objects.create(name="정원")
        address = reverse("admin:content_story_add")

        for value in (f"{garden.pk}", f"{garden.pk},x,{'9' * 30},\0"):
            answer = editor.get(address, {"categories": value, "tags": "-1"})

            assert answer.status_code == 200
            assert list(answer.context["adminform"].form.initial["categories"]) == [garden]


class TestASlug:
    def test_that_cannot_be_made_is_shown_again_on_the_page_of_a_live_story(
        self, editor: Client
    ) -> None:
        story = StoryFactory(published=True)
        emptied = {"title": "", "slug": "", "extra": "["}

        answer = editor.post(page_of(story), sent(editor, story) | emptied)

        assert answer.status_code == 200
        assert "extra" in answer.context["adminform"].form.errors


class TestWords:
    @pytest.mark.parametrize("value", ["\0", "x", "-1", "9" * 30, "\u0663", "[]"])
    def test_that_are_no_ids_are_an_error_of_their_field(self, editor: Client, value: str) -> None:
        story = StoryFactory()

        answer = editor.post(page_of(story), sent(editor, story) | {"tags": [value]})

        assert answer.status_code == 200
        assert list(answer.context["adminform"].form.errors) == ["tags"]


class TestWhatNobodyTouched:
    """A browser normalises texts before it sends them back."""

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

        assert LogEntry.objects.get().get_change_message() == "Changed language."

    def test_is_named_in_the_history_in_the_language_of_its_reader(
        self, editor: Client, story: Story
    ) -> None:
        editor.post(page_of(story), sent(editor, story) | {"language": "ko", "slug": "spring"})

        with translation.override("ko"):
            said = LogEntry.objects.get().get_change_message()
        assert said == "변경: 슬러그 및 언어."

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
