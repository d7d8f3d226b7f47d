"""What a story or a notice holds."""

import re
from importlib import import_module
from itertools import compress
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from content import markdown
from content.models import (
    EMPTY_BODY,
    MAX_BODY,
    NO_TITLE,
    SURELY_VISIBLE,
    UNSEEN_BODY,
    Notice,
    OldAddress,
    Rendered,
    Story,
)
from scheduling.errors import Reason
from tests.factories import NoticeFactory, StoryFactory

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

    @pytest.mark.parametrize("trait", ["published", "unpublished"])
    @pytest.mark.parametrize("blank", ["", "\u3164"])
    def test_stays_when_it_is_emptied_of_a_story_that_was_live(
        self, trait: str, blank: str
    ) -> None:
        story = StoryFactory(slug="autumn", **{trait: True})

        for each in (story, Story.objects.get(), Story.objects.defer("slug").get()):
            each.slug = blank
            each.save()
            assert each.slug == Story.objects.get().slug == "autumn"
        story.slug = blank
        story.full_clean()
        assert story.slug == "autumn"
        assert not OldAddress.objects.exists()

    def test_is_made_anew_when_it_is_emptied_of_another(self) -> None:
        story = StoryFactory(slug="autumn", title="가을")

        story.slug = ""
        story.save()

        assert story.slug.startswith("가을-")

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
            ("\u180b", "\U000e0100\U000e0041", [NO_TITLE, EMPTY_BODY]),
            ("Title", "<!-- later -->", [UNSEEN_BODY]),
            ("Title", "[a]: https://example.org", [UNSEEN_BODY]),
            ("Title", "![](https://example.org/a.png)", []),
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


HUGE = "<b><p>" * 20_000


class TestBody:
    def test_is_rendered_when_it_is_saved(self) -> None:
        StoryFactory(body="**가**")

        [rendered] = Rendered.objects.all()
        assert rendered.html == "<p><strong>가</strong></p>\n"
        assert rendered.is_visible
        assert rendered.renderer == markdown.RENDERER

    def test_is_rendered_once_for_all_that_have_it(self) -> None:
        StoryFactory(body="같은 글")
        NoticeFactory(body="같은 글")

        assert Rendered.objects.count() == 1

    def test_is_rendered_as_it_is_stored(self) -> None:
        story = StoryFactory(body="[\u1112\u1161\u11ab]")

        with CaptureQueriesContext(connection) as asked:
            Rendered.objects.html(Story.objects.get(pk=story.pk).body)
        assert len(asked) == 2

    @pytest.mark.parametrize(
        ("body", "is_visible"),
        [
            ("가을", True),
            ("## 가을", True),
            ("> - *가을*", True),
            ("1st", True),
            ("2024년 가을", True),
            ("2024.03.01 가을", True),
            ('"가을"', True),
            ("(가을)", True),
            ("> **'가을'**", True),
            ("1. ", False),
            ("> 12)", False),
            ("1.\n\n<!-- -->", False),
            ("![](https://example.org/a.png)", True),
            ("", False),
            ("<!-- later -->", False),
            ("[가을]: https://example.org", False),
        ],
    )
    def test_is_known_to_be_visible_or_not(self, body: str, is_visible: bool) -> None:
        story = StoryFactory(body=body)
        notice = Notice.objects.bulk_create([Notice(title="공지", body=body)])[0]
        other = StoryFactory()
        Story.objects.filter(pk=other.pk).update(body=body)
        another = StoryFactory()
        another.body = body
        Story.objects.bulk_update([another], ["body"])

        for item in (story, notice, other, another):
            item.refresh_from_db()
            assert item.body_is_visible is is_visible

    def test_of_which_nobody_knows_is_left_to_the_items_own_run(self) -> None:
        story = StoryFactory()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = '[a](/b)' WHERE id = %s", [story.pk])

        story.refresh_from_db()

        assert story.body_is_visible is None
        assert not story.publish_problems()
        assert not Story.objects.publishable().exists()

    def test_is_asked_about_without_reading_or_rendering_it(self) -> None:
        StoryFactory(body="[가](/b)")
        story = Story.objects.defer("body").get()

        with CaptureQueriesContext(connection) as asked:
            assert not story.publish_problems()

        assert not asked

    def test_is_judged_anew_whenever_it_is_another(self) -> None:
        story = Story.objects.get(pk=StoryFactory(body="[가](/b)").pk)

        story.body = "<!-- -->"
        assert story.publish_problems() == [UNSEEN_BODY]
        story.save()
        assert story.publish_problems() == [UNSEEN_BODY]
        Story.objects.update(body="[나](/b)")
        story.refresh_from_db(fields=["body"])
        assert not story.publish_problems()
        Story.objects.update(body="")
        story.refresh_from_db(fields=["body"])
        assert story.publish_problems() == [EMPTY_BODY]
        story = Story.objects.defer("body").get()
        story.body = "나"
        assert not story.publish_problems()

    def test_cannot_be_said_to_be_visible(self) -> None:
        story = StoryFactory(body="<!-- later -->")

        Story.objects.filter(pk=story.pk).update(body_is_visible=True)

        story.refresh_from_db()
        assert story.body_is_visible is False

    def test_of_an_earlier_version_is_known_afterwards_unless_it_is_live(self) -> None:
        draft, scheduled, unusual = StoryFactory(), StoryFactory(scheduled=True), StoryFactory()
        alike = StoryFactory(scheduled=True)
        live = StoryFactory(published=True)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE content_story DISABLE TRIGGER content_story_body")
            cursor.execute("UPDATE content_story SET body_is_visible = NULL")
            for body, story in (("<p>x", unusual), ("<p>y", alike)):
                cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [body, story.pk])
            cursor.execute("ALTER TABLE content_story ENABLE TRIGGER content_story_body")

        migration: Any = import_module("content.migrations.0018_fill_body_is_visible_of_drafts")
        migration.fill(None, SimpleNamespace(connection=connection))

        stories = (draft, scheduled, live, unusual, alike)
        known = [Story.objects.get(pk=story.pk).body_is_visible for story in stories]
        assert known == [True, True, None, None, True]
        assert Rendered.objects.filter(html="<p>y</p>").exists()

    def test_that_begins_so_is_seen_by_python_and_by_the_trigger(self) -> None:
        signs = [chr(code) for code in (*range(1, 0x80), 0xA0, 0x200B, 0xAC00, 0xE0020, 0x1F389)]
        ends = ("", " ", "\n", "x", ".", ". ", ")x", ")\n", ".\u3000", "1.5")
        texts = [f"{start}{sign}{end}" for start in ("", "> ") for sign in signs for end in ends]

        with connection.cursor() as cursor:
            cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'content_follow_body'")
            pattern = cursor.fetchone()[0].partition("~ '")[2].partition("'")[0]
            cursor.execute(
                "SELECT array_agg(text ~ %s ORDER BY place)"
                " FROM unnest(%s::text[]) WITH ORDINALITY AS it (text, place)",
                [pattern, texts],
            )
            seen = cursor.fetchone()[0]

        assert seen == [bool(re.match(SURELY_VISIBLE, text)) for text in texts]
        assert all(markdown.render(text).is_visible for text in compress(texts, seen))


