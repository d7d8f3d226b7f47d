"""The admin's first page: its figures, who sees which, and how it says that all is well or not."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext
from pytest_django import Settings

from content.models import Story
from scheduling import __version__, operations
from scheduling.admin.health_lines import health_lines
from scheduling.models import Heartbeat, Job, Kind, Schedulable, State, clock
from scheduling.queries import dashboard_stats
from scheduling.queries.dashboard_stats import Due, Lateness
from scheduling.queries.health import STILL_AFTER_SECONDS, Publisher
from scheduling.worker import job_runner
from tests.admin_pages import list_of, page_of, signed_in
from tests.database_rows import due_stories, failed_end, failed_publish, over
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
# A Wednesday.
NOON = datetime(2026, 3, 25, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=number) for number in (1, 60, 3600, 86400))


def at(text: str) -> datetime:
    """Return a time of UTC, of the year in which it is noon."""
    return datetime.fromisoformat(f"2026-{text}+00:00")


def seen(*, now: datetime = NOON, zone: Any = UTC) -> dashboard_stats.DashboardStats:
    return dashboard_stats.dashboard_stats(Job.objects.all(), now=now, zone=zone)


def due(*times: datetime) -> None:
    for time in times:
        StoryFactory(due=True, publish_at=time)


def went_live(*times: datetime, late: timedelta = timedelta(0), **fields: Any) -> None:
    """Record publishes that were over at those times."""
    story = StoryFactory()
    for time in times:
        wanted = {"run_at": time - late, "created_at": time - DAY, **fields}
        over(story, finished_at=time, **wanted)


class TestDue:
    def test_counts_up_to_each_end(self, settings: Settings) -> None:
        settings.OVERDUE_AFTER = 60
        due(NOON - 61 * SECOND)  # overdue
        due(NOON - 59 * SECOND, NOON + 59 * MINUTE)  # in the next hour
        due(NOON + HOUR, at("03-25T23:59:59.999999"))  # today
        due(at("03-26T00:00:00"), at("03-29T23:59:59.999999"))  # this week
        due(at("03-30T00:00:00"))

        assert seen().due == Due(next_hour=2, today=4, this_week=6, overdue=1)

    def test_counts_an_hour_that_is_longer_than_the_week(self) -> None:
        due(at("03-30T00:15:00"))

        found = seen(now=at("03-29T23:30:00")).due

        assert found == Due(next_hour=1, today=0, this_week=0, overdue=0)

    def test_counts_days_of_the_time_zone(self) -> None:
        due(at("03-25T14:59:59"), at("03-25T15:00:00"))

        assert seen(zone=UTC).due.today == 2
        assert seen(zone=SEOUL).due.today == 1
        assert seen(zone=SEOUL).due.this_week == 2

    def test_ends_a_day_of_23_hours_where_it_ends(self) -> None:
        due(at("03-29T21:59:59"), at("03-29T22:00:00"))

        found = seen(now=at("03-28T23:30:00"), zone=BERLIN).due

        assert found == Due(next_hour=0, today=1, this_week=1, overdue=0)

    def test_counts_no_end_and_nothing_that_is_over(self) -> None:
        NoticeFactory(published=True, unpublish_at=NOON + MINUTE)
        went_live(NOON - DAY)

        assert seen().due == Due(0, 0, 0, 0)


class TestComing:
    def test_is_the_nearest_first(self) -> None:
        due(*(NOON + hours * HOUR for hours in (3, 1, 2, -1)))

        times = [planned.run_at - NOON for planned in seen().coming]

        assert times == [-HOUR, HOUR, 2 * HOUR, 3 * HOUR]

    def test_is_eight_at_most(self) -> None:
        due_stories(9)

        assert len(seen().coming) == 8


class TestDays:
    def numbers(self, **when: Any) -> dict[date, int]:
        return {day: number for day, number in seen(**when).days.items() if number}

    def test_are_thirty_and_end_today(self) -> None:
        days = list(seen(now=at("03-25T15:00:00"), zone=SEOUL).days)

        assert days == [date(2026, 3, 26) - ago * DAY for ago in range(29, -1, -1)]

    def test_are_those_of_the_time_zone(self) -> None:
        went_live(at("03-24T14:59:59.999999"), at("03-24T15:00:00"))

        assert self.numbers(zone=UTC) == {date(2026, 3, 24): 2}
        assert self.numbers(zone=SEOUL) == {date(2026, 3, 24): 1, date(2026, 3, 25): 1}

    def test_may_have_23_hours(self) -> None:
        went_live(at("03-28T22:59:59"))
        went_live(at("03-28T23:00:00"), at("03-29T21:59:59"))
        went_live(at("03-29T22:00:00"))

        numbers = self.numbers(now=at("03-30T12:00:00"), zone=BERLIN)

        assert list(numbers.values()) == [1, 2, 1]
        assert numbers[date(2026, 3, 29)] == 2

    def test_begin_with_the_first_ones_midnight(self) -> None:
        went_live(at("02-23T23:59:59.999999"), at("02-24T00:00:00"))

        assert self.numbers() == {date(2026, 2, 24): 1}

    def test_count_what_was_published_by_hand(self) -> None:
        went_live(NOON - HOUR, created_at=NOON - HOUR)

        assert self.numbers() == {date(2026, 3, 25): 1}

    def test_count_nothing_else(self) -> None:
        went_live(NOON - HOUR, kind=Kind.UNPUBLISH)
        went_live(NOON - HOUR, state=State.FAILED)
        went_live(NOON - HOUR, state=State.CANCELLED)

        assert self.numbers() == {}


class TestLateness:
    def test_is_of_what_was_timed(self) -> None:
        for milliseconds in range(1, 101):
            went_live(NOON - HOUR, late=timedelta(milliseconds=milliseconds))
        went_live(NOON - HOUR, created_at=NOON - HOUR)  # by hand
        went_live(NOON - HOUR, late=DAY, kind=Kind.UNPUBLISH)
        went_live(NOON - HOUR, late=DAY, state=State.FAILED)

        assert seen().lateness == Lateness(number=100, p50_ms=50, p99_ms=99, most_ms=100)

    def test_is_of_the_last_24_hours(self) -> None:
        went_live(NOON - DAY - SECOND, late=HOUR)
        went_live(NOON - DAY, late=SECOND)

        assert seen().lateness == Lateness(number=1, p50_ms=1000, p99_ms=1000, most_ms=1000)

    def test_is_shown_hour_by_hour(self) -> None:
        went_live(NOON - DAY, late=SECOND)
        went_live(NOON - HOUR - SECOND, NOON - HOUR - 2 * SECOND, late=2 * SECOND)
        went_live(NOON - HOUR, late=3 * SECOND)

        hours = seen().hours

        assert list(hours) == [NOON - ago * HOUR for ago in range(24, 0, -1)]
        assert [lateness.p99_ms for lateness in hours.values()] == [1000, *[None] * 21, 2000, 3000]
        assert hours[NOON - 2 * HOUR].number == 2

    def test_of_nothing_is_nothing(self) -> None:
        assert seen().lateness == Lateness(number=0, p50_ms=None, p99_ms=None, most_ms=None)


class TestFailures:
    def test_say_what_failed_and_why(self) -> None:
        job = failed_publish(title="실패한 글")

        [failure] = seen().failures

        assert (failure.job_id, failure.title, failure.kind) == (job.pk, "실패한 글", "publish")
        assert failure.reason == "It cannot go live as it is. Its body is empty."
        assert failure.failed_at == job.finished_at

    def test_say_why_it_failed_last(self) -> None:
        job = failed_publish()
        operations.rerun(job=job, by=None)
        Story.objects.update(title="")
        job_runner.run_everything_due()

        [failure] = seen().failures

        assert failure.reason == "It cannot go live as it is. It has no title."

    def test_are_of_ends_too(self) -> None:
        job = failed_end()

        assert [failure.job_id for failure in seen().failures] == [job.pk]

    def test_are_the_newest_eight_and_all_are_counted(self) -> None:
        due_stories(9, body="")
        job_runner.run_everything_due()

        found = seen()

        times = [failure.failed_at for failure in found.failures]
        assert len(times) == 8
        assert times == sorted(times, reverse=True)
        assert (found.failed, found.or_more) == (9, False)

    def test_are_looked_at_so_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dashboard_stats, "MOST_COUNTED", 2)
        due_stories(3, body="")
        job_runner.run_everything_due()

        found = seen()

        assert (found.failed, found.or_more) == (2, True)
        assert len(found.failures) == 2

    @pytest.mark.parametrize(
        "settle",
        [
            lambda story: operations.publish_now(item=story, by=None),
            lambda story: operations.schedule(item=story, run_at=FAR_OFF, by=None),
            lambda story: operations.unschedule(item=story, by=None),
            lambda story: story.delete(),
        ],
    )
    def test_end_when_somebody_has_dealt_with_them(self, settle: Any) -> None:
        job = failed_publish()
        settle(job.find_item())

        found = seen()

        assert Job.objects.get(pk=job.pk).state == State.FAILED
        assert (found.failed, found.failures) == (0, [])

    def test_of_an_end_end_when_it_is_taken_down(self) -> None:
        item = failed_end().find_item()
        assert item is not None
        operations.unpublish_now(item=item, by=None)

        assert seen().failed == 0


# The page

INDEX = "/admin/"


def shown(client: Client, **headers: str) -> str:
    response = client.get(INDEX, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def links_to(html: str, *rows: Schedulable | Job) -> bool:
    return all(f'href="{page_of(row)}"' in html for row in rows)


@pytest.fixture(params=["Editors", "Operators"])
def one_who_sees_jobs(request: pytest.FixtureRequest) -> Client:
    return signed_in(request.param)


class TestThePage:
    def test_shows_what_is_to_come_and_what_failed(self, one_who_sees_jobs: Client) -> None:
        job = failed_publish(title="실패한 글")
        item = job.find_item()
        assert item is not None
        coming = StoryFactory(scheduled=True, title="<다음> 글")

        html = shown(one_who_sees_jobs)

        assert links_to(html, job, item, coming)
        assert "&lt;다음&gt; 글" in html
        assert "Its body is empty." in html
        assert f'href="{list_of(Job)}?state=failed"' in html

    def test_says_how_many_and_how_late(self, one_who_sees_jobs: Client) -> None:
        now = clock.database_now()
        went_live(now - 2 * HOUR, late=timedelta(milliseconds=25))
        went_live(now - 3 * DAY, now - 3 * DAY)

        html = shown(one_who_sees_jobs)

        assert "3 items went live in 30 days; most on one day: 2." in html
        assert "1 timed publish in 24 hours; lateness p50 25 ms, p99 25 ms, the most 25 ms." in html

    def test_has_a_bar_and_a_line_of_a_table_for_each_day_and_hour(self) -> None:
        went_live(clock.database_now() - HOUR, late=SECOND)

        html = shown(signed_in("Editors"))

        assert html.count("<rect ") == html.count('<th scope="row">') == 30 + 24

    def test_of_an_empty_site_says_so(self, one_who_sees_jobs: Client) -> None:
        html = shown(one_who_sees_jobs)

        assert "Nothing is scheduled." in html
        assert "Nothing has failed." in html
        assert "Nothing went live in 30 days." in html
        assert "<svg viewBox" not in html

    def test_says_that_no_worker_is_connected(self, one_who_sees_jobs: Client) -> None:
        html = shown(one_who_sees_jobs)

        assert "armo-ill" in html
        assert "Nothing will be published: no worker is connected." in html

    def test_is_korean_for_who_reads_korean(self) -> None:
        html = shown(signed_in("Editors"), accept_language="ko")

        with translation.override("ko"):
            assert gettext("Nothing is scheduled.") in html
        assert "Nothing is scheduled." not in html

    @pytest.mark.slow
    def test_takes_the_same_queries_however_many_jobs_there_are(self) -> None:
        client = signed_in("Editors")
        failed_publish()
        due_stories(1)
        with CaptureQueriesContext(connection) as few:
            shown(client)
        due_stories(60)
        due_stories(60, body="")
        job_runner.run_everything_due()
        due_stories(60)
        with CaptureQueriesContext(connection) as many:
            shown(client)

        assert len(many) == len(few) <= 25


class TestRights:
    def test_show_authors_their_own_drafts_and_no_jobs(self) -> None:
        author = signed_in("Authors")
        user = UserFactory._meta.model.objects.get(username="one-of-Authors")
        own = StoryFactory(author=user)
        notice = NoticeFactory(author=user)
        others = StoryFactory()
        live = StoryFactory(author=user, published=True)
        failed = failed_publish(author=user)

        html = shown(author)

        assert links_to(html, own, notice)
        assert not links_to(html, others)
        assert not links_to(html, live)
        assert not links_to(html, failed)
        assert "Failures to deal with" not in html
        assert "armo-ill" not in html

    def test_show_authors_their_newest_ten(self) -> None:
        author = signed_in("Authors")
        user = UserFactory._meta.model.objects.get(username="one-of-Authors")
        oldest, *newest = StoryFactory.create_batch(11, author=user)

        html = shown(author)

        assert links_to(html, *newest)
        assert not links_to(html, oldest)

    def test_let_who_writes_begin(self) -> None:
        assert 'href="/admin/content/story/add/"' in shown(signed_in("Authors"))
        assert 'href="/admin/content/story/add/"' not in shown(self.with_rights("view_story"))

    def test_show_jobs_of_types_that_the_person_sees(self) -> None:
        story = StoryFactory(scheduled=True)
        notice = NoticeFactory(scheduled=True)
        failed = failed_publish()

        html = shown(self.with_rights("view_job", "view_notice", "schedule_notice"))

        assert links_to(html, notice)
        assert not links_to(html, story)
        assert not links_to(html, failed)

    def test_show_nothing_to_who_sees_no_items(self) -> None:
        StoryFactory(scheduled=True)

        html = shown(self.with_rights("view_job"))

        assert "There is nothing here that you may see." in html

    def with_rights(self, *codenames: str) -> Client:
        user = UserFactory(is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client


class TestHealthLines:
    @pytest.mark.parametrize(
        ("state", "said"),
        [
            (Publisher(0, None, None), "no worker is connected"),
            (Publisher(0, 1.0, 90.0), "has been taken up by no worker"),
            (Publisher(3, None, None), "nothing has been finished yet"),
            (Publisher(3, STILL_AFTER_SECONDS + 1, None), "The queue has stopped moving"),
            (Publisher(3, 1.0, 90.0), "has been taken up by no worker"),
            (Publisher(3, 1.0, None, read_only=True), "The database is read-only"),
            (Publisher(3, 1.0, None), "every job is taken up in time."),
        ],
    )
    def test_say_what_is_wrong_whenever_the_monitors_do(self, state: Publisher, said: str) -> None:
        is_well, lines = health_lines(state)

        assert is_well == (not state.problems())
        assert is_well or len(lines) == len(state.problems())
        assert said in " ".join(lines)


class TestTheVersionsOfWorkers:
    @pytest.mark.parametrize(
        ("versions", "said"),
        [
            ([__version__, __version__], ""),
            ([], ""),
            (["0.1.9", __version__], f"Workers of another version run: 0.1.9, {__version__}."),
            (["0.1.9"], "Workers of another version run: 0.1.9."),
            ([""], "Workers of another version run: before 0.2.0."),
        ],
    )
    def test_are_shown_while_they_are_not_all_as_these_pages(
        self, versions: list[str], said: str, admin_client: Client
    ) -> None:
        for owner, version in enumerate(versions):
            Heartbeat.objects.create(
                owner=owner, lane="publish", host="here", pid=owner, version=version
            )

        html = admin_client.get(reverse("admin:index")).content.decode()

        assert said in html
        assert ("Workers of another version run" in html) == bool(said)
