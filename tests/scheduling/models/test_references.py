"""Finding rows by the references that people and programs use."""

import pytest

from scheduling.models.references import (
    ItemNotFound,
    MalformedItem,
    parse_id,
    parse_ids,
    parse_item,
)


class TestAnId:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1", 1),
            ("0042", 42),
            ("9" * 18, 10**18 - 1),
            ("9" * 19, None),
            ("9" * 5000, None),
            ("", None),
            ("-1", None),
            ("1.0", None),
            (" 1", None),
            ("1\n", None),
            ("1_000", None),
            ("٣", None),
            ("²", None),
            ("story:1", None),
        ],
    )
    def test_is_some_digits_that_a_row_could_have(self, text: str, expected: int | None) -> None:
        assert parse_id(text) == expected

    def test_is_found_among_other_texts(self) -> None:
        assert parse_ids("1", "", "x", "2", "9" * 19) == [1, 2]


class TestTheNameOfAnItem:
    def test_with_a_number_that_no_row_could_have_is_of_no_item(self) -> None:
        with pytest.raises(ItemNotFound):
            parse_item("story:" + "9" * 19)

    @pytest.mark.parametrize("name", ["", " ", "42", "story:", "story:x"])
    def test_is_refused_in_another_form_without_empty_brackets(self, name: str) -> None:
        with pytest.raises(MalformedItem, match="story:42") as refusal:
            parse_item(name)

        assert "()" not in str(refusal.value)
