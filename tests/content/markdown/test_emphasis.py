"""Emphasis beside the particles and the punctuation of Chinese, Japanese and Korean."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline

from content import markdown
from content.markdown.cjk import CjkFriendlyInline


def render(text: str) -> str:
    return markdown.render(text).html.strip().removeprefix("<p>").removesuffix("</p>")


class TestEmphasis:
    @pytest.mark.parametrize(
        ("text", "html"),
        [
            # Korean particles
            ("**강조(強調)**입니다", "<strong>강조(強調)</strong>입니다"),
            ("**“안녕”**이라고", "<strong>“안녕”</strong>이라고"),
            ("문서는 **마크다운(Markdown)**으로", "문서는 <strong>마크다운(Markdown)</strong>으로"),
            ("*‘가을’*은", "<em>‘가을’</em>은"),
            ("가격은**$5**입니다", "가격은<strong>$5</strong>입니다"),
            ("비율은 **10%**까지", "비율은 <strong>10%</strong>까지"),
            ("~~취소(取消)~~되었다", "<s>취소(取消)</s>되었다"),
            ("***둘 다(both)***이다", "<em><strong>둘 다(both)</strong></em>이다"),
            ("**`코드`**를", "<strong><code>코드</code></strong>를"),
            (
                "**[링크](/a)**를",
                '<strong><a href="/a" rel="nofollow noopener">링크</a></strong>를',
            ),
            # as macOS stores it
            ("**(a)**\u1112\u1161", "<strong>(a)</strong>\u1112\u1161"),
            ("\u1112\u1161**(a)**b c", "\u1112\u1161**(a)**b c"),
            # Japanese
            ("これは**「強調」**です", "これは<strong>「強調」</strong>です"),
            ("**強調。**次の文", "<strong>強調。</strong>次の文"),
            ("これは*(注)*である", "これは<em>(注)</em>である"),
            ("ｶﾅ**(半角)**ｶﾅ", "ｶﾅ<strong>(半角)</strong>ｶﾅ"),
            # Chinese
            ("这是**“强调”**的", "这是<strong>“强调”</strong>的"),
            ("**重要：**请看", "<strong>重要：</strong>请看"),
            ("使用**`代码`**时", "使用<strong><code>代码</code></strong>时"),
            # variation selectors belong to the character before them
            ("葛\U000e0100**(a)**", "葛\U000e0100<strong>(a)</strong>"),
            ("**「a」\ufe00**b", "<strong>「a」\ufe00</strong>b"),
            ("a**“b”\ufe01**c", "a**“b”\ufe01**c"),
        ],
    )
    def test_ends_where_a_cjk_reader_sees_the_end(self, text: str, html: str) -> None:
        assert render(text) == html

    @pytest.mark.parametrize(
        "text", ['a**"b"**c', "a**(b)**c", "2**3**4 5", "**a **b", "🎉**(a)**🎉b", "가 ** 나 ** 다"]
    )
    def test_is_as_before_where_no_cjk_character_stands_beside(self, text: str) -> None:
        assert _render(text, CjkFriendlyInline()) == _render(text, ParserInline())

    def test_stays_out_of_words_with_underscores(self) -> None:
        assert render("스네이크_케이스_이름") == "스네이크_케이스_이름"
        assert render("_강조_ 입니다") == "<em>강조</em> 입니다"

    def test_leaves_single_tildes_alone(self) -> None:
        assert render("1~2개, 3~4개") == "1~2개, 3~4개"

    @hypothesis_settings(deadline=None)
    @given(st.text(st.sampled_from("ab1 *_~\"'().,!-é“”…\n"), max_size=30))
    def test_is_as_before_in_any_text_without_cjk_characters(self, text: str) -> None:
        assert _render(text, CjkFriendlyInline()) == _render(text, ParserInline())


def _render(text: str, inline: ParserInline) -> str:
    parser = MarkdownIt("commonmark")
    parser.inline = inline
    html: str = parser.configure("commonmark").enable(["table", "strikethrough"]).render(text)
    return html
