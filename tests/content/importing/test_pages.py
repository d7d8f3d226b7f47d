"""What the sites' tools make pages of, and how they read them."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from content.frontmatter import NotAPost, Post
from content.importing.files import Found, find_posts, read
from content.importing.results import Outcome

POST = "---\ntitle: T\ndate: 2024-01-02 09:00:00\n---\nText.\n"
UNDATED = "---\ntitle: T\n---\nText.\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def find(root: Path, files: dict[str, str]) -> dict[str, Found]:
    """Return what is found, by path."""
    write(root, files)
    return {found.path.relative_to(root).as_posix(): found for found in find_posts([root])}


def left_out(root: Path, files: dict[str, str]) -> dict[str, str]:
    return {
        name: str(getattr(found.reason, "code", found.reason))
        for name, found in find(root, files).items()
        if found.outcome == Outcome.SKIPPED
    }


def read_post(root: Path, files: dict[str, str], name: str) -> Post:
    found = find(root, files)[name]
    assert not found.reason
    return read(found.path, found.pages)


def codes(post: Post) -> list[str]:
    return [note.code for note in post.notes]


class TestFiles:
    def test_that_armo_does_not_read_are_named(self, tmp_path: Path) -> None:
        names = ("a.org", "b.adoc", "c.rst", "d.ipynb", "e.textile")

        assert left_out(tmp_path, dict.fromkeys(names, "Text")) == dict.fromkeys(names, "format")

    @pytest.mark.parametrize(
        "suffix", ["md", "markdown", "mkd", "mkdn", "mkdown", "mdown", "mdwn", "mdx", "MD", "html"]
    )
    def test_of_markdown_and_html_are_posts(self, tmp_path: Path, suffix: str) -> None:
        post = read_post(tmp_path, {f"a.{suffix}": POST}, f"a.{suffix}")

        assert not post.is_draft

    def test_of_packages_and_copies_are_left_out(self, tmp_path: Path) -> None:
        files = {"node_modules/a/b.md": POST, "#a.md": POST, "a.md": POST, "node_modules/c": ""}

        assert left_out(tmp_path, files) == {"node_modules": "packages", "#a.md": "backup"}

    @pytest.mark.parametrize("name", [".md", ".hidden.md", "x", "-"])
    def test_may_be_called_anything(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, {"hugo.toml": "", f"content/{name}": POST})

        [found] = find_posts([tmp_path / "content" / name])

        assert read(found.path, found.pages).title == "T" or found.reason

    def test_that_are_given_by_name_follow_the_rules_of_their_site(self, tmp_path: Path) -> None:
        write(tmp_path, {"hugo.toml": "", "content/a.md": POST, "archetypes/b.md": POST})

        [found] = find_posts([tmp_path / "archetypes/b.md"])

        assert (found.outcome, found.reason) == (Outcome.SKIPPED, found.reason)
        assert getattr(found.reason, "code", "") == "outside"

    def test_are_found_by_relative_paths(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, {"hugo.toml": "", "content/a/index.md": POST, "content/a/b.md": POST})
        monkeypatch.chdir(tmp_path / "content")

        found = {str(it.path): it.outcome for it in find_posts([Path(), Path("../content")])}

        assert found == {"a/b.md": Outcome.SKIPPED, "a/index.md": None}


class TestHugo:
    def test_reads_its_own_suffixes_alone(self, tmp_path: Path) -> None:
        files = {"hugo.toml": "", "content/a.mkd": POST, "content/b.mdown": POST}

        assert left_out(tmp_path, files) == {"content/a.mkd": "suffix"}

    def test_reads_its_folders_of_content_alone(self, tmp_path: Path) -> None:
        files = {
            "hugo.toml": "",
            "README.md": POST,
            "content/a.md": POST,
            "archetypes/default.md": POST,
            "layouts/b.html": "x",
            "themes/x/content/c.md": POST,
            "static/d.txt": "",
        }

        assert left_out(tmp_path, files) == dict.fromkeys(
            ("README.md", "archetypes", "layouts", "themes"), "outside"
        )

    def test_makes_one_page_of_a_folder_with_an_index(self, tmp_path: Path) -> None:
        files = {
            "hugo.toml": "",
            "content/x/index.md": POST,
            "content/x/index.ko.md": POST,
            "content/x/part.md": POST,
            "content/x/deep/part.md": POST,
            "content/x/deep/index.md": POST,
            "content/y/_index.md": POST,
            "content/y/page.md": POST,
        }

        assert left_out(tmp_path, files) == {
            "content/x/part.md": "part_of_bundle",
            "content/x/deep/part.md": "part_of_bundle",
            "content/x/deep/index.md": "part_of_bundle",
            "content/y/_index.md": "section_page",
        }

    @pytest.mark.parametrize(
        "filters",
        [
            "excludeFiles = ['private', '*.secret.md', 'DRAFTS/**']",
            "includeFiles = '/{a,sub/**}*.md'",
            "files = ['! private/**', '! *.secret.md', '! drafts/**']",
        ],
    )
    def test_takes_of_a_mount_what_its_filters_take(self, tmp_path: Path, filters: str) -> None:
        mount = "[[module.mounts]]\nsource = 'content'\ntarget = 'content'\n"
        hidden = ("private/b.md", "private/deep/c.md", "d.secret.md", "drafts/e.md")
        names = ("a.md", "sub/f.md", *hidden)
        files = {"hugo.toml": mount + filters, **{f"content/{name}": POST for name in names}}

        assert left_out(tmp_path, files) == {f"content/{name}": "ignored" for name in hidden}

    def test_takes_a_file_that_one_of_two_mounts_takes(self, tmp_path: Path) -> None:
        mount = "[[module.mounts]]\nsource = '%s'\ntarget = 'content'\n"
        config = f"{mount % 'content'}excludeFiles = 'x/**'\n{mount % 'content/x'}"
        files = {"hugo.toml": config, "content/x/a.md": POST}

        assert left_out(tmp_path, files) == {}

    def test_ignores_files_and_languages(self, tmp_path: Path) -> None:
        config = """
