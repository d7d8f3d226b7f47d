"""The import of a site's posts, from the files to the items."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from content.importing import Importer, NoticeImporter, Outcome, Result, StoryImporter, find_posts
from content.models import Category, Notice, Story, Tag
from scheduling import operations
from scheduling.models import Job, Kind, State, Status
from tests.factories import NoticeFactory, UserFactory

SITES = Path(__file__).parent / "sites"
JUNE = datetime(2999, 6, 1, 1, tzinfo=UTC)
JULY = datetime(2999, 7, 1, 1, tzinfo=UTC)
AUGUST = datetime(2999, 8, 1, 1, tzinfo=UTC)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file with these keys, by default a post called `autumn`."""

    def write(name: str = "autumn.md", body: str = "Leaves.", **keys: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = {"title": "Autumn", **keys}
        # JSON is YAML.
        path.write_text(f"---\n{json.dumps(keys, default=str)}\n---\n\n{body}\n", encoding="utf-8")
        return path

    return write


def import_all(*paths: Path, importer: Importer | None = None) -> list[Result]:
    results = (importer or StoryImporter()).run(find_posts(paths))
    return [replace(result, notes=tuple(map(str, result.notes))) for result in results]


def import_one(path: Path, importer: Importer | None = None) -> Result:
    [result] = import_all(path, importer=importer)
    return result


def open_jobs(story: Story | Notice) -> dict[str, datetime]:
    return dict(Job.objects.of(story).open().values_list("kind", "run_at"))


def rows() -> list[Any]:
    """Return all that an import could change."""
    models: list[Any] = [Story, Notice, Tag, Category, Job, OrmQ, Story.tags.through]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.mark.django_db
class TestALanguage:
    @pytest.mark.parametrize(
        ("written", "stored"), [("ko", "ko"), ("pt_BR", "pt-BR"), ("klingon!", "en"), ("jp", "en")]
    )
    def test_that_there_is_not_is_left_out_and_named(
        self, write: Write, written: str, stored: str
    ) -> None:
        path = write(lang=written)

        first, again = import_one(path), import_one(path)

        assert Story.objects.get().language == stored
        is_unknown = stored == "en"
        texts = " ".join(map(str, first.notes))
        assert ("is not a language: left out" in texts) == is_unknown
        assert (first.outcome, again.outcome) == (Outcome.CREATED, Outcome.UNCHANGED)


class TestFindPosts:
    def test_takes_markdown_in_a_steady_order_and_each_file_once(self, tmp_path: Path) -> None:
        for name in ("b.md", "a.markdown", "C.MD", "sub/d.md", "notes.txt", "noext"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()

        found = find_posts([tmp_path, tmp_path / "b.md"])

        names = [str(file.path.relative_to(tmp_path)) for file in found]
        assert names == ["C.MD", "a.markdown", "b.md", "sub/d.md"]

    def test_leaves_out_what_is_hidden(self, tmp_path: Path) -> None:
        for name in (".git/a.md", ".hidden.md"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()

        assert find_posts([tmp_path]) == []

    def test_follows_no_links_and_says_so(self, tmp_path: Path) -> None:
        site = tmp_path / "site"
        site.mkdir()
        (tmp_path / "elsewhere.md").touch()
        (site / "file.md").symlink_to(tmp_path / "elsewhere.md")
        (site / "circle").symlink_to(site)

        found = find_posts([site])

        assert [(file.path.name, file.outcome, str(file.reason)) for file in found] == [
            ("circle", Outcome.SKIPPED, "It is a link."),
            ("file.md", Outcome.SKIPPED, "It is a link."),
        ]

    def test_passes_over_pages_of_sections_and_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "_index.md").touch()
        (tmp_path / "_index.ko.md").touch()

        found = find_posts([tmp_path])

        assert {file.outcome for file in found} == {Outcome.SKIPPED}
        assert {str(file.reason) for file in found} == {"It is the page of a section, not a post."}


@pytest.mark.django_db
class TestSites:
    def test_of_jekyll_come_in(self) -> None:
        results = {Path(r.file).name: r for r in import_all(SITES / "jekyll")}

        assert {name: (r.outcome, r.status) for name, r in results.items()} == {
            "half-an-idea.md": ("created", "draft"),
            "2024-02-30-no-such-day.md": ("failed", ""),
            "2024-03-05-spring-menu.md": ("created", "published"),
            "2024-05-01-봄-소풍.markdown": ("created", "published"),
            "2999-01-01-next-millennium.md": ("created", "scheduled"),
        }
        assert str(results["2024-02-30-no-such-day.md"].notes[0]).startswith(
            "“2024-02-30” is not a date"
        )
        menu = Story.objects.get(slug="spring-menu")
        assert menu.title == "“Spring” on the menu"
        assert menu.published_at == datetime(2024, 3, 5, tzinfo=UTC)
        assert menu.summary == "What we cook while the market is green."
        assert set(menu.categories.values_list("name", flat=True)) == {"kitchen", "seasons"}
        assert set(menu.tags.values_list("name", flat=True)) == {"asparagus", "2024", "no"}
        assert (menu.extra["layout"], menu.extra["comments"]) == ("post", True)
        picnic = Story.objects.get(slug="봄-소풍")
        assert (picnic.title, picnic.byline, picnic.language) == ("봄 소풍", "김민아", "ko")
        assert picnic.published_at == datetime(2024, 5, 1, tzinfo=UTC)

    def test_of_hugo_come_in(self) -> None:
        results = import_all(SITES / "hugo")

        assert {Path(r.file).name: r.outcome for r in results if not r.item} == {
            "_index.md": Outcome.SKIPPED
        }
        stories = {story.slug: story for story in Story.objects.all()}
        assert {slug: story.status for slug, story in stories.items()} == {
            "first-snow": Status.PUBLISHED,
            "first-snow-ko": Status.PUBLISHED,
            "summer-fair": Status.SCHEDULED,
            "winter-sale": Status.UNPUBLISHED,
            "unfinished": Status.DRAFT,
        }
        assert stories["first-snow"].byline == "mina, jun"
        assert stories["first-snow-ko"].language == "ko"
        assert stories["summer-fair"].keywords == ["fair", "street food"]
        assert open_jobs(stories["summer-fair"]) == {
            Kind.PUBLISH: JUNE,
            Kind.UNPUBLISH: datetime(2999, 6, 8, 1, tzinfo=UTC),
        }
        assert stories["winter-sale"].published_at == datetime(2023, 1, 2, tzinfo=UTC)
        assert stories["winter-sale"].unpublish_at == datetime(2023, 1, 31, tzinfo=UTC)

    def test_of_zola_come_in(self) -> None:
        results = import_all(SITES / "zola")

        leap, blank = Story.objects.order_by("-slug")
        assert (leap.slug, leap.status) == ("leap-day", Status.PUBLISHED)
        assert leap.published_at == datetime(2024, 2, 29, tzinfo=UTC)
        assert set(leap.tags.values_list("name", flat=True)) == {"calendar", "time keeping"}
        assert leap.extra["extra"] == {"toc": True}
        assert (blank.slug, blank.status) == ("blank", Status.DRAFT)
        assert "Kept as a draft: Its body is empty." in [n for r in results for n in r.notes]

    @pytest.mark.parametrize("site", ["jekyll", "hugo", "zola"])
    def test_are_left_unchanged_by_a_second_run(self, site: str) -> None:
        import_all(SITES / site)
        before = rows()

        results = import_all(SITES / site)

        assert rows() == before
        written = {Outcome.CREATED, Outcome.UPDATED}
        assert not written & {result.outcome for result in results}
        assert Outcome.UNCHANGED in {result.outcome for result in results}


@pytest.mark.django_db
class TestStoryImporter:
    def test_publishes_what_is_past_at_its_own_date(self, write: Write) -> None:
        result = import_one(write(date="2024-01-01T09:00:00Z"))

        story = Story.objects.get()
        assert (result.outcome, result.item, result.status, result.notes) == (
            Outcome.CREATED,
            story.label,
            Status.PUBLISHED,
            (),
        )
        assert story.published_at == story.publish_at == datetime(2024, 1, 1, 9, tzinfo=UTC)
        assert open_jobs(story) == {}

    def test_schedules_what_is_to_come(self, write: Write) -> None:
        editor = UserFactory()

        import_one(write(date=JUNE, expiryDate=JULY), StoryImporter(by=editor))

        story = Story.objects.get()
        assert (story.status, story.publish_at, story.unpublish_at) == ("scheduled", JUNE, JULY)
        assert open_jobs(story) == {Kind.PUBLISH: JUNE, Kind.UNPUBLISH: JULY}
        job = Job.objects.get(kind=Kind.PUBLISH)
        assert (job.scheduled_by, job.reason) == (editor, "imported from autumn.md")

    def test_gives_what_is_live_its_end(self, write: Write) -> None:
        import_one(write(date="2024-01-01", expiryDate=JULY))

        story = Story.objects.get()
        assert (story.status, story.unpublish_at) == (Status.PUBLISHED, JULY)
        assert open_jobs(story) == {Kind.UNPUBLISH: JULY}

    def test_keeps_a_post_with_problems_as_a_draft_until_its_file_is_corrected(
        self, write: Write
    ) -> None:
        bad = import_one(write(date=JUNE, body=""))
        again = import_one(write(date=JUNE, body=""))
        mended = import_one(write(date=JUNE))

        assert (bad.status, again.outcome) == (Status.DRAFT, Outcome.UNCHANGED)
        assert bad.notes == ("Kept as a draft: Its body is empty.",)
        assert (mended.outcome, mended.status) == (Outcome.UPDATED, Status.SCHEDULED)

    def test_makes_the_one_author_who_has_a_login_its_author(self, write: Write) -> None:
        mina = UserFactory(username="Mina")
        UserFactory(username="jun")

        import_all(
            write("one.md", author="mina"),
            write("two.md", authors=["mina", "jun"]),
            write("stranger.md", author="nobody"),
        )

        assert dict(Story.objects.values_list("slug", "author")) == {
            "one": mina.pk,
            "two": None,
            "stranger": None,
        }

    def test_picks_no_author_where_two_logins_differ_by_case(self, write: Write) -> None:
        UserFactory(username="Mina")
        UserFactory(username="mina")

        import_one(write(author="mina"))

        assert Story.objects.get().author is None

    def test_shares_tags_between_posts_and_with_those_that_are_there(self, write: Write) -> None:
        Tag.objects.create(name="가을")

        import_all(write("one.md", tags=["가을", "Red"]), write("two.md", tags=["Red", "red"]))

        assert set(Tag.objects.values_list("name", flat=True)) == {"가을", "Red", "red"}
        assert set(Story.objects.get(slug="two").tags.values_list("name", flat=True)) == {
            "Red",
            "red",
        }

    def test_goes_on_after_a_bad_file(self, write: Write, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_bytes(b"\xff\xfe")
        (tmp_path / "b.md").mkdir()
        os.mkfifo(tmp_path / "c.md")
        write("d.md")

        results = import_all(tmp_path)

        assert [(Path(r.file).name, r.outcome) for r in results] == [
            ("a.md", Outcome.FAILED),
            ("c.md", Outcome.FAILED),
            ("d.md", Outcome.CREATED),
        ]
        assert [str(it) for it in results[1].notes] == ["It is not a file."]

    def test_goes_on_after_a_file_the_database_refuses(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("content.frontmatter.keys.MAX_WORD", 999)
        bad = write("a.md", categories=["new"], tags=["t" * 101])
        good = write("b.md", categories=["new"])

        results = import_all(bad, good)

        assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.CREATED]
        assert "too long" in str(results[0].notes[0])
        assert Category.objects.get(name="new").stories.get().slug == "b"

    def test_touches_nothing_in_a_dry_run(self, write: Write) -> None:
        import_one(write("live.md", date="2024-01-01"))
        write("live.md", date="2024-01-01", title="Other", tags=["new"])
        write("new.md", date=JUNE, tags=["new"])
        before = rows()

        results = import_all(write("draft.md").parent, importer=StoryImporter(dry_run=True))

        assert rows() == before
        assert [(r.outcome, r.status) for r in results] == [
            (Outcome.CREATED, Status.DRAFT),
            (Outcome.UPDATED, Status.PUBLISHED),
            (Outcome.CREATED, Status.SCHEDULED),
        ]
        assert results[0].item == ""

    def test_asks_the_database_nothing_about_a_file_that_has_not_changed(
        self, write: Write, django_assert_num_queries: Callable[[int], CaptureQueriesContext]
    ) -> None:
        paths = [write(f"{number}.md", tags=["a"], date=JUNE) for number in range(20)]
        import_all(*paths)
        importer = StoryImporter()

        with django_assert_num_queries(1):
            results = import_all(*paths, importer=importer)

        assert {result.outcome for result in results} == {Outcome.UNCHANGED}


@pytest.mark.django_db
class TestChangedFile:
    def test_brings_over_its_content(self, write: Write) -> None:
        import_one(write(date="2024-01-01", tags=["red"], weight=1, author="mina"))

        result = import_one(
            write(date="2024-01-01", title="가을", body="New.", tags=["brown"], weight=2)
        )

        story = Story.objects.get()
        assert (result.outcome, result.notes) == (Outcome.UPDATED, ())
        assert (story.title, story.body, story.byline) == ("가을", "New.", "")
        assert [tag.name for tag in story.tags.all()] == ["brown"]
        assert story.extra["weight"] == 2
        assert story.status == Status.PUBLISHED

    def test_keeps_what_an_editor_changed_in_another_part(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))
        Story.objects.update(body="Edited here.")

        result = import_one(write(date="2024-01-01", title="New title"))

        story = Story.objects.get()
        assert (story.title, story.body) == ("New title", "Edited here.")
        assert result.notes == ()

    def test_keeps_what_an_editor_changed_in_the_same_part_and_says_so(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))
        Story.objects.update(body="Edited here.")

        result = import_one(write(date="2024-01-01", body="Edited there."))
        again = import_one(write(date="2024-01-01", body="Edited there."))

        assert Story.objects.get().body == "Edited here."
        assert result.notes == ("“body” was changed here, too: left as it is.",)
        assert again.outcome == Outcome.UNCHANGED

    def test_may_not_empty_what_is_live(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))

        result = import_one(write(date="2024-01-01", body=""))

        assert result.outcome == Outcome.FAILED
        assert "Its body is empty." in str(result.notes[-1])
        assert Story.objects.get().body == "Leaves."

    def test_may_not_empty_what_is_scheduled(self, write: Write) -> None:
        import_one(write(date=JUNE))

        result = import_one(write(date=JULY, body=" ", title="Other"))

        story = Story.objects.get()
        assert result.outcome == Outcome.FAILED
        assert "Its body is empty." in str(result.notes[-1])
        assert (story.body, story.title) == ("Leaves.", "Autumn")
        assert open_jobs(story) == {Kind.PUBLISH: JUNE}

    def test_may_empty_what_it_makes_a_draft(self, write: Write) -> None:
        import_one(write(date=JUNE))

        result = import_one(write(draft=True, body=""))

        story = Story.objects.get()
        assert (result.outcome, story.status, story.body) == (Outcome.UPDATED, "draft", "")
        assert open_jobs(story) == {}

    def test_mends_what_was_broken_before_step_by_step(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))
        Story.objects.update(body="")

        result = import_one(write(date="2024-01-01", title="Other"))

        assert result.outcome == Outcome.UPDATED
        assert (Story.objects.get().title, Story.objects.get().status) == ("Other", "published")

    def test_moves_the_schedule(self, write: Write) -> None:
        import_one(write(date=JUNE, expiryDate=AUGUST))

        import_one(write(date=JULY))

        story = Story.objects.get()
        assert (story.status, story.publish_at, story.unpublish_at) == ("scheduled", JULY, None)
        assert open_jobs(story) == {Kind.PUBLISH: JULY}

    def test_publishes_what_its_new_date_makes_due(self, write: Write) -> None:
        import_one(write(date=JUNE, expiryDate=AUGUST))

        result = import_one(write(date="2024-01-01", expiryDate=JULY))

        story = Story.objects.get()
        assert result.status == story.status == Status.PUBLISHED
        assert open_jobs(story) == {Kind.UNPUBLISH: JULY}

    @pytest.mark.parametrize(
        "keys",
        [{"date": JUNE, "draft": True}, {"date": "2024-01-01", "expiryDate": "2024-02-01"}],
        ids=["a draft", "over already"],
    )
    def test_takes_back_a_schedule_it_no_longer_wants(
        self, write: Write, keys: dict[str, Any]
    ) -> None:
        import_one(write(date=JUNE))

        import_one(write(**keys))

        story = Story.objects.get()
        assert (story.status, open_jobs(story)) == (Status.DRAFT, {})
        assert Job.objects.get().state == State.CANCELLED

    @pytest.mark.parametrize(
        ("date", "status"), [(JUNE, Status.SCHEDULED), ("2024-01-01", Status.PUBLISHED)]
    )
    def test_carries_out_the_date_of_a_finished_draft(
        self, write: Write, date: Any, status: Status
    ) -> None:
        import_one(write(draft=True))

        import_one(write(date=date))

        assert Story.objects.get().status == status

    def test_schedules_again_what_had_failed(self, write: Write) -> None:
        import_one(write(date=JUNE))
        Job.objects.update(state=State.FAILED, finished_at=JULY)
        Story.objects.update(status=Status.FAILED)

        result = import_one(write(date=JULY))

        assert result.status == Status.SCHEDULED
        assert open_jobs(Story.objects.get()) == {Kind.PUBLISH: JULY}

    def test_leaves_live_what_is_live(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))

        results = [import_one(write(draft=True)), import_one(write(date=JUNE))]

        assert Story.objects.get().status == Status.PUBLISHED
        assert [result.notes for result in results] == [("It is live: left as it is.",)] * 2

    @pytest.mark.parametrize(
        "keys",
        [{"date": JUNE}, {"draft": True}, {"date": "2024-01-01", "body": "{{< youtube 1 >}}"}],
        ids=["a date to come", "a draft", "code"],
    )
    def test_shows_no_reader_of_what_is_live_what_the_file_keeps_from_them(
        self, write: Write, keys: dict[str, Any]
    ) -> None:
        import_one(write(date="2024-01-01"))
        import_one(write(**{**keys, "body": "Leaves."}))

        results = [import_one(write(**{"body": "Secret.", **keys})) for _run in range(2)]
        kept = Story.objects.get().body
        import_one(write(date="2024-01-02", body="Secret no more."))

        assert [result.outcome for result in results] == [Outcome.UNCHANGED] * 2
        assert [result.notes[-1] for result in results] == ["It is live: left as it is."] * 2
        assert (kept, Story.objects.get().body) == ("Leaves.", "Secret no more.")

    def test_brings_over_to_a_draft_that_an_editor_published_what_its_file_says(
        self, write: Write
    ) -> None:
        import_one(write(draft=True))
        operations.publish_now(item=Story.objects.get(), by=None)

        result = import_one(write(draft=True, body="Buds."))

        assert (result.outcome, Story.objects.get().body) == (Outcome.UPDATED, "Buds.")

    def test_moves_and_takes_away_the_end_of_what_is_live(self, write: Write) -> None:
        import_one(write(date="2024-01-01", expiryDate=JULY))

        import_one(write(date="2024-01-01", expiryDate=AUGUST))
        moved = open_jobs(Story.objects.get())
        import_one(write(date="2024-01-01"))
        taken_away = open_jobs(Story.objects.get())

        assert (moved, taken_away) == ({Kind.UNPUBLISH: AUGUST}, {})

    def test_takes_nothing_down(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))

        result = import_one(write(date="2024-01-01", expiryDate="2024-02-01"))

        assert Story.objects.get().status == Status.PUBLISHED
        assert result.notes == ("Its new end has passed: it stays live.",)

    def test_keeps_an_end_that_an_editor_set(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))
        story = Story.objects.get()
        operations.schedule(item=story, run_at=AUGUST, by=None, kind=Kind.UNPUBLISH)

        result = import_one(write(date="2024-01-01", expiryDate=JULY))

        assert open_jobs(story) == {Kind.UNPUBLISH: AUGUST}
        assert result.notes == ("Its end was changed here: left as it is.",)

    def test_keeps_a_schedule_that_an_editor_moved(self, write: Write) -> None:
        import_one(write(date=JUNE))
        story = Story.objects.get()
        operations.schedule(item=story, run_at=AUGUST, by=None)

        result = import_one(write(date=JULY))

        assert open_jobs(story) == {Kind.PUBLISH: AUGUST}
        assert result.notes == ("Its schedule was changed here: left as it is.",)

    def test_leaves_a_draft_what_an_editor_cancelled(self, write: Write) -> None:
        import_one(write(date=JUNE))
        operations.unschedule(item=Story.objects.get(), by=None)

        same, moved = import_one(write(date=JUNE)), import_one(write(date=JULY))

        assert Story.objects.get().status == Status.DRAFT
        assert same.outcome == Outcome.UNCHANGED
        assert moved.notes == ("Its schedule was cancelled here: it stays a draft.",)

    def test_leaves_down_what_an_editor_took_down(self, write: Write) -> None:
        import_one(write(date="2024-01-01"))
        operations.unpublish_now(item=Story.objects.get(), by=None)

        result = import_one(write(date=JUNE))

        assert Story.objects.get().status == Status.UNPUBLISHED
        assert result.notes == ("It was taken down: it stays down.",)


