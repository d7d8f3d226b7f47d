"""Reasons are stored as code and parameters, and read in whatever language the reader has."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from django.utils import timezone as django_timezone
from django.utils import translation
from django.utils.translation import gettext_lazy, gettext_noop

from scheduling.errors import DomainError, ProblemsError, Reason, as_json, in_english, spoken

MOMENT = datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=9)))
BY_NOW = Reason(
    "status_is_another", gettext_noop("It is %(status)s by now."), {"status": {"status": "draft"}}
)
EMPTY = Reason("empty_body", gettext_noop("Its body is empty."))


class TestAReason:
    def test_is_spoken_in_the_language_of_whoever_reads_it(self) -> None:
        with translation.override("ko"):
            korean = str(BY_NOW)

        assert str(BY_NOW) == "It is draft by now."
        assert korean == "지금은 ‘초안’ 상태입니다."

    def test_shows_a_time_in_the_zone_of_whoever_reads_it(self) -> None:
        reason = Reason("late", "The end must come after the start. (%(end)s)", {"end": MOMENT})

        with django_timezone.override("Asia/Seoul"), translation.override("ko"):
            korean = str(reason)

        assert korean == "종료 시각은 발행 시각보다 늦어야 합니다. (2026-03-01 09:00:00 KST)"
        assert in_english(reason).endswith("(2026-03-01 00:00:00 UTC)")

    def test_equals_another_by_code_and_parameters(self) -> None:
        same = Reason(BY_NOW.code, "Other words.", dict(BY_NOW.params))

        assert same == BY_NOW
        assert hash(BY_NOW) == hash(same)
        assert Reason(BY_NOW.code, BY_NOW.text, {"status": {"status": "failed"}}) != BY_NOW

    @pytest.mark.parametrize(
        "reason", [BY_NOW, EMPTY, Reason("late", "Since %(at)s.", {"at": MOMENT})]
    )
    def test_is_the_same_after_it_was_stored(self, reason: Reason) -> None:
        assert Reason.from_json(json.loads(json.dumps(reason.as_json()))) == reason

    def test_takes_the_english_text_of_a_lazy_one(self) -> None:
        with translation.override("ko"):
            reason = Reason("empty", gettext_lazy("Its body is empty."))  # type: ignore[arg-type]

        assert reason.as_json()["text"] == "Its body is empty."

    def test_translates_a_lazy_parameter_for_each_reader(self) -> None:
        with translation.override("ko"):
            reason = Reason("x", "It is %(what)s.", {"what": gettext_lazy("Its body is empty.")})
            korean = str(reason)

        assert str(reason) == "It is Its body is empty.."
        assert "본문이 비어 있습니다." in korean
        assert json.loads(json.dumps(reason.as_json())) == reason.as_json()

    def test_shows_a_parameter_of_a_type_that_is_gone_as_it_is(self) -> None:
        assert str(Reason("x", "It is %(mood)s.", {"mood": {"mood": "glad"}})) == "It is glad."

    def test_takes_a_time_without_a_zone_for_a_local_one(self) -> None:
        with django_timezone.override("Asia/Seoul"):
            reason = Reason("x", "At %(at)s.", {"at": MOMENT.replace(tzinfo=None)})

        assert in_english(reason) == "At 2026-03-01 00:00:00 UTC."

    def test_has_percent_signs_of_its_own_when_nothing_is_filled_in(self) -> None:
        assert str(Reason("full", "The disk is 100 % full.")) == "The disk is 100 % full."


class TestARefusal:
    def test_is_spoken_in_the_language_of_whoever_reads_it(self) -> None:
        with translation.override("ko"):
            refusal = DomainError(BY_NOW.text, BY_NOW.params)

        assert str(refusal) == "It is draft by now."

    def test_names_its_problems_in_that_language_too(self) -> None:
        refusal = ProblemsError([EMPTY, "It is to stay."])

        with translation.override("ko"):
            korean = refusal.facts()["problems"]

        assert korean == ["본문이 비어 있습니다.", "It is to stay."]
        assert str(refusal) == "There are problems. Its body is empty. It is to stay."


class TestAStoredReason:
    def test_is_spoken_in_the_language_of_whoever_reads_it(self) -> None:
        stored = json.loads(json.dumps(as_json(BY_NOW, "It is to stay.")))

        with translation.override("ko"):
            assert spoken("", stored) == "지금은 ‘초안’ 상태입니다. It is to stay."

    def test_is_the_stored_text_if_its_parameters_cannot_be_read(self) -> None:
        broken = [{"code": "x", "text": "It is %(status)s by now.", "params": {"other": 1}}]

        assert spoken("It is lost.", broken) == "It is lost."

    @pytest.mark.parametrize(
        ("text", "korean"),
        [
            ("It has no title.", "제목이 없습니다."),
            ("It is published by now.", "지금은 ‘발행됨’ 상태입니다."),
            ("It cannot go live as it is. Its body is empty.", "본문이 비어 있습니다."),
            ("imported from a.md", "a.md"),
        ],
    )
    def test_of_which_only_the_sentence_is_left_is_translated(self, text: str, korean: str) -> None:
        with translation.override("ko"):
            assert spoken(text).endswith(korean) or korean in spoken(text)
            assert spoken(text) != text

    @pytest.mark.parametrize("words", ["draft", "publish", "Notice", "", "100 % sure.", "끝."])
    def test_of_people_is_left_as_they_wrote_it(self, words: str) -> None:
        with translation.override("ko"):
            assert spoken(words) == words
            assert as_json(words) is None
