"""The Content-Security-Policy: pages need nothing that it forbids, and nothing injected runs."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from tests.api_clients import superuser
from tests.browser.conftest import NewPage, Watch
from tests.factories import StoryFactory

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

Inject = Callable[..., "Page"]

pytestmark = [pytest.mark.django_db(transaction=True)]
# What a policy forbids does not depend on the width.
at_a_desk = pytest.mark.parametrize("width", ["desk"])

LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  const { effectiveDirective, blockedURI, sourceFile, lineNumber } = event;
  window.violations.push([effectiveDirective, blockedURI, sourceFile, lineNumber].join(" "));
});
"""


def violations(page: "Page") -> list[str]:
    """Return what the page wanted and its policy forbade."""
    found: list[str] = page.evaluate("window.violations")
    return found


# That no page needs it is tried by all tests here: what is forbidden is an error in the console.
class TestTheWatch:
    def test_hears_what_a_policy_forbids(self, inject: Inject) -> None:
        page = inject("/admin/", "")
        watch = Watch(page.url)
        watch.over(page)

        page.evaluate("document.body.append(document.createElement('style')); 1")
        page.evaluate("document.querySelector('body > style').textContent = 'a { color: red }'; 1")

        assert any("Content Security Policy" in fault for fault in watch.faults)


@at_a_desk
class TestTheDocumentationOfTheApi:
    def test_needs_nothing_that_its_policy_forbids(
        self, sign_in: NewPage, transactional_db: None
    ) -> None:
        page = sign_in()
        page.add_init_script(LISTEN)

        page.goto("/api/v1/docs/")
        page.click("#operations-stories-list_stories button.opblock-summary-control")
        page.click("#operations-stories-list_stories button.try-out__btn")
        page.click("#operations-stories-list_stories button.execute")
        page.wait_for_selector("#operations-stories-list_stories .live-responses-table")

        assert not violations(page)


@at_a_desk
class TestAStory:
    def test_shows_what_its_text_may_have(self, sign_in: NewPage, transactional_db: None) -> None:
        body = "| a | b |\n| - | -: |\n| 1 | 2 |\n\n<table><tr><td style='text-align:center'>x"
        story = StoryFactory(published=True, body=body)
        page = sign_in()
        page.add_init_script(LISTEN)

        page.goto(f"/stories/{story.slug}/")

        cells = "[...document.querySelectorAll('td')].map((it) => getComputedStyle(it).textAlign)"
        aligned = [each.removeprefix("-webkit-") for each in page.evaluate(cells)]
        assert aligned == ["start", "right", "center"]
        assert not violations(page)


# As a flaw might let somebody write it into a page: scripts, handlers, expressions of the theme.
INJECTED = """
<i id="injected"></i>
<script>window.ran_script = true</script>
<script src="data:text/javascript,window.ran_data=true"></script>
<img src="/static/content/icon.svg" onload="window.ran_handler = true">
<p x-data x-init="window.ran_expression = true"></p>
<p x-data x-init="$el.ownerDocument.defaultView.ran_document = true"></p>
<p x-data x-init="$el.constructor.constructor('window.ran_function = true')()"></p>
<p hx-get="/" hx-trigger="load[window.ran_filter = true]"></p>
<p hx-get="/" hx-on::before-request="window.ran_event = true" hx-trigger="load"></p>
"""
RAN = "Object.keys(window).filter((name) => name.startsWith('ran_'))"
STYLED = "<style>body { --injected: yes }</style><p style='--injected: yes' id='styled'></p>"
PAGES = ["/admin/", "/admin/login/", "/stories/{slug}/"]


@pytest.fixture
def inject(browser: "Browser", live_server: Any, transactional_db: None) -> Iterator[Inject]:
    """Open a page as its server answers it, with something before its end."""
    contexts: list[BrowserContext] = []
    story = StoryFactory(published=True, slug="a-story")
    chief = Client()
    chief.force_login(superuser())

    def open_page(path: str, markup: str, *, with_policy: bool = True) -> "Page":
        def answer(route: "Route") -> None:
            real = route.fetch()
            headers = {**real.headers}
            if not with_policy:
                del headers["content-security-policy"]
            body = real.text().replace("</body>", markup + "</body>")
            route.fulfill(response=real, headers=headers, body=body)

        context = browser.new_context(base_url=live_server.url)
        contexts.append(context)
        if path.startswith("/admin/") and path != "/admin/login/":
            session = chief.cookies["sessionid"].value
            context.add_cookies(
                [{"name": "sessionid", "value": session, "url": str(live_server.url)}]
            )
        page = context.new_page()
        page.add_init_script(LISTEN)
        page.route(lambda url: url.endswith(address), answer)
        page.goto(address := path.format(slug=story.slug))
        page.wait_for_load_state("networkidle")
        return page

    yield open_page

    for context in contexts:
        context.close()


# Of the theme, as they are after `armo/alpine.js`.
RUN_EXPRESSIONS = """
const scope = { $event: new Event("x") };
for (const part of document.querySelectorAll("*")) {
  for (const { name, value } of [...part.attributes]) {
    if (name.startsWith("x-on:")) Alpine.evaluate(part, value, { scope });
  }
}
"""


class TestTheThemesExpressions:
    @pytest.mark.parametrize("path", ["/admin/", "/admin/content/story/", "/admin/auth/user/add/"])
    def test_are_all_understood(self, inject: Inject, path: str) -> None:
        page = inject(path, "")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        page.evaluate(RUN_EXPRESSIONS)
        page.evaluate("new Promise((done) => setTimeout(done))")  # Alpine raises errors so

        # Others are the theme's own, as some want a search to have found something.
        assert not [error for error in errors if re.search("CSP|Undefined variable", error)]

    @at_a_desk
    def test_keep_the_menu_as_it_was(self, sign_in: NewPage, transactional_db: None) -> None:
        page = sign_in()

        page.click("[x-on\\:click^='sidebarDesktopOpen']")
        page.wait_for_selector("#nav-sidebar", state="hidden")
        page.reload()

        page.wait_for_selector("#page")
        assert page.locator("#nav-sidebar").is_hidden()


class TestWhatIsInjected:
    @pytest.mark.parametrize("path", PAGES)
    def test_does_not_run(self, inject: Inject, path: str) -> None:
        page = inject(path, INJECTED)

        assert page.locator("#injected").count() == 1
        assert page.evaluate(RAN) == []

    def test_would_run_without_the_policy(self, inject: Inject) -> None:
        page = inject("/admin/", INJECTED, with_policy=False)

        assert page.evaluate(RAN) == ["ran_script", "ran_data", "ran_handler"]

    @pytest.mark.parametrize("path", PAGES)
    def test_sends_nothing_elsewhere_and_has_no_looks(self, inject: Inject, path: str) -> None:
        base = "<base href='https://example.org/'>"
        form = "<form id='away' action='https://example.org/'></form>"
        page = inject(path, STYLED + base + form)

        page.evaluate(
            """new Promise((done) => {
              document.addEventListener("securitypolicyviolation", done);
              document.getElementById("away").submit();
            })"""
        )

        assert {each.split()[0] for each in violations(page)} >= {"base-uri", "form-action"}
        assert page.evaluate("document.baseURI").startswith(str(page.url))
        looks = "getComputedStyle(document.getElementById('styled')).getPropertyValue('--injected')"
        assert page.evaluate(looks) == ""