@pytest.mark.django_db
class TestNoticeImporter:
    def test_brings_in_a_notice_and_names_what_has_no_place(self, write: Write) -> None:
        path = write(title="점검", severity="urgent", date=JUNE, expiryDate=JULY, tags=["red"])

        result = import_one(path, NoticeImporter())

        notice = Notice.objects.get()
        assert (notice.title, notice.severity, notice.status) == ("점검", "urgent", "scheduled")
        assert open_jobs(notice) == {Kind.PUBLISH: JUNE, Kind.UNPUBLISH: JULY}
        assert result.notes == ("A notice has no “tags”: it was left out.",)

    def test_changes_nothing_in_a_second_run(self, write: Write) -> None:
        import_one(write(date=JUNE), NoticeImporter())

        result = import_one(write(date=JUNE), NoticeImporter())

        assert Notice.objects.count() == 1
        assert result.outcome == Outcome.UNCHANGED

    def test_leaves_alone_a_notice_with_the_same_title(self, write: Write) -> None:
        notice = NoticeFactory(title="Autumn", body="Other.")

        result = import_one(write(), NoticeImporter())

        notice.refresh_from_db()
        assert (result.outcome, notice.body) == (Outcome.CREATED, "Other.")


def run(*arguments: object) -> tuple[str, CommandError | None]:
    """Run the command; return what it printed and how it was refused."""
    out = StringIO()
    try:
        call_command("import_posts", *map(str, arguments), stdout=out)
    except CommandError as error:
        return out.getvalue(), error
    return out.getvalue(), None


