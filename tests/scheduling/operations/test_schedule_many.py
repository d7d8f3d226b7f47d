"""Many items through one operation: what `schedule` does to each, all or nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from content.models import Story
from scheduling import operations
from scheduling.models import Job, Kind, Schedulable, Status
from scheduling.models.clock import database_now
from scheduling.operations import NotInFuture, SomeRefused, store
from scheduling.queue.payload import read_payload
from tests.database_rows import everything, history, open_jobs, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
LATER = FAR_OFF + HOUR

# Every situation from which an item can be scheduled.
SITUATIONS: dict[str, Callable[[], Schedulable]] = {
    "a draft": StoryFactory,
    "a draft of another type": NoticeFactory,
    "scheduled": lambda: StoryFactory(scheduled=True),
    "scheduled for just then": lambda: StoryFactory(scheduled=True, publish_at=LATER),
    "scheduled, with an end": lambda: NoticeFactory(scheduled=True, unpublish_at=LATER + HOUR),
    "live before, with the end of that": lambda: NoticeFactory(unpublished=True),
    "failed": lambda: StoryFactory(failed=True),
    "failed, with an end to come": lambda: NoticeFactory(failed=True, unpublish_at=LATER + HOUR),
}


def trace(item: Schedulable) -> Any:
    """Return what the engine knows of an item, but for ids and the time it was done."""
    saved = row(item)
    engine = [getattr(saved, name) for name in (*saved.ENGINE_FIELDS, "version")]
    jobs = []
    for job in Job.objects.of(item).order_by("kind", "pk"):
        message = OrmQ.objects.filter(pk=job.message_id).first()
        task = read_payload(message.payload) if message else None
        jobs.append(
            (
                *(job.kind, job.state, job.run_at, job.next_attempt_at, job.attempts),
                *(job.reason, job.scheduled_by_id, job.item_title == str(item)),
                (message.key, message.lock, task and task["args"] == (job.pk,))
                if message
                else None,
                [
                    (event.what, event.by_id, event.old_run_at, event.new_run_at, event.reason)
                    for event in job.events.order_by("pk")
                ],
            )
        )
    return engine, jobs


def explain(sql: str, params: Any) -> str:
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(line for [line] in cursor.fetchall())


class TestScheduleMany:
    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_does_to_each_what_schedule_does(self, situation: str) -> None:
        make, editor = SITUATIONS[situation], UserFactory()
        alone, among_many = make(), make()

        operations.schedule(item=alone, run_at=LATER, by=editor, reason="개편")
        operations.schedule_many(items=[among_many], run_at=LATER, by=editor, reason="개편")

        assert trace(among_many) == trace(alone)

    def test_takes_items_of_any_type_and_situation_together(self) -> None:
        items = [make() for make in SITUATIONS.values()]

        jobs = operations.schedule_many(items=items, run_at=LATER, by=None)

        assert {job.find_item() for job in jobs} == set(items)
        assert all(open_jobs(item)["publish"] == LATER for item in items)

    def test_returns_the_jobs_as_they_are_in_the_database(self) -> None:
        items = [StoryFactory(), StoryFactory(scheduled=True)]

        jobs = operations.schedule_many(items=items, run_at=LATER, by=None)

        def fields(job: Job) -> dict[str, Any]:
            return {key: value for key, value in vars(job).items() if not key.startswith("_")}

        assert [fields(job) for job in jobs] == [fields(Job.objects.get(pk=job.pk)) for job in jobs]

    def test_leaves_the_objects_as_they_are_in_the_database(self) -> None:
        items = [make() for make in SITUATIONS.values()]

        operations.schedule_many(items=items, run_at=LATER, by=None)

        for item in items:
            in_memory = [getattr(item, name) for name in (*item.ENGINE_FIELDS, "version")]
            assert in_memory == [
                getattr(row(item), name) for name in (*item.ENGINE_FIELDS, "version")
            ]
            version = item.version
            item.save()
            assert row(item).status == Status.SCHEDULED
            assert row(item).version == version + 1

    def test_counts_an_item_once_that_comes_twice(self) -> None:
        story = StoryFactory()

        jobs = operations.schedule_many(items=[story, row(story)], run_at=LATER, by=None)

        assert [history(job) for job in jobs] == [["scheduled"]]

    def test_of_nothing_does_nothing(self) -> None:
        assert not operations.schedule_many(items=[], run_at=LATER, by=None)

    def test_takes_more_than_fit_one_statement(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "BATCH", 3)
        stories = StoryFactory.create_batch(8)

        jobs = operations.schedule_many(items=stories, run_at=LATER, by=None)

        assert [job.object_id for job in jobs] == sorted(story.pk for story in stories)
        assert OrmQ.objects.count() == 8

    def test_sends_as_many_statements_for_a_hundred_as_for_two(self) -> None:
        def statements(number: int) -> int:
            stories = [*StoryFactory.create_batch(number), StoryFactory(scheduled=True)]
            with CaptureQueriesContext(connection) as captured:
                operations.schedule_many(items=stories, run_at=LATER, by=None)
            return len(captured)

        statements(1)  # the types of content are remembered from then on

        assert statements(100) == statements(2) <= 15

    def test_asks_all_at_once_of_which_the_database_knows_too_little(self) -> None:
        def statements(number: int) -> int:
            stories = StoryFactory.create_batch(number)
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE content_story SET body = '[a](/b)' || id WHERE id = ANY(%s)",
                    [[story.pk for story in stories]],
                )
            with CaptureQueriesContext(connection) as captured:
                operations.schedule_many(items=stories, run_at=LATER, by=None)
            return len(captured)

        statements(1)  # the types of content are remembered from then on

        assert statements(20) == statements(2)


class TestARefusal:
    def test_of_a_time_that_has_passed_changes_nothing(self) -> None:
        stories = StoryFactory.create_batch(2)
        before = everything()

        with pytest.raises(NotInFuture):
            operations.schedule_many(items=stories, run_at=database_now(), by=None)

        assert everything() == before

    @pytest.mark.parametrize(
        ("make", "code", "why"),
        [
            (lambda: StoryFactory(published=True), "invalid_transition", "It is published"),
            (lambda: StoryFactory(body=" "), "not_publishable", "Its body is empty."),
            (
                lambda: NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR / 2),
                "validation_error",
                "The end must come after the start. (2100-10-31 01:30",
            ),
        ],
        ids=["live already", "not publishable", "its end before the new start"],
    )
    def test_of_one_leaves_all_as_they_were(
        self, make: Callable[[], Schedulable], code: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "BATCH", 2)
        # Before it, beside it and behind it are others that could be.
        items: list[Any] = [StoryFactory(), NoticeFactory(), make(), StoryFactory()]
        items += [NoticeFactory(), StoryFactory()]
        before = everything()

        with pytest.raises(SomeRefused) as refusal:
            operations.schedule_many(items=items, run_at=LATER, by=None)

        assert everything() == before
        assert refusal.value.code == code
        [problem] = map(str, refusal.value.problems)
        assert problem.startswith(f"{items[2]} ({items[2].label}): ")
        assert why in problem

    def test_names_every_item_that_cannot_be(self) -> None:
        live, empty = StoryFactory(published=True), StoryFactory(title="", body="")
        gone = StoryFactory()
        Story.objects.filter(pk=gone.pk).delete()
        items = [live, StoryFactory(), empty, gone]

        with pytest.raises(SomeRefused) as refusal:
            operations.schedule_many(items=items, run_at=LATER, by=None)

        codes = {item.pk: error.code for item, error in refusal.value.refusals.items()}
        assert codes == {
            live.pk: "invalid_transition",
            empty.pk: "not_publishable",
            gone.pk: "not_found",
        }
        assert refusal.value.code == "invalid_transition"

    def test_leaves_the_objects_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "BATCH", 1)
        story = StoryFactory()

        with pytest.raises(SomeRefused):
            operations.schedule_many(items=[story, StoryFactory(body="")], run_at=LATER, by=None)

        assert (story.status, story.publish_at, story.version) == (Status.DRAFT, None, 1)


class TestAnErrorOfTheDatabase:
    """Raised once all statements have been sent, in a pipeline."""

    @pytest.fixture(autouse=True)
    def _overlooked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "BATCH", 2)
        monkeypatch.setattr(store, "read_open_jobs", lambda *_: [])

    def test_leaves_all_as_they_were(self) -> None:
        items = [*StoryFactory.create_batch(3), StoryFactory(scheduled=True), StoryFactory()]
        before = everything()

        with pytest.raises(IntegrityError, match="job_one_open"):
            operations.schedule_many(items=items, run_at=LATER, by=None)

        assert everything() == before
        assert [item.status for item in items] == ["draft"] * 3 + ["scheduled", "draft"]


@pytest.mark.slow
class TestABacklogWithStaleStatistics:
    def test_is_not_read_for_each_batch_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "BATCH", 100)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE scheduling_job")
        stories = StoryFactory.create_batch(300)
        operations.schedule_many(items=stories, run_at=LATER, by=None)
        plans: list[str] = []

        def explained(execute: Any, sql: str, params: Any, *args: Any) -> Any:
            if 'FROM "scheduling_job"' in sql and "FOR UPDATE" in sql:
                plans.append(explain(sql, params))
            return execute(sql, params, *args)

        with connection.execute_wrapper(explained):
            operations.schedule_many(items=stories, run_at=LATER + HOUR, by=None)

        assert len(plans) == 3
        # Either finds the jobs of an item; which is the smaller depends on the tests before.
        by_item = ("using job_one_open", "using job_item")
        assert all(any(index in plan for index in by_item) for plan in plans), plans


class TestWhoAndWhy:
    def test_stand_in_each_history(self) -> None:
        editor: User = UserFactory(username="편집자")
        stories = StoryFactory.create_batch(3)

        jobs = operations.schedule_many(items=stories, run_at=LATER, by=editor, reason="선거 “9시”")

        for job in jobs:
            event = job.events.get()
            assert (event.by, event.reason, event.new_run_at) == (editor, "선거 “9시”", LATER)
            assert event.at == job.created_at

    def test_an_end_that_stays_keeps_its_own_job(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=LATER + HOUR)
        end = Job.objects.of(notice).get(kind=Kind.UNPUBLISH)

        operations.schedule_many(items=[notice], run_at=LATER, by=None)

        assert Job.objects.of(notice).open().get(kind=Kind.UNPUBLISH) == end
        assert history(end) == ["scheduled"]

    def test_an_item_read_long_ago_is_taken_as_it_is_now(self) -> None:
        story = StoryFactory()
        read_before = row(story)
        operations.publish_now(item=story, by=None)

        with pytest.raises(SomeRefused):
            operations.schedule_many(items=[read_before], run_at=LATER, by=None)

        assert row(story).published_at > LONG_AGO
