"""The words to avoid stand nowhere, and the places where one may stand are still there."""

import re

import pytest

from tests.words_to_avoid import ALLOWED, AVOIDED, PROJECT, Allowed, files, findings, split


def words_in(line: str) -> list[str]:
    return [word.name for word in AVOIDED if word.is_in(split(line))]


class TestTheProject:
    def test_has_no_word_to_avoid(self) -> None:
        found = [
            f"{it.path}:{it.line}: {it.word.name} (rather: {it.word.instead})" for it in findings()
        ]

        assert found == []

    @pytest.mark.parametrize("place", ALLOWED, ids=lambda place: place.text)
    def test_has_every_place_where_one_is_allowed(self, place: Allowed) -> None:
        texts = [
            (PROJECT / path).read_text(encoding="utf-8")
            for path in files()
            if re.search(place.path, path)
        ]

        assert any(re.search(place.text, text) for text in texts)


class TestAWord:
    @pytest.mark.parametrize(
        ("line", "name"),
        [
            ("class TestAnOrphanedJob:", "orphan"),
            ("def give_up_the_end(job: Job) -> None:", "give up"),
            ("# Who has asked is told so.", "tell"),
            ('"""Return his own."""', "he"),
            ('    """The same."""', "The same."),
        ],
    )
    def test_is_found_in_names_comments_and_docstrings(self, line: str, name: str) -> None:
        assert words_in(line) == [name]

    @pytest.mark.parametrize("line", ["indoors", "the other", "shell", "a teller"])
    def test_is_not_found_inside_another(self, line: str) -> None:
        assert words_in(line) == []
