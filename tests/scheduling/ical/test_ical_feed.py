"""The private calendar: what is still to come, for those who may see it."""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar, Event
from pytest_django import DjangoAssertNumQueries

from content.models import Story
from scheduling import operations
from scheduling.access.permissions import jobs_of_own_items
from scheduling.ical import feed
from scheduling.ical.feed import calendar_url, jobs_to_show, lines, one_line, write_calendar
from scheduling.ical.tokens import make_calendar_link, revoke_calendar_link
from scheduling.models import CalendarLink, Job, JobEvent, Kind, State, Status, clock, transition_of
from scheduling.operations import store
from tests.database_rows import failed_publish, over
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory

SITE = "https://news.example.org"
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.SITE_URL = SITE


def member(*groups: str) -> User:
    user: User = UserFactory()
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.fixture
def editor() -> User:
    return member("Editors")


@pytest.fixture
def author() -> User:
    return member("Authors")


def read(user: User, client: Client | None = None) -> Calendar:
    """Return the person's calendar as a calendar program understands it."""
    response = (client or Client()).get(calendar_url(make_calendar_link(user)))
    assert response.status_code == 200
    found = Calendar.from_ical(response.content)
    assert isinstance(found, Calendar)
    return found


def summaries(user: User) -> list[str]:
    return [str(event["SUMMARY"]) for event in read(user).events]


def only_event(user: User) -> Any:
    """Return the one event; what its type would be of is not for a test to spell out."""
    [event] = read(user).events
    return event


class TestWhoSeesWhat:
    def test_editors_see_what_is_to_come_of_everyone_the_nearest_first(self, editor: User) -> None:
        StoryFactory(status=Status.SCHEDULED, publish_at=FAR_OFF + HOUR, title="later")
        NoticeFactory(scheduled=True, title="sooner", unpublish_at=FAR_OFF + 2 * HOUR)

        assert summaries(editor) == ["Publish: sooner", "Publish: later", "Take down: sooner"]

    def test_authors_see_what_is_to_come_of_their_own(self, author: User) -> None:
        StoryFactory(scheduled=True, author=author, title="mine")
        NoticeFactory(published=True, unpublish_at=FAR_OFF + HOUR, author=author, title="mine too")
        StoryFactory(scheduled=True, author=UserFactory(), title="another's")
        StoryFactory(scheduled=True, title="nobody's")

        assert summaries(author) == ["Publish: mine", "Take down: mine too"]

    def test_authors_see_the_end_of_what_could_not_start(self, author: User) -> None:
        job = failed_publish(author=author, unpublish_at=FAR_OFF, title="mine")

        assert Story.objects.get(pk=job.object_id).status == Status.FAILED
        assert summaries(author) == ["Take down: mine"]

    def test_authors_see_all_of_a_type_that_belongs_to_nobody(
        self, author: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Story, "OWNER", None)
        StoryFactory(scheduled=True, title="anyone's")

        assert summaries(author) == ["Publish: anyone's"]

    def test_who_may_not_see_a_type_sees_nothing_of_it(self) -> None:
        user = member()
        wanted = ["view_job", "view_notice", "schedule_notice", "schedule_story"]
        user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
        StoryFactory(scheduled=True, author=user, title="story")
        NoticeFactory(scheduled=True, title="notice")

        assert summaries(user) == ["Publish: notice"]

    def test_who_decides_nothing_sees_their_own_only(self) -> None:
        user = member()
        wanted = ["view_job", "view_notice"]
        user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
        NoticeFactory(scheduled=True, title="another's")
        NoticeFactory(scheduled=True, title="own", author=user)

        assert summaries(user) == ["Publish: own"]

    def test_who_may_see_nothing_has_an_empty_calendar(self) -> None:
        user = member()
        StoryFactory(scheduled=True, author=user)

        assert summaries(user) == []

    def test_superusers_see_everything(self) -> None:
        StoryFactory(scheduled=True, title="one")

        assert summaries(UserFactory(is_superuser=True)) == ["Publish: one"]

    def test_nobody_sees_what_is_over(self, editor: User) -> None:
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
            over(StoryFactory(), state)

        assert summaries(editor) == []

    def test_what_is_retried_is_still_to_come(self, editor: User) -> None:
        StoryFactory(scheduled=True)
        Job.objects.update(state=State.RETRYING)

        assert "State: retrying" in only_event(editor)["DESCRIPTION"]


