"""The rules of one row: statuses, constraints, indexes, and what happens when an item is saved."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Model, QuerySet
from django_q.models import OrmQ
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from content.models import Notice, Story
from scheduling import operations
from scheduling.models import (
    ALLOWED,
    OPEN_STATES,
    Job,
    JobEvent,
    Kind,
    State,
    Status,
    clock,
    schedulable_models,
)
from scheduling.operations import store
from tests.database_rows import due_stories, open_jobs, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ITEMS = pytest.mark.parametrize("factory", [StoryFactory, NoticeFactory])


class TestStatuses:
    def test_each_is_named_in_the_table_of_transitions_and_nothing_else_is(self) -> None:
        assert set(ALLOWED) == set(Status)
        assert set().union(*ALLOWED.values()) <= set(Status)

    def test_none_follows_itself(self) -> None:
        assert not [status for status in Status if status in ALLOWED[status]]

    def test_each_but_draft_can_be_reached_from_draft(self) -> None:
        reached: set[str] = {Status.DRAFT}
        fresh: set[str] = {Status.DRAFT}

        while fresh:
            fresh = set().union(*(ALLOWED[status] for status in fresh)) - reached
            reached |= fresh

        assert reached == set(Status)


# What each constraint refuses. `early` and `late` stand for two moments in this order.
EARLY, LATE = LONG_AGO, LONG_AGO + HOUR
BAD_ITEMS: dict[str, dict[str, Any]] = {
    "draft_never_was_live": {"status": "draft", "published_at": EARLY},
    "scheduled_has_publish_at": {"status": "scheduled"},
    "failed_has_publish_at": {"status": "failed"},
    "published_has_published_at": {"status": "published"},
    "unpublished_was_live": {"status": "unpublished", "publish_at": EARLY},
    "published_never_early": {
        "status": "published",
        "publish_at": LATE,
        "published_at": LATE - timedelta(microseconds=1),
    },
    "ends_after_it_starts": {
        "status": "scheduled",
        "publish_at": LATE,
        "unpublish_at": LATE - timedelta(microseconds=1),
    },
}
# ... and of one type alone.
BAD_OF_ONE_TYPE: dict[str, tuple[Any, dict[str, Any]]] = {
    "content_story_slug_is_one_step_of_a_path": (StoryFactory, {"slug": "2026/봄"}),
    "content_notice_known_severity": (NoticeFactory, {"severity": "loud"}),
}
GOOD_ITEMS: list[dict[str, Any]] = [
    {},
    {"status": "draft", "publish_at": EARLY, "unpublish_at": LATE},
    {"status": "scheduled", "publish_at": EARLY},
    {"status": "scheduled", "publish_at": EARLY, "unpublish_at": EARLY},
    {"status": "scheduled", "publish_at": LATE, "published_at": EARLY},
    {"status": "failed", "publish_at": EARLY},
    {"status": "published", "published_at": EARLY},
    {"status": "published", "publish_at": EARLY, "published_at": EARLY},
    {"status": "unpublished", "published_at": EARLY},
    {"status": "unpublished", "publish_at": EARLY, "published_at": EARLY, "unpublish_at": LATE},
]
BAD_JOBS: dict[str, dict[str, Any]] = {
    "job_known_state": {"state": "lost", "finished_at": LATE},
    "job_finished_when_closed": {"state": "failed"},
    "job_succeeded_never_early": {
        "state": "succeeded",
        "finished_at": EARLY - timedelta(microseconds=1),
    },
}
GOOD_JOBS: list[dict[str, Any]] = [
    {},
    {"state": "retrying"},
    {"kind": "unpublish"},
    {"state": "succeeded", "finished_at": EARLY},
    {"state": "failed", "finished_at": LATE},
    {"state": "cancelled", "finished_at": EARLY - HOUR},
]


class TestConstraints:
    def insert(self, instance: Model) -> None:
        # Past `save()`, which would look after the jobs.
        type(instance)._base_manager.bulk_create([instance])

    def insert_refused(self, instance: Model) -> str:
        """Return the name of the constraint that refuses a row."""
        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            self.insert(instance)
        name: str = refusal.value.__cause__.diag.constraint_name  # type: ignore[union-attr]  # psycopg's
        return name

    def job(self, **fields: Any) -> Job:
        story = ContentType.objects.get_for_model(Story)
        times = {"run_at": EARLY, "next_attempt_at": EARLY}
        return Job(**{"content_type": story, "object_id": 42, "kind": "publish"} | times | fields)

    @ITEMS
    @pytest.mark.parametrize("name", BAD_ITEMS)
    def test_refuse_the_item_they_are_there_for(self, factory: Any, name: str) -> None:
        item = factory.build(**BAD_ITEMS[name])

        refused_by = self.insert_refused(item)

        assert refused_by == f"content_{item._meta.model_name}_{name}"

    @ITEMS
    @pytest.mark.parametrize("fields", GOOD_ITEMS, ids=str)
    def test_accept_an_item_of_every_status(self, factory: Any, fields: dict[str, Any]) -> None:
        item = factory.build(**fields)

        self.insert(item)

        assert row(item).status == fields.get("status", "draft")

    @pytest.mark.parametrize("name", BAD_OF_ONE_TYPE)
    def test_refuse_what_one_type_does_not_allow(self, name: str) -> None:
        factory, fields = BAD_OF_ONE_TYPE[name]
        item = factory.build(**fields)

        refused_by = self.insert_refused(item)

        assert refused_by == name

    @pytest.mark.parametrize("name", BAD_JOBS)
    def test_refuse_the_job_they_are_there_for(self, name: str) -> None:
        job = self.job(**BAD_JOBS[name])

        refused_by = self.insert_refused(job)

        assert refused_by == name

    @pytest.mark.parametrize("fields", GOOD_JOBS, ids=str)
    def test_accept_a_job_of_every_state(self, fields: dict[str, Any]) -> None:
        job = self.job(**fields)

        self.insert(job)

        assert Job.objects.get().state == fields.get("state", "waiting")

    @pytest.mark.parametrize("state", OPEN_STATES)
    def test_refuse_a_second_open_job_of_one_kind(self, state: State) -> None:
        self.insert(self.job())

        refused_by = self.insert_refused(self.job(state=state))

        assert refused_by == "job_one_open"

    def test_accept_a_second_job_once_the_first_is_finished(self) -> None:
        self.insert(self.job(state="failed", finished_at=LATE))
        self.insert(self.job(kind="unpublish"))

        self.insert(self.job())

        assert Job.objects.count() == 3

    def test_have_each_been_tried_here(self) -> None:
        tried = {
            *(f"content_story_{name}" for name in BAD_ITEMS),
            *(f"content_notice_{name}" for name in BAD_ITEMS),
            *BAD_OF_ONE_TYPE,
            *BAD_JOBS,
            "job_one_open",
            "content_story_slug_is_its_own",
        }

        models: list[type[Model]] = [*schedulable_models(), Job]
        named = {constraint.name for model in models for constraint in model._meta.constraints}

        assert named == tried


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a node of a plan of PostgreSQL, and all below it."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def look_up(rows: QuerySet[Any]) -> list[dict[str, Any]]:
    """Run a query; return what PostgreSQL did for it."""
    [report] = json.loads(rows.explain(analyze=True, format="json"))
    return list(nodes(report["Plan"]))


@pytest.mark.slow
class TestDue:
    """`due()` and the partial index beside it carry the same condition."""

    @pytest.fixture
    def _many_rows(self) -> None:
        """Fill the tables: five stories are due, some are not, and most are over or drafts."""
        stories = [
            *due_stories(5),
            *due_stories(45, publish_at=FAR_OFF),
            *Story.objects.bulk_create(StoryFactory.build_batch(900, publish_at=LONG_AGO)),
        ]
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
            for story in stories
        )
        with connection.cursor() as cursor:
            # What other tests wrote and took back still fills the indexes, some more than others.
            cursor.execute("REINDEX TABLE scheduling_job")
            cursor.execute("REINDEX TABLE content_story")
            cursor.execute("ANALYZE content_story, scheduling_job")

    @pytest.mark.usefixtures("_many_rows")
    def test_finds_the_due_by_the_index_and_reads_no_other_row(self) -> None:
        done = look_up(Job.objects.due())

        assert "job_due" in {node.get("Index Name") for node in done}
        assert sum(node.get("Rows Removed by Filter", 0) for node in done) == 0
        assert {node["Actual Rows"] for node in done if "Relation Name" in node} == {5}

    def test_keeps_what_is_scheduled_and_has_come(self) -> None:
        [story] = due_stories(1)
        StoryFactory(scheduled=True)
        StoryFactory(publish_at=LONG_AGO)
        StoryFactory(published=True)

        assert Job.objects.due().get().find_item() == story

    def test_does_not_keep_what_comes_in_a_second(self) -> None:
        due_stories(1, publish_at=clock.database_now() + timedelta(seconds=1))

        assert not Job.objects.due().exists()

    def test_keeps_the_oldest_job_first(self) -> None:
        times = [LONG_AGO, LONG_AGO - HOUR, LONG_AGO - 2 * HOUR]
        stories = [due_stories(1, publish_at=at)[0] for at in times]

        found = [job.find_item() for job in Job.objects.due()]

        assert found == stories[::-1]

    def test_is_overdue_after_the_grace_period(self, settings: Any) -> None:
        due_stories(1, publish_at=clock.database_now() - timedelta(seconds=50))

        within = Job.objects.overdue(now=clock.database_now()).count()
        settings.OVERDUE_AFTER = 40
        beyond = Job.objects.overdue(now=clock.database_now()).count()

        assert (within, beyond) == (0, 1)


class TestSavingANewItem:
    def test_as_a_draft_schedules_nothing(self) -> None:
        story = StoryFactory()

        assert (story.status, story.version) == (Status.DRAFT, 1)
        assert not Job.objects.exists()
        assert not OrmQ.objects.exists()

    @pytest.mark.parametrize("factory", [StoryFactory, NoticeFactory])
    def test_as_scheduled_makes_its_job_and_message(self, factory: Any) -> None:
        item = factory(scheduled=True)

        job = Job.objects.get()
        assert (job.kind, job.state, job.run_at) == (Kind.PUBLISH, State.WAITING, FAR_OFF)
        assert job.find_item() == item
        assert job.item_title == str(item)
        assert OrmQ.objects.get(pk=job.message_id).lock == FAR_OFF
        assert job.events.get().what == JobEvent.What.SCHEDULED

    def test_as_scheduled_with_an_end_makes_two_jobs(self) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF, Kind.UNPUBLISH: FAR_OFF + HOUR}

    def test_as_scheduled_for_the_past_is_due_at_once(self) -> None:
        story = StoryFactory(due=True)

        assert Job.objects.due().get().find_item() == story

    def test_as_published_long_ago_needs_no_job(self) -> None:
        story = StoryFactory(published=True)

        assert row(story).is_published
        assert not Job.objects.exists()

    def test_as_published_with_an_end_schedules_the_end(self) -> None:
        notice = NoticeFactory(published=True, unpublish_at=FAR_OFF)

        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF}

    def test_as_scheduled_without_a_time_is_refused_and_leaves_nothing(self) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            StoryFactory(status=Status.SCHEDULED)

        assert not Story.objects.exists()
        assert not Job.objects.exists()

    def test_that_is_a_copy_of_a_scheduled_one_schedules_the_copy_too(self) -> None:
        story = StoryFactory(scheduled=True)
        original = story.pk
        story.pk, story.slug, story._state.adding = None, "사본", True

        story.save()

        assert set(Job.objects.open().values_list("object_id", flat=True)) == {original, story.pk}

    def test_with_a_title_as_long_as_may_be_keeps_it_in_the_ledger(self) -> None:
        StoryFactory(scheduled=True, title="가" * 200)

        assert Job.objects.get().item_title == "가" * 200


class TestSavingAnItemAgain:
    def test_counts_its_version(self) -> None:
        story = StoryFactory()

        story.title = "새 제목"
        story.save()
        story.save()

        assert (story.version, row(story).version) == (3, 3)
        assert row(story).title == "새 제목"

    def test_leaves_it_live_when_it_was_read_before_its_moment(self) -> None:
        StoryFactory(due=True)
        held_by_editor = Story.objects.get()
        operations.publish_now(item=Story.objects.get(), by=None)

        held_by_editor.body = "고친 본문"
        held_by_editor.save()

        saved = row(held_by_editor)
        assert saved.is_published
        assert saved.published_at is not None
        assert saved.body == "고친 본문"

    def test_writes_no_status_or_time_that_was_not_changed(self) -> None:
        story = StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)
        jobs = open_jobs(story)

        story.save()

        assert open_jobs(story) == jobs
        assert JobEvent.objects.count() == 2

    def test_as_scheduled_makes_its_job_and_message(self) -> None:
        story = StoryFactory()

        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF
        story.save()

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}
        assert OrmQ.objects.get().lock == FAR_OFF

    def test_with_another_time_moves_its_job_and_message(self) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()

        story.publish_at = FAR_OFF + HOUR
        story.save()

        moved = Job.objects.get()
        assert (moved.pk, moved.run_at) == (job.pk, FAR_OFF + HOUR)
        assert OrmQ.objects.get().pk == moved.message_id != job.message_id
        assert OrmQ.objects.get().lock == FAR_OFF + HOUR
        event = moved.events.order_by("pk").last()
        assert event is not None
        assert (event.what, event.old_run_at, event.new_run_at) == (
            JobEvent.What.MOVED,
            FAR_OFF,
            FAR_OFF + HOUR,
        )

    def test_as_a_draft_cancels_everything(self) -> None:
        story = StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        story.status = Status.DRAFT
        story.save()

        assert not open_jobs(story)
        assert set(Job.objects.values_list("state", flat=True)) == {State.CANCELLED}
        assert not OrmQ.objects.exists()

    def test_without_its_end_cancels_the_end_alone(self) -> None:
        story = StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        story.unpublish_at = None
        story.save()

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_that_is_refused_leaves_row_and_jobs_as_they_were(self) -> None:
        story = StoryFactory(scheduled=True)

        story.status, story.title = Status.PUBLISHED, "새 제목"
        with pytest.raises(IntegrityError), transaction.atomic():
            story.save()

        assert (row(story).status, row(story).version) == (Status.SCHEDULED, 1)
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_after_a_refusal_works_once_it_is_corrected(self) -> None:
        story = StoryFactory(scheduled=True)
        story.status = Status.PUBLISHED
        with pytest.raises(IntegrityError), transaction.atomic():
            story.save()

        story.status = Status.DRAFT
        story.save()

        assert (row(story).status, story.version) == (Status.DRAFT, 2)
        assert not open_jobs(story)

    def test_when_it_is_gone_says_so(self) -> None:
        story = StoryFactory()
        Story.objects.filter(pk=story.pk).delete()

        with pytest.raises(DatabaseError, match="did not affect any rows"), transaction.atomic():
            story.save()

        assert not Story.objects.exists()

    def test_that_was_made_by_bulk_create(self) -> None:
        [story] = Story.objects.bulk_create([StoryFactory.build()])

        story.title = "새 제목"
        story.save()

        assert row(story).title == "새 제목"

    def test_that_was_made_by_bulk_create_schedules_it_when_asked(self) -> None:
        [story] = Story.objects.bulk_create([StoryFactory.build()])

        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF
        story.save()

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}


class TestSavingSomeFields:
    def test_writes_those_and_the_version(self) -> None:
        story = StoryFactory()
        Story.objects.filter(pk=story.pk).update(body="vom anderen")

        story.title, story.body = "새 제목", "verloren"
        story.save(update_fields=["title"])

        saved = row(story)
        assert (saved.title, saved.body, saved.version) == ("새 제목", "vom anderen", 2)

    def test_with_the_time_among_them_moves_the_job(self) -> None:
        story = StoryFactory(scheduled=True)

        story.publish_at = FAR_OFF + HOUR
        story.save(update_fields=["publish_at"])

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + HOUR}

    def test_by_the_name_of_their_column_is_as_good(self) -> None:
        story = StoryFactory()

        story.save(update_fields=["author_id"])

        assert row(story).version == 2

    def test_keeps_a_requested_time_that_was_not_among_them(self) -> None:
        story = StoryFactory()
        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF

        story.save(update_fields=["title"])
        story.save()

        assert row(story).status == Status.SCHEDULED
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_of_which_there_are_none_does_nothing(self) -> None:
        story = StoryFactory()

        story.save(update_fields=[])

        assert row(story).version == 1


class TestAnItemReadInPart:
    def test_saves_what_was_read(self) -> None:
        StoryFactory(scheduled=True)
        story = Story.objects.only("title").get()

        story.title = "새 제목"
        story.save()

        saved = row(story)
        assert (saved.title, saved.status, saved.publish_at) == ("새 제목", "scheduled", FAR_OFF)
        assert open_jobs(saved) == {Kind.PUBLISH: FAR_OFF}

    def test_follows_a_time_that_was_set_without_reading_it(self) -> None:
        StoryFactory(scheduled=True)
        story = Story.objects.defer("publish_at").get()

        story.publish_at = FAR_OFF + HOUR
        story.save()

        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF + HOUR}

    def test_follows_an_end_that_was_cleared_without_reading_it(self) -> None:
        StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)
        story = Story.objects.defer("unpublish_at").get()

        story.unpublish_at = None
        story.save()

        assert row(story).unpublish_at is None
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_keeps_a_requested_time_while_the_rest_is_read(self) -> None:
        StoryFactory()
        story = Story.objects.defer("body").get()
        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF

        assert story.body  # reads it now
        story.save()

        assert row(story).status == Status.SCHEDULED
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}


class TestReadingAnItemAgain:
    def test_forgets_a_requested_time_that_was_not_saved(self) -> None:
        story = StoryFactory()
        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF

        story.refresh_from_db()
        story.save()

        assert row(story).status == Status.DRAFT
        assert not Job.objects.exists()

    def test_in_part_keeps_a_requested_time(self) -> None:
        story = StoryFactory()
        story.status, story.publish_at = Status.SCHEDULED, FAR_OFF

        story.refresh_from_db(fields=["title"])
        story.save()

        assert row(story).status == Status.SCHEDULED
        assert open_jobs(story) == {Kind.PUBLISH: FAR_OFF}

    def test_sees_what_an_operation_did_to_another_copy(self) -> None:
        story = StoryFactory(due=True)
        operations.publish_now(item=Story.objects.get(), by=None)

        story.refresh_from_db()
        story.save()

        assert row(story).is_published


class TestLoadingADump:
    def test_brings_item_and_job_as_they_were(self) -> None:
        StoryFactory(scheduled=True)
        dump = serializers.serialize("python", [Story.objects.get(), Job.objects.get()])
        Job.objects.all().delete()
        Story.objects.all()._raw_delete("default")

        for loaded in serializers.deserialize("python", dump):
            loaded.save()

        assert (row(Story.objects.get()).version, Job.objects.count()) == (1, 1)
        assert open_jobs(Story.objects.get()) == {Kind.PUBLISH: FAR_OFF}


class TestDeleting:
    @pytest.mark.parametrize("delete", [Story.delete, lambda _: Story.objects.all().delete()])
    def test_cancels_its_jobs_and_removes_their_messages(self, delete: Any) -> None:
        story = StoryFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)
        label = story.label

        delete(story)

        assert not Story.objects.exists()
        assert not OrmQ.objects.exists()
        jobs = Job.objects.all()
        assert [job.state for job in jobs] == [State.CANCELLED] * 2
        assert {job.item_label for job in jobs} == {label}
        assert Counter(JobEvent.objects.values_list("what", flat=True)) == {
            JobEvent.What.SCHEDULED: 2,
            JobEvent.What.CANCELLED: 2,
        }

    def test_many_leaves_the_jobs_of_the_others(self) -> None:
        StoryFactory.create_batch(3, scheduled=True)
        kept = StoryFactory(scheduled=True)

        Story.objects.exclude(pk=kept.pk).delete()

        assert Job.objects.open().get().find_item() == kept
        assert OrmQ.objects.count() == 1

    def test_that_is_rolled_back_leaves_item_job_and_message(self) -> None:
        story = StoryFactory(scheduled=True)

        with transaction.atomic():
            story.delete()
            transaction.set_rollback(True)

        assert open_jobs(Story.objects.get()) == {Kind.PUBLISH: FAR_OFF}
        assert OrmQ.objects.count() == 1

    def test_a_published_one_keeps_its_ledger(self) -> None:
        story = StoryFactory()
        done = operations.publish_now(item=story, by=None)

        story.delete()

        done.refresh_from_db()
        assert done.state == State.SUCCEEDED
        assert done.find_item() is None


# Letters, and the odd ones: marks, joiners, fillers, other planes, what is not assigned. PostgreSQL
# stores neither NUL nor half a surrogate pair.
ODD = "\u0085\u00a0\u00ad\u115f\u180e\u200b\u200d\u2028\u202e\u2060\u2800\u3000\u3164\ufe0f\ufeff"
TEXT = st.text(
    st.sampled_from(ODD + " \t\n가a“.\U000e0020\U0001f600\uffff")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=8,
)

MARKDOWN = st.lists(
    st.sampled_from(["가", "a", "1.", " ", "\n", *"<>[]()!#*_-`~|:^&;\\", "/a", "<!--", "-->"])
    | st.sampled_from(["&nbsp;", "<p>", "<script>", "</script>", "<img src=/a>", "[a]: ", "[^a]"]),
    max_size=6,
).map("".join)


@pytest.mark.slow
class TestProblems:
    # PostgreSQL judges many rows at a time: one example is a few hundred titles and bodies.
    @hypothesis_settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(TEXT, TEXT | MARKDOWN), min_size=20, max_size=60))
    @example([(chr(code), "본문") for code in (*range(1, 0x3400), *range(0xFB00, 0x10000))])
    @example([("제목", chr(code)) for code in range(1, 0x3400)])
    @example([(ODD, "본문"), ("제목", ODD), (ODD + "a", ODD + "한")])
    def test_are_the_same_in_python_and_in_postgresql(self, texts: list[tuple[str, str]]) -> None:
        Notice.objects.all().delete()
        notices = [Notice(title=title, body=body) for title, body in texts]
        Notice.objects.bulk_create(notices)

        found = set(Notice.objects.publishable().values_list("pk", flat=True))

        assert found == {it.pk for it in notices if not it.publish_problems()}

    @pytest.mark.parametrize("blank", ["", " ", "\u3164", "\u200b\ufeff", "\U000e0041", "\n\t"])
    @pytest.mark.parametrize("field", ["title", "body"])
    def test_keep_a_blank_item_out_of_the_publishable(self, field: str, blank: str) -> None:
        story = StoryFactory(**{field: blank})

        assert len(story.publish_problems()) == 1
        assert not Story.objects.publishable().exists()

    def test_of_an_item_without_any_are_none(self) -> None:
        story = StoryFactory(title="가", body=".")

        assert not story.publish_problems()
        assert Story.objects.publishable().get() == story


class TestAJob:
    def test_names_its_item(self) -> None:
        story = StoryFactory(scheduled=True)

        job = Job.objects.get()

        assert job.item_label == story.label == f"story:{story.pk}"
        assert job.label == f"publish story:{story.pk}"

    def test_has_no_lateness_before_it_succeeded(self) -> None:
        StoryFactory(due=True)

        assert Job.objects.get().lateness_ms is None

    @pytest.mark.parametrize(
        ("microseconds", "lateness_ms"), [(1_000_500, 1000.5), (1775, 1.775), (290, 0.29), (0, 0.0)]
    )
    def test_has_the_lateness_of_its_success_in_milliseconds(
        self, microseconds: int, lateness_ms: float
    ) -> None:
        late = timedelta(microseconds=microseconds)

        job = Job(state=State.SUCCEEDED, run_at=LONG_AGO, finished_at=LONG_AGO + late)

        assert str(job.lateness_ms) == str(lateness_ms)

    def test_finds_no_item_when_its_type_is_gone(self) -> None:
        gone = ContentType.objects.create(app_label="content", model="podcast")

        job = Job(content_type=gone, object_id=1, kind=Kind.PUBLISH)

        assert job.find_item() is None
        assert job.item_label == "podcast:1"
