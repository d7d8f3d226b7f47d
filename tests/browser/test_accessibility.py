"""Every page, as axe-core sees it: nothing may be wrong that keeps anybody out.

And it fits the window, a telephone's too: nobody has to scroll sideways.
"""

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import AXE, NewPage
from tests.browser.page_tour import furnish, walk

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AXE.exists(), reason="No axe-core: `make browser` installs it."),
]

# All but what axe-core itself calls minor.
WRONG = ("moderate", "serious", "critical")


def violations(page: "Page") -> list[str]:
    """Return what axe-core finds, a line each."""
    # Not as a part of the page, whose policy allows no such script.
    page.evaluate(AXE.read_text())
    # Into the frame of the preview no script can look, nor should it.
    options = "{resultTypes: ['violations'], iframes: false}"
    found: dict[str, Any] = page.evaluate(f"axe.run(document, {options})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in WRONG
        for node in each["nodes"]
    ]


def too_wide(page: "Page") -> list[str]:
    """Return by how much one would have to scroll sideways, if that is so."""
    across: int = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
    return [f"{across} px too wide"] if across > 0 else []


# Each screen, each set of colours and each language once: a whole walk takes most of a minute.
@pytest.mark.parametrize(
    ("width", "dark", "language"),
    [("desk", False, "en-US"), ("telephone", True, "ko-KR")],
    ids=["desk, light", "telephone, dark, Korean"],
)
class TestEveryPage:
    def test_has_nothing_wrong(
        self, sign_in: NewPage, dark: bool, language: str, transactional_db: None
    ) -> None:
        furnish()
        page = sign_in("chief", "Operators", dark=dark, language=language, is_superuser=True)
        found = {}

        for name in walk(page):
            if wrong := violations(page) + too_wide(page):
                found[name] = wrong

        assert not found