class TestAnEvent:
    def test_says_what_happens_when(self, editor: User) -> None:
        story = StoryFactory(title="제목")
        operations.schedule(item=story, run_at=FAR_OFF, by=editor, reason="선거 “9시”")
        job = Job.objects.get()

        event = only_event(editor)

        start = FAR_OFF.replace(microsecond=0)
        assert event["SUMMARY"] == "Publish: 제목"
        who = f"Scheduled by: {editor.username}"
        assert event["DESCRIPTION"] == f"State: waiting\nReason: 선거 “9시”\n{who}"
        assert (event.start, event.end) == (start, start + timedelta(minutes=5))
        assert event["URL"] == f"{SITE}/admin/content/story/{story.pk}/change/"
        assert event["UID"] == f"armo-job-{job.pk}@news.example.org"
        assert (event["STATUS"], event["TRANSP"]) == ("CONFIRMED", "TRANSPARENT")
        assert event["SEQUENCE"] == 0
        assert event["LAST-MODIFIED"].dt == job.created_at.replace(microsecond=0)

    def test_is_in_utc(self, editor: User, client: Client) -> None:
        StoryFactory(scheduled=True)

        content = client.get(calendar_url(make_calendar_link(editor))).content

        assert b"\r\nDTSTART:21001031T010000Z\r\n" in content
        assert b"TZID" not in content

    def test_counts_how_often_it_was_moved(self, editor: User) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        for hours in (2, 1):
            operations.move(job=Job.objects.get(), run_at=FAR_OFF + hours * HOUR, by=None)
        JobEvent.objects.filter(what=JobEvent.What.SCHEDULED).update(at=LONG_AGO)
        JobEvent.objects.filter(new_run_at=FAR_OFF + HOUR).update(at=LONG_AGO + HOUR)
        JobEvent.objects.filter(new_run_at=FAR_OFF + 2 * HOUR).update(at=LONG_AGO)

        event = only_event(editor)

        assert event["SEQUENCE"] == 2
        assert event["LAST-MODIFIED"].dt == (LONG_AGO + HOUR).replace(microsecond=0)
        assert event["DTSTAMP"].dt == event["LAST-MODIFIED"].dt
        assert event.start == (FAR_OFF + HOUR).replace(microsecond=0)

    def test_keeps_its_name_when_it_is_moved(self, editor: User) -> None:
        operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)

        first = only_event(editor)["UID"]
        operations.move(job=Job.objects.get(), run_at=FAR_OFF + HOUR, by=None)

        assert only_event(editor)["UID"] == first

    def test_has_the_title_of_today(self, editor: User) -> None:
        story = StoryFactory(scheduled=True, title="then")

        story.title = "now"
        story.save()

        assert only_event(editor)["SUMMARY"] == "Publish: now"

    def test_has_the_title_of_then_when_the_item_is_gone(self, editor: User) -> None:
        StoryFactory(scheduled=True, title="then")

        Story.objects.all()._raw_delete("default")

        assert only_event(editor)["SUMMARY"] == "Publish: then"

    @pytest.mark.urls("content.urls")
    def test_has_no_link_where_there_is_no_admin(self, editor: User) -> None:
        StoryFactory(scheduled=True)

        content = write_calendar(list(jobs_to_show(editor)))

        assert b"SUMMARY" in content
        assert b"URL" not in content

    def test_speaks_the_language_that_is_asked_for(self, editor: User) -> None:
        StoryFactory(scheduled=True)

        [event] = read(editor, Client(headers={"accept-language": "ko"})).events

        assert "상태" in str(event["DESCRIPTION"])


NASTY = ['쉼표, 쌍반점; 역사선 \\ 따옴표 "', "\\n \\, \\;", "BEGIN:VEVENT", ":;,=", "é" * 200]


