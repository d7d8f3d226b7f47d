"""
Emphasis in Chinese, Japanese and Korean text, which has particles where English has spaces.

By CommonMark's rule of sides, the last asterisks of `**강조(強調)**입니다` end nothing: a bracket
stands before them and a letter behind. The amendment "CJK-friendly" lets a CJK character stand
where a space or a punctuation mark must: https://github.com/tats-u/markdown-cjk-friendly
(specification.md). Text without CJK characters is read as before.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.common.utils import isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token
from markdown_it.utils import EnvType

# Hangul that has no width of its own: the parts of a syllable, as macOS stores names.
_hangul_part = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")
# Wide symbols that are shown as emoji (Emoji_Presentation) are no CJK characters. Of the symbols
# between ideographs, in the last two ranges, only some are.
_emoji = re.compile(
    "[\u2300-\u2bff\U0001f000-\U0001f1ff\U0001f300-\U0001faff"
    "\U0001f201\U0001f21a\U0001f22f\U0001f232-\U0001f236\U0001f238-\U0001f23a\U0001f250\U0001f251]"
)
# Variation selectors, which change the look of the character before them. U+FE0F asks for an emoji.
_variation = re.compile("[\ufe00-\ufe0e]")
_ideographic_variation = re.compile("[\U000e0100-\U000e01ef]")
# Quotation marks that another selector makes wide.
_wide_quotes = {mark + "\ufe01" for mark in "‘’“”"}


class _Side(NamedTuple):
    """What stands beside a run of asterisks."""

    is_space: bool = False
    is_punctuation: bool = False
    is_cjk: bool = False

    @property
    def is_foreign_punctuation(self) -> bool:
        """Return whether it is a punctuation mark other than a CJK one."""
        return self.is_punctuation and not self.is_cjk


_OUTSIDE = _Side(is_space=True)


@lru_cache(maxsize=4096)
def _side(char: str) -> _Side:
    is_wide = unicodedata.east_asian_width(char) in ("W", "F", "H") and not _emoji.match(char)
    return _Side(
        is_space=isWhiteSpace(ord(char)),
        is_punctuation=isPunctChar(char),
        is_cjk=is_wide or bool(_hangul_part.match(char)),
    )


def _before(text: str, start: int) -> _Side:
    """Return what stands before a run; a variation selector belongs to its character."""
    if start == 0:
        return _OUTSIDE
    char = text[start - 1]
    if _ideographic_variation.match(char):
        return _Side(is_cjk=True)
    if start > 1 and _variation.match(char):
        side = _side(text[start - 2])
        return side._replace(is_cjk=True) if text[start - 2 : start] in _wide_quotes else side
    return _side(char)


class _State(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        """Return whether a run of asterisks, underscores or tildes may open and close."""
        marker, end = self.src[start], start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = _before(self.src, start)
        after = _side(self.src[end]) if end < self.posMax else _OUTSIDE
        is_left = not after.is_space and (
            not after.is_foreign_punctuation
            or before.is_space
            or before.is_punctuation
            or before.is_cjk
        )
        is_right = not before.is_space and (
            not before.is_foreign_punctuation
            or after.is_space
            or after.is_punctuation
            or after.is_cjk
        )
        return Scanned(
            is_left and (canSplitWord or not is_right or before.is_punctuation),
            is_right and (canSplitWord or not is_left or after.is_punctuation),
            end - start,
        )


class CjkFriendlyInline(ParserInline):
    """The parser of what stands in a line, with the amended rule."""

    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        """Append the tokens of a text."""
        state = _State(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens
