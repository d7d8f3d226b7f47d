"""The front end in examples/reader, in a browser: on another origin than its Armo."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from content.models import Story
from scheduling import operations
from scheduling.models.clock import database_now
from tests.browser.conftest import AXE, Watch
from tests.browser.static_files import served
from tests.browser.test_accessibility import violations
from tests.factories import StoryFactory
from tests.process.worker import PROJECT

with suppress(ImportError):  # these tests are left out then
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ESBUILD = PROJECT / "node_modules" / ".bin" / "esbuild"
SITE = "http://127.0.0.1:8000"
EVERY = "EVERY_SECONDS = 5;"
SOON = 12_000

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not ESBUILD.exists() or shutil.which("node") is None,
        reason="No Node, or no esbuild: `make browser` installs the latter.",
    ),
]

OpenReader = Callable[..., "Page"]


@pytest.fixture(scope="module")
def reader_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the front end."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(PROJECT / "examples" / "reader", folder, dirs_exist_ok=True)
    source = PROJECT / "clients" / "typescript" / "src" / "index.ts"
    script = folder / "reader.js"
    text = script.read_text()
    assert EVERY in text
    script.write_text(text.replace(EVERY, "EVERY_SECONDS = 1;"))
    options = ["--bundle", "--format=esm", f"--outfile={folder / 'armo.min.js'}"]
    subprocess.run([ESBUILD, source, *options, "--log-level=error"], check=True, timeout=60)
    return folder


@pytest.fixture
def open_reader(
    browser: "Browser", live_server: Any, reader_files: Path, settings: Any, tmp_path: Path
) -> Iterator[OpenReader]:
    """Open the front end in a browser of its own; in the end nothing may have gone wrong."""
    folder = tmp_path / "reader"
    shutil.copytree(reader_files, folder)
    page_of = folder / "index.html"
    page_of.write_text(page_of.read_text().replace(SITE, live_server.url))
    with served(folder) as origin:
        settings.CORS_ALLOWED_ORIGINS = [origin]
        contexts = []
        watch = Watch(origin, live_server.url)

        def open_page(path: str = "/", language: str = "en-US") -> "Page":
            context = browser.new_context(base_url=origin, locale=language)
            contexts.append(context)
            page = context.new_page()
            page.set_default_timeout(SOON)
            expect.set_options(timeout=SOON)
            watch.over(page)
            page.goto(path)
            return page

        yield open_page

        for context in contexts:
            context.close()
    # What is refused on purpose, the browser takes for an error.
    assert not [each for each in watch.faults if not re.search("status of (404|503)", each)]


def live_story(**fields: Any) -> Story:
    story = StoryFactory(**fields)
    operations.publish_now(item=story, by=None)
    return story


class TestTheReader:
    def test_lists_what_goes_live_and_drops_what_is_taken_down(
        self, open_reader: OpenReader, transactional_db: None
    ) -> None:
        live_story(title="먼저 온 글")
        page = open_reader()
        titles = page.locator("#rows a")
        expect(titles).to_have_text(["먼저 온 글"])

        late = live_story(title="Late news")
        expect(titles).to_have_text(["Late news", "먼저 온 글"])
        expect(page.locator("#news")).to_have_text("Just published: Late news")

        operations.unpublish_now(item=late, by=None)
        expect(titles).to_have_text(["먼저 온 글"])

    def test_shows_a_story_its_changes_and_its_end(
        self, open_reader: OpenReader, transactional_db: None
    ) -> None:
        # With an id of the page's own, and an address that is none.
        body = '눈이 **녹는다**. [길](/about/)\n\n<p id="list">섬</p>\n\n[끝](//%5B)'
        story = live_story(title="봄", body=body, language="ko")
        page = open_reader("/", "ko-KR")
        page.click("#rows a")
        article = page.locator("#story")
        expect(article.locator("strong")).to_have_text("녹는다")
        assert article.get_attribute("lang") == "ko"
        assert page.evaluate("document.querySelector('#story a').hash") == ""
        link = article.get_by_text("길").get_attribute("href")
        assert link is not None
        assert link.endswith("/about/")
        assert not link.startswith(page.url.split("#")[0])
        expect(article.get_by_text("끝")).not_to_have_attribute("href", re.compile("."))
        page.get_by_text("전체 글").click()
        page.click("ol#rows a")

        story.refresh_from_db()
        story.title = "여름"
        story.save()
        expect(article.locator("h2")).to_have_text("여름")

        operations.unpublish_now(item=story, by=None)
        expect(article).to_contain_text("더 이상 발행되어 있지 않습니다")
        page.get_by_text("전체 글").click()
        expect(page.locator("#none")).to_be_visible()

    def test_reads_older_stories_each_once(
        self, open_reader: OpenReader, transactional_db: None
    ) -> None:
        now = database_now()
        for number in range(45):
            at = now - timedelta(hours=number + 1)
            StoryFactory(published=True, title=f"{number}", publish_at=at, published_at=at)
        page = open_reader()

        for shown in (20, 40, 45):
            expect(page.locator("#rows li")).to_have_count(shown)
            if shown < 45:
                page.click("#older")

        live_story(title="new")
        expect(page.locator("#rows li")).to_have_count(46)
        expected = ["new", *(str(number) for number in range(45))]
        expect(page.locator("#rows a")).to_have_text(expected)
        expect(page.locator("#older")).to_be_hidden()

    def test_says_when_there_is_no_connection_and_goes_on(
        self, open_reader: OpenReader, transactional_db: None
    ) -> None:
        page = open_reader("/", "ko-KR")
        expect(page.locator("#none")).to_have_text("아직 발행된 글이 없습니다.")
        page.route("**/api/**", lambda route: route.fulfill(status=503, body="{}"))
        expect(page.locator("#trouble")).to_contain_text("연결되지 않습니다")

        page.unroute("**/api/**")
        live_story(title="다시")

        expect(page.locator("#rows a")).to_have_text(["다시"])
        expect(page.locator("#trouble")).to_be_empty()

    @pytest.mark.skipif(not AXE.exists(), reason="No axe-core: `make browser` installs it.")
    def test_keeps_nobody_out_in_either_language(
        self, open_reader: OpenReader, transactional_db: None
    ) -> None:
        live_story(title="Spring")
        page = open_reader()
        expect(page.locator("h1")).to_have_text("What is live")

        page.click("#language")
        expect(page.locator("h1")).to_have_text("발행된 글")
        assert page.locator("html").get_attribute("lang") == "ko"
        page.wait_for_selector("#rows a")
        in_list = violations(page)
        page.click("#rows a")
        page.wait_for_selector("#story h2")

        assert not in_list + violations(page)
