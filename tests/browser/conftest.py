"""A real browser on a real server, with the screen of a desktop and of a telephone."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group

from tests.factories import UserFactory
from tests.process.worker import PROJECT, Worker, running

try:
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:  # the rest of the suite runs without
    sync_playwright = None  # type: ignore[assignment]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"

WIDTHS = {"desk": (1366, 900), "telephone": (390, 844)}

# Playwright keeps a loop of its own running in this thread; Django would take it for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

NewPage = Callable[..., "Page"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the browser's tests out where there is no browser."""
    here = Path(__file__).parent
    why = None
    if sync_playwright is None or CHROMIUM is None:
        why = "No browser: `make browser` installs Chromium."
    for item in items:
        if why and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


# Not longer: other tests look at the processes that this one has.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Run Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox; every page is the project's own.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watch:
    """Errors that a page has logged, and hosts that it has contacted."""

    def __init__(self, *bases: str) -> None:
        self.bases = bases
        self.faults: list[str] = []

    def over(self, page: "Page") -> None:
        """Begin to listen."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._see)

    def _hear(self, message: Any) -> None:
        # That a form (422) or a sign-in (429) is refused is an answer; the browser takes it for an
        # error. That nothing answers a page's question for news is tried on purpose.
        is_refusal = "422" in message.text or "429" in message.text
        is_tried = is_refusal or message.location["url"].endswith("/admin/live/")
        if message.type in ("error", "warning") and not is_tried:
            self.faults.append(f"console {message.type}: {message.text} {message.location}")

    def _see(self, request: Any) -> None:
        if not request.url.startswith((*self.bases, "data:", "about:", "blob:")):
            self.faults.append(f"another host: {request.url}")


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    """Return the kind of device."""
    return str(request.param)


@pytest.fixture
def sign_in(browser: "Browser", live_server: Any, width: str) -> Iterator[NewPage]:
    """Sign somebody in, in a browser of their own; in the end nothing may have gone wrong."""
    contexts: list[BrowserContext] = []
    watch = Watch(live_server.url)

    def new(
        who: str = "editor",
        group: str = "Editors",
        *,
        dark: bool = False,
        language: str = "en-US",
        is_superuser: bool = False,
    ) -> "Page":
        if not Group.objects.filter(user__username=who).exists():
            user = UserFactory(username=who, is_staff=True, is_superuser=is_superuser)
            user.set_password(who)
            user.save()
            user.groups.add(Group.objects.get(name=group))
        across, down = WIDTHS[width]
        context = browser.new_context(
            viewport={"width": across, "height": down},
            base_url=live_server.url,
            locale=language,
            color_scheme="dark" if dark else "light",
            has_touch=width == "telephone",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        watch.over(page)
        page.goto("/admin/login/")
        page.fill("input[name=username]", who)
        page.fill("input[name=password]", who)
        page.click("#login-form button[type=submit]")
        page.wait_for_url("**/admin/")
        return page

    yield new

    for context in contexts:
        context.close()
    assert not watch.faults


@pytest.fixture
def worker(transactional_db: None, tmp_path: Path) -> Iterator[Worker]:
    """Run a worker."""
    with running(tmp_path / "worker.log") as started:
        yield started