ignoreFiles = ["\\\\.foo\\\\.md$", "(", "/private/"]
disableLanguages = ["fr"]
[languages.en]
[languages.fr]
[languages.ko]
contentDir = "content/ko"
disabled = true
"""
        names = ("a.foo.md", "private/b.md", "c.fr.md", "ko/d.md", "e.md", "fr.md")
        files = {"hugo.toml": config, **{f"content/{name}": POST for name in names}}

        assert left_out(tmp_path, files) == {
            "content/a.foo.md": "ignored",
            "content/private/b.md": "ignored",
            "content/c.fr.md": "language_off",
            "content/ko/d.md": "language_off",
        }

    @pytest.mark.parametrize(
        ("config", "index", "post", "is_draft"),
        [
            ("", "cascade:\n  draft: true", "", True),
            ("", "cascade:\n  build: {render: never}", "", True),
            ("", "cascade:\n  - _target: {path: '/news/**'}\n    headless: true", "", True),
            ("", "cascade:\n  - target: {path: '/sport/**'}\n    draft: true", "", False),
            ("", "cascade:\n  - target: {kind: section}\n    draft: true", "", False),
            ("", "cascade:\n  draft: true", "draft: false", False),
            ("", "cascade: {params: {private: true}}", "", True),
            ("cascade: {draft: true}", "", "", True),
            ("cascade: {draft: true}", "cascade: {draft: false}", "", False),
            ("cascade: [{target: {path: '{/news/**}'}, draft: true}]", "", "", True),
            ("cascade: [{target: {environment: staging}, draft: true}]", "", "", False),
        ],
    )
    def test_hands_values_down(
        self, tmp_path: Path, config: str, index: str, post: str, is_draft: bool
    ) -> None:
        files = {
            "hugo.yaml": config,
            "content/news/_index.md": f"---\n{index}\n---\n",
            "content/news/deep/x.md": f"---\ntitle: T\ndate: 2024-01-02\n{post}\n---\n",
        }

        assert read_post(tmp_path, files, "content/news/deep/x.md").is_draft == is_draft

    @pytest.mark.parametrize(
        ("rules", "keys", "name", "day"),
        [
            ("", "date: 2024-01-02", "x", 2),
            ("", "date: 2024-01-02\npublishDate: 2024-01-03", "x", 3),
            ("", "lastmod: 2024-01-04", "x", 4),
            ("", "modified: 2024-01-05", "x", 5),
            ("", "created: 2024-01-06", "x", 6),
            ('date = [":filename", "lastmod"]', "lastmod: 2024-01-04", "2024-01-07-x", 7),
            ('date = [":filename", "lastmod"]', "lastmod: 2024-01-04", "x", 4),
            ('date = [":filename"]', "date: 2024-01-02", "2024-01-07-x", 2),
            ('publishDate = ["release", ":default"]', "release: 2024-01-08", "x", 8),
            ('publishDate = ["release", ":default"]', "date: 2024-01-02", "x", 2),
            ('date = ["ersteller", ":fileModTime"]', "ersteller: 2024-01-09", "x", 9),
        ],
    )
    def test_finds_the_date_by_its_rules(
        self, tmp_path: Path, rules: str, keys: str, name: str, day: int
    ) -> None:
        files = {
            "hugo.toml": f"[frontmatter]\n{rules}\n",
            f"content/{name}.md": f"---\ntitle: T\n{keys}\n---\n",
        }

        post = read_post(tmp_path, files, f"content/{name}.md")

        assert post.publish_at == datetime(2024, 1, day, tzinfo=UTC)

    def test_knows_the_ends_of_other_rules(self, tmp_path: Path) -> None:
        files = {
            "hugo.toml": '[frontmatter]\nexpiryDate = ["until", ":default"]\n',
            "content/x.md": "---\ntitle: T\ndate: 2024-01-02\nuntil: 2024-02-03\n---\n",
        }

        post = read_post(tmp_path, files, "content/x.md")

        assert post.unpublish_at == datetime(2024, 2, 3, tzinfo=UTC)


class TestJekyll:
    def test_passes_over_what_is_special_or_excluded(self, tmp_path: Path) -> None:
        config = "exclude: [README.md, drafts/, '*.tmp.md']\ninclude: [_pages]\n"
        files = {
            "_config.yml": config,
            "README.md": POST,
            "drafts/a.md": POST,
            "b.tmp.md": POST,
            "_pages/c.md": POST,
            "_layouts/d.html": POST,
            "_site/e.md": POST,
            "vendor/bundle/f.md": POST,
            "_posts/2024-01-02-g.md": POST,
            "_posts/_old/2024-01-02-h.md": POST,
            "_posts/new/_old/2024-01-02-h.md": POST,
            "sub/_posts/2024-01-02-i.md": POST,
            "_drafts/j.md": UNDATED,
        }

        assert left_out(tmp_path, files) == {
            "README.md": "ignored",
            "drafts": "ignored",
            "b.tmp.md": "ignored",
            "_layouts": "special",
            "_site": "special",
            "vendor/bundle": "ignored",
            "_posts/_old": "special",
        }

    def test_makes_pages_of_a_collection_that_has_output(self, tmp_path: Path) -> None:
        config = "collections:\n  news:\n    output: true\n  people:\n    output: false\n  notes:\n"
        files = {
            "_config.yml": config,
            "_news/a.md": POST,
            "_people/b.md": POST,
            "_notes/c.md": POST,
            "_recipes/d.md": POST,
        }

        assert left_out(tmp_path, files) == {
            "_notes/c.md": "no_output",
            "_people/b.md": "no_output",
            "_recipes": "special",
        }

    @pytest.mark.parametrize(
        ("defaults", "post", "is_draft"),
        [
            ("{scope: {path: ''}, values: {published: false}}", "", True),
            ("{scope: {path: _posts/old}, values: {published: false}}", "", True),
            ("{scope: {path: '', type: posts}, values: {published: false}}", "", True),
            ("{scope: {path: '', type: pages}, values: {published: false}}", "", False),
            ("{scope: {path: _posts/new}, values: {published: false}}", "", False),
            ("{scope: {path: '_posts/*'}, values: {hidden: true}}", "", True),
            ("{scope: {path: ''}, values: {published: false}}", "published: true", False),
            ("{values: {published: false}}", "", True),
            (
                "{scope: {path: _posts/old}, values: {published: true}}\n"
                "  - {scope: {path: _posts}, values: {published: false}}",
                "",
                False,
            ),
        ],
    )
    def test_fills_in_defaults(
        self, tmp_path: Path, defaults: str, post: str, is_draft: bool
    ) -> None:
        name = "_posts/old/2024-01-02-x.md"
        files = {
            "_config.yml": f"defaults:\n  - {defaults}\n",
            name: f"---\ntitle: T\n{post}\n---\n",
        }

        assert read_post(tmp_path, files, name).is_draft == is_draft

    def test_publishes_a_post_without_front_matter(self, tmp_path: Path) -> None:
        files = {"_config.yml": "", "_posts/2024-01-02-red-leaves.md": "Leaves.\n"}

        post = read_post(tmp_path, files, "_posts/2024-01-02-red-leaves.md")

        assert (post.title, post.is_draft) == ("Red leaves", False)
        assert post.publish_at == datetime(2024, 1, 2, tzinfo=UTC)

    def test_keeps_a_post_whose_name_has_no_date_as_a_draft(self, tmp_path: Path) -> None:
        post = read_post(tmp_path, {"_config.yml": "", "_posts/x.md": POST}, "_posts/x.md")

        assert (post.is_draft, codes(post)) == (True, ["undated_name"])

    @pytest.mark.parametrize(
        ("name", "at"),
        [
            ("13-1-2-x", datetime(2013, 1, 2, tzinfo=UTC)),
            ("99-01-02-x", datetime(1999, 1, 2, tzinfo=UTC)),
            ("2024-01-02-", datetime(2024, 1, 2, tzinfo=UTC)),
        ],
    )
    def test_finds_the_date_in_its_names(self, tmp_path: Path, name: str, at: datetime) -> None:
        name = f"_posts/{name}.md"

        post = read_post(tmp_path, {"_config.yml": "", name: UNDATED}, name)

        assert (post.publish_at, post.is_draft) == (at, False)

    def test_reads_only_its_own_key_of_the_date(self, tmp_path: Path) -> None:
        name = "_posts/2024-01-02-x.md"
        files = {"_config.yml": "", name: "---\ntitle: T\npublishDate: 2024-01-05\n---\n"}

        post = read_post(tmp_path, files, name)

        assert post.publish_at == datetime(2024, 1, 2, tzinfo=UTC)

    def test_fills_in_what_its_configuration_says(self, tmp_path: Path) -> None:
        name = "_posts/2024-01-02-x.md"
        body = "{{ site.repository }} {{ site.year }}"
        files = {
            "_config.yml": "repository: a/b\nyear: 2024\n",
            name: f"---\ntitle: T\n---\n{body}\n",
        }

        post = read_post(tmp_path, files, name)

        assert (post.body, post.is_draft) == ("a/b 2024", False)

    def test_makes_no_posts_of_pages_of_html(self, tmp_path: Path) -> None:
        found = find(tmp_path, {"_config.yml": "", "index.html": UNDATED})["index.html"]

        with pytest.raises(NotAPost, match="a page of HTML"):
            read(found.path, found.pages)


class TestZola:
    def test_reads_content_without_drafts_and_ignored_files(self, tmp_path: Path) -> None:
        config = (
            'base_url = "https://a.example"\nignored_content = ["*.skip.md", "**/{old,older}/*"]'
        )
        files = {
            "config.toml": config,
            "README.md": POST,
            "content/_index.md": POST,
            "content/a/index.md": POST,
            "content/a/other.md": POST,
            "content/b.skip.md": POST,
            "content/older/c.md": POST,
            "content/d/_index.md": "+++\ndraft = true\n+++\n",
            "content/d/e/f.md": POST,
            "content/g/_index.md": "+++\nrender = false\n+++\n",
            "content/g/h.md": POST,
        }

        assert left_out(tmp_path, files) == {
            "README.md": "outside",
            "content/_index.md": "section_page",
            "content/b.skip.md": "ignored",
            "content/d": "draft_section",
            "content/g/_index.md": "section_page",
            "content/older/c.md": "ignored",
        }

    def test_finds_a_date_that_only_the_address_has(self, tmp_path: Path) -> None:
        files = {
            "config.toml": 'base_url = "https://a.example"',
            "content/x.md": '+++\ntitle = "T"\npath = "inside/2023/12/5/x"\n+++\n',
        }

        post = read_post(tmp_path, files, "content/x.md")

        assert post.publish_at == datetime(2023, 12, 5, tzinfo=UTC)
        assert codes(post) == ["date_of_address"]


class TestAstro:
    def test_passes_over_names_with_an_underscore(self, tmp_path: Path) -> None:
        files = {
            "astro.config.mjs": "",
            "src/content/blog/a.mdx": POST,
            "src/content/blog/_b.md": POST,
            "src/content/_c/d.md": POST,
            "public/e.md": POST,
        }

        assert left_out(tmp_path, files) == {
            "src/content/_c": "special",
            "src/content/blog/_b.md": "special",
            "public": "outside",
        }


class TestZone:
    @pytest.mark.parametrize(
        ("config", "post", "zone", "source"),
        [
            ({"_config.yml": "timezone: Asia/Seoul"}, "_posts/2024-01-02-x.md", "Asia/Seoul",
             "_config.yml"),
            ({"_config.yml": "title: T"}, "_posts/2024-01-02-x.md", "UTC", "Jekyll"),
            ({"hugo.toml": 'timeZone = "Asia/Tokyo"'}, "content/x.md", "Asia/Tokyo", "hugo.toml"),
            ({"hugo.toml": ""}, "content/x.md", "UTC", "Hugo"),
            ({}, "_posts/2024-01-02-x.md", "UTC", "Jekyll"),
            ({}, "content/x.md", "UTC", "Hugo"),
            ({}, "x.md", "Europe/Oslo", "TIME_ZONE"),
        ],
    )  # fmt: skip
    def test_is_that_of_the_site(
        self,
        tmp_path: Path,
        settings: object,
        config: dict[str, str],
        post: str,
        zone: str,
        source: str,
    ) -> None:
        settings.TIME_ZONE = "Europe/Oslo"  # type: ignore[attr-defined]

        found = find(tmp_path, {**config, post: POST})[post]

        assert found.pages is not None
        assert (str(found.pages.zone), found.pages.zone_source) == (zone, source)
        assert read(found.path, found.pages).publish_at == datetime(
            2024, 1, 2, 9, tzinfo=ZoneInfo(zone)
        )

    def test_is_the_one_that_is_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path, {"_config.yml": "timezone: Asia/Seoul", "x.md": POST})

        [found] = find_posts([tmp_path], zone=ZoneInfo("America/New_York"))

        assert read(found.path, found.pages).publish_at == datetime(2024, 1, 2, 14, tzinfo=UTC)

    def test_may_be_that_of_a_language(self, tmp_path: Path) -> None:
        config = '[languages.en]\n[languages.ko]\ntimeZone = "Asia/Seoul"'
        files = {"hugo.toml": config, "content/x.ko.md": POST}

        post = read_post(tmp_path, files, "content/x.ko.md")

        assert post.publish_at == datetime(2024, 1, 2, tzinfo=UTC)
