"""
Pictures of every page, in both languages, for the README and the documents.

Not collected with the tests: `make screenshots` runs it.
"""

from pathlib import Path

import pytest

from tests.browser.conftest import NewPage
from tests.browser.page_tour import furnish, walk
from tests.process.worker import PROJECT, running

FOLDER = PROJECT / "docs" / "screenshots"
LANGUAGES = {"en": "en-US", "ko": "ko-KR"}
# On a telephone, in the dark: one list, one form, one calendar.
ON_A_TELEPHONE = ("stories", "story", "week")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", LANGUAGES)
def test_take(sign_in: NewPage, width: str, language: str, tmp_path: Path) -> None:
    furnish()
    with running(tmp_path / "worker.log"):
        take(sign_in, width, language)


def take(sign_in: NewPage, width: str, language: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    is_telephone = width == "telephone"
    page = sign_in(
        "chief", "Editors", dark=is_telephone, language=LANGUAGES[language], is_superuser=True
    )
    page.set_viewport_size(
        {"width": 390, "height": 844} if is_telephone else {"width": 1280, "height": 860}
    )
    suffix = ".telephone" if is_telephone else ""
    for name in walk(page, has_worker=True):
        if name in ON_A_TELEPHONE or not is_telephone:
            page.wait_for_load_state("networkidle")
            page.screenshot(path=FOLDER / f"{name}{suffix}.{language}.png")