class TestATitle:
    @pytest.mark.parametrize("title", NASTY)
    def test_is_read_back_as_it_was_written(self, editor: User, title: str) -> None:
        StoryFactory(scheduled=True, title=title)

        assert only_event(editor)["SUMMARY"] == f"Publish: {title}".strip()

    @pytest.mark.parametrize("bad", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
    def test_cannot_begin_a_line_of_its_own(self, editor: User, bad: str) -> None:
        StoryFactory(scheduled=True, title=f"앞{bad}END:VEVENT")

        assert only_event(editor)["SUMMARY"] == "Publish: 앞 END:VEVENT"

    @pytest.mark.parametrize("bad", ["\x01", "\x08", "\x1b", "\x7f", "\x9f"])
    def test_loses_what_no_calendar_can_hold(self, editor: User, bad: str) -> None:
        StoryFactory(scheduled=True, title=f"앞{bad}뒤")

        assert only_event(editor)["SUMMARY"] == "Publish: 앞뒤"

    @given(text=st.text())
    def test_and_any_other_text_survives_the_way(self, text: str) -> None:
        event = Event()
        event.add("summary", f"Publish: {one_line(text)}")
        event.add("description", lines(text))

        back = Event.from_ical(event.to_ical())

        assert back["SUMMARY"] == f"Publish: {one_line(text)}"
        assert back["DESCRIPTION"] == lines(text)


class TestTheCalendar:
    def test_says_what_it_is(self, editor: User, client: Client) -> None:
        content = client.get(calendar_url(make_calendar_link(editor))).content.decode()

        for line in (
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//Armo//Armo//EN",
            "METHOD:PUBLISH",
            "X-WR-CALNAME:Armo",
            "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
            "X-PUBLISHED-TTL:PT15M",
            "END:VCALENDAR",
        ):
            assert f"{line}\r\n" in content
        assert "X-WR-CALDESC" not in content

    def test_folds_lines_that_are_too_long_between_letters(self, editor: User) -> None:
        StoryFactory(scheduled=True, title="가" * 200)

        content = write_calendar(list(jobs_to_show(editor)))

        folded = content.split(b"\r\n")
        assert max(map(len, folded)) <= 75
        assert sum(line.startswith(b" ") for line in folded) > 5
        for line in folded:
            line.decode()  # each is whole letters
        assert b"\n" not in content.replace(b"\r\n", b"")

    def test_says_when_not_everything_fits(
        self, editor: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "MOST_EVENTS", 2)
        for hours, title in ((3, "third"), (1, "first"), (2, "second")):
            at = FAR_OFF + hours * HOUR
            StoryFactory(status=Status.SCHEDULED, publish_at=at, title=title)

        found = read(editor)

        assert [str(event["SUMMARY"]) for event in found.events] == [
            "Publish: first",
            "Publish: second",
        ]
        assert found["X-WR-CALDESC"] == "There is more than this: only the nearest 2 are shown."

    def test_says_nothing_when_everything_just_fits(
        self, editor: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "MOST_EVENTS", 2)
        StoryFactory.create_batch(2, scheduled=True)

        found = read(editor)

        assert len(found.events) == 2
        assert "X-WR-CALDESC" not in found


class TestTheAnswer:
    def test_is_a_calendar_that_nobody_else_may_keep_or_find(
        self, editor: User, client: Client
    ) -> None:
        response = client.get(calendar_url(make_calendar_link(editor)))

        assert response["Content-Type"] == "text/calendar; charset=utf-8"
        assert response["Cache-Control"] == "private, no-cache"
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"] == "noindex"
        assert not response.cookies

    def test_is_short_when_nothing_has_changed(self, editor: User, client: Client) -> None:
        StoryFactory(scheduled=True)
        url = calendar_url(make_calendar_link(editor))
        etag = client.get(url)["ETag"]

        again = client.get(url, headers={"if-none-match": etag})
        operations.move(job=Job.objects.get(), run_at=FAR_OFF + HOUR, by=None)
        changed = client.get(url, headers={"if-none-match": etag})

        assert (again.status_code, again.content) == (304, b"")
        assert changed.status_code == 200

    def test_is_for_reading_only(self, editor: User) -> None:
        url = calendar_url(make_calendar_link(editor))
        client = Client(enforce_csrf_checks=True)

        assert client.post(url).status_code == 405
        assert client.delete(url).status_code == 405
        assert client.head(url).status_code == 200
        assert client.head(url).content == b""

    def test_notes_that_the_link_is_in_use(self, editor: User) -> None:
        read(editor)

        assert CalendarLink.objects.get().last_read_at is not None

    @pytest.mark.parametrize("close", [revoke_calendar_link, make_calendar_link])
    def test_to_an_old_secret_is_that_there_is_no_such_page(
        self, editor: User, client: Client, close: Callable[[User], object]
    ) -> None:
        url = calendar_url(make_calendar_link(editor))
        close(editor)

        response = client.get(url)

        assert response.status_code == 404
        assert response.content == client.get("/feeds/schedule/never-was.ics").content

    def test_to_who_may_not_sign_in_any_more_is_that_there_is_no_such_page(
        self, editor: User, client: Client
    ) -> None:
        url = calendar_url(make_calendar_link(editor))
        User.objects.update(is_active=False)

        assert client.get(url).status_code == 404

    @pytest.mark.parametrize(
        "address", ["x.ics", "%00.ics", "%ff.ics", ".ics", "x", "x/y.ics", "x.ics/", "한글.ics"]
    )
    def test_to_what_is_no_secret_is_that_there_is_no_such_page(
        self, client: Client, address: str
    ) -> None:
        response = client.get(f"/feeds/schedule/{address}")

        assert response.status_code == 404
        assert "There is no such page" in response.content.decode()


class TestTheLog:
    """The address is a secret: it must not reach a log."""

    def ask_in_every_way(self, secret: str) -> list[int]:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        good, cut_off = f"/feeds/schedule/{secret}.ics", f"/feeds/schedule/{secret}"
        return [
            client.get(good).status_code,
            client.post(good).status_code,
            client.get(cut_off).status_code,
            client.get(f"{good}/x").status_code,
            client.post(cut_off).status_code,
        ]

    def test_never_holds_the_secret(self, editor: User, caplog: pytest.LogCaptureFixture) -> None:
        secret = make_calendar_link(editor)
        caplog.set_level(logging.DEBUG)

        statuses = self.ask_in_every_way(secret)
        revoke_calendar_link(editor)
        statuses += self.ask_in_every_way(secret)

        assert statuses == [200, 405, 404, 404, 405, 404, 405, 404, 404, 405]
        assert len(caplog.records) >= 9
        assert not [record for record in caplog.records if secret in str(vars(record))]

    def test_does_not_hold_it_when_something_breaks(
        self, editor: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: object) -> bytes:
            raise RuntimeError

        monkeypatch.setattr(feed, "write_calendar", broken)
        secret = make_calendar_link(editor)

        [status, *_] = self.ask_in_every_way(secret)

        assert status == 500
        assert "Internal Server Error: /feeds/schedule/" in caplog.text
        assert secret not in caplog.text
        assert not [record for record in caplog.records if secret in str(vars(record))]


@pytest.mark.slow
class TestTheDatabase:
    @pytest.mark.parametrize("group", ["Editors", "Authors"])
    def test_is_asked_as_often_for_many_jobs_as_for_one(
        self, group: str, client: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        user = member(group)
        url = calendar_url(make_calendar_link(user))
        scheduled: dict[str, Any] = {"scheduled": True, "author": user}
        StoryFactory(**scheduled)
        NoticeFactory(**scheduled)
        client.get(url)

        with CaptureQueriesContext(connection) as asked:
            client.get(url)
        StoryFactory.create_batch(10, **scheduled, unpublish_at=FAR_OFF + HOUR)
        NoticeFactory.create_batch(10, **scheduled)

        with django_assert_num_queries(len(asked)):
            found = client.get(url)
        assert found.content.count(b"BEGIN:VEVENT") == 32

    @pytest.fixture
    def prolific(self, author: User) -> User:
        """Return an author of much that is over, among others with much to come."""
        hours = [FAR_OFF + number * HOUR for number in range(300)]
        others = [
            StoryFactory.build(status=Status.SCHEDULED, publish_at=at, slug=f"other-{at:%d-%H-%j}")
            for at in hours
        ]
        own = StoryFactory.build_batch(700, published=True, author=author)
        last = StoryFactory.build_batch(3, scheduled=True, author=author)
        stories = Story.objects.bulk_create([*others, *own, *last])
        publish = transition_of(Kind.PUBLISH)
        wanted = [
            store.Planned(story, publish, story.publish_at or FAR_OFF)
            for story in stories
            if story not in own
        ]
        store.open_jobs(wanted, at=clock.database_now(), by=None, reason="")
        Job.objects.bulk_create(
            store.new_job(
                item=story,
                kind=Kind.PUBLISH,
                run_at=LONG_AGO,
                by=None,
                reason="",
                state=State.SUCCEEDED,
                finished_at=LONG_AGO,
            )
            for story in own
        )
        with connection.cursor() as cursor:
            # What other tests wrote and took back still fills the indexes, some more than others.
            cursor.execute("REINDEX TABLE scheduling_job")
            cursor.execute("REINDEX TABLE content_story")
            cursor.execute("ANALYZE content_story, scheduling_job")
        return author

    def plan(self, rows: QuerySet[Any]) -> str:
        return rows.explain(analyze=True)

    def test_walks_along_the_open_jobs_for_who_sees_all(self, prolific: User) -> None:
        plan = self.plan(jobs_to_show(member("Editors"))[:11])

        [read] = re.findall(r"using (\w+) on scheduling_job .*actual time=\S+ rows=(\S+)", plan)
        assert read == ("job_open", "11.00")
        assert "Sort" not in plan
        assert "Seq Scan" not in plan

    def test_looks_up_only_an_authors_own(self, prolific: User) -> None:
        plan = self.plan(jobs_to_show(prolific)[:11])

        read = re.findall(r"(?:using|on) (\w+pkey) .*actual time=\S+ rows=(\S+)", plan)
        assert [(index, float(rows)) for index, rows in read] == [("scheduling_job_pkey", 3)]
        assert "Rows Removed" not in plan
        assert "Seq Scan" not in plan

    def test_begins_with_an_authors_own_items(self, prolific: User) -> None:
        busy = member("Authors")
        others = Story.objects.filter(status=Status.SCHEDULED).values("pk")[:3]
        Story.objects.filter(pk__in=others).update(author=busy)

        plan = self.plan(Job.objects.open().filter(jobs_of_own_items(busy, Story)))

        assert "content_story_author_id" in plan
        assert "job_one_open" in plan
        assert "Seq Scan" not in plan
