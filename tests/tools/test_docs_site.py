"""The documentation: as a site without a dead link, and page by page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.process.worker import PROJECT
from tools.docs_site import OUTSIDE

PAGES = [
    *(PROJECT / path for path in OUTSIDE if path != "CHANGELOG.md"),
    *(PROJECT / "docs").rglob("*.md"),
]
SCREENFUL_LINES = 50


def without_code(text: str) -> str:
    return re.sub(r"^( *```).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def prose_of(text: str) -> list[str]:
    """Return the lines that are read as prose: no code, no tables, no blank ones."""
    lines = without_code(text).split("\n")
    return [line for line in lines if line.strip() and not line.startswith("|")]


class TestEveryPage:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
    def test_has_a_heading_in_every_screenful(self, page: Path) -> None:
        lines = prose_of(page.read_text())
        headings = [number for number, line in enumerate(lines) if re.match("#+ ", line)]

        assert headings[:1] == [0], "A page begins with its heading."
        ends = [*headings[1:], len(lines)]
        stretches = [end - start for start, end in zip(headings, ends, strict=True)]
        assert max(stretches) <= SCREENFUL_LINES


class TestEachDecision:
    @pytest.mark.parametrize(
        "page", sorted((PROJECT / "docs" / "adr").glob("0*.md")), ids=lambda page: page.stem
    )
    def test_has_the_same_headings(self, page: Path) -> None:
        title, *headings = re.findall("^#+ .*", page.read_text(), re.MULTILINE)

        assert title.startswith(f"# {int(page.name[:4])}. ")
        considered = ["## Considered"] if "## Considered" in headings else []
        assert headings == ["## Context", "## Decision", *considered, "## Consequences"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a dead link is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class TestTheKoreanPages:
    @pytest.mark.parametrize("name", ["README", "docs/editing", "docs/first-steps"])
    def test_have_each_section_of_the_english_one(self, name: str) -> None:
        english, korean = [(PROJECT / f"{name}{end}").read_text() for end in (".md", ".ko.md")]

        def levels(text: str) -> list[int]:
            return [len(line) for line in re.findall("^#+(?= )", without_code(text), re.MULTILINE)]

        assert levels(korean) == levels(english)
        prose = without_code(korean)
        assert len(re.findall("[가-힣]", prose)) > len(prose) / 5


class TestTheSite:
    def test_loads_nothing_from_other_hosts(self, site: Path) -> None:
        pages = list(site.rglob("*.html"))
        loads = re.compile(
            r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?(?://|https?:)"""
        )

        assert len(pages) > 50
        assert not [page for page in pages if loads.search(page.read_text())]

    def test_finds_words_of_english_and_korean(self, site: Path) -> None:
        index = (site / "search" / "search_index.json").read_text()
        config = yaml.safe_load(index)["config"]

        assert config["lang"] == ["en", "ko"]
