"""The newest live stories as RSS and as Atom, for feed readers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from html import escape
from time import time
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.syndication.views import Feed
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed
from django.utils.http import http_date, quote_etag
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.xmlutils import SimplerXMLGenerator
from django.views.decorators.http import require_safe

from armo.common.addresses import site_address
from armo.common.api import versions
from content.markdown.cleaning import complete
from content.models import Category, Rendered, Story, Tag
from scheduling.queries.cache_lifetime import Freshness, last_end_of_a_job

STORIES_SHOWN = 50

# Another change may be made within the same second, or be committed a little later; after this
# time there will be none.
SETTLED_SECONDS = 60

# The time of the last change of an empty feed.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# Characters that XML 1.0 does not allow: one of them, pasted into a title, would make the feed
# unreadable. Vertical tabs and form feeds come from word processors, as line breaks.
_UNWRITABLE: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF]),
    **{ord(space): space for space in "\t\n\r"},
    **dict.fromkeys([0x0B, 0x0C], " "),
}


def writable(value: Any) -> Any:
    """Return a string, or a list, without characters that XML 1.0 does not allow."""
    if isinstance(value, str):
        return value.translate(_UNWRITABLE)
    if isinstance(value, list):
        return [writable(each) for each in value]
    return value


# The two formats


class StoriesFeed(SyndicationFeed):
    """What both formats have in common."""

    def add_item(self, *args: Any, **fields: Any) -> None:
        """Add a story, without characters that XML does not allow."""
        super().add_item(*args, **{name: writable(value) for name, value in fields.items()})

    def latest_post_date(self) -> datetime:
        """Return when a story was last changed; Django returns the present for an empty feed."""
        return super().latest_post_date() if self.items else NEVER


class RssFeed(StoriesFeed, Rss201rev2Feed):
    """RSS 2.0, with the whole text."""

    def rss_attributes(self) -> dict[str, str]:
        """Declare the XML namespaces that the stories use."""
        return {
            **super().rss_attributes(),
            "xmlns:content": "http://purl.org/rss/1.0/modules/content/",
            "xmlns:dc": "http://purl.org/dc/elements/1.1/",
        }

    def add_item_elements(self, handler: SimplerXMLGenerator, item: dict[str, Any]) -> None:
        """Add the whole text, and the language, for which RSS has no element of its own."""
        super().add_item_elements(handler, item)
        handler.addQuickElement("content:encoded", item["content"])
        if item["language"]:
            handler.addQuickElement("dc:language", item["language"])


class AtomFeed(StoriesFeed, Atom1Feed):
    """Atom, with the whole text."""

    def item_attributes(self, item: dict[str, Any]) -> dict[str, str]:
        """Set the language of the story."""
        return {"xml:lang": item["language"]} if item["language"] else {}

    def add_item_elements(self, handler: SimplerXMLGenerator, item: dict[str, Any]) -> None:
        """Add the whole text."""
        super().add_item_elements(handler, item)
        handler.addQuickElement("content", item["content"], {"type": "html"})


# The contents


def newest_stories() -> list[Story]:
    """Query the newest live stories, with the rows that a feed needs."""
    stories = Story.objects.published().order_by("-published_at", "-pk")
    # In a fixed order, so that the same stories give the same bytes.
    words = [
        Prefetch("categories", Category.objects.order_by("name", "pk")),
        Prefetch("tags", Tag.objects.order_by("name", "pk")),
    ]
    shown = stories.defer("keywords", "extra", "imported").prefetch_related(*words)
    return list(shown[:STORIES_SHOWN])


def changed_at(story: Story) -> datetime:
    """Return when the story last changed for readers."""
    return max(story.published_at or NEVER, story.updated_at)


# Of fifty stories rarely more than one is new. A longer text is not kept, so that all take some
# 20 MB at most.
MAX_KEPT_CHARS = 25_000
kept = lru_cache(maxsize=2 * STORIES_SHOWN)(complete)


def _complete(markup: str, base: str) -> SafeString:
    return (kept if len(markup) <= MAX_KEPT_CHARS else complete)(markup, base)


class Stories(Feed):
    """A feed of these stories, for one request."""

    title = "Armo"
    author_name = title  # Atom requires one, also for a story without a byline
    description = subtitle = _("Published on time")

    def __init__(
        self, stories: Sequence[Story], *, written_by: type[StoriesFeed], site: str, path: str
    ) -> None:
        self.stories = stories
        self.html = Rendered.objects.html_of(story.body for story in stories)
        self.feed_type = written_by
        self.site = site
        self.link = site + reverse("front-page")
        self.feed_url = site + path
        self.feed_guid = settings.SITE_URL + path
        self.language = settings.LANGUAGE_CODE

    def items(self) -> Sequence[Story]:
        """Return the stories."""
        return self.stories

    def item_title(self, item: Story) -> str:
        """
        Return the title unescaped, so that it is escaped once.

        Django escapes it twice in both formats. In Atom a title is plain text; for RSS, which does
        not say, https://www.rssboard.org/rss-profile#data-types-characterdata advises this.
        """
        return str(item)

    def item_description(self, item: Story) -> str | None:  # type: ignore[override]  # may be left out
        """Return the summary, which both formats treat as HTML."""
        return escape(item.summary, quote=False) or None

    def item_link(self, item: Story) -> str:
        """Return the story's URL."""
        return self.site + item.get_absolute_url()

    def item_guid(self, item: Story) -> str:
        """Return an id that stays the same when the slug, and so the URL, changes (RFC 4151)."""
        host = urlsplit(settings.SITE_URL).hostname
        return f"tag:{host},{item.created_at.astimezone(UTC):%Y-%m-%d}:{item.label}"

    item_guid_is_permalink = False

    def item_author_name(self, item: Story) -> str | None:
        """Return the byline."""
        return item.byline.strip() or None

    def item_categories(self, item: Story) -> list[str]:
        """Return the names of its categories, then of its tags, each once."""
        words: list[Category | Tag] = [*item.categories.all(), *item.tags.all()]
        return list(dict.fromkeys(word.name for word in words))

    def item_pubdate(self, item: Story) -> datetime | None:
        """Return when it went live."""
        return item.published_at

    def item_updateddate(self, item: Story) -> datetime:
        """Return when it last changed."""
        return changed_at(item)

    def item_extra_kwargs(self, item: Story) -> dict[str, Any]:
        """Return the whole text as HTML, and the language."""
        return {
            "content": str(_complete(self.html[item.body], self.item_link(item))),
            "language": item.language.strip(),
        }


