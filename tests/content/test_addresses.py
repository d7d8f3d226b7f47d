"""Old addresses of stories lead to the present ones, and to nothing else."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from content.addresses import as_path, claim, named_by
from content.importing import StoryImporter, find_posts
from content.models import OldAddress, Story
from scheduling import operations
from tests.admin_pages import page_of, sent, signed_in
from tests.api_clients import API, client_of, person
from tests.database_rows import row
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


def moved(slug: str = "autumn", to: str = "harvest", **fields: Any) -> Story:
    """Return a story whose slug has changed while it was live."""
    story = StoryFactory(slug=slug, published=True, **fields)
    Story.objects.filter(pk=story.pk).update(slug=to)
    found: Story = row(story)
    return found


def paths_of(story: Story) -> list[str]:
    return sorted(story.old_addresses.values_list("path", flat=True))


class TestAnOldAddress:
    def test_leads_to_the_present_one(self, client: Client) -> None:
        moved()

        answer = client.get("/stories/autumn/")

        assert (answer.status_code, answer["Location"]) == (301, "/stories/harvest/")
        assert answer["Cache-Control"] == "public, max-age=60"

    @pytest.mark.parametrize(
        "path",
        ["/stories/autumn", "/stories//autumn/", "/stories/autumn.html", "/stories/autumn/?a=1"],
    )
    def test_does_so_however_it_is_written(self, client: Client, path: str) -> None:
        moved()

        answer = client.get(path)

        query = path.partition("?")[2]
        expected = "/stories/harvest/" + (f"?{query}" if query else "")
        assert (answer.status_code, answer["Location"]) == (301, expected)

    @pytest.mark.parametrize("slug", ["가을-café", unicodedata.normalize("NFD", "가을-café")])
    def test_does_so_in_either_normal_form(self, client: Client, slug: str) -> None:
        moved("가을-café", "겨울")

        answer = client.get(f"/stories/{slug}/")

        assert answer.status_code == 301
        assert client.get(answer["Location"]).status_code == 200

    def test_answers_head_and_no_other_method(self, client: Client) -> None:
        moved()

        assert client.head("/stories/autumn/").status_code == 301
        assert client.post("/stories/autumn/").status_code == 405

    def test_works_in_development_too(self, client: Client, settings: Any) -> None:
        settings.DEBUG = True
        moved()

        assert client.get("/stories/autumn/").status_code == 301
        assert client.get("/stories/nothing/").status_code == 404

    def test_leads_over_all_slugs_in_one_step(self, client: Client) -> None:
        story = moved()
        Story.objects.filter(pk=story.pk).update(slug="thanksgiving")

        for slug in ("autumn", "harvest"):
            assert client.get(f"/stories/{slug}/")["Location"] == "/stories/thanksgiving/"

    def test_is_forgotten_by_a_story_that_comes_back_to_it(self, client: Client) -> None:
        story = moved()

        Story.objects.filter(pk=story.pk).update(slug="autumn")

        assert client.get("/stories/autumn/").status_code == 200
        assert client.get("/stories/harvest/")["Location"] == "/stories/autumn/"
        assert paths_of(story) == ["/stories/harvest"]

    def test_gives_away_nothing_of_what_is_not_live(self, client: Client) -> None:
        story = moved()
        operations.unpublish_now(item=story, by=None)
        draft = StoryFactory(slug="secret")
        claim(draft, ["/plan"])

        assert client.get("/stories/autumn/").status_code == 404
        assert client.get("/plan/").status_code == 404

    def test_goes_with_its_story(self, client: Client) -> None:
        moved().delete()

        assert client.get("/stories/autumn/").status_code == 404
        assert not OldAddress.objects.exists()

    @pytest.mark.parametrize("path", ["/stories/\x00/", "/" + "a" * 3000, "/%ff/", "/../x"])
    def test_is_looked_up_for_any_path(self, client: Client, path: str) -> None:
        assert client.get(path).status_code == 404


class TestWhoIsAtAnAddress:
    def test_is_another_story_as_soon_as_that_is_live(self, client: Client) -> None:
        moved()
        other = StoryFactory(slug="autumn", title="Other")

        assert client.get("/stories/autumn/").status_code == 301
        operations.publish_now(item=other, by=None)

        assert "Other" in client.get("/stories/autumn/").content.decode()
        operations.unpublish_now(item=row(other), by=None)
        assert client.get("/stories/autumn/")["Location"] == "/stories/harvest/"

    def test_was_whoever_was_there_last(self, client: Client) -> None:
        moved()
        moved(to="october")

        assert client.get("/stories/autumn/")["Location"] == "/stories/october/"

    @pytest.mark.parametrize(
        "path", ["/admin/", "/admin", "/api/v1/stories/", "/api/v1", "/feeds/stories/", "/"]
    )
    def test_is_a_page_of_the_site_in_any_case(self, client: Client, path: str) -> None:
        story = StoryFactory(published=True)
        before = client.get(path)

        assert claim(story, [as_path(path) or "/"])
        OldAddress.objects.create(path=as_path(path) or "/", story=story)

        after = client.get(path)
        assert (after.status_code, after.get("Location")) == (
            before.status_code,
            before.get("Location"),
        )


class TestChangingTheSlugOfWhatWasLive:
    def test_is_remembered_from_the_api(self, client: Client) -> None:
        story = StoryFactory(published=True, slug="autumn")

        answer = client_of(person(group="Editors")).patch(
            f"{API}/stories/{story.pk}/", {"slug": "harvest"}, format="json"
        )

        assert answer.status_code == 200
        assert client.get("/stories/autumn/").status_code == 301

    def test_is_remembered_from_a_save(self) -> None:
        story = row(StoryFactory(unpublished=True, slug="autumn"))

        story.slug = "harvest"
        story.save()

        assert paths_of(story) == ["/stories/autumn"]

    def test_is_remembered_from_the_form(self) -> None:
        editor = signed_in("Editors")
        story = StoryFactory(published=True, slug="autumn")

        editor.post(page_of(story), sent(editor, story) | {"slug": "harvest", "language": "ko"})

        assert paths_of(story) == ["/stories/autumn"]

    def test_stays_the_address_when_the_slug_is_emptied(self) -> None:
        editor, story = signed_in("Editors"), StoryFactory(published=True, slug="autumn")

        emptied = sent(editor, story) | {"slug": "", "title": "새 제목", "language": "ko"}
        answer = editor.post(page_of(story), emptied)
        refused = client_of(person(group="Editors")).patch(
            f"{API}/stories/{story.pk}/", {"slug": ""}, format="json"
        )

        assert (answer.status_code, refused.status_code) == (302, 400)
        assert (row(story).title, row(story).slug) == ("새 제목", "autumn")
        assert paths_of(story) == []

    def test_of_what_never_was_is_not(self) -> None:
        story = row(StoryFactory(scheduled=True, slug="autumn"))

        story.slug = "harvest"
        story.save()

        assert paths_of(story) == []


class TestAnImport:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Any:
        def write(name: str, **keys: Any) -> list[Any]:
            keys = {"title": name, "date": "2024-01-01T12:00:00Z", **keys}
            path = tmp_path / f"{name}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"---\n{json.dumps(keys)}\n---\n\nLeaves.\n", encoding="utf-8")
            return list(StoryImporter().run(find_posts([path])))

        return write

    @pytest.mark.parametrize(
        ("keys", "path"),
        [
            ({"aliases": ["/2020/old/", "older"]}, "/2020/old"),
            ({"aliases": ["/2020/old/", "older"]}, "/older/"),
            ({"aliases": "/2020/old.html"}, "/2020/old.html"),
            ({"redirect_from": ["/old/index.html"]}, "/old/"),
            ({"permalink": "/2020/01/:title/"}, "/2020/01/autumn/"),
            ({"permalink": "/:year/:i_month/:day/:title.html"}, "/2024/1/01/autumn"),
            ({"url": "/%EA%B0%80%EC%9D%84/"}, "/가을"),
            ({"aliases": [unicodedata.normalize("NFD", "/가을/")]}, "/가을/"),
        ],
    )
    def test_has_the_addresses_of_a_file_lead_to_its_story(
        self, client: Client, write: Any, keys: dict[str, Any], path: str
    ) -> None:
        write("autumn", **keys)

        answer = client.get(path)

        assert (answer.status_code, answer["Location"]) == (301, "/stories/autumn/")

    @pytest.mark.parametrize(
        ("file", "path"),
        [
            ("content/posts/autumn", "/posts/old/"),
            ("content/posts/autumn/index", "/posts/old/"),
            ("_posts/2024-01-01-autumn", "/old/"),
        ],
    )
    def test_reads_an_alias_without_a_slash_in_front_as_the_tool_does(
        self, client: Client, write: Any, tmp_path: Path, file: str, path: str
    ) -> None:
        config = "hugo.toml" if file.startswith("content") else "_config.yml"
        (tmp_path / config).write_text("")

        write(file, aliases=["old"])

        assert client.get(path)["Location"] == "/stories/autumn/"

    def test_adds_those_of_a_changed_file(self, client: Client, write: Any) -> None:
        write("autumn")

        write("autumn", aliases=["/old/"])

        assert client.get("/old/").status_code == 301

    def test_leaves_an_address_with_whom_it_leads_to(self, client: Client, write: Any) -> None:
        write("autumn", aliases=["/old/"])

        [second] = write("winter", aliases=["/old/", "/admin/"])

        assert client.get("/old/")["Location"] == "/stories/autumn/"
        assert [str(note) for note in second.notes] == [
            "“/old” leads elsewhere already: it was left out.",
            "“/admin” leads elsewhere already: it was left out.",
        ]

    @pytest.mark.parametrize(
        "keys",
        [
            {"url": "https://example.org/elsewhere/"},
            {"url": "//evil.example/x"},
            {"permalink": "/:week/:title/"},
            {"permalink": "pretty"},
            {"aliases": [1, None, {"a": "/b/"}, "/", "/../x/", "http://[x"]},
            {"url": ["/a/\u0000"]},
        ],
    )
    def test_takes_no_address_that_a_story_here_cannot_have(self, keys: dict[str, Any]) -> None:
        assert named_by(keys, placeholders={"title": "autumn"}) == []


class TestThePageOfAStory:
    @pytest.fixture
    def story(self) -> Story:
        return moved()

    def test_shows_its_old_addresses(self, story: Story) -> None:
        assert "/stories/autumn" in signed_in("Editors").get(page_of(story)).content.decode()

    def removal(self, story: Story) -> dict[str, str]:
        return {
            "old_addresses-TOTAL_FORMS": "1",
            "old_addresses-INITIAL_FORMS": "1",
            "old_addresses-0-id": str(story.old_addresses.get().pk),
            "old_addresses-0-story": str(story.pk),
            "old_addresses-0-DELETE": "on",
        }

    def test_removes_one(self, story: Story) -> None:
        editor = signed_in("Editors")
        data = sent(editor, story) | {"language": "ko"} | self.removal(story)

        answer = editor.post(page_of(story), data)

        assert answer.status_code == 302
        assert paths_of(story) == []

    def test_removes_none_for_those_who_may_not_change_it(self, story: Story) -> None:
        author = person(is_staff=True, username="reader")
        author.user_permissions.set(person("content.view_story").user_permissions.all())
        client = Client()
        client.force_login(author)

        client.post(page_of(story), self.removal(story))

        assert paths_of(story) == ["/stories/autumn"]

    def test_is_saved_from_a_form_that_was_opened_before(self) -> None:
        editor = signed_in("Editors")
        story = StoryFactory(slug="autumn", published=True)
        data = sent(editor, story) | {"summary": "Short.", "language": "ko"}
        Story.objects.filter(pk=story.pk).update(slug="harvest")

        answer = editor.post(page_of(story), data | {"slug": "harvest"})

        assert answer.status_code == 302
        assert row(story).summary == "Short."
        assert paths_of(story) == ["/stories/autumn"]

    def test_can_be_deleted_by_an_editor(self, story: Story) -> None:
        editor = signed_in("Editors")

        editor.post(
            reverse("admin:content_story_delete", args=[story.pk]), {"post": "yes"}, follow=True
        )

        assert not Story.objects.exists()
