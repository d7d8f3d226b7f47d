"""Which item a file becomes: a file of another site or path is another item."""

import json
import os
import shutil
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from content.importing import Importer, NoticeImporter, Outcome, Result, StoryImporter, find_posts
from content.importing.memory import digest
from content.models import ImportSite, Notice, NoticeFile, Story, StoryFile
from scheduling import operations
from scheduling.models import Job, Status
from tests.factories import NoticeFactory, StoryFactory

Write = Callable[..., Path]

EMBARGOED = {"title": "Embargoed figures", "date": "2099-02-01T07:00:00Z"}
REPORT = {"title": "Match report", "date": "2024-01-05"}


def write(path: Path, body: str = "Leaves.", **keys: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = {"title": "Autumn", **keys}
    # JSON is YAML.
    path.write_text(f"---\n{json.dumps(keys)}\n---\n\n{body}\n", encoding="utf-8")
    return path


def import_all(*paths: Path, importer: Importer | None = None, **options: Any) -> list[Result]:
    results = (importer or StoryImporter(**options)).run(find_posts(paths))
    return [replace(result, notes=tuple(map(str, result.notes))) for result in results]


def outcomes(results: list[Result]) -> list[str]:
    return [result.outcome.value for result in results]


def slugs() -> dict[str, str]:
    """Return the slugs of stories by the paths of their files."""
    return dict(StoryFile.objects.values_list("path", "item__slug"))


def forget_files() -> None:
    """Leave the rows as earlier versions have left them."""
    StoryFile.objects.all().delete()
    ImportSite.objects.all().delete()
    for story in Story.objects.exclude(imported=None):
        assert story.imported is not None
        kept = {name: story.imported[name] for name in ("file", "parts", "plan")}
        Story.objects.filter(pk=story.pk).update(imported=kept)


@pytest.mark.django_db
class TestTwoPostsWithOneName:
    def test_of_two_sites_are_two_stories(self, tmp_path: Path) -> None:
        [embargoed] = import_all(write(tmp_path / "one/news/x.md", "Secret.", **EMBARGOED))

        [report] = import_all(write(tmp_path / "two/sport/x.md", "Two to one.", **REPORT))

        assert (report.outcome, report.status) == (Outcome.CREATED, Status.PUBLISHED)
        story = Story.objects.get(slug="x")
        assert (story.label, story.title) == (embargoed.item, "Embargoed figures")
        assert (story.status, Job.objects.of(story).open().count()) == (Status.SCHEDULED, 1)

    @pytest.mark.parametrize("dry_run", [True, False], ids=["dry", "real"])
    def test_of_one_site_get_addresses_that_differ(self, tmp_path: Path, dry_run: bool) -> None:
        write(tmp_path / "news/x.md", **EMBARGOED)
        write(tmp_path / "sport/x.md", **REPORT)
        write(tmp_path / "sport/2020-01-01-x.md", title="Third")

        results = import_all(tmp_path, dry_run=dry_run)

        assert outcomes(results) == ["created"] * 3
        assert [result.notes[-1:] for result in results] == [
            (),
            ("“x” is the address of another story: it gets “sport-x”.",),
            ("“x” is the address of another story: it gets “sport-x-2”.",),
        ]

    def test_do_not_depend_on_the_order_of_arguments(self, tmp_path: Path) -> None:
        news, sport = write(tmp_path / "news/x.md"), write(tmp_path / "sport/x.md")

        write(tmp_path / "_config.yml")

        import_all(sport, news)

        assert slugs() == {"news/x.md": "x", "sport/x.md": "sport-x"}

    def test_keep_their_addresses(self, tmp_path: Path) -> None:
        write(tmp_path / "_config.yml")
        sport = write(tmp_path / "sport/x.md")
        import_all(tmp_path)
        write(tmp_path / "news/x.md")

        import_all(tmp_path)
        Story.objects.get(slug="x").delete()
        results = import_all(sport.parent.parent / "news")

        assert outcomes(results) == ["unchanged"]
        assert slugs() == {"news/x.md": "news-x"}

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("Foo.md", "foo.md"),
            ("_posts/2020-01-01-x.md", "_posts/2021-01-01-x.md"),
            ("x.md", "x/index.md"),
            ("a/x/index.md", "b/x/index.md"),
            (unicodedata.normalize("NFC", "가을.md"), unicodedata.normalize("NFD", "가을.md")),
            ("a b.md", "a-b.md"),
        ],
    )
    def test_all_come_in_and_are_known_again(self, tmp_path: Path, first: str, second: str) -> None:
        write(tmp_path / first, title="One")
        write(tmp_path / second, title="Two")

        results = import_all(tmp_path)
        again = import_all(tmp_path)

        assert (outcomes(results), outcomes(again)) == (["created"] * 2, ["unchanged"] * 2)
        assert {story.title for story in Story.objects.all()} == {"One", "Two"}
        assert len(set(slugs().values())) == 2

    def test_are_called_by_the_folder_that_says_something(self, tmp_path: Path) -> None:
        for name in ("_posts/x.md", "food/_posts/x.md", "_docs/x.md", "content/sea/x/index.md"):
            write(tmp_path / name)

        import_all(tmp_path)

        assert slugs() == {
            "_docs/x.md": "x",
            "_posts/x.md": "x-2",
            "content/sea/x/index.md": "sea-x",
            "food/_posts/x.md": "food-x",
        }

    def test_may_ask_for_one_slug(self, tmp_path: Path) -> None:
        for number in range(5):
            write(tmp_path / f"{number}.md", slug="same")

        import_all(tmp_path)

        assert set(slugs().values()) == {"same", "same-2", "same-3", "same-4", "same-5"}

    def test_with_names_that_are_not_utf8_are_two(self, tmp_path: Path) -> None:
        for name, title in ((b"\xff.md", "One"), (b"\xfe.md", "Two")):
            write(tmp_path / "x.md", title=title).rename(tmp_path / os.fsdecode(name))

        results = import_all(tmp_path)

        assert outcomes(results) == ["created"] * 2
        assert set(slugs()) == {"\\xff.md", "\\xfe.md"}
        write(tmp_path / "copy.md", title="One")
        assert outcomes(import_all(tmp_path)) == ["created", "unchanged", "unchanged"]

    def test_leave_alone_what_was_written_here(self, tmp_path: Path) -> None:
        story = StoryFactory(slug="autumn", scheduled=True, title="Autumn", body="Leaves.")

        [result] = import_all(write(tmp_path / "autumn.md"))

        story.refresh_from_db()
        assert (result.outcome, story.status, story.imported) == ("created", "scheduled", None)
        assert slugs() == {"autumn.md": "autumn-2"}

    def test_have_slugs_as_long_as_the_field(self, tmp_path: Path) -> None:
        for folder in ("news", "sport", "sport/sport"):
            write(tmp_path / folder / f"{'가' * 80}.md", slug="가" * 200)

        results = import_all(tmp_path)

        assert outcomes(results) == ["created"] * 3
        assert {len(slug) for slug in slugs().values()} == {200}


