"""Reading one Markdown file with front matter."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.frontmatter import MAX_BYTES, Post, PostError, Reading, parse

SEOUL = ZoneInfo("Asia/Seoul")
BERLIN = ZoneInfo("Europe/Berlin")


def read(text: str, name: str = "/site/_posts/autumn.md", zone: ZoneInfo = SEOUL) -> Post:
    return parse(text.encode(), path=PurePosixPath(name), reading=Reading(zone=zone))


def texts(post: Post) -> tuple[str, ...]:
    return tuple(map(str, post.notes))


def read_yaml(keys: str, **options: Any) -> Post:
    return read(f"---\ntitle: Autumn\ndate: 2025-09-23\n{keys}\n---\n\nLeaves.\n", **options)


def read_toml(keys: str) -> Post:
    return read(f'+++\ntitle = "Autumn"\ndate = 2025-09-23\n{keys}\n+++\n\nLeaves.\n')


def attempt(data: bytes) -> Post | None:
    try:
        return parse(data, path=PurePosixPath("/site/autumn.md"), reading=Reading(zone=SEOUL))
    except PostError:
        return None


class TestParse:
    @pytest.mark.parametrize(
        "text",
        [
            "---\ntitle: Autumn\ndate: 2025-09-23\n---\n\nLeaves.\n",
            "---\r\ntitle: Autumn\r\ndate: 2025-09-23\r\n---\r\n\r\nLeaves.\r\n",
            "---\rtitle: Autumn\rdate: 2025-09-23\r---\rLeaves.\r",
            "\ufeff---\ntitle: Autumn\ndate: 2025-09-23\n---\nLeaves.",
            "\n---  \ntitle: Autumn\ndate: 2025-09-23\n--- \nLeaves.",
            "---\ntitle: Autumn\ndate: 2025-09-23\n...\nLeaves.",
            '+++\ntitle = "Autumn"\ndate = 2025-09-23\n+++\nLeaves.',
            '---\nTitle: "Autumn"\nDATE: 2025-09-23\n---\nLeaves.',
        ],
        ids=["lf", "crlf", "cr", "bom", "spaces", "dots", "toml", "capitals"],
    )
    def test_reads_front_matter_however_it_is_fenced(self, text: str) -> None:
        post = read(text)

        assert (post.title, post.body, post.is_draft) == ("Autumn", "Leaves.", False)
        assert post.publish_at == datetime(2025, 9, 22, 15, tzinfo=UTC)
        assert not post.notes

    @pytest.mark.parametrize(
        ("written", "title"),
        [
            ("2025", "2025"),
            ("yes", "yes"),
            ("1.10", "1.10"),
            ("2025-09-23", "2025-09-23"),
            ("“Autumn”, she said", "“Autumn”, she said"),
            ('"가을  하늘"', "가을 하늘"),
            ("'It''s here'", "It's here"),
            (">-\n  Autumn\n  leaves", "Autumn leaves"),
            ('"A\\0B"', "AB"),
        ],
    )
    def test_takes_a_title_as_it_is_written(self, written: str, title: str) -> None:
        post = read(f"---\ntitle: {written}\n---\nLeaves.")

        assert post.title == title

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("---\ndate: 2025-09-23\n---\nAn opening.\n\n## Leaves fall ##\n", "Leaves fall"),
            ("---\ndate: 2025-09-23\n---\n```\n# no heading\n```\n# About C#\n", "About C#"),
            ("---\ndate: 2025-09-23\ntitle: ~\n---\nLeaves.", "Red leaves"),
        ],
    )
    def test_finds_another_title_and_says_so(self, text: str, title: str) -> None:
        post = read(text, "/site/_posts/2025-09-23-red-leaves.md")

        assert post.title == title
        assert texts(post) == (f"It has no title: “{title}” was taken instead.",)

    def test_keeps_a_file_without_front_matter_as_a_draft_and_says_so(self) -> None:
        post = read("# 가을\n\n낙엽.\n", "/site/2025-09-23-autumn.md")

        assert (post.title, post.body, post.slug) == ("가을", "# 가을\n\n낙엽.", "autumn")
        assert (post.is_draft, post.publish_at) == (True, None)
        assert texts(post) == ("It has no front matter: kept as a draft.",)

    def test_keeps_a_post_without_a_date_as_a_draft_and_says_so(self) -> None:
        post = read("---\ntitle: Autumn\ndate:\n---\nLeaves.")

        assert post.is_draft
        assert texts(post) == ("It has no date: kept as a draft.",)

    def test_takes_empty_front_matter(self) -> None:
        post = read("---\n---\nLeaves.", "/site/_posts/2025-09-23-autumn.md")

        assert (post.title, post.body, post.is_draft) == ("Autumn", "Leaves.", False)

    def test_leaves_the_body_as_it_is(self) -> None:
        post = read("---\ntitle: Autumn\n---\n\n    code\n\n---\n\nafter a rule  \n\n")

        assert post.body == "    code\n\n---\n\nafter a rule"

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ("title: A".encode("utf-16"), "It is UTF-16. Save it as UTF-8."),
            (b"---\ntitle: caf\xe9\n---\n", "Line 2 is not UTF-8."),
            (b"t\0i\0t\0l\0e\0", "It has NUL bytes: it is not a text, or it is UTF-16."),
            (b"---\ntitle: A\n", "The front matter that starts in line 1 never ends."),
            (b"\n\n+++\ntitle = 1\n---\n", "The front matter that starts in line 3 never ends."),
            (b"---\n- a\n- b\n---\n", "The front matter is not a list of keys and values."),
            (b"---\njust a line\n---\n", "The front matter is not a list of keys and values."),
            (b"---\ntitle: [A]\n---\n", "“title” is not a text."),
            (b"---\ndate: [2025]\n---\n", "“date” is not a date."),
            (b"---\ntitle: " + b"A" * 201 + b"\n---\n", "has 201 characters; 200 are allowed."),
            (b"---\na: " + b"b" * 64_000 + b"\n---\n", "is longer than 64000 characters."),
            (b"a" * (MAX_BYTES + 1), "It is larger than 5000000 bytes."),
            (b"---\ndate: 2025-02-30\n---\n", "“2025-02-30” is not a date: day is out of range"),
            (b"---\ndate: last week\n---\n", "“last week” is not a date such as 2025-09-23 10:30"),
            (b"+++\ndate = 2025-02-30\n+++\n", "is not TOML: Invalid date or datetime (at line 2"),
        ],
    )
    def test_refuses_what_makes_no_sense_with_a_reason(self, data: bytes, reason: str) -> None:
        with pytest.raises(PostError) as refused:
            parse(data, path=PurePosixPath("/site/autumn.md"), reading=Reading(zone=SEOUL))

        assert reason in str(refused.value)

    def test_names_the_line_of_the_file_where_yaml_goes_wrong(self) -> None:
        with pytest.raises(PostError, match=r"not YAML: line 4: .*mapping values are not allowed"):
            read("\n---\ntitle: Autumn\nsummary: leaves: red\n---\n")

    def test_names_the_line_of_the_file_where_toml_goes_wrong(self) -> None:
        with pytest.raises(PostError, match=r"not TOML: Invalid value \(at line 3, column 9\)"):
            read("+++\ndraft = false\ntitle = “Autumn”\n+++\n")

    def test_names_a_key_that_is_there_twice(self) -> None:
        post = read_yaml("weight: 1\nweight: 2")

        assert post.extra["weight"] == 2
        assert texts(post) == ("“weight” is there twice; the last one counts.",)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "keys",
        [
            "a: &a [x,x,x,x,x,x,x,x]\n"
            + "\n".join(
                f"{name}: &{name} [{','.join(['*' + before] * 8)}]"
                for before, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "a: &a [*a]",
            "a: " + "[" * 60_000,
            "a:\n" + "\n".join(" " * depth + "- " for depth in range(60)) + "x",
        ],
        ids=["aliases of aliases", "an alias of itself", "brackets", "indents"],
    )
    def test_survives_yaml_that_explodes(self, keys: str) -> None:
        with pytest.raises(PostError, match="The front matter is too large, or nested too deeply"):
            read_yaml(keys)

    @pytest.mark.parametrize("keys", ["a = " + "[" * 9_000, "a = " + "9" * 5_000])
    def test_survives_toml_that_explodes(self, keys: str) -> None:
        with pytest.raises(PostError, match="The front matter is not TOML"):
            read_toml(keys)

    @pytest.mark.slow
    @given(st.binary() | st.text().map(str.encode))
    def test_raises_nothing_but_its_own_error(self, data: bytes) -> None:
        posts = [
            attempt(data),
            attempt(b"---\n%b\n---\n" % data),
            attempt(b"+++\n%b\n+++\n" % data),
        ]

        for post in filter(None, posts):
            assert post.slug
            assert "\\u0000" not in json.dumps(asdict(post), default=str)

    @pytest.mark.slow
    @given(
        st.sampled_from(["title", "date", "tags", "author", "slug", "draft", "keywords", "extra"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
    def test_takes_or_refuses_any_value_of_a_key(self, key: str, value: Any) -> None:
        post = attempt(f"---\n{json.dumps({key: value}, default=str)}\n---\n".encode())

        if post is not None:
            assert json.dumps(post.extra, allow_nan=False)


class TestDates:
    @pytest.mark.parametrize(
        "written",
        [
            "2025-09-23 10:30:00 +0900",
            "2025-09-23 10:30 +09:00",
            "2025-09-23T10:30:00+09",
            "2025-09-23T01:30:00Z",
            "'2025-09-23 01:30:00 UTC'",
            "2025-09-23T01:30:00.000000000Z",
            "2025-09-23 10:30:00",
            "2025-9-23 10:30",
            "2025/9/23 10:30:00",
            "Sep 23, 2025 10:30 AM",
            "September 23rd, 2025 at 10:30",
            "23 Sep 2025 10:30:00 +0900",
            "Tue, 23 Sep 2025 01:30:00 GMT",
            "2025-09-22 18:30:00 -0700 PDT",
            "2025-09-23 10:30:00 + 0900",
            "2025-09-23 10:30:00 +0900 (KST)",
            "2025-09-23 10:30 KST",
            "2025-09-23 10:30:00 Asia/Seoul",
            "2025-09-23 10:30:00 GMT+9",
            "Tue Sep 23 2025 10:30:00 GMT+0900 (Korean Standard Time)",
            "Tue Sep 23 01:30:00 UTC 2025",
            "Tue Sep 23 10:30:00 +0900 2025",
            "Tuesday, 23-Sep-25 01:30:00 UTC",
            "20250923T103000",
            "20250923103000",
            "9/23/2025 10:30",
            "23.9.2025 10:30",
            "23/09/2025 10:30:00 a.m.",
            "2025. 9. 23. 오전 10:30",
            "2025년 9월 23일 오전 10시 30분",
            "2025年9月23日 10:30",
            "２０２５－０９－２３ １０：３０",
            "1758591000",
            "1758591000000",
        ],
    )
    def test_reads_a_moment_in_all_the_ways_sites_write_it(self, written: str) -> None:
        post = read(f"---\ntitle: Autumn\ndate: {written}\n---\nLeaves.")

        assert post.publish_at == datetime(2025, 9, 23, 1, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "written",
        ["2025-09-23T10:30:00+09:00", "2025-09-23 10:30:00", '"2025-09-23 10:30:00 +0900"'],
    )
    def test_reads_a_moment_of_toml(self, written: str) -> None:
        post = read(f'+++\ntitle = "Autumn"\ndate = {written}\n+++\nLeaves.')

        assert post.publish_at == datetime(2025, 9, 23, 1, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "written",
        ["2025-09-23", "'2025-09-23'", "Sep 23, 2025", "2025.9.23", "20250923", "23/9/2025"],
    )
    def test_takes_a_day_from_its_first_moment(self, written: str) -> None:
        post = read(f"---\ntitle: Autumn\ndate: {written}\n---\nLeaves.")

        assert post.publish_at == datetime(2025, 9, 22, 15, tzinfo=UTC)

    @pytest.mark.parametrize(
        "written",
        [
            "last week", "2025-09", "10:30:00", "2025-09-23 25:00", "2025-09-23 24:00:01",
            "2025-09-23 13:00 pm", "9999-12-31", "2025-09-23 10:30:00 +99:00", "2025-W39-2",
            "2025-09-23 10:30:00 +09:60", "2025-09-23 10:30 Asia/Nowhere", "2025-09-23 Tuesday",
        ],
    )  # fmt: skip
    def test_refuses_a_date_that_is_none(self, written: str) -> None:
        with pytest.raises(PostError, match="is not a date"):
            read(f"---\ntitle: Autumn\ndate: {written}\n---\nLeaves.")

    @pytest.mark.parametrize("written", ["01/02/2023", "1.2.2023", "01-02-2023 10:30"])
    def test_keeps_a_date_that_could_be_two_as_a_draft_and_says_so(self, written: str) -> None:
        post = read(f"---\ntitle: Autumn\ndate: {written}\n---\nLeaves.")

        assert (post.is_draft, post.publish_at, post.extra) == (True, None, {"date": written})
        assert texts(post) == (
            f"“{written}” could be two days, by which comes first, day or month: kept as a draft.",
        )

    def test_reads_a_zone_that_nobody_knows_as_none_and_says_so(self) -> None:
        post = read("---\ntitle: Autumn\ndate: 2025-09-23 10:30 XYZ\n---\nLeaves.")

        assert post.publish_at == datetime(2025, 9, 23, 1, 30, tzinfo=UTC)
        assert texts(post) == ("“XYZ” is not a known time zone: the time was read as one without.",)

    @pytest.mark.parametrize(
        ("written", "at"),
        [
            ("2025-09-22 24:00", datetime(2025, 9, 22, 15, tzinfo=UTC)),
            ("2025-09-22 23:59:60", datetime(2025, 9, 22, 15, tzinfo=UTC)),
            ("2025-09-23 12:00 am", datetime(2025, 9, 22, 15, tzinfo=UTC)),
            ("02 Jan 06 15:04 GMT", datetime(2006, 1, 2, 15, 4, tzinfo=UTC)),
            ("Friday, 02-Jan-98 15:04:05 GMT", datetime(1998, 1, 2, 15, 4, 5, tzinfo=UTC)),
            ("2025-09-23T10:30:00.1234567Z", datetime(2025, 9, 23, 10, 30, 0, 123456, tzinfo=UTC)),
        ],
    )
    def test_reads_the_borders(self, written: str, at: datetime) -> None:
        assert read(f"---\ntitle: Autumn\ndate: {written}\n---\n").publish_at == at

    def test_moves_a_time_that_the_clock_skips_and_says_so(self) -> None:
        post = read("---\ntitle: A\ndate: 2025-03-30 02:30\n---\n", zone=BERLIN)

        assert post.publish_at == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)
        assert texts(post) == (
            "In Europe/Berlin the clock skips 2025-03-30 02:30:00: "
            "2025-03-30 03:30:00+02:00 was taken instead.",
        )

    def test_takes_the_first_of_a_time_the_clock_shows_twice_and_says_so(self) -> None:
        post = read("---\ntitle: A\ndate: 2025-10-26 02:30\n---\n", zone=BERLIN)

        assert post.publish_at == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
        assert texts(post) == (
            "In Europe/Berlin the clock shows 2025-10-26 02:30:00 twice: the first was taken.",
        )

    @pytest.mark.parametrize("key", ["publishDate", "publishdate", "pubdate", "published"])
    def test_lets_the_date_of_publication_win(self, key: str) -> None:
        post = read_yaml(f"{key}: 2025-10-01T00:00:00Z")

        assert post.publish_at == datetime(2025, 10, 1, tzinfo=UTC)
        assert post.extra == {"date": "2025-09-23"}

    @pytest.mark.parametrize("key", ["expiryDate", "unpublishdate"])
    def test_reads_the_end(self, key: str) -> None:
        post = read_yaml(f"{key}: 2025-10-01T00:00:00Z")

        assert post.unpublish_at == datetime(2025, 10, 1, tzinfo=UTC)
        assert post.extra == {}

    @pytest.mark.parametrize(
        "key",
        [
            "pubDatetime", "publishedAt", "published_at", "publish_date", "datePublished",
            "created", "created_at", "pub-date", "PostDate",
        ],
    )  # fmt: skip
    def test_finds_the_date_in_other_words(self, key: str) -> None:
        post = read(f"---\ntitle: Autumn\n{key}: 2025-10-01T00:00:00Z\n---\n")

        assert (post.publish_at, post.extra) == (datetime(2025, 10, 1, tzinfo=UTC), {})
        assert not post.notes

    def test_prefers_the_name_of_the_file_to_other_words(self) -> None:
        post = read("---\ntitle: A\ncreated: 2025-10-01\n---\n", "/s/_posts/2025-09-23-a.md")

        assert post.publish_at == datetime(2025, 9, 22, 15, tzinfo=UTC)

    def test_passes_over_other_words_that_are_no_dates(self) -> None:
        post = read("---\ntitle: A\ncreated: by hand in 2025\n---\n")

        assert texts(post) == ("It has no date: kept as a draft.",)

    def test_keeps_what_ends_before_it_starts_as_a_draft_and_says_so(self) -> None:
        post = read_yaml("expiryDate: 2025-09-01")

        assert (post.is_draft, post.publish_at, post.unpublish_at) == (True, None, None)
        assert post.extra == {"date": "2025-09-23", "expiryDate": "2025-09-01"}
        assert texts(post) == (
            "It ends at 2025-08-31T15:00:00+00:00, before it starts at 2025-09-22T15:00:00+00:00: "
            "kept as a draft.",
        )

    @pytest.mark.parametrize("zero", ["''", "0001-01-01T00:00:00Z", "null"])
    def test_passes_over_an_empty_date(self, zero: str) -> None:
        post = read_yaml(f"publishDate: {zero}\nexpiryDate: {zero}")

        assert post.publish_at == datetime(2025, 9, 22, 15, tzinfo=UTC)
        assert post.unpublish_at is None


class TestDrafts:
    @pytest.mark.parametrize(
        "keys", ["draft: true", "draft: yes", "draft: 'True'", "published: false", "published: no"]
    )
    def test_are_what_the_file_says_is_one(self, keys: str) -> None:
        post = read_yaml(keys)

        assert (post.is_draft, post.publish_at) == (True, None)
        assert post.extra == {"date": "2025-09-23"}
        assert not post.notes

    @pytest.mark.parametrize("keys", ["draft: false", "draft: ''", "draft:", "published: true"])
    def test_are_not_what_the_file_says_is_none(self, keys: str) -> None:
        post = read_yaml(keys)

        assert not post.is_draft
        assert post.extra == {}

    def test_are_what_lies_among_drafts(self) -> None:
        post = read_yaml("", name="/site/_drafts/autumn.md")

        assert post.is_draft

    @pytest.mark.parametrize("written", ["maybe", "[]", "{}"])
    def test_are_kept_where_nobody_can_know(self, written: str) -> None:
        post = read_yaml(f"draft: {written}")

        assert post.is_draft
        assert texts(post) == ("“draft” is neither true nor false: kept as a draft.",)

    @pytest.mark.parametrize(
        ("keys", "key"),
        [
            ("headless: true", "headless"),
            ("build: {render: never}", "build.render"),
            ("build:\n  render: false", "build.render"),
            ("_build:\n  render: link", "_build.render"),
            ("_build: {list: never}", "_build.list"),
            ("outputs: []", "outputs"),
            ("render: false", "render"),
            ("private: true", "private"),
            ("hidden: yes", "hidden"),
            ("unlisted: true", "unlisted"),
            ("noindex: true", "noindex"),
            ("password: s3cret", "password"),
            ("protected: admins", "protected"),
            ("visibility: Private", "visibility"),
            ("status: draft", "status"),
            ("publish: false", "publish"),
            ("robots: noindex, nofollow", "robots"),
            ("is_draft: true", "is_draft"),
            ("robotsNoIndex: true", "robotsNoIndex"),
            ("hide: true", "hide"),
            ("params: {private: true}", "private"),
            ("extra: {hidden: true}", "hidden"),
        ],
    )
    def test_are_what_the_site_keeps_from_readers_and_say_so(self, keys: str, key: str) -> None:
        post = read_yaml(keys)

        assert (post.is_draft, post.publish_at) == (True, None)
        assert texts(post) == (f"Its site keeps it from readers (“{key}”): kept as a draft.",)

    @pytest.mark.parametrize(
        "keys",
        [
            "headless: false", "build: {render: always, list: local}", "private: 0", "hidden:",
            "password: ''", "visibility: public", "status: published", "publish: true",
            "render: true", "robots: index", "outputs: [html]", "build: now", "hide: [toc]",
            "redirect_to: https://a.example/",
        ],
    )  # fmt: skip
    def test_are_not_what_the_site_shows(self, keys: str) -> None:
        assert not read_yaml(keys).is_draft


class TestFrontMatter:
    @pytest.mark.parametrize(
        "text",
        [
            '{"title": "Autumn", "date": "2025-09-23"}\n\nLeaves.',
            '{\n  "title": "Autumn",\n  "date": "2025-09-23"\n}\nLeaves.',
            ';;;\n"title": "Autumn", "date": "2025-09-23"\n;;;\nLeaves.',
            ';;;\n{"title": "Autumn", "date": "2025-09-23"}\n;;;\nLeaves.',
            '---json\n{"title": "Autumn", "date": "2025-09-23"}\n---\nLeaves.',
            '---toml\ntitle = "Autumn"\ndate = 2025-09-23\n---\nLeaves.',
            "---yaml\ntitle: Autumn\ndate: 2025-09-23\n---\nLeaves.",
        ],
    )
    def test_is_read_in_every_form(self, text: str) -> None:
        post = read(text)

        assert (post.title, post.body, post.is_draft) == ("Autumn", "Leaves.", False)
        assert post.publish_at == datetime(2025, 9, 22, 15, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["{{< youtube abc >}}", "{% include a.html %}", "{a: b}"])
    def test_is_not_what_only_begins_with_a_brace(self, text: str) -> None:
        assert read(text).body == text

    def test_is_refused_where_json_goes_wrong(self) -> None:
        with pytest.raises(PostError, match=r"not JSON: Expecting ',' delimiter: line 2"):
            read('{"title": "A"\n"date": "B"}\n')


class TestNames:
    @pytest.mark.parametrize(
        ("keys", "tags"),
        [
            ("tags: [1, 2.0, null, no, '', 가을]", ("1", "2.0", "no", "가을")),
            ("tags: red yellow", ("red", "yellow")),
            ("tags: red leaves, yellow leaves,", ("red leaves", "yellow leaves")),
            ("tags:\n- red  leaves\n- red leaves\n- Red leaves", ("red leaves", "Red leaves")),
            ("tag: red leaves", ("red leaves",)),
            ("tag: red\ntags: [yellow]", ("red", "yellow")),
            ("tags: [[red], [yellow, brown]]", ("red", "yellow", "brown")),
            ("tags: 2025", ("2025",)),
            ("tags:", ()),
            ("taxonomies: {tags: [red leaves], series: [seasons]}", ("red leaves",)),
        ],
    )
    def test_are_found_in_every_shape(self, keys: str, tags: tuple[str, ...]) -> None:
        post = read_yaml(keys)

        assert post.tags == tags
        assert "tags" not in post.extra

    def test_of_categories_are_found_likewise(self) -> None:
        post = read_toml('category = "Garden"\n[taxonomies]\ncategories = ["Notes"]')

        assert post.categories == ("Garden", "Notes")
        assert post.extra == {}

    def test_of_keywords_may_be_phrases(self) -> None:
        post = read_yaml("keywords: red leaves")

        assert post.keywords == ("red leaves",)

    def test_of_other_taxonomies_stay(self) -> None:
        post = read_toml('[taxonomies]\ntags = ["red"]\nseries = ["seasons"]')

        assert post.extra == {"taxonomies": {"series": ["seasons"]}}

    def test_that_are_too_long_are_cut_and_named(self) -> None:
        post = read_yaml(f"tags: [{'a' * 101}]")

        assert post.tags == ("a" * 100,)
        assert texts(post) == (f"“{'a' * 20}…” in “tags” was cut to 100 characters.",)

    def test_that_are_a_map_stay_and_are_named(self) -> None:
        post = read_yaml("tags: {red: 1}")

        assert post.tags == ()
        assert post.extra == {"tags": {"red": 1}}
        assert texts(post) == ("“tags” is not a list: left among the other keys.",)


class TestAuthors:
    @pytest.mark.parametrize(
        ("keys", "authors", "extra"),
        [
            ("author: 김 민아", ("김 민아",), {}),
            ("authors: [mina, jun, mina]", ("mina", "jun"), {}),
            (
                "author: {name: mina, email: m@example.com}",
                ("mina",),
                {"author": {"name": "mina", "email": "m@example.com"}},
            ),
            (
                "authors:\n- name: mina\n- jun",
                ("mina", "jun"),
                {"authors": [{"name": "mina"}, "jun"]},
            ),
            ("params: {author: mina}", ("mina",), {"params": {"author": "mina"}}),
            ("author: {email: m@example.com}", (), {"author": {"email": "m@example.com"}}),
        ],
    )
    def test_are_found_in_every_shape(
        self, keys: str, authors: tuple[str, ...], extra: dict[str, Any]
    ) -> None:
        post = read_yaml(keys)

        assert (post.authors, post.extra) == (authors, extra)

    def test_make_a_byline_that_fits(self) -> None:
        post = read_yaml(f"authors: [{'a' * 150}, {'b' * 150}]")

        assert post.byline == f"{'a' * 150}, {'b' * 48}"
        assert texts(post) == ("The authors were cut to 200 characters.",)


class TestSlug:
    @pytest.mark.parametrize(
        ("keys", "name", "slug"),
        [
            ("slug: 007", "autumn.md", "007"),
            ("slug: Red/Leaves", "autumn.md", "red-leaves"),
            ("slug: ''", "autumn.md", "autumn"),
            ("", "2025-09-23-red-leaves.md", "red-leaves"),
            ("", "2025-09-23-가을-하늘.markdown", "가을-하늘"),
            # As macOS stores it: letters and marks apart.
            ("", "\u1100\u1161\u110b\u1173\u11af.md", "가을"),
            ("", "jekyll-3.0-is-here.md", "jekyll-3-0-is-here"),
            ("", "2025-09-23.md", "2025-09-23"),
            ("", "red-leaves/index.md", "red-leaves"),
            ("", "2025-09-23-red-leaves/index.ko.md", "red-leaves-ko"),
            ("", "🍂.md", "autumn"),
        ],
    )
    def test_comes_from_the_key_or_the_name(self, keys: str, name: str, slug: str) -> None:
        post = read_yaml(keys, name=f"/site/posts/{name}")

        assert post.slug == slug

    def test_is_always_the_same_where_nothing_gives_one(self) -> None:
        texts = [read(f"---\ntitle: '!'\n---\n{body}", "/site/🍂.md") for body in ("red", "brown")]

        assert texts[0].slug == texts[1].slug
        assert texts[0].slug.startswith("post-")

    def test_fits(self) -> None:
        post = read_yaml("", name=f"/site/{'autumn-' * 30}.md")

        assert len(post.slug) <= 200
        assert not post.slug.endswith("-")

    def test_takes_a_name_that_is_no_utf8(self) -> None:
        post = read("Leaves.", "/site/caf\udce9.md")

        assert (post.slug, post.title) == ("caf", "Caf")


class TestOtherKeys:
    def test_are_kept_with_their_types(self) -> None:
        post = read_yaml(
            "weight: 10\nratio: 1.5\ntoc: on\nserial: 007\nimage: ~\nlastmod: 2025-09-24\n"
            "quoted: '10'\nmenu: {main: {weight: 1}}"
        )

        assert post.extra == {
            "weight": 10,
            "ratio": 1.5,
            "toc": True,
            "serial": "007",
            "image": None,
            "lastmod": "2025-09-24",
            "quoted": "10",
            "menu": {"main": {"weight": 1}},
        }

    def test_of_toml_are_kept_as_json_can(self) -> None:
        post = read_toml(
            "updated = 2025-09-24T10:00:00Z\nat = 10:30:00\nratio = nan\n[extra]\na = 1"
        )

        assert post.extra == {
            "updated": "2025-09-24T10:00:00+00:00",
            "at": "10:30:00",
            "ratio": "nan",
            "extra": {"a": 1},
        }

    def test_take_the_first_text_that_can_be_a_summary(self) -> None:
        post = read_yaml("excerpt: Short.\nsummary: Long.")

        assert post.summary == "Long."
        assert post.extra == {"excerpt": "Short."}

    @pytest.mark.parametrize(
        ("keys", "name", "language"),
        [
            ("lang: ko", "autumn.md", "ko"),
            ("language: pt-BR", "autumn.ko.md", "pt-BR"),
            ("", "autumn.pt-BR.md", "pt-BR"),
            ("", "crates.io-and-more.md", ""),
            ("", "autumn.ko.md", "ko"),
            ("", "autumn.zh-cn.md", "zh-cn"),
            ("", "autumn.min.md", ""),
            ("", "ko.md", ""),
        ],
    )
    def test_name_the_language(self, keys: str, name: str, language: str) -> None:
        post = read_yaml(keys, name=f"/site/{name}")

        assert post.language == language