class TestABodyBeyondTheBounds:
    @pytest.mark.parametrize("body", [HUGE, "a" * (MAX_BODY + 1)])
    def test_is_refused_by_every_way_to_write_it(self, body: str) -> None:
        story = StoryFactory()
        story.body = body

        with pytest.raises(markdown.BodyTooLarge):
            story.save()
        with pytest.raises(markdown.BodyTooLarge):
            Story.objects.create(title="제목", body=body)
        with pytest.raises(markdown.BodyTooLarge):
            Story.objects.bulk_create([Story(title="제목", body=body)])
        with pytest.raises(markdown.BodyTooLarge):
            Story.objects.bulk_update([story], ["body"])
        with pytest.raises(markdown.BodyTooLarge):
            Story.objects.update(body=body)
        with pytest.raises(ValidationError) as refusal:
            story.full_clean()
        assert list(refusal.value.error_dict) == ["body"]

    def test_of_an_earlier_version_keeps_no_other_field_from_being_saved(self) -> None:
        story = StoryFactory()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [HUGE, story.pk])
        story.refresh_from_db()

        story.title = "다른 제목"
        story.full_clean()
        story.save()

        story.refresh_from_db()
        assert story.title == "다른 제목"
        assert Rendered.objects.html(story.body).startswith("<p>&lt;b&gt;")


class TestRendered:
    def test_is_made_anew_when_the_renderer_has_changed(self) -> None:
        StoryFactory(body="**가**")
        Rendered.objects.update(renderer="0", html="old")

        html = Rendered.objects.html("**가**")

        assert html == "<p><strong>가</strong></p>\n"
        assert Rendered.objects.get().html == html
        assert Rendered.objects.get().renderer == markdown.RENDERER

    def test_is_found_with_one_query_for_many(self) -> None:
        bodies = [f"글 {n}" for n in range(20)]
        Rendered.objects.html_of(bodies)

        with CaptureQueriesContext(connection) as asked:
            html = Rendered.objects.html_of(bodies)

        assert len(asked) == 1
        assert html["글 7"] == "<p>글 7</p>\n"

    def test_is_shown_also_when_it_cannot_be_stored(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")

        assert Rendered.objects.html("가") == "<p>가</p>\n"
