"""Times and lengths of time as programs and people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.utils.translation import override

from scheduling.models import times
from tests.factories import FAR_OFF

SEOUL = timezone(timedelta(hours=9))


class TestATimeForPrograms:
    def test_is_in_utc_whatever_its_zone(self) -> None:
        at = datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=SEOUL)

        assert times.utc(at) == "2026-03-01T00:00:00.123456Z"

    def test_has_all_its_digits_also_on_the_full_second(self) -> None:
        at = datetime(2026, 3, 1, tzinfo=UTC)

        assert times.utc(at) == "2026-03-01T00:00:00.000000Z"
        assert times.utc(at, "milliseconds") == "2026-03-01T00:00:00.000Z"


class TestALengthOfTime:
    @pytest.mark.parametrize(
        ("length", "english", "korean"),
        [
            ({"seconds": 0.4}, "0 s", "0초"),
            ({"seconds": 59.6}, "1 min", "1분"),
            ({"seconds": 90}, "1 min 30 s", "1분 30초"),
            ({"hours": 3, "minutes": 12, "seconds": 9}, "3 h 12 min", "3시간 12분"),
            ({"days": 2, "seconds": 4}, "2 d", "2일"),
            ({"seconds": -5}, "0 s", "0초"),
        ],
    )
    def test_has_its_two_largest_units(
        self, length: dict[str, float], english: str, korean: str
    ) -> None:
        assert times.duration(timedelta(**length)) == english
        with override("ko"):
            assert times.duration(timedelta(**length)) == korean

    def test_lies_ahead_or_back(self) -> None:
        later = FAR_OFF + timedelta(minutes=5)

        assert times.distance(later, FAR_OFF) == "in 5 min"
        assert times.distance(FAR_OFF, later) == "5 min ago"

    @pytest.mark.parametrize(
        ("milliseconds", "expected"),
        [
            (8.44, "8.4 ms"),
            (12.3, "12 ms"),
            (1_500, "1.5 s"),
            (300_000, "5 min"),
            (7_200_000_000, "2,000 h"),
        ],
    )
    def test_that_was_measured_has_one_unit(self, milliseconds: float, expected: str) -> None:
        assert times.measured(milliseconds) == expected