# The views


@require_safe
def rss(request: HttpRequest) -> HttpResponseBase:
    """Show the newest stories as RSS."""
    return _answer(request, written_by=RssFeed)


@require_safe
def atom(request: HttpRequest) -> HttpResponseBase:
    """Show the newest stories as Atom."""
    return _answer(request, written_by=AtomFeed)


def _answer(request: HttpRequest, *, written_by: type[StoriesFeed]) -> HttpResponseBase:
    freshness = Freshness.ask(Story)
    stories = newest_stories()
    feed = Stories(stories, written_by=written_by, site=site_address(request), path=request.path)
    # A feed has one language: a cache passes what one reader got to the next.
    with translation.override(settings.LANGUAGE_CODE):
        response = feed(request)
    response.headers["Content-Language"] = settings.LANGUAGE_CODE
    response.is_in_one_language = True  # type: ignore[attr-defined]  # for `LocaleMiddleware`
    response.headers["ETag"] = quote_etag(sha256(response.content).hexdigest()[:32])
    settled = _say_when_modified(response, stories)
    response.headers["Cache-Control"] = f"public, max-age={freshness.max_age()}"
    known = versions.not_modified(request, response.headers["ETag"])
    response.headers["ETag"] = etag = known or response.headers["ETag"]
    return get_conditional_response(request, etag, settled, response) or response


def _say_when_modified(response: HttpResponse, stories: Sequence[Story]) -> int | None:
    """
    Set Last-Modified; return it, to compare with a reader's, once no other change can have it.

    A story that was taken down is not in the feed, but the job that took it down has finished then.
    If a story is deleted, or a category renamed, only the ETag changes.
    """
    moments = [*map(changed_at, stories), last_end_of_a_job() or NEVER]
    seconds = int(max(moments).timestamp())
    settled = time() - seconds > SETTLED_SECONDS
    # Until then the reader gets an earlier time, which will not match the next one.
    response.headers["Last-Modified"] = http_date(seconds if settled else seconds - 1)
    return seconds if settled else None
