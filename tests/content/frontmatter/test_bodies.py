"""What a body has that only its own tool can run."""

import time
from pathlib import PurePosixPath

import pytest

from content.frontmatter import Post, Reading, Shortcodes, Tool, parse
from content.frontmatter.bodies import translate, wrap_html
from content.markdown import render

URLS = {"site.url": "https://a.example", "site.baseurl": "/blog"}


def read(
    body: str,
    *,
    name: str = "a.md",
    shortcodes: Shortcodes = Shortcodes.DRAFT,
    tool: Tool = Tool.UNKNOWN,
) -> Post:
    text = f"---\ntitle: Autumn\ndate: 2025-09-23\n---\n{body}\n"
    reading = Reading(tool=tool, shortcodes=shortcodes, variables=URLS)
    return parse(text.encode(), path=PurePosixPath("/site", name), reading=reading)


def codes(post: Post) -> list[str]:
    return [note.code for note in post.notes]


class TestCodeOfATool:
    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            ('{{< youtube id="abc" >}}', "1 × {{< youtube >}}"),
            ("{{% note %}}\nText\n{{% /note %}}", "1 × {{% note %}}"),
            ("{{<figure src=a.png>}}", "1 × {{< figure >}}"),
            ("{% include video.html id=1 %}", "1 × {% include %}"),
            ("{%- if a -%}Text{%- endif -%}", "1 × {% if %}"),
            ("{{ page.title }}", "1 × {{ … }}"),
            ("{{ 'a' | upcase }} {{ b }}", "2 × {{ … }}"),
            ("- `a` {% gist 1 %}", "1 × {% gist %}"),
        ],
    )
    def test_keeps_a_post_as_a_draft_and_says_so(self, body: str, shown: str) -> None:
        post = read(f"Before.\n\n{body}")

        assert (post.is_draft, post.body) == (True, f"Before.\n\n{body}")
        assert [str(note) for note in post.notes] == [
            f"Only its own tool can run {shown}: kept as a draft."
        ]

    def test_is_kept_or_left_out_on_request(self) -> None:
        body = "Before.\n\n{{< note >}}Mind.{{< /note >}}\n{% include a.html %}"

        kept = read(body, shortcodes=Shortcodes.KEEP)
        dropped = read(body, shortcodes=Shortcodes.DROP)

        assert (kept.is_draft, kept.body, codes(kept)) == (False, body, ["code_kept"])
        assert (dropped.is_draft, dropped.body) == (False, "Before.\n\nMind.")
        assert codes(dropped) == ["code_dropped"]

    @pytest.mark.parametrize(
        "body",
        [
            "```go\n{{< a >}}\n```",
            "~~~\n{% a %}\n~~~",
            "- list\n\n  ```\n  {{ a }}\n  ```",
            "````\n```\n{% a %}\n```\n````",
            "Write `{{< a >}}` and ``{% b ` %}``.",
            "<!-- {{< a >}} -->",
            "{{</* a */>}}",
            "An open {{< shortcode, an open {% tag and {{ output.",
            "Braces { and } and {a: b}.",
        ],
    )
    def test_is_not_what_is_shown_as_code(self, body: str) -> None:
        post = read(body)

        assert (post.is_draft, codes(post)) == (False, [])

    @pytest.mark.parametrize(
        ("tool", "body", "is_draft"),
        [
            (Tool.HUGO, "{% a %} {{ b }}", False),
            (Tool.HUGO, "{{< a >}}", True),
            (Tool.JEKYLL, "{{% a %}}", True),
            (Tool.JEKYLL, "{% a %}", True),
            (Tool.ZOLA, "{{ b }}", False),
            (Tool.ZOLA, '{{ youtube(id="a") }}', True),
            (Tool.ZOLA, "{% quote(by=1) %}Text{% end %}", True),
            (Tool.ZOLA, "{{/* youtube(id=1) */}}", False),
            (Tool.ASTRO, "{{< a >}} {% b %} {{ c }}", False),
        ],
    )
    def test_is_that_of_the_sites_own_tool(self, tool: Tool, body: str, is_draft: bool) -> None:
        assert read(body, tool=tool).is_draft == is_draft

    @pytest.mark.parametrize(
        ("body", "written"),
        [
            ("{% highlight ruby linenos %}\nputs 1\n{% endhighlight %}", "```ruby\nputs 1\n```"),
            ("{{< highlight go >}}\n```\n{{< /highlight >}}", "````go\n```\n````"),
            ("A {% codeblock lang:js %}\nx\n{% endcodeblock %}", "A \n```js\nx\n```"),
            ("{% raw %}{{ a }}{% endraw %} b", "{{ a }} b"),
            ("```\n{% raw %}\n{{ a }}\n{% endraw %}\n```", "```\n\n{{ a }}\n\n```"),
            ("A{% comment %} {{ secret }} {% endcomment %}B", "AB"),
            ("A{{< comment >}} secret {{< /comment >}}B", "AB"),
            ("{{</* a */>}}", "{{< a >}}"),
            ("A {{ 'b' }}", "A b"),
            ('[A]({{< ref "/docs/a.md" >}})', "[A](/docs/a.md)"),
            ("[A]({% post_url 2025-09-23-a %})", "[A](2025-09-23-a)"),
            ("A {::comment}secret{:/comment} {::comment}secret{:/}B", "A  B"),
            ("![A]({{ site.baseurl }}/a.png)", "![A](/blog/a.png)"),
            ("[A]({{ '/a' | relative_url }})", "[A](/blog/a)"),
            ('[A]({{ "/a" | absolute_url }})', "[A](https://a.example/blog/a)"),
            ("[A]({{ '/a' | prepend: site.baseurl | prepend: site.url }})",
             "[A](https://a.example/blog/a)"),
        ],
    )  # fmt: skip
    def test_is_written_as_markdown_where_that_means_the_same(
        self, body: str, written: str
    ) -> None:
        post = read(body)

        assert (post.is_draft, post.body) == (False, written)

    def test_is_kept_where_it_decides_whether_a_text_is_shown(self) -> None:
        body = "A{% if site.is_staging %} secret{% endif %}"

        post = read(body, shortcodes=Shortcodes.DROP)

        assert (post.is_draft, post.body, codes(post)) == (True, body, ["code_draft"])

    def test_is_not_a_mark_that_is_never_closed(self) -> None:
        post = read("{% highlight ruby %}\nputs 1\n\nText.")

        assert (post.is_draft, post.body) == (True, "{% highlight ruby %}\nputs 1\n\nText.")

    def test_has_attributes_of_kramdown_that_are_left_out(self) -> None:
        post = read("## A {#a}\n\n![B](//a.example/b){: .wide}\n{:.centred}\n\n{::options /}")

        assert post.body == "## A\n\n![B](//a.example/b)"
        assert [str(note) for note in post.notes] == [
            "Attributes such as “{: .class}” were left out: 4."
        ]

    @pytest.mark.parametrize(
        "piece", ["{{< ", "{% raw %}", "{% highlight %}", "`", "``` \n", "![](", "{:", "<!--", " "]
    )
    def test_is_read_in_time_that_grows_with_its_length(self, piece: str) -> None:
        text = f"a{piece * 200_000}b"
        began = time.monotonic()

        translate(text, reading=Reading())

        # A second at the most, or else half a minute and more.
        assert time.monotonic() - began < 10


