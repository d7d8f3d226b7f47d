"""What keeps a job from running, as `explain` and `doctor` say it; with a second connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from time import monotonic
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from content.models import Story
from scheduling.models import Heartbeat, Job, Schedulable
from scheduling.models.clock import database_now
from scheduling.models.job import ATTEMPT_LOCK
from scheduling.operations import pause as pausing
from scheduling.queries import health, holds
from scheduling.queries.explain import Finding, explain
from scheduling.queue.leases import OWNER_LOCK
from tests.database_rows import due_stories
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def story() -> Story:
    """Return a story whose job has been due for an hour."""
    made: Story = StoryFactory(scheduled=True)
    at = database_now() - timedelta(hours=1)
    Story.objects.update(publish_at=at)
    Job.objects.update(run_at=at, next_attempt_at=at)
    OrmQ.objects.update(lock=at)
    return made


def found(item: Schedulable, subject: str) -> list[Finding]:
    return [finding for finding in explain(item) if finding.subject == subject]


def pid_of(other: BaseDatabaseWrapper) -> int:
    return int(other.connection.info.backend_pid)


def lock(other: BaseDatabaseWrapper, item: Story) -> None:
    with other.cursor() as cursor:
        cursor.execute("SELECT id FROM content_story WHERE id = %s FOR UPDATE", [item.pk])


def claimed(item: Story, *, owner: int, host: str, silent: timedelta) -> None:
    """Have the item's queue row claimed by a cluster that was last heard of then."""
    now = database_now()
    OrmQ.objects.update(lock=now + timedelta(minutes=5))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_q_ormq SET armo_owner = %s", [owner])
    Heartbeat.objects.create(owner=owner, lane="publish", host=host, pid=4711, beat_at=now - silent)


def begin(other: BaseDatabaseWrapper, ago: timedelta | None) -> None:
    """Lock the attempts of the one job, and have one run for so long."""
    job = Job.objects.get()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [ATTEMPT_LOCK, job.pk])
    if ago is not None:
        Job.objects.update(attempts=1, attempt_begun_at=database_now() - ago)


def doctors_check() -> health.Check:
    """Return what `doctor` says of locks."""
    [check] = [check for check in health.examine() if check.name == "locked jobs"]
    return check


@contextmanager
def alive(other: BaseDatabaseWrapper, owner: int) -> Iterator[None]:
    """Hold a cluster's own lock until the block ends."""
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [OWNER_LOCK, owner])
        yield


