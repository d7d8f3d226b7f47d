"""The texts on screen, in Korean: collected, translated and compiled."""

import re
from collections.abc import Iterator
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

import django
import pytest
from babel.messages.pofile import read_po
from django.apps import apps
from django.conf import settings
from django.utils import translation

FOLDER = Path(settings.LOCALE_PATHS[0], "ko", "LC_MESSAGES")
PLACE = re.compile(r"%\(\w+\)[sd]")
# What docs/glossary.md leaves out: other requests than -(으)세요, 해요체, pronouns, honorifics.
OTHER_ADDRESS = re.compile(
    "십시오|십시요|주세요|까요|(?<![세필중주])요[.?!]|당신|귀하|여러분|[으하쓰내]신 |하셨|으셨"
)
ONE_PARTICLE = re.compile(
    r"(%\(\w+\)[sr]|\{\w+\})[\"”’']? ?([을를은는이가와과]|으로|로)(?=[ .,])"
    r"|[을은이와으]/[를는가과로]"
)


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


def korean_on_screen() -> Iterator[str]:
    """Yield the Korean of each text: of this project, of Django and of the installed packages."""
    packages = [Path(django.__file__).parent / "conf"]
    packages += [Path(app.path) for app in apps.get_app_configs()]
    for file in [
        FOLDER / "django.po",
        *(it / "locale/ko/LC_MESSAGES/django.po" for it in packages),
    ]:
        with file.open("rb") if file.exists() else BytesIO() as texts:
            for message in read_po(texts, locale="ko"):
                text = message.id if isinstance(message.id, str) else message.id[0]
                with translation.override("ko"):
                    if message.context:
                        yield translation.pgettext(message.context, text)
                    elif text:
                        yield translation.ngettext(text, text, 1)


class TestTheFormOfAddress:
    def test_is_one_on_screen_in_the_api_and_in_mails(self) -> None:
        assert [korean for korean in korean_on_screen() if OTHER_ADDRESS.search(korean)] == []

    @pytest.mark.parametrize(
        "path",
        [
            "README.ko.md",
            "docs/editing.ko.md",
            "docs/first-steps.ko.md",
            "examples/reader/reader.js",
        ],
    )
    def test_is_the_same_in_pages(self, path: str) -> None:
        lines = Path(settings.BASE_DIR, path).read_text(encoding="utf-8").splitlines()

        assert [line for line in lines if OTHER_ADDRESS.search(line)] == []

    def test_has_a_particle_that_fits_whatever_is_filled_in(self) -> None:
        assert [korean for korean in korean_on_screen() if ONE_PARTICLE.search(korean)] == []