@pytest.mark.django_db
class TestFileKnownAgain:
    def test_is_the_same_however_it_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = tmp_path / "site"
        path = write(site / "posts/2024/x.md")
        (tmp_path / "link").symlink_to(site)
        import_all(site)

        monkeypatch.chdir(site / "posts")
        results = import_all(Path("2024"), Path("2024/x.md"), Path("../../link"), path)

        assert outcomes(results) == ["unchanged"]

    @pytest.mark.parametrize("config", ["hugo.toml", "_config.yml", "config/_default/hugo.toml"])
    def test_is_the_same_in_a_part_of_its_site(self, tmp_path: Path, config: str) -> None:
        write(tmp_path / config).write_text("")
        path = write(tmp_path / "content/posts/x.md")
        import_all(path)

        results = import_all(path.parent) + import_all(tmp_path / "content") + import_all(tmp_path)

        assert outcomes(results) == ["unchanged"] * 3
        assert set(slugs()) == {"content/posts/x.md"}

    def test_is_the_same_in_a_folder_above_the_first(self, tmp_path: Path) -> None:
        import_all(write(tmp_path / "posts/2024/x.md").parent)
        write(tmp_path / "posts/2023/y.md")

        results = import_all(tmp_path / "posts")

        assert outcomes(results) == ["created", "unchanged"]

    @pytest.mark.parametrize("config", ["", "baseURL = 'https://example.org/'", "title = 'Blog'"])
    def test_is_the_same_when_its_site_has_moved(self, tmp_path: Path, config: str) -> None:
        site = tmp_path / "old/blog"
        for name in ("a.md", "b.md", "c.md"):
            write(site / name, body=name)
        (site / "hugo.toml").write_text(config)
        import_all(site)
        (tmp_path / "new").mkdir()
        shutil.move(site, tmp_path / "new/weblog")
        write(tmp_path / "new/weblog/c.md", body="Changed.")

        results = import_all(tmp_path / "new/weblog")
        again = import_all(tmp_path / "new/weblog/c.md")

        assert outcomes(results) == ["unchanged", "unchanged", "updated"]
        assert outcomes(again) == ["unchanged"]
        assert ImportSite.objects.get().folder == str(tmp_path / "new/weblog")

    def test_is_the_same_in_a_second_checkout_of_its_site(self, tmp_path: Path) -> None:
        site = tmp_path / "one"
        write(site / "a.md")
        (site / "hugo.toml").write_text("baseURL = 'https://example.org/'")
        import_all(site)
        shutil.copytree(site, tmp_path / "two")

        results = import_all(tmp_path / "two") + import_all(site)

        assert outcomes(results) == ["unchanged"] * 2

    def test_is_named_if_two_checkouts_are_imported_at_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "one/a.md")
        (path.parent / "hugo.toml").write_text("baseURL = 'https://example.org/'")
        import_all(path.parent)
        shutil.copytree(path.parent, tmp_path / "two")

        results = import_all(path.parent, tmp_path / "two")

        assert outcomes(results) == ["unchanged", "skipped"]
        assert results[1].notes == (f"It is the same file of the site as {path}.",)

    def test_is_another_in_another_site_that_took_the_folder(self, tmp_path: Path) -> None:
        write(tmp_path / "build/x.md", "Secret.", **EMBARGOED)
        (tmp_path / "build/hugo.toml").write_text("baseURL = 'https://one.example/'")
        import_all(tmp_path / "build")
        write(tmp_path / "build/x.md", "Two to one.", **REPORT)
        (tmp_path / "build/hugo.toml").write_text("baseURL = 'https://two.example/'")

        results = import_all(tmp_path / "build")

        assert outcomes(results) == ["created"]
        assert Story.objects.get(slug="x").status == Status.SCHEDULED

    def test_is_the_same_when_its_site_has_another_title(self, tmp_path: Path) -> None:
        write(tmp_path / "x.md")
        for title in ("Old", "New"):
            (tmp_path / "hugo.toml").write_text(f"title = '{title}'")
            results = import_all(tmp_path)

        assert outcomes(results) == ["unchanged"]
        assert ImportSite.objects.get().title == "New"

    @pytest.mark.parametrize("is_gone", [True, False])
    def test_is_another_in_an_unrelated_folder_with_the_same_name(
        self, tmp_path: Path, is_gone: bool
    ) -> None:
        for folder, keys in (("one", EMBARGOED), ("two", REPORT)):
            write(tmp_path / folder / "blog/x.md", f"Text of {folder}.", **keys)
            (tmp_path / folder / "blog/hugo.toml").write_text("title = 'My New Hugo Site'")
        import_all(tmp_path / "one/blog")
        if is_gone:
            shutil.rmtree(tmp_path / "one")

        results = import_all(tmp_path / "two/blog")

        assert outcomes(results) == ["created"]
        assert Story.objects.get(slug="x").status == Status.SCHEDULED

    def test_belongs_to_the_site_that_is_named(self, tmp_path: Path) -> None:
        one, two = write(tmp_path / "one/x.md", "One."), write(tmp_path / "two/x.md", "Two.")

        import_all(one, site="blog")
        same = import_all(two, site="blog")
        other = import_all(two, site="other")

        assert (outcomes(same), outcomes(other)) == (["updated"], ["created"])
        assert ImportSite.objects.count() == 2

    def test_is_another_if_only_one_of_two_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "x.md", "One.")
        import_all(tmp_path, site="blog")
        write(tmp_path / "x.md", "Two.")

        results = import_all(tmp_path) + import_all(tmp_path, site="other")

        assert outcomes(results) == ["updated", "created"]
        assert set(ImportSite.objects.values_list("name", flat=True)) == {"blog", "other"}

    def test_has_one_folder_if_several_are_given_for_a_name(self, tmp_path: Path) -> None:
        one, two = write(tmp_path / "a/x.md", "One."), write(tmp_path / "b/x.md", "Two.")

        results = import_all(one, two, site="blog")
        again = import_all(tmp_path, site="blog") + import_all(one.parent, site="blog")

        assert outcomes(results) == ["created"] * 2
        assert outcomes(again) == ["unchanged"] * 3
        assert set(slugs()) == {"a/x.md", "b/x.md"}

    def test_follows_a_file_that_was_renamed(self, tmp_path: Path) -> None:
        path = write(tmp_path / "posts/x.md", date="2024-01-01")
        write(tmp_path / "posts/y.md", date="2024-01-01", title="Other")
        import_all(tmp_path)
        path.rename(tmp_path / "posts/z.md")

        results = import_all(tmp_path)
        again = import_all(tmp_path)

        assert (outcomes(results), outcomes(again)) == (["unchanged"] * 2, ["unchanged"] * 2)
        assert results[1].notes == ("It was posts/x.md before.",)
        assert slugs() == {"posts/y.md": "y", "posts/z.md": "x"}

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("_drafts/x.md", "_posts/2024-05-01-x.md"),
            ("food/_drafts/x.md", "food/_posts/2024-05-01-x.markdown"),
            ("posts/x.md", "posts/x/index.md"),
            ("posts/x/index.ko.md", "posts/x.ko.md"),
        ],
    )
    def test_follows_a_page_that_its_tool_has_under_another_name(
        self, tmp_path: Path, old: str, new: str
    ) -> None:
        path = write(tmp_path / old, draft=True)
        import_all(tmp_path)
        path.unlink()
        write(tmp_path / new, "Edited at the last minute.", date="2024-05-01")

        results = import_all(tmp_path)

        story = Story.objects.get()
        assert (outcomes(results), results[0].notes) == (["updated"], (f"It was {old} before.",))
        assert (story.status, story.body) == (Status.PUBLISHED, "Edited at the last minute.")
        assert story.slug.startswith("x")

    def test_follows_a_post_that_was_given_another_date(self, tmp_path: Path) -> None:
        path = write(tmp_path / "_posts/2999-05-01-x.md")
        import_all(tmp_path)
        path.rename(tmp_path / "_posts/2999-06-01-x.md")

        results = import_all(tmp_path)

        assert outcomes(results) == ["updated"]
        assert Job.objects.of(Story.objects.get()).open().get().run_at.month in (5, 6)
        assert "2999-06-01" in str(Story.objects.get().publish_at)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("_posts/2024-05-01-weekly.md", "_posts/2024-05-08-weekly.md"),
            ("news/x.md", "sport/x.md"),
            ("x.md", "y.md"),
        ],
    )
    def test_does_not_follow_another_with_the_same_title(
        self, tmp_path: Path, old: str, new: str
    ) -> None:
        write(tmp_path / "_config.yml")
        path = write(tmp_path / old, "Old.", date="2024-05-01")
        import_all(tmp_path)
        path.unlink()
        write(tmp_path / new, "New.", date="2024-05-08")

        assert outcomes(import_all(tmp_path)) == ["created"]
        assert set(Story.objects.values_list("body", flat=True)) == {"Old.", "New."}

    def test_does_not_follow_a_copy(self, tmp_path: Path) -> None:
        shutil.copy(write(tmp_path / "x.md"), tmp_path / "y.md")
        import_all(tmp_path / "x.md")

        assert outcomes(import_all(tmp_path)) == ["unchanged", "created"]

    def test_gets_the_address_that_it_asks_for_by_now(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md", slug="old", date="2024-01-01")
        import_all(path)
        write(path, slug="new", date="2024-01-01")

        results = import_all(path)

        assert (outcomes(results), slugs()) == (["updated"], {"x.md": "new"})
        assert outcomes(import_all(path)) == ["unchanged"]

    def test_keeps_the_address_that_an_editor_gave_it(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md", slug="old")
        import_all(path)
        Story.objects.update(slug="edited")
        write(path, slug="new")

        results = import_all(path)

        assert slugs() == {"x.md": "edited"}
        assert "“slug” was changed here, too: left as it is." in results[0].notes

    def test_is_new_when_its_story_was_deleted(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md")
        import_all(path)
        Story.objects.get().delete()

        assert outcomes(import_all(path)) == ["created"]


@pytest.mark.django_db
class TestStoryOfAnEarlierVersion:
    def test_is_taken_by_the_file_that_it_came_from(self, tmp_path: Path) -> None:
        path = write(tmp_path / "news/x.md", **EMBARGOED)
        [first] = import_all(path)
        forget_files()

        [dry] = import_all(path, dry_run=True)
        [real] = import_all(path)

        assert (dry.outcome, real.outcome, real.item) == ("unchanged", "unchanged", first.item)
        assert slugs() == {"x.md": "x"}

    def test_is_taken_when_only_other_parts_of_the_file_have_changed(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md", date="2024-01-01")
        import_all(path)
        forget_files()
        write(path, date="2024-01-01", tags=["new"])

        assert outcomes(import_all(path)) == ["updated"]

    def test_is_taken_though_its_body_is_read_otherwise_by_now(self, tmp_path: Path) -> None:
        code = "{% highlight python %}\nx = 1\n{% endhighlight %}"
        path = write(tmp_path / "x.md", code, date="2024-01-01")
        import_all(path)
        forget_files()
        [story] = Story.objects.all()
        assert story.imported is not None
        story.body = code
        story.imported["parts"]["body"] = digest(code)
        story.save()

        results = import_all(path)

        story.refresh_from_db()
        assert outcomes(results) == ["updated"]
        assert story.body.startswith("```python")

    def test_keeps_the_address_that_the_file_asks_for(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md", slug="old")
        import_all(path)
        forget_files()
        import_all(path)

        results = import_all(write(path, slug="new"))

        assert (outcomes(results), slugs()) == (["updated"], {"x.md": "new"})

    @pytest.mark.parametrize("dry_run", [True, False], ids=["dry", "real"])
    def test_is_not_taken_by_another_with_its_name(self, tmp_path: Path, dry_run: bool) -> None:
        import_all(write(tmp_path / "news/x.md", "Secret.", **EMBARGOED))
        forget_files()
        before = list(Story.objects.values())

        [report] = import_all(write(tmp_path / "sport/x.md", **REPORT), dry_run=dry_run)

        assert report.outcome == Outcome.CREATED
        assert list(Story.objects.filter(slug="x").values()) == before

    def test_is_taken_once(self, tmp_path: Path) -> None:
        write(tmp_path / "a/x.md")
        import_all(tmp_path)
        forget_files()
        write(tmp_path / "b/x.md")

        dry, real = import_all(tmp_path, dry_run=True), import_all(tmp_path)

        assert outcomes(dry) == outcomes(real) == ["unchanged", "created"]


@pytest.mark.django_db
class TestNotices:
    def test_are_distinguished_by_their_files(self, tmp_path: Path) -> None:
        one, two = write(tmp_path / "one.md", "One."), write(tmp_path / "two.md", "Two.")

        results = import_all(one, two, importer=NoticeImporter())
        write(one, "Changed.")
        again = import_all(one, two, importer=NoticeImporter())

        assert (outcomes(results), outcomes(again)) == (["created"] * 2, ["updated", "unchanged"])
        assert set(Notice.objects.values_list("body", flat=True)) == {"Changed.", "Two."}

    def test_with_the_same_text_are_taken_over(self, tmp_path: Path) -> None:
        notice = NoticeFactory(title="Autumn", body="Leaves.", published=True)

        [result] = import_all(write(tmp_path / "x.md"), importer=NoticeImporter())

        assert (result.outcome, result.item) == (Outcome.UNCHANGED, notice.label)
        assert NoticeFile.objects.get().item == notice

    def test_taken_over_keep_their_schedule(self, tmp_path: Path) -> None:
        notice = NoticeFactory(title="Autumn", body="Leaves.")
        path = write(tmp_path / "x.md", date="2024-01-01")

        results = import_all(path, importer=NoticeImporter())

        notice.refresh_from_db()
        assert (outcomes(results), results[0].notes) == (["unchanged"], ())
        assert notice.status == Status.DRAFT

    def test_keep_what_an_editor_changed(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.md", date="2024-01-01")
        import_all(path, importer=NoticeImporter())
        Notice.objects.update(body="Edited here.")
        operations.unpublish_now(item=Notice.objects.get(), by=None)
        write(path, date="2024-01-01", severity="urgent")

        [result] = import_all(path, importer=NoticeImporter())

        notice = Notice.objects.get()
        assert result.outcome == Outcome.UPDATED
        assert (notice.body, notice.severity, notice.status) == (
            "Edited here.",
            "urgent",
            Status.UNPUBLISHED,
        )


@pytest.mark.django_db
class TestLanguages:
    @pytest.mark.parametrize(
        ("files", "config"),
        [
            (("content/en/docs/x.md", "content/ko/docs/x.md"), {}),
            (("_i18n/en/_posts/2024-05-01-x.md", "_i18n/ko/_posts/2024-05-01-x.md"), {}),
            (("_posts/en/x.md", "_posts/ko/x.md"), {"_config.yml": "languages: [en, ko]"}),
            (("content/x.md", "content/x.ko.md"), {"config.toml": "base_url = 'https://e.org'"}),
            (("content/x/index.md", "content/x/index.ko.md"), {"hugo.toml": ""}),
            (
                ("english/x.md", "korean/x.md"),
                {
                    "hugo.toml": "[languages.en]\ncontentDir = 'english'\n"
                    "[languages.ko]\ncontentDir = 'korean'"
                },
            ),
            (("src/content/docs/en/x.md", "src/content/docs/ko/x.md"), {"astro.config.mjs": ""}),
        ],
        ids=["folders", "i18n", "polyglot", "zola", "bundle", "contentDir", "astro"],
    )
    def test_of_one_post_both_come_in(
        self, tmp_path: Path, files: tuple[str, str], config: dict[str, str]
    ) -> None:
        for name, text in config.items():
            (tmp_path / name).write_text(text)
        for name in files:
            write(tmp_path / name, title=name)

        import_all(tmp_path)

        stories = StoryFile.objects.values_list("path", "item__slug", "item__language")
        assert set(stories) == {(files[0], "x", "en"), (files[1], "x-ko", "ko")}

    def test_are_known_in_a_folder_that_is_given_by_itself(self, tmp_path: Path) -> None:
        for name in ("content/en/x.md", "content/ko/x.md"):
            write(tmp_path / name)

        import_all(tmp_path / "content/ko")

        assert Story.objects.get().language == "ko"

    @pytest.mark.parametrize(
        "config",
        [
            "languageCode = 'ko-kr'",
            "languageCode = 'en-us'\ndefaultContentLanguage = 'ko'",
            "languageCode = 'en-us'\n[languages.ko]",
        ],
    )
    def test_are_those_of_the_configuration(self, tmp_path: Path, config: str) -> None:
        (tmp_path / "hugo.toml").write_text(config)
        write(tmp_path / "content/x.md")

        import_all(tmp_path)

        assert Story.objects.get().language.startswith("ko")

    def test_of_the_site_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "hugo.toml").write_text(
            "defaultContentLanguage = 'ko'\n[languages.en]\ncontentDir = 'content/en'\n"
            "[languages.ko]\ncontentDir = 'content/ko'"
        )
        for name in ("content/en/x.md", "content/ko/x.md"):
            write(tmp_path / name)

        import_all(tmp_path)

        assert slugs() == {"content/en/x.md": "x-en", "content/ko/x.md": "x"}

    @pytest.mark.parametrize(
        ("file", "config"),
        [
            ("content/is/x.md", ""),
            ("content/de/x.md", "[languages.en]"),
            ("content/socket.io.md", "[languages.en]"),
        ],
    )
    def test_are_not_seen_where_there_are_none(
        self, tmp_path: Path, file: str, config: str
    ) -> None:
        if config:
            (tmp_path / "hugo.toml").write_text(config)
        write(tmp_path / "content/news/y.md")
        path = write(tmp_path / file)

        import_all(tmp_path)

        story = Story.objects.get(file__path=path.relative_to(tmp_path).as_posix())
        assert story.language == "en"


@pytest.mark.django_db(transaction=True)
class TestTwoImportsAtOnce:
    def test_bring_each_file_in_once(self, tmp_path: Path) -> None:
        for number in range(20):
            write(tmp_path / f"one/{number}.md", tags=["red", "brown"])
            write(tmp_path / f"two/{number}.md", "Another.", tags=["brown", "red"])
        found: list[Result] = []

        def run(*folders: str) -> None:
            try:
                for folder in folders:
                    found.extend(import_all(tmp_path / folder))
            finally:
                connection.close()

        orders = [("one", "two"), ("two", "one"), ("one",)]
        threads = [threading.Thread(target=run, args=order) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {result.outcome for result in found} <= {Outcome.CREATED, Outcome.UNCHANGED}
        assert len(found) == 100
        assert Story.objects.count() == StoryFile.objects.count() == 40
