"""Times in RFC 3339: what is taken, with which value, and what is refused, at every entry point."""

import inspect
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django import forms
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from armo.accounts.local_time import LocalTimeField
from armo.common import moments
from armo.common.api.fields import MomentField
from armo.common.api.filters import MomentFilter
from content.models import Story
from scheduling import operations
from scheduling.admin.edit_conflicts import SeenForm
from scheduling.management import base
from scheduling.models import times
from tests.admin_pages import list_of, press, signed_in
from tests.api_clients import API, client_of, superuser
from tests.factories import FAR_OFF, StoryFactory

# What is no time, and what is one to a parser of ISO 8601, or of front matter.
REFUSED = [
    "2099-03-01T09:00:00+09:99",
    "2099-03-01T09:00:00+00:60",
    "2099-03-01T09:00:00+24:00",
    "2099-03-01T09:00:00+0900",
    "2099-03-01T09:00:00+09",
    "2099-03-01T09:00:00+9:00",
    "2099-03-01T09:00:00+09:00:30",
    "2099-03-01T09:00:00 +09:00",
    "2099-03-01T09:00:00\u221209:00",
    "2099-03-01T09:00:00+09:00Z",
    "2099-03-01T09:00:00+٠٩:٠٠",
    "２０９９-03-01T09:00:00Z",
    "2099-03-01T09:00:00+09:00\n",
    "\n2099-03-01T09:00:00Z",
    " 2099-03-01T09:00:00Z",
    "2099-03-01T09:00:00Z ",
    "2099-03-01T09:00:00Z\u2028",
    "2099-03-01x09:00:00Z",
    "2099-03-01 09:00:00Z",
    "2099-03-01_09:00:00Z",
    "2099-03-01T\n09:00:00Z",
    "2099-W09-1T09:00:00Z",
    "2099-060T09:00:00Z",
    "20990301T090000Z",
    "+2099-03-01T09:00:00Z",
    "+02099-03-01T09:00:00Z",
    "-2099-03-01T09:00:00Z",
    "99-03-01T09:00:00Z",
    "2099-3-1T9:00:00Z",
    "2099-03-01T09:00:00.Z",
    "2099-03-01T09:00:00,5Z",
    "2099-03-01T09:00:00.٥Z",
    "2099-03-01T09Z",
    "2099-03-01T09:00Z",
    "2099-03-01T24:00:00Z",
    "2099-03-01T09:60:00Z",
    "2099-03-01T09:00:60Z",
    "2098-12-31T23:59:60Z",
    "2099-02-29T09:00:00Z",
    "2099-13-01T09:00:00Z",
    "2099-03-00T09:00:00Z",
    "2099-03-01",
    "09:00:00Z",
    "4076092800",
    "tomorrow",
    "2099-03-01T09:00:00 UTC",
    "2099-03-01T09:00:00[Asia/Seoul]",
    "2099-03-01T09:00:00ﬁ",
    "2099-03-01T09:00:00ﬀZ",
]
TAKEN = [
    "2099-03-01T00:00:00Z",
    "2099-03-01t00:00:00z",
    "2099-03-01T09:00:00+09:00",
    "2099-03-01T00:00:00-00:00",
    "2099-03-01T00:00:00.000000Z",
    "2099-03-01T00:00:00.0000001234567890Z",
    "2099-03-01T23:59:00+23:59",
    "2099-02-28T18:30:00.0-05:30",
]
AT = datetime(2099, 3, 1, tzinfo=UTC)
FIRST, LAST = (datetime.fromisoformat(text) for text in ("1001-01-01", "9989-12-31"))


def written_by_rfc_3339() -> st.SearchStrategy[tuple[str, datetime]]:
    """Return texts that its grammar makes, of years that are in range, with their times."""
    return st.builds(
        write,
        st.datetimes(FIRST, LAST),
        st.none() | st.integers(-1439, 1439),
        st.sampled_from("Tt"),
        st.sampled_from("Zz"),
        st.none() | st.text("0123456789", min_size=1, max_size=12),
    )


def write(
    local: datetime, minutes: int | None, separator: str, zulu: str, fraction: str | None
) -> tuple[str, datetime]:
    local = local.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))
    text = f"{local:%Y-%m-%d}".zfill(10) + f"{separator}{local:%H:%M:%S}"
    text += "" if fraction is None else f".{fraction}"
    hour, minute = divmod(abs(minutes or 0), 60)
    sign = "-" if (minutes or 0) < 0 else "+"
    text += zulu if minutes is None else f"{sign}{hour:02}:{minute:02}"
    return text, local.replace(tzinfo=UTC) - timedelta(minutes=minutes or 0)


