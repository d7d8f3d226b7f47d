"""The form field for local times, on ordinary days and on those on which the clocks change."""

from datetime import UTC, datetime

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from armo.accounts.local_time import LocalTimeField


class At(forms.Form):
    at = LocalTimeField()


def posted(local: str, **more: str) -> At:
    return At({"at": local, "at_zone": "America/New_York", **more})


class TestALocalTime:
    def test_is_of_the_zone_that_the_page_has_shown(self) -> None:
        with timezone.override("Asia/Seoul"):
            form = posted("2100-05-01T10:00")

            assert form.is_valid()
            assert form.cleaned_data["at"] == datetime(2100, 5, 1, 14, tzinfo=UTC)

    def test_is_shown_with_its_zone(self) -> None:
        with timezone.override("Asia/Seoul"):
            html = str(At(initial={"at": datetime(2100, 5, 1, 14, tzinfo=UTC)})["at"])

        assert 'value="2100-05-01T23:00:00"' in html
        assert '<span class="armo-zone">Asia/Seoul</span>' in html
        assert "_which" not in html

    def test_is_refused_if_the_clocks_skip_it(self) -> None:
        [error] = posted("2100-03-14T02:30").errors.as_data()["at"]

        assert error.code == "skipped"
        assert error.messages == [
            "The clocks skip 2100-03-14 02:30 that night. The same moment is 03:30."
        ]

    def test_that_comes_twice_asks_which_is_meant(self) -> None:
        form = posted("2100-11-07T01:30")

        [error] = form.errors.as_data()["at"]
        assert error.code == "twice"
        html = str(form["at"])
        assert [f'name="at_which" value="{which}"' in html for which in "01"] == [True, True]
        assert [offset in html for offset in ("UTC-04:00", "UTC-05:00")] == [True, True]

    @pytest.mark.parametrize(("which", "hour"), [("0", 5), ("1", 6)])
    def test_is_the_one_of_two_that_is_meant(self, which: str, hour: int) -> None:
        form = posted("2100-11-07T01:30", at_which=which)

        assert form.is_valid()
        assert form.cleaned_data["at"] == datetime(2100, 11, 7, hour, 30, tzinfo=UTC)
        assert f'value="{which}" checked' in str(form["at"])

    @pytest.mark.parametrize(
        "local",
        ["0009-12-31T23:00", "9990-01-02T00:00", "113020-02-06T09:00", "+012026-01-01T09:00"],
    )
    def test_is_within_the_years_that_every_zone_can_show(self, local: str) -> None:
        with pytest.raises(ValidationError, match="That year is out of range"):
            LocalTimeField().clean(local)

    def test_is_asked_for_with_a_year_of_four_digits(self) -> None:
        assert 'max="9999-12-31T23:59:59"' in str(At()["at"])