class TestALockedRow:
    def test_is_named_with_who_has_locked_it(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        assert not found(story, "lock")
        with other.cursor() as cursor:
            cursor.execute("SET application_name = 'psql of Bora'")
        other.commit()
        lock(other, story)

        [finding] = found(story, "lock")

        assert not finding.ok
        assert f"The row of {story.label} is locked by session {pid_of(other)}" in finding.text
        assert "psql of Bora" in finding.text
        assert (
            "idle in transaction; its last statement: SELECT id FROM content_story" in finding.text
        )

    def test_is_named_when_it_is_being_changed(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        with other.cursor() as cursor:
            cursor.execute("UPDATE content_story SET title = 'x' WHERE id = %s", [story.pk])

        assert f"session {pid_of(other)}" in found(story, "lock")[0].text

    def test_is_named_when_several_have_locked_it_or_a_savepoint_has(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        lock(other, story)
        with other.cursor() as cursor:
            cursor.execute("SAVEPOINT inner_one")
            cursor.execute("UPDATE content_story SET title = 'x' WHERE id = %s", [story.pk])

        assert f"session {pid_of(other)}" in found(story, "lock")[0].text

    def test_may_be_the_jobs(self, story: Story, other: BaseDatabaseWrapper) -> None:
        job = Job.objects.get()
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM scheduling_job WHERE id = %s FOR UPDATE", [job.pk])

        assert f"The row of job {job.pk} is locked" in found(story, "lock")[0].text

    def test_is_no_longer_named_once_it_is_released(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        for end in (other.commit, other.rollback):
            lock(other, story)
            end()

            assert not found(story, "lock")

    def test_of_another_item_holds_nothing(self, story: Story, other: BaseDatabaseWrapper) -> None:
        lock(other, StoryFactory())

        assert not found(story, "lock")

    def test_is_not_locked_by_asking(self, story: Story, other: BaseDatabaseWrapper) -> None:
        with transaction.atomic():
            list(explain(story))

            # It would fail, if it had to wait.
            with other.cursor() as cursor:
                cursor.execute("SELECT FROM content_story FOR UPDATE NOWAIT")
                cursor.execute("SELECT FROM scheduling_job FOR UPDATE NOWAIT")

    def test_of_what_is_not_due_yet_is_no_fault(self, other: BaseDatabaseWrapper) -> None:
        waiting = StoryFactory(scheduled=True)
        lock(other, waiting)

        assert [finding.ok for finding in found(waiting, "lock")] == [True]

    def test_is_named_by_the_doctor_too(self, story: Story, other: BaseDatabaseWrapper) -> None:
        lock(other, story)

        checks = {check.name: check for check in health.examine()}

        check = checks["overdue jobs"]
        assert (
            f"publish {story.label}): The row of {story.label} is locked by session" in check.text
        )
        assert check.facts["held"][0]["pid"] == pid_of(other)  # type: ignore[index]

    def test_is_named_with_its_age(self, story: Story, other: BaseDatabaseWrapper) -> None:
        lock(other, story)

        text = found(story, "lock")[0].text

        assert ", from the database's host), in a transaction since " in text
        assert "Z (0 s), idle in transaction; " in text

    def test_may_be_the_queue_row(self, story: Story, other: BaseDatabaseWrapper) -> None:
        job = Job.objects.get()
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq WHERE id = %s FOR UPDATE", [job.message_id])

        assert f"The queue row of job {job.pk} is locked by" in found(story, "lock")[0].text

    def test_is_named_to_a_role_that_may_see_nothing_of_the_session(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        lock(other, story)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE ROLE web")
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO web")
            cursor.execute("SET LOCAL ROLE web")

            [finding] = found(story, "lock")
            transaction.set_rollback(True)

        assert f"is locked by session {pid_of(other)} (" in finding.text
        assert "this role may not see from where, since when and by which" in finding.text


class TestLocks:
    def test_of_many_jobs_are_read_once(self, other: BaseDatabaseWrapper) -> None:
        stories = due_stories(50)
        for one in stories[:30]:
            lock(other, one)
        jobs = list(Job.objects.all())

        with CaptureQueriesContext(connection) as queries:
            held = holds.locks_of(jobs, now=database_now())

        assert sum(bool(found) for found in held.values()) == 30
        assert sum("pg_locks" in query["sql"] for query in queries) == 1
        assert len(queries) < 20

    def test_of_a_job_that_is_due_are_named_by_the_doctor_however_many_come_first(
        self, other: BaseDatabaseWrapper
    ) -> None:
        last = due_stories(40)[-1]
        lock(other, last)

        check = doctors_check()

        assert not check.ok
        assert f"The row of {last.label} is locked by session {pid_of(other)}" in check.text
        assert check.facts["locks"][0]["pid"] == pid_of(other)  # type: ignore[index]

    def test_of_what_is_not_overdue_are_no_fault_yet(self, other: BaseDatabaseWrapper) -> None:
        made = StoryFactory(scheduled=True)
        now = database_now()
        Story.objects.update(publish_at=now)
        Job.objects.update(run_at=now, next_attempt_at=now)
        lock(other, made)

        check = doctors_check()

        assert check.ok
        assert f"The row of {made.label} is locked by session" in check.text
        assert check.text.endswith(" No job that it holds is overdue yet.")

    def test_are_none_when_there_are_none(self, story: Story) -> None:
        assert doctors_check()[:3] == ("locked jobs", True, "None.")


class TestAnAttemptsLock:
    def test_of_a_worker_is_named_with_its_host_and_is_no_fault(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(seconds=1))
        begin(other, timedelta(seconds=30))

        [finding] = found(story, "attempt")

        assert finding.ok
        assert not found(story, "lock")
        assert " (30 s), by the worker on web-2 (process 4711); its lock is held by" in finding.text
        assert f"session {pid_of(other)} (" in finding.text
        assert doctors_check().ok

    def test_of_a_host_that_has_vanished_is_one(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(seconds=25))
        begin(other, timedelta(seconds=30))

        [finding] = found(story, "lock")

        assert not finding.ok
        assert "by the worker on web-2 (process 4711), not heard of since" in finding.text
        check = doctors_check()
        assert (check.ok, finding.text in check.text) == (False, True)

    def test_of_a_worker_whose_other_lanes_are_heard_of_is_none(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(seconds=50))
        Heartbeat.objects.create(owner=8, lane="publish", host="web-2", pid=4711)
        begin(other, timedelta(seconds=50))

        assert found(story, "attempt")
        assert not found(story, "lock")

    def test_is_one_when_it_is_held_longer_than_an_attempt_may_take(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(seconds=1))
        begin(other, timedelta(minutes=5, seconds=3))

        assert " (5 min 3 s), by the worker on web-2" in found(story, "lock")[0].text

    def test_is_one_when_no_attempt_has_begun(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        begin(other, None)
        other.commit()

        [finding] = found(story, "lock")

        assert f"The attempts of job {Job.objects.get().pk} are locked by session" in finding.text
        assert ", as it is since " in finding.text
        assert "idle; its last statement:" in finding.text


class TestALockedTable:
    @pytest.mark.parametrize("table", ["content_story", "scheduling_job", "django_q_ormq"])
    def test_is_named_without_waiting_for_it(
        self, story: Story, other: BaseDatabaseWrapper, table: str
    ) -> None:
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        out, start = StringIO(), monotonic()

        call_command("explain", story.label, stdout=out)

        assert f"! lock      Table {table} is locked by session {pid_of(other)}" in out.getvalue()
        assert monotonic() - start < 3

    def test_against_writing_is_named(self, story: Story, other: BaseDatabaseWrapper) -> None:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE content_story IN SHARE MODE")

        assert "Table content_story is locked by" in found(story, "lock")[0].text

    def test_does_not_keep_the_doctor_waiting(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE content_story IN ACCESS EXCLUSIVE MODE")
        start = monotonic()

        *_, last = health.examine()

        assert (last.name, last.ok) == ("locks", False)
        assert f"Table content_story is locked by session {pid_of(other)}" in last.text
        assert monotonic() - start < 5


class TestAClaim:
    def test_of_a_worker_that_lives_holds_nothing(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(seconds=1))

        with alive(other, 7):
            assert not found(story, "claim")

    def test_of_a_worker_that_is_gone_is_named_with_its_end(self, story: Story) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(minutes=1))

        [finding] = found(story, "claim")

        assert not finding.ok
        assert "claimed by the worker on web-2 (process 4711), which is gone" in finding.text
        assert "It is released at " in finding.text

    def test_of_a_host_that_has_vanished_is_named_though_its_connections_stay(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(minutes=1))

        with alive(other, 7):
            [finding] = found(story, "claim")

        assert "not heard of since" in finding.text
        assert "or when PostgreSQL has noticed" in finding.text

    def test_that_ends_just_now_holds_nothing(self, story: Story) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(minutes=1))

        def finish(execute: Any, sql: str, *more: Any) -> Any:
            if "armo_owner, beat.host" in sql:
                OrmQ.objects.all().delete()
            return execute(sql, *more)

        with connection.execute_wrapper(finish):
            assert not found(story, "claim")

    def test_of_a_lane_that_is_busy_with_hooks_holds_nothing(
        self, story: Story, other: BaseDatabaseWrapper
    ) -> None:
        claimed(story, owner=7, host="web-2", silent=timedelta(minutes=1))
        Heartbeat.objects.create(
            owner=8, lane="mail", host="web-2", pid=4711, beat_at=database_now()
        )

        with alive(other, 7):
            assert not found(story, "claim")


class TestOtherHolds:
    def test_name_who_has_paused(self, story: Story) -> None:
        pausing.pause(by=UserFactory(username="운영자"), reason="점검")

        [finding] = found(story, "pause")

        assert not finding.ok
        assert "점검" in finding.text
        assert "It was paused by 운영자." in finding.text

    def test_name_a_kind_without_code(self, story: Story) -> None:
        Job.objects.update(kind="archive")

        [finding] = found(story, "kind")

        assert "of kind “archive”, which no code here knows" in finding.text

    @pytest.mark.parametrize(
        ("silent", "said"),
        [(None, "No worker of lane publish runs."), (60, "has finished anything since")],
    )
    def test_name_a_lane_without_workers(self, silent: int | None, said: str) -> None:
        if silent is not None:
            at = database_now() - timedelta(seconds=silent)
            Heartbeat.objects.create(owner=7, lane="publish", host="here", pid=1, beat_at=at)

        [hold] = holds.empty_lanes(["publish"])

        assert said in hold.text

    def test_name_the_next_attempt(self) -> None:
        job = Job.objects.of(StoryFactory(scheduled=True)).get()
        job.attempts = 1

        [hold] = holds.holds_of([job], now=database_now(), paused=None)[job.pk]

        assert hold.subject == "retry"
        assert "Its next attempt is at 2100-10-31T01:00:00.654Z." in hold.text