def of_field(field: Any) -> Callable[[str], datetime]:
    return lambda text: field.to_internal_value(text)


def of_form(field: forms.Field) -> Callable[[str], datetime]:
    return lambda text: field.clean(text)


# Each has its own wording, and the same answer.
PARSERS: dict[str, Callable[[str], datetime]] = {
    "armo.common": moments.parse_moment,
    "the engine": times.parse_moment,
    "a field of the API": of_field(MomentField()),
    "a bound in the API": of_field(MomentField(is_bound=True)),
    "a command": base.moment,
    "a page's script": of_form(moments.MomentFormField()),
    "a local time": of_form(LocalTimeField()),
}
REFUSALS = (ValueError, serializers.ValidationError, forms.ValidationError, CommandError)


class TestATime:
    def test_is_read_by_the_same_lines_in_the_engine(self) -> None:
        ours, engines = (inspect.getsource(it.parse_moment) for it in (moments, times))

        assert ours == engines
        assert moments._RFC_3339 == times._RFC_3339

    @pytest.mark.parametrize("name", PARSERS)
    @given(written=written_by_rfc_3339())
    def test_of_rfc_3339_is_taken_with_its_value(
        self, name: str, written: tuple[str, datetime]
    ) -> None:
        text, at = written

        assert PARSERS[name](text) == at

    @pytest.mark.parametrize("name", PARSERS)
    @pytest.mark.parametrize("text", TAKEN)
    def test_is_taken(self, name: str, text: str) -> None:
        assert PARSERS[name](text) == AT

    @pytest.mark.parametrize("name", PARSERS)
    @pytest.mark.parametrize("text", REFUSED)
    def test_of_any_other_form_is_refused(self, name: str, text: str) -> None:
        with pytest.raises(REFUSALS):
            PARSERS[name](text)

    @given(
        written=written_by_rfc_3339(), place=st.integers(0, 40), sign=st.characters(codec="utf-8")
    )
    def test_with_one_more_character_is_refused(
        self, written: tuple[str, datetime], place: int, sign: str
    ) -> None:
        text, _at = written
        place = min(place, len(text))
        is_digit_of_fraction = sign in "0123456789" and "." in text[:place]

        if not is_digit_of_fraction:
            with pytest.raises(ValueError, match=r"invalid|no_offset|out_of_range"):
                moments.parse_moment(text[:place] + sign + text[place:])

    @pytest.mark.parametrize("year", ["0000", "0001", "1000", "9990", "9999"])
    def test_of_a_year_that_no_zone_can_show_is_out_of_range(self, year: str) -> None:
        text = f"{year}-02-03T09:00:00-23:59"

        for parse in (moments.parse_moment, times.parse_moment):
            with pytest.raises(ValueError, match="out_of_range"):
                parse(text)
        assert moments.parse_bound(text) in (moments.EARLIEST, moments.LATEST)

    def test_without_an_offset_is_said_to_have_none(self) -> None:
        for parse in (moments.parse_moment, times.parse_moment):
            with pytest.raises(ValueError, match="no_offset"):
                parse("2099-03-01T09:00:00")


class TestALocalTime:
    @pytest.mark.parametrize(
        ("text", "at"),
        [
            ("2099-03-01T09:00", datetime(2099, 3, 1, 9, tzinfo=UTC)),
            ("2099-03-01T09:00:07", datetime(2099, 3, 1, 9, 0, 7, tzinfo=UTC)),
            ("2099-03-01T09:00:07.25", datetime(2099, 3, 1, 9, 0, 7, 250_000, tzinfo=UTC)),
        ],
    )
    def test_is_as_a_browser_sends_it(self, text: str, at: datetime) -> None:
        assert moments.parse_local(text) == at.replace(tzinfo=None)
        assert LocalTimeField().clean(text) == at

    @pytest.mark.parametrize(
        "text",
        [
            "2099-03-01 09:00",
            "2099-03-01T09",
            "2099-03-01x09:00",
            "2099-03-01T09:00\n",
            " 2099-03-01T09:00",
            "２０９９-03-01T09:00",
            "2099-W09-1T09:00",
            "2099-03-01T24:00",
            "2099-03-01T09:00:00.",
            "2099-03-01",
            "01/03/2099 09:00",
            "113020260900AM",
        ],
    )
    def test_of_any_other_form_is_refused(self, text: str) -> None:
        with pytest.raises(forms.ValidationError) as refusal:
            LocalTimeField().clean(text)

        assert refusal.value.code == "invalid"