class TestWhatReadersWillNotSee:
    @pytest.mark.parametrize(
        ("body", "note"),
        [
            ('<iframe src="https://a.example"></iframe>', "Readers will not see 1 × <iframe>."),
            ("<video src=a.mp4></video><video/>", "Readers will not see 2 × <video>."),
            ("<script>x()</script>", "Readers will not see 1 × <script>."),
            ("![A](a.png) ![B](/b.png)", "Pictures with an address within its own site: 2."),
            ('<img alt="" src="../a.png">', "Pictures with an address within its own site: 1."),
            ("[A](b.html), [B](@/b.md)", "Links to addresses within its own site: 2."),
            ("[a]: ../b 'B'", "Links to addresses within its own site: 1."),
        ],
    )
    def test_is_noted(self, body: str, note: str) -> None:
        post = read(f"Text.\n\n{body}")

        assert not post.is_draft
        assert [str(it) for it in post.notes] == [note]

    @pytest.mark.parametrize(
        "body",
        [
            "`<iframe>` ![A](https://a.example/a.png) [B](#b) [C](mailto:c@a.example)",
            "```\n<video>\n![A](a.png)\n```",
            "<https://a.example> <b>bold</b>",
        ],
    )
    def test_is_not_what_they_will_see(self, body: str) -> None:
        assert codes(read(body)) == []


class TestMdx:
    def test_loses_modules_and_comments(self) -> None:
        modules = "import A from './a'\nexport const b = {\n  c: 1,\n}\n\nexport default A\n\n"

        post = read(f"{modules}{{/* d */}}Text.\n\nWe\nimport tax.", name="a.mdx")

        assert (post.body, post.is_draft) == ("Text.\n\nWe\nimport tax.", False)

    def test_has_components_that_readers_will_not_see(self) -> None:
        post = read('<YouTube id="a" />\n\n<Note>Mind.</Note>', name="a.mdx")

        assert [str(it) for it in post.notes] == ["Readers will not see 1 × <YouTube>, 1 × <Note>."]

    def test_has_expressions_that_only_its_tool_can_run(self) -> None:
        post = read("It is {new Date().getFullYear()}. `{a}`", name="a.mdx")

        assert post.is_draft
        assert codes(post) == ["code_draft"]


class TestHtml:
    def test_comes_out_as_it_went_in(self) -> None:
        text = "<h2>A</h2>\n\n    <p>*B* &amp; c</p>\n\n<pre>\nd\n\n  e\n</pre>\n\n- f"

        html = render(wrap_html(text)).html

        assert "<p>*B* &amp; c</p>" in html
        assert "d\n\n  e" in html
        assert "- f" in html
        assert "<code>" not in html

    def test_without_front_matter_is_no_post(self) -> None:
        with pytest.raises(Exception, match="a page of HTML"):
            parse(b"<p>A</p>", path=PurePosixPath("/s/a.html"), reading=Reading())
