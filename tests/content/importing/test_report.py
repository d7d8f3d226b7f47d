"""What an import says that it did, or would do."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation
from django.utils.translation import gettext

from content.importing.reasons import TEXTS
from content.importing.report import Count
from content.importing.results import Outcome
from content.models import ImportSite, Story
from scheduling.errors import Reason


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("import_posts", *map(str, arguments), stdout=out)
    return out.getvalue()


def run_as_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of posts with and without dates, titles and bodies."""
    keys = {
        "a": "title: A",
        "b": "title: B",
        "c": "title: C\ndate: 2024-05-01T09:00:00Z",
        "d": "date: 2999-05-01T09:00:00Z",
        "e": "date: 2999-05-01T09:00:00Z",
        "empty": "title: Empty\ndate: 2024-05-01",
    }
    for name, text in keys.items():
        body = "" if name == "empty" else "Text."
        (tmp_path / f"{name}.md").write_text(f"---\n{text}\n---\n{body}\n")
    (tmp_path / "_index.md").write_text("")
    return tmp_path


@pytest.mark.django_db
class TestDryRun:
    def test_prints_counts_by_reason_and_then_a_line_for_each_file(self, site: Path) -> None:
        printed = run(site, "--dry-run").splitlines()

        assert printed == [
            f"Site: {site}, new.",
            "Times without an offset were read as UTC (TIME_ZONE).",
            "Files: created 6, updated 0, unchanged 0, skipped 1, failed 0. "
            "Written: published 1, scheduled 2, draft 3, unpublished 0, failed 0.",
            "      2  created, draft: It has no date: kept as a draft.",
            "      2  created, scheduled: It has no title: “…” was taken instead.",
            "      1  created, draft: Kept as a draft: Its body is empty.",
            "      1  skipped: It is the page of a section, not a post.",
            "",
            f"{site}/_index.md: skipped: It is the page of a section, not a post.",
            f"{site}/a.md: created, draft /a/: It has no date: kept as a draft.",
            f"{site}/b.md: created, draft /b/: It has no date: kept as a draft.",
            f"{site}/c.md: created, published 2024-05-01 09:00:00 UTC /c/",
            f"{site}/d.md: created, scheduled 2999-05-01 09:00:00 UTC /d/: "
            "It has no title: “D” was taken instead.",
            f"{site}/e.md: created, scheduled 2999-05-01 09:00:00 UTC /e/: "
            "It has no title: “E” was taken instead.",
            f"{site}/empty.md: created, draft /empty/: Kept as a draft: Its body is empty.",
            "Dry run: nothing was kept.",
        ]

    def test_says_what_the_real_run_then_does(self, site: Path) -> None:
        planned = run_as_json(site, "--dry-run")
        assert not Story.objects.exists()
        assert not ImportSite.objects.exists()

        done = run_as_json(site)

        assert done["summary"] == planned["summary"]
        assert done["sites"] == planned["sites"]
        for name in ("file", "outcome", "status", "notes", "codes", "slug", "publish_at"):
            assert [it[name] for it in done["files"]] == [it[name] for it in planned["files"]]

    def test_gives_programs_the_same_counts(self, site: Path) -> None:
        reasons = run_as_json(site, "--dry-run")["summary"]["reasons"]

        assert [(it["code"], it["files"]) for it in reasons] == [
            ("no_date", 2),
            ("no_title", 2),
            ("not_publishable", 1),
            ("section_page", 1),
        ]
        assert reasons[1] == {
            "outcome": "created",
            "status": "scheduled",
            "code": "no_title",
            "text": "It has no title: “…” was taken instead.",
            "files": 2,
        }


@pytest.mark.django_db
class TestRealRun:
    def test_prints_the_same_counts_and_the_files_with_something_to_know(self, site: Path) -> None:
        planned = run(site, "--dry-run").splitlines()

        done = run(site).splitlines()

        assert done[:8] == planned[:8]
        assert done[8:] == [line for line in planned[8:-1] if not line.endswith("UTC /c/")]

    def test_says_of_a_known_site_that_it_is_known(self, site: Path) -> None:
        run(site)

        assert run(site).splitlines() == [
            f"Site: {site}.",
            "Times without an offset were read as UTC (TIME_ZONE).",
            "Files: created 0, updated 0, unchanged 6, skipped 1, failed 0. "
            "Written: published 0, scheduled 0, draft 0, unpublished 0, failed 0.",
            "      1  skipped: It is the page of a section, not a post.",
            "",
            f"{site}/_index.md: skipped: It is the page of a section, not a post.",
        ]

    def test_refuses_a_name_that_cannot_be_stored(self, site: Path) -> None:
        with pytest.raises(CommandError) as refusal:
            run(site, "--site", "x" * 201)

        assert refusal.value.returncode == 2


class TestReasons:
    def test_end_with_one_mark_where_files_differ(self) -> None:
        first, other = (Reason("x", "Pictures: %(count)d.", {"count": it}) for it in (1, 2))
        count = Count(Outcome.CREATED, "draft", first)

        count.add(other)

        assert count.text == "Pictures: …"

    @pytest.mark.parametrize("text", TEXTS.values())
    def test_have_a_korean_text(self, text: str) -> None:
        with translation.override("ko"):
            korean = gettext(text)

        assert any("가" <= letter <= "힣" for letter in korean)
