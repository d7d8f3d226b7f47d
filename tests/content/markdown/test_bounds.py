"""What a post may ask of the renderer."""

import re
from time import process_time

import pytest

from content import markdown
from content.markdown import bounds

# Each of them took seconds, or gigabytes.
HOSTILE = {
    "bold": "<p>" + "".join(f"<b title={n}>" for n in range(3000)) + "<p>x" * 10_000,
    "few bold": "".join(f"<b title={n}>" for n in range(200)) + "<p>x" * 10_000,
    "font": "<font color=red><div>" * 20_000,
    "unclosed ends": "<b>" * 3000 + "</p>" * 20_000,
    "crossed": "<b><div></b>" * 15_000,
    "elements": "<div>" * 100_000,
    "details": "<details>" * 50_000,
    "tables": "<table><tr><td>" * 20_000,
    "attributes": "<p " + " ".join(f"a{n}" for n in range(70_000)) + ">x",
    "pictures": "![[]()" * 80_000,
    "brackets": "[" * 400_000,
    "labels": "[x][y" * 90_000,
    "quotes": ">" * 500_000,
    "quoted": "> " * 200 + "x",
    "lists": "+ " * 100_000,
    "unfinished elements": "<div\n" + "<a " * 30_000,
    "listed": "".join("  " * n + "- a\n" for n in range(200)),
    "items": "- a\n" * 100_000,
    "asterisks": "*a_ " * 100_000,
    "tildes": "~~a " * 100_000,
    "backticks": "`a" * 200_000,
    "entities": "&#x" * 150_000,
    "addresses": "<http://" * 60_000,
    "bare addresses": "https://" * 60_000,
    "mail addresses": "a@b.co===" * 55_000,
    "colons": ":" * 500_000,
    "columns": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + "|\n" * 100_000,
    "cells": "|" + "x|" * 900 + "\n|" + "-|" * 900 + "\n" + ("|" * 800 + "\n") * 500,
    "references": "[a]: /" + "u" * 5000 + "\n\n" + "[a] " * 9_000,
    "footnotes": "[^a]: x\n\n" + "[^a]" * 100_000,
    "chained footnotes": "".join(f"[^{n}]: [^{n + 1}]\n" for n in range(25_000)) + "\n[^0]",
    "headings": "# a\n" * 100_000,
    "comments": "<!--" * 100_000,
    "length": "a" * 500_001,
}
# Long, but what somebody may have written.
LONG = {
    "prose": "가나다 라마바사, word and word. " * 15_000,
    "lines": "a\n" * 19_000,
    "headings": "# a\n" * 15_000,
    "letters": "a" * 500_000,
    "blanks in a heading": "# a" + " " * 400_000 + "b",
    "items": "- [ ] a **b** c\n" * 4_000,
    "table": "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 5_000,
    "html": "<p>x <b>y</b>\n" * 8_000,
    "sloppy html": '<font color="red"><b>x' + "<p>text<br>\n" * 8_000,
    "code": "```c\n" + "if (a[0] < b) { *c = d->e; }\n" * 5_000 + "```",
    "links": "See https://example.org/a/long/address?with=query and [this](/x).\n\n" * 4_000,
    "footnotes": "".join(f"a[^{n}] b\n\n[^{n}]: c\n\n" for n in range(2_000)),
    "address": "[a](/" + "가" * 200_000 + ")",
    "picture": "![](data:image/png;base64," + "A" * 400_000 + ")",
    "nested": "> " * 8 + "- " * 4 + "x",
}


class TestCheck:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_refuses_what_takes_long_or_much(self, name: str) -> None:
        began = process_time()

        with pytest.raises(markdown.BodyTooLarge):
            markdown.check(HOSTILE[name])

        assert process_time() - began < 2

    @pytest.mark.parametrize("name", LONG)
    def test_takes_long_posts(self, name: str) -> None:
        began = process_time()

        markdown.check(LONG[name])

        assert process_time() - began < 4

    def test_says_why(self) -> None:
        with pytest.raises(markdown.BodyTooLarge) as refusal:
            markdown.check("\r\n" * 20_001)

        assert str(refusal.value) == "The body has more than 20000 lines."

    def test_counts_a_line_once_however_it_ends(self) -> None:
        for end in ("\n", "\r\n", "\r"):
            markdown.check(f"a{end}" * bounds.MAX_LINES)


class TestRender:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_shows_what_an_earlier_version_stored_as_it_was_typed(self, name: str) -> None:
        html, is_visible = markdown.render(HOSTILE[name])

        assert is_visible
        assert len(html) < bounds.MAX_HTML_CHARS
        assert set(re.findall("<([a-z]+)", html)) <= {"p", "br"}
