"""The admin's calendar: whose entries it shows, on which day, and how they are moved."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from content.models import Story
from scheduling import operations
from scheduling.admin import calendar
from scheduling.models import Job, JobEvent, Kind, Schedulable, State
from scheduling.operations import store
from tests.database_rows import everything, failed_publish, last_event
from tests.factories import NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

# A Wednesday on which no clock changes.
DAY = "2100-03-03"
MORNING = datetime(2100, 3, 3, 9, 30, 0, 654321, tzinfo=UTC)


def member(group: str) -> User:
    user = UserFactory(username=f"one-of-{group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def editor() -> Client:
    return signed_in(member("Editors"))


def planned(at: datetime = MORNING, *, by: User | None = None, **fields: Any) -> Job:
    """Return the job of a new story that is scheduled."""
    return operations.schedule(item=StoryFactory(**fields), run_at=at, by=by)


def page(client: Client, view: str = "week", date: str = DAY, **query: str) -> str:
    response = client.get(
        reverse("admin-calendar"), {"view": view, "date": date, **query}, follow=True
    )
    assert response.status_code == 200
    return response.content.decode()


def days(text: str) -> dict[str, list[int]]:
    """Return the jobs that each day of the page shows, in order."""
    parts = re.split(r'data-day="([^"]*)"', text)[1:]
    return {
        day: [int(job) for job in re.findall(r'data-job="(\d+)"', part)]
        for day, part in zip(parts[::2], parts[1::2], strict=True)
    }


def shown(text: str) -> list[int]:
    """Return the jobs that the page shows, in order."""
    return [job for of_day in days(text).values() for job in of_day]


def movable(text: str) -> list[int]:
    return [int(job) for job in re.findall(r'data-job="(\d+)"[^>]* draggable="true"', text)]


def move(client: Client, job: Job, to: str, expected: datetime | None = None, **more: str) -> Any:
    """Ask what the page asks when an entry is moved."""
    known = (expected or job.run_at).isoformat()
    data = {"job": job.pk, "to": to, "expected": known, **more}
    return client.post(reverse("admin-calendar-move"), data)


def run_at(job: Job) -> datetime:
    return Job.objects.get(pk=job.pk).run_at


class TestPage:
    def test_shows_what_is_scheduled_done_and_failed_in_order(self, editor: Client) -> None:
        later = planned(MORNING + timedelta(hours=1))
        first = planned()
        failed = failed_publish()
        Job.objects.filter(pk=failed.pk).update(run_at=MORNING + timedelta(minutes=1))

        text = page(editor)

        assert days(text)[DAY] == [first.pk, failed.pk, later.pk]

    def test_leaves_out_what_is_cancelled(self, editor: Client) -> None:
        operations.cancel(job=planned(), by=None)

        assert shown(page(editor)) == []

    def test_says_time_title_kind_and_state_of_an_entry(self, editor: Client) -> None:
        planned(title="<b>“봄 소풍”</b>")

        text = page(editor)

        assert ">09:30</time>" in text
        assert "&lt;b&gt;“봄 소풍”&lt;/b&gt;" in text
        assert "<b>“봄" not in text
        assert ", publish, waiting</span>" in text

    def test_opens_the_item(self, editor: Client) -> None:
        job = planned()

        assert reverse("admin:content_story_change", args=[job.object_id]) in page(editor)

    def test_opens_the_job_when_its_type_has_no_page(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admin.site, "is_registered", lambda model: False)
        job = planned()

        assert reverse("admin:scheduling_job_change", args=[job.pk]) in page(editor)

    def test_shows_what_is_left_of_a_type_that_is_gone(self, editor: Client) -> None:
        job = planned(title="봄 소풍")
        gone = ContentType.objects.create(app_label="gone", model="gone")
        Job.objects.filter(pk=job.pk).update(content_type=gone)

        text = page(editor)

        assert shown(text) == [job.pk]
        assert reverse("admin:scheduling_job_change", args=[job.pk]) in text

    @pytest.mark.parametrize(
        ("view", "first", "last"),
        [
            ("month", "2100-03-01", "2100-04-04"),
            ("week", "2100-03-01", "2100-03-07"),
            ("day", "2100-03-03", "2100-03-03"),
        ],
    )
    def test_shows_whole_weeks_or_a_day(
        self, editor: Client, view: str, first: str, last: str
    ) -> None:
        shown_days = list(days(page(editor, view)))

        assert (shown_days[0], shown_days[-1]) == (first, last)

    @pytest.mark.parametrize("date", ["", "yesterday", "0001-01-01", "9999-12-31", "2100-02-30"])
    def test_shows_today_when_there_is_no_such_day(self, editor: Client, date: str) -> None:
        assert 'aria-current="date"' in page(editor, "day", date)

    def test_shows_a_few_of_a_day_in_a_month_and_leads_to_the_others(self, editor: Client) -> None:
        jobs = [planned(MORNING + timedelta(minutes=n)) for n in range(calendar.MOST_A_DAY + 3)]

        text = page(editor, "month")

        assert days(text)[DAY] == [job.pk for job in jobs[: calendar.MOST_A_DAY]]
        assert f'href="?view=day&amp;date={DAY}">+3 more' in text

    def test_counts_the_days_of_a_month_by_pythons_rules(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "America/New_York"
        late = [
            planned(datetime(2100, 11, 8, 4, n, tzinfo=UTC)) for n in range(calendar.MOST_A_DAY + 1)
        ]
        next_day = planned(datetime(2100, 11, 8, 5, tzinfo=UTC))

        with CaptureQueriesContext(connection) as queries:
            text = page(editor, "month", "2100-11-07")

        # On the 7th, of 25 hours, the clocks are set back.
        assert days(text)["2100-11-07"] == [job.pk for job in late[: calendar.MOST_A_DAY]]
        assert days(text)["2100-11-08"] == [next_day.pk]
        assert "+1 more" in text
        assert not [it["sql"] for it in queries if "AT TIME ZONE" in it["sql"]]

    def test_says_that_it_shows_only_the_first(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calendar, "MOST_ENTRIES", 2)
        jobs = [planned(MORNING + timedelta(minutes=n)) for n in range(3)]

        text = page(editor)

        assert shown(text) == [job.pk for job in jobs[:2]]
        assert "Only the first 2 are shown." in text

    @pytest.mark.slow
    @pytest.mark.parametrize("view", ["month", "week", "day"])
    def test_asks_the_database_as_often_for_many_entries_as_for_one(
        self, editor: Client, view: str
    ) -> None:
        planned()
        page(editor, view)
        with CaptureQueriesContext(connection) as for_one:
            page(editor, view)
        for number in range(60):
            make = NoticeFactory if number % 2 else StoryFactory
            operations.schedule(item=make(), run_at=MORNING + timedelta(hours=number), by=None)

        with CaptureQueriesContext(connection) as for_many:
            page(editor, view)

        assert len(for_many) == len(for_one)

    def test_is_korean_for_a_korean(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        planned(title="봄 소풍")

        response = editor.get(
            reverse("admin-calendar"),
            {"view": "month", "date": DAY},
            headers={"Accept-Language": "ko"},
        )

        text = response.content.decode()
        assert "2100년 3월" in text
        assert "시각은 Asia/Seoul 기준입니다." in text
        assert "봄 소풍" in text

    def test_has_no_script_or_style_of_its_own_within(self, editor: Client) -> None:
        planned()

        own = re.search(r'<div class="calendar".*</script>', page(editor), re.DOTALL)

        assert own is not None
        assert re.findall(r"<script[^>]*>", own[0].partition("</dialog>")[2])[0].endswith(
            'type="application/json">'
        )
        assert " style=" not in own[0]
        assert "onclick" not in own[0]


class TestDays:
    def test_are_those_of_the_time_zone(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        job = planned(datetime(2100, 3, 3, 23, 30, tzinfo=UTC))

        text = page(editor)

        assert days(text)["2100-03-04"] == [job.pk]
        assert ">08:30</time>" in text

    @pytest.mark.parametrize("view", ["month", "week", "day"])
    def test_hold_all_from_midnight_to_midnight_and_nothing_else(
        self, editor: Client, settings: Settings, view: str
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        midnight = datetime(2100, 3, 2, 15, tzinfo=UTC)
        instant = timedelta(microseconds=1)
        planned(midnight - instant)
        inside = [planned(midnight), planned(midnight + timedelta(days=1) - instant)]
        planned(midnight + timedelta(days=1))

        assert days(page(editor, view))[DAY] == [job.pk for job in inside]

    @pytest.mark.parametrize(
        ("date", "start", "hours"),
        [
            ("2027-03-28", datetime(2027, 3, 27, 23, tzinfo=UTC), 23),
            ("2027-10-31", datetime(2027, 10, 30, 22, tzinfo=UTC), 25),
        ],
    )
    def test_have_23_or_25_hours_when_the_clocks_change(
        self, editor: Client, settings: Settings, date: str, start: datetime, hours: int
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        instant = timedelta(microseconds=1)
        planned(start - instant)
        inside = [planned(start), planned(start + timedelta(hours=hours) - instant)]
        planned(start + timedelta(hours=hours))

        for view in ("month", "week", "day"):
            assert days(page(editor, view, date))[date] == [job.pk for job in inside]

    def test_name_the_zone_when_the_clock_shows_an_hour_twice(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        planned(datetime(2027, 10, 31, 0, 30, tzinfo=UTC))
        planned(datetime(2027, 10, 31, 1, 30, tzinfo=UTC))

        text = page(editor, "day", "2027-10-31")

        assert ">02:30 CEST</time>" in text
        assert ">02:30 CET</time>" in text


class TestFilters:
    def test_narrow_to_a_type(self, editor: Client) -> None:
        planned()
        of_notice = operations.schedule(item=NoticeFactory(), run_at=MORNING, by=None)

        assert shown(page(editor, type="notice")) == [of_notice.pk]

    def test_narrow_to_a_kind(self, editor: Client) -> None:
        story = StoryFactory()
        end = MORNING + timedelta(hours=1)
        operations.schedule(item=story, run_at=MORNING, unpublish_at=end, by=None)

        of_end = Job.objects.get(kind=Kind.UNPUBLISH)
        assert shown(page(editor, kind="unpublish")) == [of_end.pk]

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("scheduled", "waiting retrying"), ("succeeded", "succeeded"), ("failed", "failed")],
    )
    def test_narrow_to_a_state(self, editor: Client, status: str, expected: str) -> None:
        jobs = {}
        for state in (State.WAITING, State.RETRYING, State.SUCCEEDED, State.FAILED):
            jobs[state] = planned()
            is_over = state in (State.SUCCEEDED, State.FAILED)
            Job.objects.filter(pk=jobs[state].pk).update(
                state=state, finished_at=MORNING if is_over else None
            )

        assert shown(page(editor, status=status)) == [jobs[State(s)].pk for s in expected.split()]

    def test_narrow_to_ones_own(self) -> None:
        me = member("Editors")
        own = planned(author=me)
        planned(author=UserFactory())

        assert shown(page(signed_in(me), author="me")) == [own.pk]

    @pytest.mark.parametrize("name", ["type", "kind", "status", "author"])
    def test_that_are_not_known_narrow_nothing(self, editor: Client, name: str) -> None:
        job = planned()

        assert shown(page(editor, **{name: "'\x00"})) == [job.pk]

    def test_stay_on_the_way_to_another_week(self, editor: Client) -> None:
        links = re.findall(r'href="(\?view=[^"]*)"', page(editor, type="story", status="failed"))

        plain = [link for link in links if "type=story&amp;status=failed" not in link]
        assert plain == [f"?view=week&amp;date={DAY}"]  # the one that shows all


class TestRights:
    def test_let_authors_see_their_own_only_and_move_nothing(self) -> None:
        author = member("Authors")
        own = planned(author=author)
        planned(author=UserFactory())
        client = signed_in(author)

        text = page(client)

        assert shown(text) == [own.pk]
        assert movable(text) == []

    def test_let_who_sees_one_type_see_that_type(self) -> None:
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Editors").permissions
        user.user_permissions.set(
            permissions.filter(codename__in=["view_notice", "schedule_notice"])
        )
        planned()
        of_notice = operations.schedule(item=NoticeFactory(), run_at=MORNING, by=None)

        text = page(signed_in(user))

        assert shown(text) == movable(text) == [of_notice.pk]

    def test_keep_out_who_may_see_nothing(self) -> None:
        client = signed_in(UserFactory(is_staff=True))

        assert client.get(reverse("admin-calendar")).status_code == 403
        assert reverse("admin-calendar") not in client.get(reverse("admin:index")).content.decode()

    def test_keep_out_who_is_not_signed_in(self, client: Client) -> None:
        job = planned()

        assert "/login/" in client.get(reverse("admin-calendar")).headers["Location"]
        assert "/login/" in move(client, job, "2100-03-04T09:30").headers["Location"]
        assert run_at(job) == MORNING

    def test_put_it_into_the_menu(self, editor: Client) -> None:
        assert reverse("admin-calendar") in editor.get(reverse("admin:index")).content.decode()

    def test_offer_to_move_only_what_is_open(self, editor: Client) -> None:
        waiting, done = planned(), planned()
        Job.objects.filter(pk=done.pk).update(state=State.SUCCEEDED, finished_at=MORNING)

        text = page(editor)

        assert shown(text) == [waiting.pk, done.pk]
        assert movable(text) == [waiting.pk]


class TestMove:
    def test_gives_a_job_another_local_time(self, editor: Client, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        job = planned(title="봄 소풍")

        response = move(editor, job, "2100-03-05T18:30:00.654321")

        assert response.status_code == 200
        answer = response.json()
        assert answer["text"] == "“봄 소풍” moved to Fri 5 Mar, 18:30."
        assert answer["entry"]["day"] == "2100-03-05"
        assert f'data-job="{job.pk}"' in answer["entry"]["html"]
        assert run_at(job) == MORNING + timedelta(days=2)
        story = Story.objects.get()
        assert story.publish_at == MORNING + timedelta(days=2)

    def test_records_who_and_why(self) -> None:
        me = member("Editors")
        job = planned()

        move(signed_in(me), job, "2100-03-05T09:30")

        event = last_event(job)
        assert (event.what, event.by, event.reason) == (
            JobEvent.What.MOVED,
            me,
            "Moved in the calendar.",
        )

    def test_is_taken_back_to_the_microsecond(self, editor: Client) -> None:
        job = planned()
        answer = move(editor, job, "2100-03-05T10:00").json()
        there = datetime.fromisoformat(answer["entry"]["run_at"])

        response = move(editor, job, answer["was"], expected=there)

        assert response.status_code == 200
        assert run_at(job) == MORNING

    def test_is_of_the_zone_that_the_page_showed(self, editor: Client, settings: Settings) -> None:
        job = planned()
        settings.TIME_ZONE = "Asia/Seoul"

        answer = move(editor, job, "2100-03-05T12:00", to_zone="UTC").json()

        assert run_at(job) == datetime(2100, 3, 5, 12, 0, tzinfo=UTC)
        assert answer["text"].endswith("12:00.")

    def test_asks_which_is_meant_of_a_time_that_comes_twice(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        job = planned()

        asked = move(editor, job, "2100-10-31T02:30")
        answered = move(editor, job, "2100-10-31T02:30", to_which="1")

        assert asked.status_code == 422
        assert 'name="to_which" value="1"' in asked.json()["which"]
        assert answered.status_code == 200
        assert run_at(job) == datetime(2100, 10, 31, 1, 30, tzinfo=UTC)

    def test_moves_an_end(self, editor: Client) -> None:
        end = MORNING + timedelta(days=2)
        operations.schedule(item=StoryFactory(), run_at=MORNING, unpublish_at=end, by=None)
        job = Job.objects.get(kind=Kind.UNPUBLISH)

        move(editor, job, "2100-03-06T12:00")

        assert run_at(job) == datetime(2100, 3, 6, 12, tzinfo=UTC)
        assert Story.objects.get().publish_at == MORNING

    def test_into_the_past_is_refused(self, editor: Client) -> None:
        job = planned(title="봄 소풍")
        before = everything()

        response = move(editor, job, "2020-01-01T09:30")

        assert response.status_code == 409
        assert response.json()["text"] == "“봄 소풍”: That time has already passed."
        assert response.json()["entry"]["day"] == DAY
        assert everything() == before

    @pytest.mark.parametrize(
        ("to", "status", "text"),
        [
            ("2027-03-28T02:30:00.000001", 409, "The clocks skip 2027-03-28 02:30 that night."),
            ("2027-10-31T02:30", 422, "The clocks show 2027-10-31 02:30 twice that night."),
        ],
    )
    def test_to_a_time_that_the_clocks_skip_or_repeat_is_refused(
        self, editor: Client, settings: Settings, to: str, status: int, text: str
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        job = planned()

        response = move(editor, job, to)

        assert response.status_code == status
        assert text in response.json()["text"]
        assert run_at(job) == MORNING

    def test_names_the_moment_of_an_hour_that_repeats_by_its_offset(
        self, editor: Client, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        job = planned()

        move(editor, job, "2027-10-31T02:30:00.000001+01:00")

        assert run_at(job) == datetime(2027, 10, 31, 1, 30, 0, 1, tzinfo=UTC)

    def test_of_what_has_been_moved_meanwhile_is_refused(self, editor: Client) -> None:
        job = planned()
        boss = UserFactory(username="the-boss")
        operations.move(job=job, run_at=MORNING + timedelta(days=1), by=boss)

        response = move(editor, job, "2100-03-05T09:30", expected=MORNING)

        assert response.status_code == 409
        answer = response.json()
        assert "It has been moved meanwhile to Thu 4 Mar, 09:30 by the-boss." in answer["text"]
        assert answer["entry"]["day"] == "2100-03-04"
        assert run_at(job) == MORNING + timedelta(days=1)

    def test_of_what_is_over_is_refused_and_shows_how_it_ended(self, editor: Client) -> None:
        job = planned()
        Job.objects.filter(pk=job.pk).update(state=State.FAILED, finished_at=MORNING)

        response = move(editor, job, "2100-03-05T09:30")

        assert response.status_code == 409
        assert "The job has already run or been cancelled." in response.json()["text"]
        assert "publish, failed" in response.json()["entry"]["html"]
        assert 'draggable="true"' not in response.json()["entry"]["html"]

    def test_looks_at_the_job_under_the_lock_of_its_item(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = planned()
        lock_item = store.lock_item

        def lock_after_another(item: Schedulable) -> Any:
            # Another had the lock, and has moved the job before giving it back.
            monkeypatch.setattr(store, "lock_item", lock_item)
            operations.move(job=job, run_at=MORNING + timedelta(days=1), by=None)
            return lock_item(item)

        monkeypatch.setattr(store, "lock_item", lock_after_another)

        response = move(editor, job, "2100-03-05T09:30", expected=MORNING)

        assert response.status_code == 409
        assert "by the publisher" in response.json()["text"]

    def test_of_what_is_cancelled_finds_nothing(self, editor: Client) -> None:
        job = planned()
        operations.cancel(job=job, by=None)

        assert move(editor, job, "2100-03-05T09:30").status_code == 404

    @pytest.mark.parametrize(
        "changed", [{"to": ""}, {"to": "tomorrow"}, {"expected": ""}, {"expected": "then"}]
    )
    def test_that_is_malformed_is_refused(self, editor: Client, changed: dict[str, str]) -> None:
        job = planned()
        good = {"job": job.pk, "to": "2100-03-05T09:30", "expected": MORNING.isoformat()}

        response = editor.post(reverse("admin-calendar-move"), good | changed)

        assert response.status_code == 400
        assert run_at(job) == MORNING

    @pytest.mark.parametrize("pk", ["", "0", "x", str(2**63), str(2**62)])
    def test_of_no_job_finds_nothing(self, editor: Client, pk: str) -> None:
        data = {"job": pk, "to": "2100-03-05T09:30", "expected": MORNING.isoformat()}

        assert editor.post(reverse("admin-calendar-move"), data).status_code == 404

    def test_needs_the_right(self) -> None:
        author = member("Authors")
        own, of_another = planned(author=author), planned()
        client = signed_in(author)

        assert move(client, own, "2100-03-05T09:30").status_code == 403
        assert move(client, of_another, "2100-03-05T09:30").status_code == 404
        assert run_at(own) == run_at(of_another) == MORNING

    def test_needs_a_post_with_its_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(member("Editors"))
        job = planned()

        assert client.get(reverse("admin-calendar-move")).status_code == 405
        assert move(client, job, "2100-03-05T09:30").status_code == 403
        assert run_at(job) == MORNING

    def test_has_its_token_on_the_page(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(member("Editors"))
        job = planned()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', page(client))
        assert token

        client.post(
            reverse("admin-calendar-move"),
            {
                "job": job.pk,
                "to": "2100-03-05T09:30",
                "expected": MORNING.isoformat(),
                "csrfmiddlewaretoken": token[1],
            },
        )

        assert run_at(job) == datetime(2100, 3, 5, 9, 30, tzinfo=UTC)
