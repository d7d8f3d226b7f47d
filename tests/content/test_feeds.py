"""RSS and Atom: they list the newest live stories only."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from content.feeds import MAX_KEPT_CHARS, STORIES_SHOWN, AtomFeed, RssFeed, StoriesFeed, kept
from content.models import Category, Story, Tag
from scheduling import operations
from scheduling.models import Kind, Status, clock
from tests.database_rows import over
from tests.factories import LONG_AGO, StoryFactory

RSS, ATOM = "/feeds/stories/", "/feeds/stories/atom/"
BOTH = pytest.mark.parametrize("url", [RSS, ATOM])
SITE = "https://news.example.org"
NAMES = {
    "a": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.SITE_URL = SITE
    settings.ALLOWED_HOSTS = ["*"]


def feed(client: Client, url: str) -> ET.Element:
    return ET.fromstring(client.get(url).content)


def stories(client: Client, url: str) -> list[ET.Element]:
    return feed(client, url).findall(".//item" if url == RSS else "a:entry", NAMES)


def only_story(client: Client, url: str) -> ET.Element:
    [story] = stories(client, url)
    return story


def text(element: ET.Element, name: str) -> str | None:
    return element.findtext(name, namespaces=NAMES)


def titles(client: Client, url: str) -> list[str | None]:
    return [text(story, "title" if url == RSS else "a:title") for story in stories(client, url)]


def link(story: ET.Element) -> str | None:
    found = story.find("a:link", NAMES)
    return text(story, "link") if found is None else found.get("href")


def old_story(**fields: Any) -> Story:
    """Return a live story that was changed last when it went live."""
    story: Story = StoryFactory(published=True, **fields)
    Story.objects.filter(pk=story.pk).update(updated_at=LONG_AGO)
    return story


class TestBothFeeds:
    @BOTH
    def test_list_live_stories_the_newest_first(self, client: Client, url: str) -> None:
        for days, title in ((0, "oldest"), (2, "newest"), (1, "middle"), (1, "later")):
            at = LONG_AGO + timedelta(days=days)
            StoryFactory(title=title, status=Status.PUBLISHED, publish_at=at, published_at=at)

        assert titles(client, url) == ["newest", "later", "middle", "oldest"]

    @BOTH
    @pytest.mark.parametrize("trait", ["draft", "scheduled", "due", "failed", "unpublished"])
    def test_show_nothing_that_is_not_live(self, client: Client, url: str, trait: str) -> None:
        situation = {} if trait == "draft" else {trait: True}
        StoryFactory(title="secret", body="secret", slug="secret", **situation)

        assert "secret" not in client.get(url).content.decode()

    @pytest.mark.slow
    @BOTH
    def test_show_only_the_newest_of_many(self, client: Client, url: str) -> None:
        StoryFactory.create_batch(STORIES_SHOWN + 1, published=True)

        assert len(stories(client, url)) == STORIES_SHOWN

    @BOTH
    def test_keep_the_name_of_a_story_whose_address_changes(self, client: Client, url: str) -> None:
        story = StoryFactory(published=True)
        name = "guid" if url == RSS else "a:id"

        first = only_story(client, url)
        story.slug = "other"
        story.save()
        second = only_story(client, url)

        assert link(first) != link(second)
        assert text(first, name) == text(second, name)

    @BOTH
    def test_name_each_story_otherwise(self, client: Client, url: str) -> None:
        StoryFactory.create_batch(3, published=True)

        names = {text(story, "guid" if url == RSS else "a:id") for story in stories(client, url)}

        assert len(names) == 3

    @BOTH
    def test_link_to_the_site_by_whatever_host_they_are_fetched(
        self, client: Client, url: str
    ) -> None:
        story = StoryFactory(published=True, slug="한글-주소", body="[다음](/next/) ![](map.png)")

        content = client.get(url, headers={"host": "localhost"}).content.decode()

        assert "localhost" not in content
        assert SITE + story.get_absolute_url() in content
        assert f'href="{SITE}/next/"' in content
        assert f'src="{SITE}{story.get_absolute_url()}map.png"' in content
        assert re.findall(r'href="/|src="/', content) == []

    @BOTH
    def test_link_to_where_they_are_fetched_if_the_site_has_no_url(
        self, client: Client, url: str, settings: Any
    ) -> None:
        settings.SITE_URL = settings.GUESSED_SITE_URL
        StoryFactory(published=True, slug="x")

        content = client.get(url, headers={"host": "127.0.0.1:8001"})

        assert "http://127.0.0.1:8001/stories/x/" in content.content.decode()

    @BOTH
    def test_name_a_story_alike_by_whatever_host_they_are_fetched(
        self, client: Client, url: str, settings: Any
    ) -> None:
        settings.DEBUG = True
        StoryFactory(published=True)

        name = text(only_story(client, url), "guid" if url == RSS else "a:id")

        assert re.fullmatch(r"tag:news\.example\.org,\d{4}-\d\d-\d\d:story:\d+", str(name))

    @pytest.mark.slow
    @BOTH
    def test_ask_the_database_as_often_for_many_stories_as_for_one(
        self, client: Client, url: str, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        categories = [Category.objects.create(name=name) for name in "가나다"]
        tags = [Tag.objects.create(name=name) for name in "라마바"]

        def add_stories(number: int) -> None:
            for story in StoryFactory.create_batch(number, published=True):
                story.categories.set(categories)
                story.tags.set(tags)

        add_stories(1)
        with CaptureQueriesContext(connection) as asked:
            client.get(url)
        add_stories(STORIES_SHOWN - 1)

        # The next change, the stories, their categories, their tags, their HTML, the last job.
        assert len(asked) == 6
        with django_assert_num_queries(6):
            client.get(url)

    @BOTH
    def test_have_something_to_say_without_any_story(self, client: Client, url: str) -> None:
        first, second = client.get(url), client.get(url)

        assert stories(client, url) == []
        assert first.content == second.content
        assert first["ETag"] == second["ETag"]

    @BOTH
    def test_speak_the_language_of_the_site_to_everyone(self, client: Client, url: str) -> None:
        StoryFactory(published=True)

        english = client.get(url, headers={"accept-language": "en"})
        korean = client.get(url, headers={"accept-language": "ko"})

        assert english.content == korean.content
        assert korean["Content-Language"] == "en"

    @BOTH
    def test_are_for_reading_only(self, client: Client, url: str) -> None:
        assert client.post(url).status_code == 405
        assert client.head(url).status_code == 200
        assert client.head(url).content == b""

    @BOTH
    def test_set_no_cookie_and_depend_on_none(self, client: Client, url: str) -> None:
        response = client.get(url)

        assert not response.cookies
        assert "cookie" not in response.get("Vary", "").lower()

    @BOTH
    def test_show_no_script_of_a_body(self, client: Client, url: str) -> None:
        StoryFactory(published=True, body="<script>alert(1)</script> [x](javascript:y) safe")

        name = "content:encoded" if url == RSS else "a:content"
        content = text(only_story(client, url), name)

        assert content is not None
        assert "<script" not in content
        assert 'href="javascript' not in content
        assert "safe" in content


class TestRss:
    def test_says_all_there_is_to_say_of_a_story(self, client: Client) -> None:
        story = StoryFactory(
            published=True,
            title="R&D “<b>”",
            summary="1 < 2",
            body="**굵게**",
            byline="편집국",
            language="ko",
        )
        story.categories.add(Category.objects.create(name="과학"))
        story.tags.add(Tag.objects.create(name="과학"), Tag.objects.create(name="달"))

        item = only_story(client, RSS)

        assert text(item, "title") == "R&D “<b>”"
        # HTML, by the specification.
        assert text(item, "description") == "1 &lt; 2"
        assert text(item, "content:encoded") == "<p><strong>굵게</strong></p>\n"
        assert text(item, "dc:creator") == "편집국"
        assert text(item, "dc:language") == "ko"
        assert text(item, "pubDate") == "Sun, 30 Mar 2025 01:00:00 +0000"
        assert [category.text for category in item.findall("category")] == ["과학", "달"]
        assert item.find("guid[@isPermaLink='false']") is not None

    def test_keeps_a_text_for_the_next_reader_unless_it_is_long(self, client: Client) -> None:
        kept.cache_clear()
        StoryFactory(published=True, body="짧게")
        StoryFactory(published=True, body="길게" * MAX_KEPT_CHARS)

        assert len(stories(client, RSS)) == len(stories(client, RSS)) == 2

        info = kept.cache_info()
        assert (info.currsize, info.hits) == (1, 1)

    def test_says_what_it_is_itself(self, client: Client) -> None:
        old_story()

        response = client.get(RSS)
        root = ET.fromstring(response.content)

        assert response["Content-Type"] == "application/rss+xml; charset=utf-8"
        assert (root.tag, root.get("version")) == ("rss", "2.0")
        assert text(root, "channel/title") == "Armo"
        assert text(root, "channel/link") == f"{SITE}/"
        assert text(root, "channel/description") == "Published on time"
        assert text(root, "channel/language") == "en"
        assert text(root, "channel/lastBuildDate") == "Sun, 30 Mar 2025 01:00:00 +0000"
        itself = root.find("channel/a:link[@rel='self']", NAMES)
        assert itself is not None
        assert itself.get("href") == SITE + RSS

    def test_leaves_out_what_a_story_does_not_have(self, client: Client) -> None:
        StoryFactory(published=True, language="", byline=" ", summary="")

        names = {element.tag for element in only_story(client, RSS)}

        assert names == {"title", "link", "pubDate", "guid", f"{{{NAMES['content']}}}encoded"}


class TestAtom:
    def test_says_all_there_is_to_say_of_a_story(self, client: Client) -> None:
        story = StoryFactory(
            published=True,
            title="R&D “<b>”",
            summary="1 < 2",
            body="**굵게**",
            byline="편집국",
            language="ko",
        )
        story.categories.add(Category.objects.create(name="과학"))
        Story.objects.update(updated_at=LONG_AGO + timedelta(hours=1))

        entry = only_story(client, ATOM)

        assert entry.get(LANGUAGE) == "ko"
        assert text(entry, "a:title") == "R&D “<b>”"
        assert text(entry, "a:summary[@type='html']") == "1 &lt; 2"
        assert text(entry, "a:content[@type='html']") == "<p><strong>굵게</strong></p>\n"
        assert text(entry, "a:author/a:name") == "편집국"
        assert text(entry, "a:published") == "2025-03-30T01:00:00.123456+00:00"
        assert text(entry, "a:updated") == "2025-03-30T02:00:00.123456+00:00"
        assert [each.get("term") for each in entry.findall("a:category", NAMES)] == ["과학"]

    def test_says_what_it_is_itself(self, client: Client) -> None:
        old_story()

        response = client.get(ATOM)
        root = ET.fromstring(response.content)

        assert response["Content-Type"] == "application/atom+xml; charset=utf-8"
        assert root.get(LANGUAGE) == "en"
        assert text(root, "a:title") == "Armo"
        assert text(root, "a:id") == SITE + ATOM
        assert text(root, "a:updated") == "2025-03-30T01:00:00.123456+00:00"
        assert text(root, "a:author/a:name") == "Armo"  # of stories without a byline

    def test_says_that_an_empty_feed_has_always_been_so(self, client: Client) -> None:
        assert text(feed(client, ATOM), "a:updated") == "1970-01-01T00:00:00+00:00"

    def test_says_of_a_story_that_went_live_after_its_last_edit_when_it_did(
        self, client: Client
    ) -> None:
        StoryFactory(published=True)
        Story.objects.update(updated_at=LONG_AGO - timedelta(days=1))

        entry = only_story(client, ATOM)

        assert text(entry, "a:updated") == text(entry, "a:published")


def visible(dirty: str) -> str:
    """Return the visible letters of a text."""
    return "".join(letter for letter in dirty if letter.isprintable() and letter != " ")


# What a parser refuses, and what it is shown as instead.
UNWRITABLE = {
    "\x01": "",
    "\x08": "",
    "\x0b": " ",
    "\x0c": " ",
    "\x1b": "",
    "\x1f": "",
    "\uffff": "",
}


class TestACharacterThatXmlCannotHold:
    @BOTH
    @pytest.mark.parametrize(("bad", "shown"), UNWRITABLE.items())
    def test_does_not_take_a_feed_down(
        self, client: Client, url: str, bad: str, shown: str
    ) -> None:
        dirty = f"앞{bad}뒤"
        story = StoryFactory(published=True, title=dirty, summary=dirty, body=dirty, byline=dirty)
        # No way of saving stores such a language.
        Story.objects.update(language=f"ko{bad}")
        story.categories.add(Category.objects.create(name=dirty))

        assert titles(client, url) == [f"앞{shown}뒤"]

    @pytest.mark.parametrize("written_by", [RssFeed, AtomFeed])
    @given(dirty=st.text())
    def test_is_left_out_wherever_it_stands(
        self, written_by: type[StoriesFeed], dirty: str
    ) -> None:
        written = written_by(title="", link=SITE, description="")
        written.add_item(
            title=dirty,
            link=SITE,
            description=dirty,
            author_name=dirty,
            unique_id=dirty,
            categories=[dirty],
            pubdate=LONG_AGO,
            content=dirty,
            language=dirty,
        )

        root = ET.fromstring(written.writeString("utf-8").encode())

        [title] = [each.text or "" for each in root.iter() if each.tag.endswith("title")][1:]
        assert visible(title) == visible(dirty)


class TestWhetherItHasChanged:
    @BOTH
    def test_is_seen_by_the_etag(self, client: Client, url: str) -> None:
        StoryFactory(published=True)
        first = client.get(url)

        again = client.get(url, headers={"if-none-match": first["ETag"]})
        StoryFactory(published=True)
        changed = client.get(url, headers={"if-none-match": first["ETag"]})

        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]
        assert again["Cache-Control"].startswith("public, max-age=")
        assert changed.status_code == 200

    @BOTH
    @pytest.mark.parametrize("change", ["title", "body", "category", "delete", "take down"])
    def test_is_seen_by_the_etag_whatever_has_changed(
        self, client: Client, url: str, change: str
    ) -> None:
        story = StoryFactory(published=True)
        category = Category.objects.create(name="전")
        story.categories.add(category)
        before = client.get(url)["ETag"]

        if change == "category":
            Category.objects.update(name="후")
        elif change == "delete":
            story.delete()
        elif change == "take down":
            operations.unpublish_now(item=story, by=None)
        else:
            Story.objects.update(**{change: "후"})

        assert client.get(url)["ETag"] != before

    @BOTH
    def test_is_seen_by_the_date(self, client: Client, url: str) -> None:
        old_story()
        first = client.get(url)

        again = client.get(url, headers={"if-modified-since": first["Last-Modified"]})

        assert first["Last-Modified"] == "Sun, 30 Mar 2025 01:00:00 GMT"
        assert again.status_code == 304

    @BOTH
    def test_is_seen_by_the_date_when_a_story_was_taken_down(
        self, client: Client, url: str
    ) -> None:
        old_story()
        taken_down = old_story()
        since = client.get(url)["Last-Modified"]

        Story.objects.filter(pk=taken_down.pk).update(status=Status.UNPUBLISHED)
        over(taken_down, kind=Kind.UNPUBLISH, finished_at=LONG_AGO + timedelta(minutes=1))
        response = client.get(url, headers={"if-modified-since": since})

        assert response.status_code == 200
        assert response["Last-Modified"] == "Sun, 30 Mar 2025 01:01:00 GMT"

    @BOTH
    def test_is_not_seen_by_the_date_of_a_second_that_more_may_change_in(
        self, client: Client, url: str
    ) -> None:
        story = StoryFactory(published=True)
        since = client.get(url)["Last-Modified"]

        within_the_second = client.get(url, headers={"if-modified-since": since})
        Story.objects.update(updated_at=story.updated_at - timedelta(minutes=2))
        modified_at = parsedate_to_datetime(since)

        assert within_the_second.status_code == 200
        assert modified_at < story.updated_at.replace(microsecond=0)


class TestHowLongItMayBeKept:
    def max_age(self, response: HttpResponseBase) -> int:
        found = re.fullmatch(r"public, max-age=(\d+)", response["Cache-Control"])
        assert found
        return int(found[1])

    @BOTH
    def test_is_a_minute_when_nothing_is_scheduled(self, client: Client, url: str) -> None:
        StoryFactory(published=True)

        assert self.max_age(client.get(url)) == 60

    @BOTH
    def test_is_until_the_next_story_goes_live(self, client: Client, url: str) -> None:
        soon = clock.database_now() + timedelta(seconds=30)
        StoryFactory(status=Status.SCHEDULED, publish_at=soon)

        answered_at = datetime.now(UTC)
        max_age = self.max_age(client.get(url))

        assert 15 < max_age < 30
        assert answered_at + timedelta(seconds=max_age) < soon

    @BOTH
    def test_is_until_the_next_story_is_taken_down(self, client: Client, url: str) -> None:
        soon = clock.database_now() + timedelta(seconds=30)
        StoryFactory(published=True, unpublish_at=soon)

        assert 15 < self.max_age(client.get(url)) < 30

    @BOTH
    def test_is_not_at_all_when_a_story_is_overdue(self, client: Client, url: str) -> None:
        StoryFactory(due=True)

        assert self.max_age(client.get(url)) == 0

    @BOTH
    def test_is_asked_before_the_stories_are_read(self, client: Client, url: str) -> None:
        StoryFactory(published=True)

        with CaptureQueriesContext(connection) as asked:
            client.get(url)

        first, second, *_ = [query["sql"] for query in asked]
        assert "clock_timestamp()" in first
        assert '"content_story"."body"' in second


class TestThePublicPages:
    @pytest.mark.parametrize("page", ["/", "/stories/x/", "/stories/nothing/"])
    def test_name_both_feeds(self, client: Client, page: str) -> None:
        StoryFactory(published=True, slug="x")

        html = client.get(page).content.decode()

        for url, kind in ((RSS, "rss"), (ATOM, "atom")):
            link = (
                f'<link rel="alternate" type="application/{kind}+xml" title="[^"]+" href="{url}">'
            )
            assert re.search(link.replace("+", r"\+", 1), html)
            assert f'<a href="{url}"' in html