@pytest.mark.django_db
class TestCommand:
    def test_prints_only_the_summary_when_all_is_well(self, write: Write) -> None:
        write("a.md", date="2024-01-01")
        path = write("b.md", date=JUNE)

        printed, error = run(path.parent)

        assert error is None
        assert printed == (
            f"Site: {path.parent}, new.\n"
            "Times without an offset were read as UTC (TIME_ZONE).\n"
            "Files: created 2, updated 0, unchanged 0, skipped 0, failed 0. "
            "Written: published 1, scheduled 1, draft 0, unpublished 0, failed 0.\n"
        )

    def test_names_each_file_with_something_to_know_and_ends_with_1(self, write: Write) -> None:
        good, bad = write("a.md"), write("b.md", date="soon")

        printed, error = run(good, bad)

        assert printed.splitlines()[-2:] == [
            f"{good}: created, draft /a/: It has no date: kept as a draft.",
            f"{bad}: failed: “soon” is not a date such as 2025-09-23 10:30:00 +09:00.",
        ]
        assert error is not None
        assert (str(error), error.returncode) == ("1 file was not imported.", 1)

    def test_prints_json(self, write: Write) -> None:
        path = write()

        printed, error = run(path, "--json")

        assert error is None
        assert json.loads(printed) == {
            "dry_run": False,
            "kinds": {".md": 1},
            "zones": [],
            "problems": [],
            "summary": {
                "outcomes": {
                    "created": 1, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0,
                },
                "statuses": {
                    "published": 0, "scheduled": 0, "draft": 1, "unpublished": 0, "failed": 0,
                },
                "reasons": [
                    {
                        "outcome": "created",
                        "status": "draft",
                        "code": "no_date",
                        "text": "It has no date: kept as a draft.",
                        "files": 1,
                    }
                ],
            },
            "sites": [{"name": "", "title": "", "folder": str(path.parent), "is_new": True}],
            "files": [
                {
                    "file": str(path),
                    "outcome": "created",
                    "item": Story.objects.get().label,
                    "status": "draft",
                    "slug": "autumn",
                    "publish_at": None,
                    "notes": ["It has no date: kept as a draft."],
                    "codes": ["no_date"],
                }
            ],
        }  # fmt: skip

    def test_says_of_every_kind_of_file_how_many_there_are(self, tmp_path: Path) -> None:
        for name in ("a.md", "b.mkd", "c.mdown", "d.org", "e.org"):
            (tmp_path / name).write_text("---\ntitle: T\n---\nText.\n")

        printed, error = run(tmp_path)

        assert error is None
        assert printed.splitlines()[1] == "Kinds of files: .org 2, .md 1, .mkd 1, .mdown 1."
        assert f"{tmp_path}/d.org: skipped: Armo reads Markdown and HTML, not .org." in printed

    def test_says_that_there_is_no_post(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("Text.")

        _printed, error = run(tmp_path)

        assert error is not None
        assert (str(error), error.returncode) == ("There is no post.", 1)

    def test_reads_times_in_the_zone_that_it_is_given(self, write: Write) -> None:
        path = write(date="2024-01-02 09:00:00")

        printed, _error = run(path, "--zone", "Asia/Seoul")

        assert "Times without an offset were read as Asia/Seoul (--zone)." in printed
        assert Story.objects.get().publish_at == datetime(2024, 1, 2, tzinfo=UTC)

    def test_refuses_a_zone_that_is_none(self, write: Write) -> None:
        _printed, error = run(write(), "--zone", "Mars/Olympus")

        assert error is not None
        assert (str(error), error.returncode) == ("There is no such time zone.", 2)

    @pytest.mark.parametrize(
        ("choice", "status", "body"),
        [
            ("draft", "draft", "A {{< b >}} c."),
            ("keep", "published", "A {{< b >}} c."),
            ("drop", "published", "A  c."),
        ],
    )
    def test_does_with_shortcodes_as_it_is_asked(
        self, write: Write, choice: str, status: str, body: str
    ) -> None:
        run(write(date="2024-01-02", body="A {{< b >}} c."), "--shortcodes", choice)

        story = Story.objects.get()
        assert (story.status, story.body) == (status, body)

    def test_says_that_a_configuration_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "hugo.toml").write_text("title = ")
        (tmp_path / "x.md").write_text("---\ntitle: T\n---\nText.\n")

        printed, error = run(tmp_path)

        assert error is None
        assert f"{tmp_path}/hugo.toml: The front matter is not TOML" in printed

    def test_says_that_a_time_zone_of_a_configuration_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "_config.yml").write_text("timezone: Seoul")
        (tmp_path / "x.md").write_text("---\ntitle: T\n---\nText.\n")

        printed, _error = run(tmp_path)

        assert f"{tmp_path}/_config.yml: There is no time zone “Seoul”" in printed

    def test_says_that_a_dry_run_keeps_nothing(self, write: Write) -> None:
        printed, error = run(write(), "--dry-run")

        assert error is None
        assert printed.splitlines()[-1] == "Dry run: nothing was kept."
        assert not Story.objects.exists()

    def test_imports_notices(self, write: Write) -> None:
        run(write(), "--type", "notice")

        assert Notice.objects.get().title == "Autumn"

    def test_prints_nothing_a_terminal_would_obey(self, write: Write, tmp_path: Path) -> None:
        printed, _error = run(write("\x1b[31m.md"))

        assert "\x1b" not in printed

    @pytest.mark.parametrize(
        "arguments", [[], ["nowhere.md"], [__file__], [SITES, "--type", "poem"]]
    )
    def test_ends_with_2_on_wrong_usage(self, arguments: list[object]) -> None:
        _printed, error = run(*arguments)

        assert error is not None
        assert error.returncode == 2
        assert "\n" not in str(error)
