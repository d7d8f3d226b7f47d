"""The texts on screen, in Korean: collected, translated and compiled."""

import re
from gettext import GNUTranslations
from pathlib import Path

from babel.messages.pofile import read_po
from django.conf import settings

FOLDER = Path(settings.LOCALE_PATHS[0], "ko", "LC_MESSAGES")
PLACE = re.compile(r"%\(\w+\)[sd]")


def catalogue() -> dict[tuple[str | None, str], str]:
    """Return the Korean of each text, by context and English text."""
    with (FOLDER / "django.po").open("rb") as file:
        return {
            (message.context, str(message.id)): str(message.string)
            for message in read_po(file, locale="ko")
            if message.id and isinstance(message.id, str)
        }


class TestTheCatalogue:
    def test_has_a_korean_text_for_everything(self) -> None:
        assert [text for (_, text), korean in catalogue().items() if not korean] == []

    def test_keeps_every_place_that_is_filled_in(self) -> None:
        assert [
            text
            for (_, text), korean in catalogue().items()
            if sorted(PLACE.findall(text)) != sorted(PLACE.findall(korean))
        ] == []

    def test_is_compiled_as_it_is_written(self) -> None:
        with (FOLDER / "django.mo").open("rb") as file:
            compiled = GNUTranslations(file)

        assert [
            text
            for (context, text), korean in catalogue().items()
            if (compiled.pgettext(context, text) if context else compiled.gettext(text)) != korean
        ] == []

    def test_has_one_word_for_publish(self) -> None:
        others = re.compile("게시|공개 중|공개된")

        assert [korean for korean in catalogue().values() if others.search(korean)] == []
