"""The names of static files, and when they have to be collected again."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from armo.common import static

CSS = "content/site.css"


@pytest.fixture
def collected(tmp_path: Path, settings: Any) -> Path:
    """Give the folder of files that were collected just now, one of them."""
    settings.STATIC_ROOT = tmp_path
    manifest = {"version": "1.1", "paths": {CSS: "content/site.0123456789ab.css"}, "hash": ""}
    (tmp_path / "staticfiles.json").write_text(json.dumps(manifest))
    return tmp_path


class TestHashedFiles:
    def test_have_the_name_that_they_were_collected_under(self, collected: Path) -> None:
        files = static.HashedFiles(location=collected)

        assert files.url(CSS) == "/static/content/site.0123456789ab.css"

    @pytest.mark.parametrize("name", ["content/new.css", "content/new.svg#part"])
    def test_keep_their_own_if_they_were_not_collected(self, collected: Path, name: str) -> None:
        files = static.HashedFiles(location=collected)

        assert files.url(name) == f"/static/{name}"

    def test_keep_their_own_in_development(self, collected: Path, settings: Any) -> None:
        settings.DEBUG = True

        assert static.HashedFiles(location=collected).url(CSS) == f"/static/{CSS}"


class TestCollectstatic:
    def test_says_in_one_line_where_it_cannot_write(self, tmp_path: Path, settings: Any) -> None:
        (tmp_path / "file").touch()
        settings.STATIC_ROOT = tmp_path / "file" / "static"

        with pytest.raises(CommandError) as refusal:
            call_command("collectstatic", interactive=False, verbosity=0)

        assert f"cannot be written to {settings.STATIC_ROOT}:" in str(refusal.value)
        assert "\n" not in str(refusal.value)

    def test_says_in_one_line_what_it_cannot_replace(self, collected: Path) -> None:
        (collected / CSS).mkdir(parents=True)
        (collected / CSS / "file").touch()

        with pytest.raises(CommandError, match="cannot be written"):
            static.HashedFiles(location=collected).delete(CSS)


class TestIsCollected:
    def test_without_the_folder_is_no(self, settings: Any, tmp_path: Path) -> None:
        settings.STATIC_ROOT = tmp_path / "none"

        assert not static.is_collected()

    def test_after_the_newest_file_is_yes(self, collected: Path) -> None:
        assert static.is_collected()

    def test_before_the_newest_file_is_no(self, collected: Path) -> None:
        os.utime(collected / "staticfiles.json", (1_000_000_000, 1_000_000_000))

        assert not static.is_collected()


class TestAStart:
    @pytest.mark.parametrize(("debug", "lines"), [(False, 1), (True, 0)])
    def test_says_what_to_do_on_a_server(
        self,
        settings: Any,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        debug: bool,
        lines: int,
    ) -> None:
        settings.STATIC_ROOT, settings.DEBUG = tmp_path / "none", debug

        with caplog.at_level(logging.WARNING, "armo"):
            static.warn_unless_collected()

        assert caplog.text.count("manage.py collectstatic --noinput") == lines
