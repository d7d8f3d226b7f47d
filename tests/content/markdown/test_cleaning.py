"""What of a post's HTML is shown."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from content import markdown
from content.markdown.cleaning import complete, with_ids_of_its_own

SAFE_TAGS = {"a", "b", "code", "h1", "img", "li", "p", "pre", "q", "strong"}
SAFE_TAGS |= {"table", "tbody", "td", "th", "thead", "tr"}
# Of footnotes, task lists and definition lists; boxes that nobody can tick.
SAFE_TAGS |= {"dd", "dl", "dt", "hr", "input", "ol", "section", "sup", "ul"}


def render(text: str) -> str:
    return markdown.render(text).html


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
            '<h1 id="제목">제목</h1>',
            "<li>two</li>",
            "<p>“quoted”</p>",
            "<s>gone</s>",
            "<strong>bold</strong>",
        ):
            assert part in html

    def test_shows_a_table_with_its_alignment(self) -> None:
        text = "| a | b |\n| --- | ---: |\n| 1 | 2 |"

        html = render(text)

        assert '<td align="right">2</td>' in html

    @pytest.mark.parametrize(
        ("cell", "shown"),
        [
            ("<td style='text-align: CENTER; color: red'>x</td>", '<td align="center">x</td>'),
            ('<th style="text-align:left;text-align:right">x</th>', '<th align="right">x</th>'),
            (
                '<td align="left" style="text-align:right">x',
                '<td align="right" align="left">x</td>',
            ),
            ('<td style="text-align:start">x</td>', "<td>x</td>"),
            ('<td style="">x</td>', "<td>x</td>"),
            ('<td colspan="2"> style="text-align:left"</td>', '<td colspan="2"> style='),
        ],
    )
    def test_takes_the_alignment_from_a_style_and_leaves_no_style(
        self, cell: str, shown: str
    ) -> None:
        html = render(f"<table><tr>{cell}</tr></table>")

        assert shown in html

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
            'https://example.org/"onmouseover=alert(1)',
            "https://example.org/<script>alert(1)</script>",
            "www.example.org'onclick='alert(1)",
            'me@example.org"onclick=alert(1)',
            "[^<script>]\n\n[^<script>]: <img src=x onerror=alert(1)>",
            '[^"onclick="alert(1)]\n\n[^"onclick="alert(1)]: x',
            "- [x] <script>alert(1)</script>",
            "<input type=text name=password onfocus=alert(1) autofocus>",
            "<input type=image src=https://example.org/x>",
            '# x {#"onclick="alert(1)}',
            "# <script>alert(1)</script>",
            '```"onclick="alert(1)\n```',
            "term\n: <script>alert(1)</script>",
            "<img id=cookie name=cookie src=https://example.org/x>",
            "<p class='admin-button' id='a b' style='color:red'>x</p>",
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
                assert urlsplit(value).scheme in ("", "https", "http", "mailto")
            if name == "type":
                assert value == "checkbox"
            if name in ("id", "class"):
                assert re.fullmatch(r"[\w.:-]+( [\w.:-]+)*", value)
            assert name != "style"

    def test_lets_nobody_tick_or_fill_a_box(self) -> None:
        html = render("- [x] done\n\n<input> <input type=text value=x>")

        assert html.count("<input") == 3
        assert html.count('disabled=""') == html.count('type="checkbox"') == 3

    def test_keeps_ids_that_links_lead_to_but_not_on_pictures(self) -> None:
        html = render('<p id="a">x</p>\n\n<a name="b"></a><img id="cookie" src="/c.png">')

        assert '<p id="a">' in html
        assert '<a name="b"' in html
        assert "cookie" not in html


class TestIdsOfItsOwn:
    def test_differ_on_a_page_with_several_posts(self) -> None:
        html = render("# Top\n\n[up](#top) [out](/x#top) a[^1]\n\n[^1]: b")

        both = [with_ids_of_its_own(html, prefix) for prefix in ("one-", "two-")]

        ids = [re.findall(r'id="([^"]+)"', each) for each in both]
        assert ids == [["one-top", "one-fnref1", "one-fn1"], ["two-top", "two-fnref1", "two-fn1"]]
        assert re.findall('href="([^"]+)"', both[0]) == [
            "#one-top",
            "/x#top",
            "#one-fn1",
            "#one-fnref1",
        ]


class TestComplete:
    def test_completes_links_that_lead_nowhere_elsewhere(self) -> None:
        text = "[a](/x) [b](y?z=1) [c](#d) ![e](f.png) [g](https://h.example/) [i](mailto:j@k)"

        elements = Elements(complete(render(text), "https://news.example.org/stories/one/"))

        assert [value for name, value in elements.attributes if name in ("href", "src")] == [
            "https://news.example.org/x",
            "https://news.example.org/stories/one/y?z=1",
            "https://news.example.org/stories/one/#d",
            "https://news.example.org/stories/one/f.png",
            "https://h.example/",
            "mailto:j@k",
        ]

    def test_is_as_safe_as_without(self) -> None:
        html = complete(render("[a](javascript:x) <script>1</script>"), "https://news.example.org/")

        assert Elements(html).tags == {"p"}

    def test_has_no_ids_and_leads_to_the_post_itself(self) -> None:
        html = complete(render("# Top\n\n[up](#top)"), "https://news.example.org/one/")

        assert "id=" not in html
        assert 'href="https://news.example.org/one/#top"' in html


class TestVisible:
    @pytest.mark.parametrize(
        "text",
        [
            "a",
            ".",
            "1",
            "&amp;",
            "![](https://example.org/a.png)",
            "<img src=/a.png>",
            "<img src=/a.png width=100 height=10>",
            "<p hidden>x</p>",
            "<details><summary></summary>x</details>",
            "```\nx\n```",
            "[^1]\n\n[^1]: x",
            "<ruby>漢<rp>(</rp><rt>かん</rt></ruby>",
            "[a]: b c",
            "<title>x</title>",
            '<img src="/a.png#b" width="100%" height="10">',
            '<img src="a.png" width="x">',
            '<img src="a.png" width="1%">',
            "🎉",
            "\\",
        ],
    )
    def test_is_what_a_reader_can_see(self, text: str) -> None:
        assert markdown.render(text).is_visible

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " \n\t",
            "\u3164",
            "\U000e0020&#xE0041;",
            "&nbsp;&#8203;&#x3164;",
            "<!-- later -->",
            "<script>alert(1)</script>",
            "<style>p { color: red }</style>",
            "<iframe src='https://example.org'></iframe>",
            "<video src='/a.mp4'></video>",
            "[a]: https://example.org",
            "[a]:\nhttps://example.org\n'title'",
            "[^1]: Nobody refers to it.",
            "<p></p><div><span> </span></div>",
            "[](https://example.org)",
            "![]()",
            "![a]()",
            "<img src='data:image/png;base64,AAAA'>",
            "<img src='javascript:x'>",
            "<img src='https://example.org/count.gif' width=1 height=1>",
            "---",
            "***\n\n- - -",
            "- [ ] ",
            "-\n-",
            "1.",
            ">",
            "#",
            "```python\n```",
            "| | |\n|-|-|",
            "<ruby><rp>(</rp><rt></rt><rp>)</rp></ruby>",
            '<img src="#">',
            '<img src="#top">',
            '<img src=" ">',
            '<img src="&nbsp;">',
            '<img src="​">',
            '<img src=" &#35;a">',
            '<img src="a.png" width="0%">',
            '<img src="a.png" width="00">',
            '<img src="a.png" height="0.0">',
            '<img src="a.png" height="01px">',
            '<img src="a.png" width=".5">',
            '<img src="a.png" width="0 px">',
            "![](#)",
            "![](<>)",
        ],
    )
    def test_is_not_what_leaves_an_empty_page(self, text: str) -> None:
        assert not markdown.render(text).is_visible
