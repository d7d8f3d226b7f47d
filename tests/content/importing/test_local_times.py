"""The time zone of a date in a file, which its job keeps."""

from pathlib import Path

import pytest
from django.core.management import call_command

from content.models import Story
from scheduling.models import Job

IN_SEOUL = "2999-05-01T09:00:00+09:00[Asia/Seoul]"


def write(folder: Path, name: str, keys: str) -> None:
    (folder / name).write_text(f"---\ntitle: {name}\n{keys}\n---\nText.\n")


def kept() -> dict[str, str]:
    return dict(Job.objects.open().values_list("kind", "local_time"))


@pytest.mark.django_db
class TestADateWithoutAnOffset:
    def test_keeps_the_zone_that_the_command_names(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", "date: 2999-05-01 09:00:00")

        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")

        assert kept() == {"publish": IN_SEOUL}

    def test_keeps_the_zone_of_the_sites_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "_config.yml").write_text("timezone: Asia/Seoul\n")
        (tmp_path / "_posts").mkdir()
        write(tmp_path / "_posts", "2999-05-01-a.md", "date: 2999-05-01 09:00:00")

        call_command("import_posts", str(tmp_path))

        assert kept() == {"publish": IN_SEOUL}

    def test_keeps_it_for_start_and_end(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", "date: 2999-05-01 09:00:00\nexpiryDate: 2999-05-02 09:00:00")

        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")

        assert kept() == {"publish": IN_SEOUL, "unpublish": "2999-05-02T09:00:00+09:00[Asia/Seoul]"}

    def test_keeps_it_for_the_end_of_what_is_live(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", "date: 2020-05-01 09:00:00\nexpiryDate: 2999-05-01 09:00:00")

        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")

        assert Story.objects.get().is_published
        assert kept() == {"unpublish": IN_SEOUL}

    def test_keeps_it_when_the_file_has_another_date(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", "date: 2999-04-01T09:00:00Z")
        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")
        assert kept() == {"publish": ""}

        write(tmp_path, "a.md", "date: 2999-05-01 09:00:00")
        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")

        assert kept() == {"publish": IN_SEOUL}


@pytest.mark.django_db
class TestADateWithAnOffset:
    @pytest.mark.parametrize(
        "keys",
        [
            "date: 2999-05-01 09:00:00 +0900",
            "date: 2999-05-01 09:00:00\nexpiryDate: 2999-05-02T00:00:00Z",
        ],
    )
    def test_is_an_instant(self, tmp_path: Path, keys: str) -> None:
        write(tmp_path, "a.md", keys)

        call_command("import_posts", str(tmp_path), "--zone", "Asia/Seoul")

        assert set(kept().values()) == {""}

    def test_that_names_its_zone_keeps_that(self, tmp_path: Path) -> None:
        write(tmp_path, "a.md", "date: 2999-05-01 09:00:00 Asia/Seoul")

        call_command("import_posts", str(tmp_path), "--zone", "Europe/Berlin")

        assert kept() == {"publish": IN_SEOUL}
