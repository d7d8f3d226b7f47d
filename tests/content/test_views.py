"""The public pages: they show live items only."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from content import views
from content.models import Notice, Story
from content.views import NOTICES_SHOWN, STORIES_PER_PAGE
from scheduling.models import Status
from tests.factories import LONG_AGO, NoticeFactory, StoryFactory

NOT_LIVE = ["draft", "scheduled", "due", "failed", "unpublished"]

pytestmark = pytest.mark.django_db


def situation(name: str) -> dict[str, bool]:
    """Return the trait of that name; a draft needs none."""
    return {} if name == "draft" else {name: True}


def text_of(client: Client, url: str = "/") -> str:
    return client.get(url).content.decode()


class TestFrontPage:
    def test_lists_live_stories_the_newest_first(self, client: Client) -> None:
        for days, title in ((0, "oldest"), (2, "newest"), (1, "middle")):
            at = LONG_AGO + timedelta(days=days)
            StoryFactory(title=title, status=Status.PUBLISHED, publish_at=at, published_at=at)

        html = text_of(client)

        assert re.findall("oldest|middle|newest", html) == ["newest", "middle", "oldest"]

    @pytest.mark.parametrize("trait", NOT_LIVE)
    def test_shows_nothing_that_is_not_live(self, client: Client, trait: str) -> None:
        StoryFactory(title="secret story", **situation(trait))
        NoticeFactory(title="secret notice", **situation(trait))

        html = text_of(client)

        assert "secret" not in html
        assert "Nothing has been published yet." in html

    def test_shows_live_notices_with_how_loud_they_are(self, client: Client) -> None:
        NoticeFactory(
            published=True, title="정전", body="**오늘**", severity=Notice.Severity.URGENT
        )

        html = text_of(client)

        assert '<span class="severity">urgent</span> 정전' in html
        assert "<strong>오늘</strong>" in html

    def test_shows_only_the_newest_of_many_notices(self, client: Client) -> None:
        NoticeFactory.create_batch(NOTICES_SHOWN + 1, published=True)

        html = text_of(client)

        assert html.count('class="notice ') == NOTICES_SHOWN

    def test_turns_pages(self, client: Client) -> None:
        StoryFactory.create_batch(STORIES_PER_PAGE + 1, published=True)

        first, second = text_of(client), text_of(client, "/?page=2")

        assert first.count('class="teaser"') == STORIES_PER_PAGE
        assert '<a rel="next" href="?page=2">' in first
        assert second.count('class="teaser"') == 1
        assert '<a rel="prev" href="?page=1">' in second

    def test_counts_and_skips_only_so_many(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(views, "MOST_STORIES_IN_PAGES", STORIES_PER_PAGE + 1)
        StoryFactory.create_batch(2 * STORIES_PER_PAGE + 1, published=True)

        deep = text_of(client, "/?page=999999")

        assert "Page 2 of 2" in deep
        assert deep.count('class="teaser"') == 1

    @pytest.mark.parametrize("page", ["0", "-1", "99", "x", "", "١", "9" * 5000, "\x00"])
    def test_shows_some_page_whatever_is_asked_for(self, client: Client, page: str) -> None:
        response = client.get("/", {"page": page})

        assert response.status_code == 200

    def test_asks_the_database_as_often_for_many_items_as_for_one(
        self, client: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        StoryFactory.create_batch(30, published=True)
        NoticeFactory.create_batch(5, published=True)

        # How many stories, a page of them, the notices, their HTML.
        with django_assert_num_queries(4):
            client.get("/")

    def test_escapes_what_editors_type(self, client: Client) -> None:
        StoryFactory(published=True, title="<script>1</script>", summary="<b>2</b>", byline="<i>")
        NoticeFactory(published=True, title="<script>3</script>")

        html = text_of(client)

        assert "<script>" not in html
        assert "&lt;b&gt;2&lt;/b&gt;" in html

    def test_says_which_language_each_part_is_in(self, client: Client) -> None:
        StoryFactory(published=True, language="ko")

        html = text_of(client)

        assert '<html lang="en">' in html
        assert '<article class="teaser" lang="ko">' in html

    def test_speaks_korean_to_who_reads_korean(self, client: Client) -> None:
        html = client.get("/", headers={"accept-language": "ko"}).content.decode()

        assert '<html lang="ko">' in html
        assert "아직 발행된 글이 없습니다." in html

    def test_asks_no_other_host_for_anything(self, client: Client) -> None:
        StoryFactory(published=True)

        html = text_of(client)

        assert re.findall(r'(?:src|href)="(?:https?:)?//', html) == []
        assert "<script" not in html

    def test_is_for_reading_only(self, client: Client) -> None:
        assert client.post("/").status_code == 405


class TestStoryPage:
    def test_shows_a_live_story(self, client: Client) -> None:
        story = StoryFactory(
            published=True, title="제목", slug="한글-주소", body="## “부제”", byline="편집국"
        )

        html = text_of(client, story.get_absolute_url())

        assert "<h1>제목</h1>" in html
        assert '<h2 id="부제">“부제”</h2>' in html
        assert "편집국" in html
        assert 'datetime="2025-03-30T01:00:00.123456+00:00"' in html

    @pytest.mark.parametrize("trait", NOT_LIVE)
    def test_hides_what_is_not_live(self, client: Client, trait: str) -> None:
        story = StoryFactory(title="secret story", **situation(trait))

        response = client.get(story.get_absolute_url())

        assert response.status_code == 404
        assert "secret" not in response.content.decode()

    def test_shows_a_story_from_the_moment_it_is_live(self, client: Client) -> None:
        story = StoryFactory(scheduled=True)
        url = story.get_absolute_url()

        before = client.get(url).status_code
        Story.objects.update(status=Status.PUBLISHED, publish_at=LONG_AGO, published_at=LONG_AGO)
        after = client.get(url).status_code

        assert (before, after) == (404, 200)

    @pytest.mark.parametrize("slug", ["nothing-here", "\x00", "%", "a" * 3000, "'--"])
    def test_says_kindly_that_there_is_no_such_page(self, client: Client, slug: str) -> None:
        response = client.get(reverse("story", kwargs={"slug": slug}))

        assert response.status_code == 404
        assert "There is no such page" in response.content.decode()

    def test_asks_the_database_for_the_story_and_its_html(
        self, client: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        story = StoryFactory(published=True)

        with django_assert_num_queries(2):
            client.get(story.get_absolute_url())

    def test_shows_no_script_of_its_body(self, client: Client) -> None:
        story = StoryFactory(published=True, body="<script>alert(1)</script> safe")

        html = text_of(client, story.get_absolute_url())

        assert "<script" not in html
        assert "safe" in html
