"""Which tool a site is made with, and what its configuration says."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from content.frontmatter import Tool
from content.importing.sites import Site, Sites


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def find(root: Path, files: dict[str, str], post: str) -> Site:
    write(root, files)
    return Sites(root).find(root / post)


class TestSites:
    @pytest.mark.parametrize(
        ("files", "tool"),
        [
            ({"_config.yml": "title: T"}, Tool.JEKYLL),
            ({"_config.toml": 'title = "T"'}, Tool.JEKYLL),
            ({"_config.yml": "public_dir: public\nsource_dir: source"}, Tool.HEXO),
            ({"hugo.toml": ""}, Tool.HUGO),
            ({"hugo.json": "{}"}, Tool.HUGO),
            ({"config.yaml": "baseURL: https://a.example/", "content/x.md": ""}, Tool.HUGO),
            ({"config.toml": 'baseURL = "https://a.example/"', "content/x.md": ""}, Tool.HUGO),
            ({"config.toml": 'base_url = "https://a.example"', "content/x.md": ""}, Tool.ZOLA),
            ({"config/_default/hugo.toml": ""}, Tool.HUGO),
            ({"config/_default/config.yaml": ""}, Tool.HUGO),
            ({"astro.config.mjs": "export default {}"}, Tool.ASTRO),
        ],
    )
    def test_know_a_tool_by_its_configuration(
        self, tmp_path: Path, files: dict[str, str], tool: Tool
    ) -> None:
        site = find(tmp_path / "site", files, "content/deep/post.md")

        assert (site.tool, site.root) == (tool, tmp_path / "site")

    def test_take_the_nearest_configuration(self, tmp_path: Path) -> None:
        write(tmp_path, {"_config.yml": "title: outer"})

        site = find(tmp_path, {"docs/hugo.toml": 'title = "inner"'}, "docs/content/post.md")

        assert (site.tool, site.root, site.name) == (Tool.HUGO, tmp_path / "docs", "inner")

    @pytest.mark.parametrize(
        ("post", "tool"),
        [
            ("_posts/2024-01-02-x.md", Tool.JEKYLL),
            ("_drafts/x.md", Tool.JEKYLL),
            ("content/x.md", Tool.HUGO),
            ("src/content/blog/x.md", Tool.ASTRO),
            ("x.md", Tool.UNKNOWN),
        ],
    )
    def test_guess_by_names_of_folders_without_one(
        self, tmp_path: Path, post: str, tool: Tool
    ) -> None:
        site = find(tmp_path, {post: ""}, post)

        assert (site.tool, site.root, site.file) == (tool, tmp_path, "")

    @pytest.mark.parametrize(
        ("name", "text"),
        [("_config.yml", "a: [b"), ("hugo.toml", "a = "), ("hugo.json", "{"), ("hugo.yml", "a")],
    )
    def test_say_why_a_configuration_cannot_be_read(
        self, tmp_path: Path, name: str, text: str
    ) -> None:
        site = find(tmp_path, {name: text}, "content/x.md")

        assert site.tool
        assert site.problem
        assert site.config == {}


class TestZone:
    @pytest.mark.parametrize(
        ("files", "zone"),
        [
            ({"_config.yml": "timezone: Asia/Seoul"}, "Asia/Seoul"),
            ({"_config.yml": "title: T"}, ""),
            ({"_config.yml": "timezone: Mars/Olympus"}, ""),
            ({"_config.yml": "timezone: ../../etc/passwd"}, ""),
            ({"_config.yml": "timezone: 9"}, ""),
            ({"hugo.toml": 'timeZone = "Asia/Tokyo"'}, "Asia/Tokyo"),
            ({"hugo.yaml": "languages:\n  en:\n    timeZone: Europe/Oslo"}, "Europe/Oslo"),
            ({"config/_default/hugo.toml": 'TimeZone = "Asia/Tokyo"'}, "Asia/Tokyo"),
            (
                {
                    "hugo.toml": 'timeZone = "Asia/Tokyo"',
                    "config/production/hugo.toml": 'timeZone = "Asia/Seoul"',
                },
                "Asia/Seoul",
            ),
        ],
    )
    def test_is_that_of_the_configuration(
        self, tmp_path: Path, files: dict[str, str], zone: str
    ) -> None:
        site = find(tmp_path, files, "content/post.md")

        assert (site.zone_name, site.zone) == (zone, ZoneInfo(zone) if zone else None)


class TestLanguages:
    def test_of_hugo_have_folders(self, tmp_path: Path) -> None:
        config = """
defaultContentLanguage = "ko"
disableLanguages = ["fr"]
[languages.en]
contentDir = "content/english"
[languages.ko]
contentDir = "content/korean/"
[languages.de]
disabled = true
[languages.fr]
"""
        site = find(tmp_path, {"hugo.toml": config, "content/a.md": ""}, "content/x.md")

        assert site.language == "ko"
        assert site.languages == {
            "en": ("content/english",),
            "ko": ("content/korean",),
            "de": (),
            "fr": (),
        }
        assert site.hidden_languages == {"de", "fr"}
        assert site.folder_language(tmp_path / "content/korean/a.md") == "ko"
        assert site.folder_language(tmp_path / "content/a.md") == ""
        assert site.content_folders == ("content", "content/english", "content/korean")

    def test_are_read_from_a_file_of_their_own(self, tmp_path: Path) -> None:
        files = {
            "config/_default/hugo.toml": "",
            "config/_default/languages.toml": '[ko]\nlanguageName = "한국어"\n[en]\n',
            "config/_default/languages.ja.toml": 'contentDir = "ja"\n',
        }

        assert find(tmp_path, files, "content/x.md").languages == {
            "ko": (),
            "en": (),
            "ja": ("ja",),
        }

    def test_have_their_posts_anywhere_where_there_is_no_folder_of_content(
        self, tmp_path: Path
    ) -> None:
        site = find(tmp_path, {"hugo.toml": "", "posts/x.md": ""}, "posts/x.md")

        assert site.content_folders == ()

    def test_follow_mounts(self, tmp_path: Path) -> None:
        config = """
module:
  mounts:
    - {source: content/en, target: content, lang: en}
    - {source: content/ko, target: content, lang: ko}
    - {source: assets, target: assets}
"""
        files = {"hugo.yaml": config, "content/ko/x.md": ""}

        site = find(tmp_path, files, "content/ko/x.md")

        assert site.folder_language(tmp_path / "content/ko/x.md") == "ko"
        assert site.content_folders == ("content/en", "content/ko")

    @pytest.mark.parametrize(
        ("name", "config", "language"),
        [
            ("hugo.toml", "", "en"),
            ("hugo.toml", "[languages.ko]", "ko"),
            ("hugo.toml", 'defaultContentLanguage = "ja"', "ja"),
            ("_config.yml", "lang: ko", "ko"),
            ("_config.yml", "locale: ko-KR", "ko-KR"),
            ("_config.yml", "title: T", ""),
        ],
    )
    def test_have_a_default(self, tmp_path: Path, name: str, config: str, language: str) -> None:
        assert find(tmp_path, {name: config}, "content/x.md").language == language
