"""What posts are made of besides CommonMark."""

import pytest

from content import markdown


def render(text: str) -> str:
    return markdown.render(text).html.strip().replace("\n", "").replace(REL, "")


C = "https://ko.wikipedia.org/wiki/C%EC%96%B8%EC%96%B4"
REL = ' rel="nofollow noopener"'


class TestHeadings:
    @pytest.mark.parametrize(
        ("text", "html"),
        [
            ("## Top", '<h2 id="top">Top</h2>'),
            ("# 가을 수확", '<h1 id="가을-수확">가을 수확</h1>'),
            ("# 見出し `code`", '<h1 id="見出し-code">見出し <code>code</code></h1>'),
            ("# !", '<h1 id="section">!</h1>'),
            ("# A\n# A\n# A", '<h1 id="a">A</h1><h1 id="a-1">A</h1><h1 id="a-2">A</h1>'),
            ("# A-1\n# A\n# A", '<h1 id="a-1">A-1</h1><h1 id="a">A</h1><h1 id="a-2">A</h1>'),
            ("## Setting up {#setup}", '<h2 id="setup">Setting up</h2>'),
            ("Two\n===", '<h1 id="two">Two</h1>'),
        ],
    )
    def test_have_ids_that_links_lead_to(self, text: str, html: str) -> None:
        assert render(text) == html


class TestExtensions:
    def test_show_footnotes(self) -> None:
        html = render("물[^a] 불[^a].\n\n[^a]: 해수면에서.")

        assert '물<sup class="footnote-ref"><a href="#fn1" id="fnref1">[1]</a></sup>' in html
        assert '<li id="fn1" class="footnote-item"><p>해수면에서. <a href="#fnref1"' in html

    def test_show_task_lists(self) -> None:
        html = render("- [x] done\n- [ ] open")

        assert html.count('type="checkbox"') == 2
        assert html.count("checked") == 1

    def test_keep_the_language_of_a_fence(self) -> None:
        assert render("```c++ title=x\nx\n```") == (
            '<pre><code class="language-c++">x</code></pre>'
        )

    def test_show_definition_lists(self) -> None:
        assert render("쌀\n: 벼의 열매") == "<dl><dt>쌀</dt><dd>벼의 열매</dd></dl>"


class TestBareAddresses:
    @pytest.mark.parametrize(
        ("text", "address", "url"),
        [
            ("See https://example.org/a.", "https://example.org/a", None),
            ("(https://example.org/a_(b))", "https://example.org/a_(b)", None),
            ("https://example.org/?a=1&b=2!", "https://example.org/?a=1&amp;b=2", None),
            ("**https://example.org/a**", "https://example.org/a", None),
            ("https://example.org/__init__.py", "https://example.org/__init__.py", None),
            ("http://localhost:8000/x", "http://localhost:8000/x", None),
            ("www.example.org에서", "www.example.org", "http://www.example.org"),
            ("me@example.org로", "me@example.org", "mailto:me@example.org"),
            # Korean and Japanese behind it
            ("https://example.org/a를 보라", "https://example.org/a", None),
            ("https://example.org/a/에서는", "https://example.org/a/", None),
            ("(https://example.org/a)는", "https://example.org/a", None),
            ("https://example.org은", "https://example.org", None),
            ("https://example.org/를", "https://example.org/", None),
            ("https://example.org/で", "https://example.org/", None),
            ("https://ko.wikipedia.org/wiki/C언어", "https://ko.wikipedia.org/wiki/C언어", C),
            ("주소는https://example.org/a입니다.", "https://example.org/a", None),
            ("詳細はhttps://example.org/aを見て", "https://example.org/a", None),
            ("「https://example.org/a」。", "https://example.org/a", None),
            # what belongs to it
            (
                "https://ko.wikipedia.org/wiki/가을",
                "https://ko.wikipedia.org/wiki/가을",
                "https://ko.wikipedia.org/wiki/%EA%B0%80%EC%9D%84",
            ),
            (
                "https://ja.wikipedia.org/wiki/いろは",
                "https://ja.wikipedia.org/wiki/いろは",
                "https://ja.wikipedia.org/wiki/%E3%81%84%E3%82%8D%E3%81%AF",
            ),
            (
                "https://예제.한국/길",
                "https://예제.한국/길",
                "https://xn--2j5b21b.xn--3e0b707e/%EA%B8%B8",
            ),
        ],
    )
    def test_become_links(self, text: str, address: str, url: str | None) -> None:
        assert f'<a href="{url or address}">{address}</a>' in render(text)

    @pytest.mark.parametrize(
        "text",
        [
            "`https://example.org`",
            "```\nhttps://example.org\n```",
            "    https://example.org",
            "README.md",
            "a@b",
            "@name",
            "https://",
            "xhttps://example.org",
            "javascript://example.org",
            "http:/example.org",
            "www.",
        ],
    )
    def test_are_none_in_code_and_in_what_only_looks_like_one(self, text: str) -> None:
        assert "<a" not in render(text)

    def test_do_not_stand_within_another_link(self) -> None:
        assert render("[https://a.example](https://b.example)").count("<a") == 1
        assert render('<a href="https://b.example">https://a.example</a>').count("<a") == 1