class TestADay:
    def test_is_year_month_and_day(self) -> None:
        assert moments.parse_day("2099-03-01") == date(2099, 3, 1)

    @pytest.mark.parametrize(
        "text", ["2099-W09-1", "20990301", "2099-3-1", "２０９９-03-01", "2099-03-01\n"]
    )
    def test_of_any_other_form_is_none(self, text: str) -> None:
        assert moments.parse_day(text) is None


# The same, asked from outside.


def schedule_by_api(text: str, story: Story, browser: Client) -> bool:
    url = f"{API}/stories/{story.pk}/schedule/"
    answer = client_of(superuser()).post(url, {"publish_at": text}, format="json")
    assert answer.status_code in (200, 400)
    return answer.status_code == 200


def filter_by_api(text: str, story: Story, browser: Client) -> bool:
    answer = client_of(superuser()).get(f"{API}/jobs/", {"run_at_after": text})
    assert answer.status_code in (200, 400)
    return answer.status_code == 200


def rerun_by_api(text: str, story: Story, browser: Client) -> bool:
    body = {"since": text, "dry_run": True}
    answer = client_of(superuser()).post(f"{API}/jobs/rerun/", body, format="json")
    assert answer.status_code in (200, 400)
    return answer.status_code == 200


def by_command(*arguments: str) -> bool:
    try:
        call_command(*arguments)
    except CommandError as error:
        return error.returncode != base.WRONG_USAGE
    return True


def schedule_by_command(text: str, story: Story, browser: Client) -> bool:
    return by_command("schedule", f"story:{story.pk}", f"--at={text}")


def rerun_by_command(text: str, story: Story, browser: Client) -> bool:
    return by_command("rerun", "--all-failed", "--dry-run", f"--since={text}")


def forecast_by_command(text: str, story: Story, browser: Client) -> bool:
    return by_command("publish_due", "--dry-run", f"--at={text}")


def schedule_by_button(text: str, story: Story, browser: Client) -> bool:
    return bool(press(browser, story, "schedule", run_at=text).status_code == 302)


def move_in_calendar(text: str, story: Story, browser: Client) -> bool:
    job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
    data = {"job": job.pk, "to": text, "expected": times.utc(FAR_OFF)}
    return browser.post(reverse("admin-calendar-move"), data).status_code == 200


def send_what_the_calendar_has_shown(text: str, story: Story, browser: Client) -> bool:
    job = operations.schedule(item=story, run_at=AT, by=None)
    data = {"job": job.pk, "to": "2100-03-01T09:00", "expected": text}
    return browser.post(reverse("admin-calendar-move"), data).status_code == 200


def send_when_a_form_was_made(text: str, story: Story, browser: Client) -> bool:
    form = SeenForm.__new__(SeenForm)
    form.data = {"_seen": json.dumps({"at": text, "fields": {}})}
    return form._read_seen() is not None


ENTRY_POINTS = [
    schedule_by_api,
    filter_by_api,
    rerun_by_api,
    schedule_by_command,
    rerun_by_command,
    forecast_by_command,
    schedule_by_button,
    move_in_calendar,
    send_what_the_calendar_has_shown,
    send_when_a_form_was_made,
]


@pytest.mark.django_db
@pytest.mark.usefixtures("unthrottled")
class TestEveryEntryPoint:
    @pytest.mark.parametrize("ask", ENTRY_POINTS, ids=lambda ask: ask.__name__)
    def test_gives_the_same_answer(self, ask: Callable[[str, Story, Client], bool]) -> None:
        browser = signed_in("Editors")

        taken = [text for text in TAKEN + REFUSED if ask(text, StoryFactory(), browser)]

        assert taken == TAKEN

    def test_of_lists_takes_the_dates_above_them_alone(self) -> None:
        browser = signed_in("Editors")

        answers = [
            browser.get(list_of(Story), query).status_code
            for query in (
                {"publish_at__year": "2099"},
                {"publish_at__year": "２０９９"},
                {"publish_at__month": "3"},
                {"publish_at__date": "2099-03-01"},
                {"published_at__year": "2099"},
                {"publish_at__gte": "2099-W09-1T09:00:00+23:59"},
            )
        ]

        assert answers == [200, 400, 400, 400, 400, 400]


class TestAPlusSign:
    def test_that_was_not_escaped_in_a_url_is_meant(self) -> None:
        field = MomentFilter().field

        assert field.clean("2099-03-01T09:00:00 09:00") == AT
