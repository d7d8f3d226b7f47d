"""Times that were chosen in a time zone, and what is found when its rules change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from scheduling import operations
from scheduling.models import TRANSITIONS, Job, Kind, Schedulable, State
from scheduling.operations import zone_changes
from scheduling.operations.zone_changes import REFUSED, follow_changes
from tests.archive.transitions import Archive
from tests.database_rows import due_stories, failed_publish, last_event, open_jobs, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.time_zone_rules import rules_in

pytestmark = pytest.mark.django_db

VANCOUVER = "America/Vancouver"
# 9:00 on a winter's day in Vancouver: by the rules of 2025, and since it keeps its summer time.
BEFORE, NOW = (datetime(2100, 12, 15, hour, tzinfo=UTC) for hour in (17, 16))
CHOSEN = "2100-12-15T09:00:00-08:00[America/Vancouver]"
DAY = timedelta(days=1)


def schedule(item: Schedulable | None = None, run_at: datetime = BEFORE, **more: Any) -> Job:
    item = StoryFactory() if item is None else item
    return operations.schedule(item=item, run_at=run_at, by=None, **{"zone": VANCOUVER, **more})


def stored(job: Job) -> str:
    return Job.objects.get(pk=job.pk).local_time


@pytest.fixture
def last_year(tmp_path: Path) -> Any:
    """Return how to have the rules of last year for a while."""
    return lambda: rules_in(tmp_path, America_Vancouver="America/Los_Angeles")


class TestATimeChosenInAZone:
    def test_is_kept_with_the_job(self) -> None:
        job = schedule(run_at=NOW)

        assert job.local_time == stored(job) == "2100-12-15T09:00:00-07:00[America/Vancouver]"

    def test_keeps_microseconds_and_which_of_two_is_meant(self) -> None:
        run_at = datetime(2100, 10, 31, 0, 30, 0, 5, tzinfo=UTC)

        job = schedule(run_at=run_at, zone="Europe/Berlin")

        assert stored(job) == "2100-10-31T02:30:00.000005+02:00[Europe/Berlin]"
        assert not zone_changes.has_shifted(job)

    def test_is_kept_with_the_end_too(self) -> None:
        story = StoryFactory()

        schedule(story, run_at=NOW, unpublish_at=NOW + DAY)

        assert set(Job.objects.of(story).values_list("local_time", flat=True)) == {
            "2100-12-15T09:00:00-07:00[America/Vancouver]",
            "2100-12-16T09:00:00-07:00[America/Vancouver]",
        }

    def test_is_kept_with_a_job_that_mirrors_no_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TRANSITIONS, "archive", Archive())
        notice = NoticeFactory(published=True)
        params = {"last_word": "안녕"}

        job = schedule(notice, kind="archive", params=params, run_at=NOW)
        moved = operations.move(job=job, run_at=NOW + DAY, by=None, zone="Asia/Seoul")

        assert stored(moved) == "2100-12-17T01:00:00+09:00[Asia/Seoul]"

    def test_is_kept_with_many(self) -> None:
        new, moved = StoryFactory(), StoryFactory()
        schedule(moved, run_at=FAR_OFF, zone="")

        jobs = operations.schedule_many(items=[new, moved], run_at=NOW, by=None, zone="Asia/Seoul")

        assert {job.local_time for job in jobs} == {"2100-12-16T01:00:00+09:00[Asia/Seoul]"}

    def test_is_forgotten_when_an_instant_takes_its_place(self) -> None:
        story = StoryFactory()
        job = schedule(story, run_at=NOW)

        operations.move(job=job, run_at=NOW + DAY, by=None)

        assert (job.local_time, stored(job)) == ("", "")

    @pytest.mark.parametrize(
        ("zone", "expected"),
        [
            ("", ""),
            ("Asia/Seoul", "2100-12-16T01:00:00+09:00[Asia/Seoul]"),
            (VANCOUVER, "2100-12-15T09:00:00-07:00[America/Vancouver]"),
        ],
    )
    def test_is_another_when_the_job_is_moved_to_the_time_it_has(
        self, zone: str, expected: str
    ) -> None:
        story = StoryFactory()
        job = schedule(story, run_at=NOW)
        shifted = "2100-12-15T08:00:00-08:00[America/Vancouver]"
        Job.objects.filter(pk=job.pk).update(local_time=shifted)

        operations.move(job=job, run_at=NOW, by=None, zone=zone)

        story.refresh_from_db()
        assert (job.local_time, stored(job)) == (expected, expected)
        assert (story.publish_at, story.version) == (NOW, 3)
        assert list(job.events.values_list("what", flat=True)) == ["scheduled", "moved"]
        assert OrmQ.objects.get(pk=job.message_id).lock == NOW

    def test_is_forgotten_when_the_item_is_saved_with_another_time(self) -> None:
        story = StoryFactory()
        job = schedule(story, run_at=NOW)

        story.publish_at = NOW + DAY
        story.save()

        assert stored(job) == ""

    @pytest.mark.parametrize("is_new", [True, False])
    def test_is_kept_of_an_item_that_is_saved_with_it(self, is_new: bool) -> None:
        story = StoryFactory.build() if is_new else StoryFactory()
        story.status = "scheduled"
        story.publish_at = datetime(2100, 12, 15, 9, tzinfo=ZoneInfo(VANCOUVER))
        story.save()

        job = Job.objects.of(story).get()
        assert (job.run_at, job.local_time) == (NOW, "2100-12-15T09:00:00-07:00[America/Vancouver]")

    def test_stays_when_only_the_end_is_given(self) -> None:
        story = StoryFactory()
        job = schedule(story, run_at=NOW)

        schedule(story, run_at=NOW, unpublish_at=NOW + DAY, zone="Asia/Seoul")

        assert stored(job) == "2100-12-15T09:00:00-07:00[America/Vancouver]"

    def test_stays_with_a_job_that_runs_again(self) -> None:
        job = failed_publish()
        Job.objects.filter(pk=job.pk).update(local_time=CHOSEN)

        operations.rerun(job=job, by=None)

        assert stored(job) == CHOSEN

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "\0", "가"])
    def test_is_refused_in_a_zone_that_does_not_exist(self, zone: str) -> None:
        story = StoryFactory()

        for ask in (
            lambda: schedule(story, zone=zone),
            lambda: operations.schedule_many(items=[story], run_at=NOW, by=None, zone=zone),
            lambda: operations.move(job=schedule(), run_at=NOW, by=None, zone=zone),
        ):
            with pytest.raises(operations.UnknownZone):
                ask()
        assert open_jobs(story) == {}


class TestAChangeOfRules:
    def test_is_found(self, last_year: Any) -> None:
        with last_year():
            job = schedule()
            instant = schedule(zone="")
            elsewhere = schedule(zone="Asia/Seoul")
            assert not list(zone_changes.find_changes())

        [change] = zone_changes.find_changes()

        assert (change.local_time, change.run_at, change.moments) == (CHOSEN, BEFORE, [NOW])
        assert change.jobs == 1
        assert list(zone_changes.jobs_of(change)) == [job]
        assert [zone_changes.has_shifted(it) for it in (job, instant, elsewhere)] == [
            True,
            False,
            False,
        ]

    def test_is_counted_in_one_query_however_many_times_have_shifted(self, last_year: Any) -> None:
        with last_year():
            for day in (0, 1, 1, 2, 2, 2):
                schedule(run_at=NOW + timedelta(days=day))

        with CaptureQueriesContext(connection) as asked:
            changes = list(zone_changes.find_changes())

        assert [change.jobs for change in changes] == [1, 2, 3]
        # A page of texts, their jobs, and that there is no other page.
        assert len(asked) == 3

    def test_leaves_alone_what_still_comes_then(self, last_year: Any) -> None:
        with last_year():
            schedule(run_at=datetime(2100, 7, 1, 16, tzinfo=UTC))

        assert not list(zone_changes.find_changes())

    def test_is_no_matter_of_finished_jobs(self, last_year: Any) -> None:
        with last_year():
            operations.cancel(job=schedule(), by=None)

        assert not list(zone_changes.find_changes())

    def test_is_no_matter_of_jobs_that_older_code_has_moved(self, last_year: Any) -> None:
        with last_year():
            job = schedule()
        Job.objects.filter(pk=job.pk).update(run_at=FAR_OFF)
        job.refresh_from_db()

        assert not list(zone_changes.find_changes())
        assert not zone_changes.has_shifted(job)

    def test_is_followed(self, last_year: Any) -> None:
        story = StoryFactory()
        with last_year():
            job = schedule(story)

        [answer] = follow_changes(by=None)

        assert (answer.job, answer.outcome, answer.new_run_at) == (job.pk, "moved", NOW)
        assert (row(story).publish_at, open_jobs(story)) == (NOW, {"publish": NOW})
        assert stored(job) == "2100-12-15T09:00:00-07:00[America/Vancouver]"
        event = last_event(job)
        assert (event.old_run_at, event.new_run_at) == (BEFORE, NOW)
        assert event.why == "The clocks of America/Vancouver have other rules by now."
        assert not list(zone_changes.find_changes())

    def test_is_only_shown_in_a_dry_run(self, last_year: Any) -> None:
        with last_year():
            job = schedule()

        [answer] = follow_changes(by=None, dry_run=True)

        assert (answer.outcome, answer.text) == ("shifts", "would move to 2100-12-15T16:00:00Z")
        assert Job.objects.get(pk=job.pk).run_at == BEFORE

    @pytest.mark.parametrize("shift", [-1, 1], ids=["earlier", "later"])
    def test_moves_a_start_and_its_end_together(self, tmp_path: Path, shift: int) -> None:
        # Half an hour long: either, moved first, would pass the other.
        zones = ("Asia/Tokyo", "Asia/Shanghai")
        before, after = zones if shift > 0 else reversed(zones)
        story = StoryFactory()
        start = datetime(2100, 12, 15, 0, tzinfo=UTC)
        with rules_in(tmp_path / "before", Asia_Seoul=before):
            end = start + timedelta(minutes=30)
            schedule(story, run_at=start, unpublish_at=end, zone="Asia/Seoul")

        with rules_in(tmp_path / "after", Asia_Seoul=after):
            answers = list(follow_changes(by=None))

        assert [answer.outcome for answer in answers] == ["moved", "moved"]
        moved = start + timedelta(hours=shift)
        assert open_jobs(story) == {"publish": moved, "unpublish": moved + timedelta(minutes=30)}

    @pytest.mark.parametrize(
        ("local", "problem"),
        [
            ("2100-03-28T02:30", "clocks there skip it now"),
            ("2100-10-31T02:30", "clocks there show it twice now"),
        ],
    )
    def test_to_none_or_two_is_named_and_left(
        self, tmp_path: Path, local: str, problem: str
    ) -> None:
        run_at = datetime.fromisoformat(f"{local}+09:00").astimezone(UTC)
        with rules_in(tmp_path, Europe_Berlin="Asia/Seoul"):
            job = schedule(run_at=run_at, zone="Europe/Berlin")

        [answer] = follow_changes(by=None)

        assert (answer.outcome, answer.new_run_at) == (REFUSED, None)
        assert problem in answer.text
        assert Job.objects.get(pk=job.pk).run_at == run_at

    def test_that_makes_it_come_twice_is_none_if_it_is_one_of_the_two(self, tmp_path: Path) -> None:
        with rules_in(tmp_path, Europe_Berlin="Africa/Lagos"):
            schedule(run_at=datetime(2100, 10, 31, 1, 30, tzinfo=UTC), zone="Europe/Berlin")

        assert not list(zone_changes.find_changes())

    def test_of_a_zone_that_is_gone_is_named(self) -> None:
        job = schedule()
        text = CHOSEN.replace("Vancouver", "Atlantis")
        Job.objects.filter(pk=job.pk).update(local_time=text, run_at=BEFORE)

        [answer] = follow_changes(by=None)

        assert "no such zone" in answer.text

    def test_leaves_what_is_due(self) -> None:
        [story] = due_stories(1)
        text = "2025-03-30T09:00:00.123456+08:00[Asia/Seoul]"
        Job.objects.of(story).update(local_time=text)
        assert Job.objects.of(story).get().run_at == LONG_AGO

        [answer] = follow_changes(by=None)

        assert answer.text == "not moved: it is due already"

    def test_leaves_what_was_changed_meanwhile(
        self, last_year: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with last_year():
            job = schedule()
        answers = follow_changes(by=None)
        monkeypatch.setattr(zone_changes, "find_changes", list(zone_changes.find_changes()).copy)
        operations.move(job=Job.objects.get(pk=job.pk), run_at=FAR_OFF, by=None)

        assert list(answers) == []
        assert Job.objects.get(pk=job.pk).run_at == FAR_OFF

    @pytest.mark.slow
    def test_is_found_among_many_by_its_index(self) -> None:
        due_stories(2000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")
        schedule()
        query = Job.objects.open().exclude(local_time="").order_by("local_time")

        plan = query.values_list("local_time", flat=True).distinct().explain()

        assert "job_local_time" in plan
        assert Job.objects.filter(state=State.WAITING).count() == 2001


class TestTheKinds:
    def test_that_mirror_a_time_all_keep_it(self) -> None:
        live = NoticeFactory(published=True)

        job = schedule(live, kind=Kind.UNPUBLISH, run_at=NOW)

        assert stored(job).endswith("[America/Vancouver]")
