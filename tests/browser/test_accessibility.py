"""Every page of the admin, as axe-core sees it: nothing serious may be wrong."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import AXE, NewPage
from tests.browser.pages import addresses, furnish

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AXE.exists(), reason="No axe-core: `make browser` installs it."),
]

SERIOUS = ("serious", "critical")


def violations(page: "Page") -> list[str]:
    """Return what axe-core finds, a line each."""
    page.add_script_tag(path=str(AXE))
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("dark", "language"), [(False, "en-US"), (True, "ko-KR")], ids=["light", "dark, Korean"]
)
class TestEveryPage:
    def test_has_nothing_serious_wrong(
        self, sign_in: NewPage, dark: bool, language: str, transactional_db: None
    ) -> None:
        furnish()
        page = sign_in("chief", "Operators", dark=dark, language=language, is_superuser=True)
        found = {}

        for name, address in addresses().items():
            page.goto(address)
            page.wait_for_load_state("networkidle")
            if wrong := violations(page):
                found[name] = wrong

        assert not found
