"""Markdown to HTML that is safe to show."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from content.markdown import render

SAFE_TAGS = {"a", "b", "code", "h1", "img", "li", "p", "pre", "q", "strong"}
SAFE_TAGS |= {"table", "tbody", "td", "th", "thead", "tr"}


class Elements(HTMLParser):
    """The elements of a page as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


class TestRender:
    def test_shows_what_an_editor_writes(self) -> None:
        text = "# 제목\n\n- one\n- two\n\n> “quoted”\n\n~~gone~~ **bold**"

        html = render(text)

        for part in (
            "<h1>제목</h1>",
            "<li>two</li>",
            "<p>“quoted”</p>",
            "<s>gone</s>",
            "<strong>bold</strong>",
        ):
            assert part in html

    def test_shows_a_table_with_its_alignment(self) -> None:
        text = "| a | b |\n| --- | ---: |\n| 1 | 2 |"

        html = render(text)

        assert '<td style="text-align:right">2</td>' in html

    def test_keeps_the_harmless_html_of_an_imported_post(self) -> None:
        text = (
            'H<sub>2</sub>O <td colspan="2"></td>\n\n<table><tr><td colspan="2">x</td></tr></table>'
        )

        html = render(text)

        assert "H<sub>2</sub>O" in html
        assert '<td colspan="2">x</td>' in html

    def test_gives_every_link_its_rel(self) -> None:
        text = '[one](https://example.org) <a href="https://example.org" rel="opener">two</a>'

        html = render(text)

        assert html.count('<a href="https://example.org" rel="nofollow noopener">') == 2

    @pytest.mark.parametrize(
        "text",
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<iframe src='https://example.org'></iframe>",
            "<a href='javascript:alert(1)'>x</a>",
            "<a href='java\tscript:alert(1)'>x</a>",
            "<a href='&#106;avascript:alert(1)'>x</a>",
            "[x](javascript:alert(1))",
            "![x](data:text/html;base64,PHNjcmlwdD4=)",
            "<a href='data:text/html,x'>x</a>",
            "<a href='vbscript:x'>x</a>",
            "<form action='https://example.org'><input name=password></form>",
            "<style>body{display:none}</style>",
            "<p style='position:fixed;inset:0'>x</p>",
            "<td style='background:url(https://example.org)'>x</td>",
            "<base href='https://example.org'>",
            "<meta http-equiv=refresh content='0;url=https://example.org'>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
            "```\n</code></pre><script>alert(1)</script>\n```",
            "`<script>alert(1)</script>`",
            '| <script>alert(1)</script> |\n| --- |\n| <b onclick="alert(1)">x</b> |',
        ],
    )
    def test_leaves_nothing_that_runs_or_misleads(self, text: str) -> None:
        html = render(text)

        page = Elements(html)
        assert page.tags <= SAFE_TAGS
        assert not [name for name, _value in page.attributes if name.startswith("on")]
        for name, value in page.attributes:
            if name in ("href", "src"):
                assert urlsplit(value).scheme in ("", "https")
            if name == "style":
                assert re.fullmatch("text-align:[a-z]+", value)


class TestRenderFromABase:
    def test_completes_links_that_lead_nowhere_elsewhere(self) -> None:
        text = "[a](/x) [b](y?z=1) [c](#d) ![e](f.png) [g](https://h.example/) [i](mailto:j@k)"

        elements = Elements(render(text, base="https://news.example.org/stories/one/"))

        assert [value for name, value in elements.attributes if name in ("href", "src")] == [
            "https://news.example.org/x",
            "https://news.example.org/stories/one/y?z=1",
            "https://news.example.org/stories/one/#d",
            "https://news.example.org/stories/one/f.png",
            "https://h.example/",
            "mailto:j@k",
        ]

    def test_is_as_safe_as_without(self) -> None:
        html = render("[a](javascript:x) <script>1</script>", base="https://news.example.org/")

        assert Elements(html).tags == {"p"}
