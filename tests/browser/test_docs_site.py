"""The documentation in a browser: its search finds things, and it asks no other host."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Watch
from tests.browser.static_files import served
from tests.tools.test_docs_site import site
from tools.docs_site import MERMAID

with suppress(ImportError):  # these tests are left out then
    from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["site"]


@pytest.fixture
def page(browser: "Browser", site: "Path") -> Iterator["Page"]:
    """Open the site's first page; in the end nothing may have gone wrong."""
    with served(site) as origin:
        watch = Watch(origin)
        opened = browser.new_page(base_url=origin)
        opened.set_default_timeout(15_000)
        watch.over(opened)
        opened.goto("/index.html")
        yield opened
        opened.close()
    assert not watch.faults


class TestTheDocumentation:
    # Korean words have their particles behind them, and English ones their endings.
    @pytest.mark.parametrize(("typed", "found"), [("발행", "editing.ko"), ("idempot", "api")])
    def test_finds_words_by_their_beginning(self, page: "Page", typed: str, found: str) -> None:
        # It listens for keys, once its index is there; Korean text comes without any from here.
        expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")
        search = page.locator(".md-search__input")
        search.fill(typed)
        search.press("End")

        hits = page.locator(f".md-search-result__link[href*='{found}.html']")
        expect(hits.first).to_be_visible(timeout=15_000)

    @pytest.mark.skipif(not MERMAID.exists(), reason="No Mermaid: `make browser` installs it.")
    def test_draws_the_diagram_by_itself(self, page: "Page") -> None:
        page.goto("/architecture.html")

        # Material draws it where no script of the page can look.
        drawn = "div.mermaid"
        expect(page.locator(drawn)).to_be_visible(timeout=15_000)
        assert page.evaluate(f"document.querySelector('{drawn}').clientHeight") > 300
