"""The reasons of what was not taken as it is written."""

import pytest
from django.utils import translation
from django.utils.translation import gettext

from content.frontmatter import TEXTS


class TestReasons:
    @pytest.mark.parametrize("text", TEXTS.values())
    def test_have_a_korean_text(self, text: str) -> None:
        with translation.override("ko"):
            korean = gettext(text)

        assert any("가" <= letter <= "힣" for letter in korean)
