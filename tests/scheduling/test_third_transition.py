"""A kind of job that an application adds, on its way through every part of the engine."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import Client
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from rest_framework.test import APIClient

from content.models import Notice, Story
from scheduling import operations, tasks
from scheduling.ical.tokens import make_calendar_link
from scheduling.models import (
    TRANSITIONS,
    Job,
    JobEvent,
    Schedulable,
    State,
    Status,
    register,
    register_status,
    rerunnable,
)
from scheduling.models import item as item_models
from scheduling.models.clock import database_now
from scheduling.models.transitions import InvalidParams
from scheduling.operations import pause as pausing
from scheduling.operations import prune, rerun_many, store
from scheduling.queries.cache_lifetime import seconds_until_next_change
from scheduling.queries.dry_run import forecast
from scheduling.queries.explain import explain
from scheduling.queries.health import examine
from scheduling.worker import batch_runner, job_runner
from scheduling.worker.reconciler import sweep
from tests.archive.transitions import Archive
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, "archive", Archive())


def schedule(item: Any = None, last_word: str = "안녕", **fields: Any) -> Job:
    return operations.schedule(
        item=item or StoryFactory(published=True),
        by=None,
        **{"kind": "archive", "run_at": FAR_OFF, "params": {"last_word": last_word}, **fields},
    )


def make_due(*jobs: Job) -> None:
    """Have jobs be due since long ago, an hour apart."""
    for hours, job in enumerate(jobs):
        at = LONG_AGO + hours * HOUR
        Job.objects.filter(pk=job.pk).update(run_at=at, next_attempt_at=at)


def due(*args: Any, **fields: Any) -> Job:
    job = schedule(*args, **fields)
    make_due(job)
    job.refresh_from_db()
    return job


def run_archives_alone() -> None:
    for job in Job.objects.filter(kind="archive"):
        job_runner.run_alone(job.pk)


def failed() -> Job:
    """A job that has failed since its story was a draft again, which is live by now."""
    story = StoryFactory(published=True)
    job = due(story)
    Story.objects.filter(pk=story.pk).update(status=Status.DRAFT, published_at=None)
    with pytest.raises(operations.InvalidTransition):
        job_runner.run_alone(job.pk)
    Story.objects.filter(pk=story.pk).update(status=Status.PUBLISHED, published_at=LONG_AGO)
    job.refresh_from_db()
    return job


def row_of(job: Job) -> dict[str, Any]:
    job.refresh_from_db()
    task: dict[str, Any] = SignedPackage.loads(OrmQ.objects.get(pk=job.message_id).payload)
    return task


class TestScheduling:
    def test_leaves_the_item_as_it_is(self) -> None:
        story = StoryFactory(published=True)

        job = schedule(story)

        story.refresh_from_db()
        assert (story.status, story.unpublish_at) == ("published", None)
        job.refresh_from_db()
        assert (job.state, job.run_at, job.params) == ("waiting", FAR_OFF, {"last_word": "안녕"})

    def test_may_give_an_item_several(self) -> None:
        story = StoryFactory(published=True)

        jobs = [schedule(story), schedule(story, run_at=FAR_OFF + HOUR), schedule(story)]

        assert list(Job.objects.of(story).open().order_by("pk")) == jobs

    def test_has_a_queue_row_with_a_task_of_its_own(self) -> None:
        assert row_of(schedule())["func"] == "scheduling.tasks.run_archive"

    def test_is_refused_in_a_status_it_is_not_for(self) -> None:
        with pytest.raises(operations.InvalidTransition):
            schedule(StoryFactory())

    def test_stays_when_the_publish_is_cancelled(self) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        job = schedule(story, run_at=FAR_OFF + HOUR)

        operations.unschedule(item=story, by=None)

        assert list(Job.objects.of(story).open()) == [job]

    def test_of_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(operations.UnknownKind):
            operations.schedule(
                item=StoryFactory(published=True), run_at=FAR_OFF, kind="fly", by=None
            )

    def test_is_refused_with_parameters_that_it_cannot_use(self) -> None:
        story = StoryFactory(published=True)

        with pytest.raises(InvalidParams):
            schedule(story, last_word=3)  # type: ignore[arg-type]  # that is the fault

        assert not Job.objects.exists()

    @pytest.mark.parametrize(
        "params",
        [
            {"a": "\0"},
            {"a": [{"\0": 1}]},
            {"a": float("nan")},
            {"a": "\ud800"},
            {"a": FAR_OFF},
            {"a": (1, 2)},
            {1: 2},
            [1],
            [],
            "x",
        ],
        ids=repr,
    )
    def test_is_refused_with_parameters_that_cannot_be_stored(self, params: Any) -> None:
        with pytest.raises(InvalidParams, match="are not a JSON object"):
            schedule(params=params)

    def test_keeps_parameters_of_any_type_in_json(self) -> None:
        params = {"a": [1, 2.5, None, True, {"b": "값 \\u0000"}]}

        job = schedule(params=params)

        job.refresh_from_db()
        assert job.params == params

    def test_is_refused_an_end(self) -> None:
        with pytest.raises(InvalidParams):
            schedule(unpublish_at=FAR_OFF + HOUR)

    def test_of_a_publish_takes_no_parameters(self) -> None:
        with pytest.raises(InvalidParams):
            operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None, params={"a": 1})


class TestMoving:
    def test_gives_one_another_time_and_leaves_the_other(self) -> None:
        story = StoryFactory(published=True)
        job, other = schedule(story), schedule(story)

        operations.move(job=job, run_at=FAR_OFF + HOUR, by=None)

        other.refresh_from_db()
        assert (job.run_at, other.run_at) == (FAR_OFF + HOUR, FAR_OFF)
        assert row_of(job)["func"] == "scheduling.tasks.run_archive"
        assert job.events.get(what="moved").old_run_at == FAR_OFF


class TestCancelling:
    def test_ends_one_and_leaves_the_other(self) -> None:
        story = StoryFactory(published=True)
        job, other = schedule(story), schedule(story)

        operations.cancel(job=job, by=None)

        assert list(Job.objects.of(story).open()) == [other]
        assert job.state == State.CANCELLED

    def test_of_the_kind_ends_all(self) -> None:
        story = StoryFactory(published=True)
        jobs = [schedule(story), schedule(story)]

        first = operations.unschedule(item=story, kind="archive", by=None)

        assert first == jobs[0]
        assert not Job.objects.open().exists()

    def test_without_one_is_refused(self) -> None:
        with pytest.raises(operations.InvalidTransition):
            operations.unschedule(item=StoryFactory(published=True), kind="archive", by=None)

    def test_comes_with_the_deletion_of_the_item(self) -> None:
        story = StoryFactory(published=True)
        schedule(story), schedule(story)

        story.delete()

        assert set(Job.objects.values_list("state", flat=True)) == {State.CANCELLED}


class TestABatch:
    @pytest.mark.slow
    def test_of_a_thousand_is_done_in_one_statement(self) -> None:
        stories = StoryFactory.build_batch(1000, published=True)
        Story.objects.bulk_create(stories)
        planned = [
            store.Planned(story, Archive(), LONG_AGO, {"last_word": f"{story.pk}번째"})
            for story in stories
        ]
        store.open_jobs(planned, at=database_now(), by=None, reason="")

        assert batch_runner.run_due_jobs() == 1000

        # A statement gives all its jobs one time.
        assert Job.objects.values("finished_at").distinct().count() == 1
        assert set(Job.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
        for story in Story.objects.all():
            assert (story.status, story.body) == (Status.UNPUBLISHED, f"{story.pk}번째")
            assert story.version == 2
        assert JobEvent.objects.filter(what="succeeded").count() == 1000
        assert not OrmQ.objects.exists()

    def test_takes_the_types_together(self) -> None:
        due(StoryFactory(published=True))
        due(NoticeFactory(published=True))

        assert batch_runner.run_due_jobs() == 2

        assert Notice.objects.get().body == Story.objects.get().body == "안녕"

    def test_does_those_of_one_item_in_the_order_of_their_times(self) -> None:
        story = StoryFactory(published=True)
        last, first = schedule(story, "나중"), schedule(story, "먼저")
        make_due(first, last)

        assert batch_runner.run_due_jobs() == 2

        story.refresh_from_db()
        assert (story.body, story.version) == ("나중", 5)

    def test_leaves_what_is_not_ready(self) -> None:
        due(StoryFactory(published=True, title="forever"))

        assert batch_runner.run_due_jobs() == 0

    def test_leaves_what_comes_behind_another_that_is_retried(self) -> None:
        story = StoryFactory(published=True)
        first, second = schedule(story), schedule(story)
        make_due(first, second)
        Job.objects.filter(pk=first.pk).update(next_attempt_at=FAR_OFF, state=State.RETRYING)

        assert batch_runner.run_due_jobs() == 0

        job_runner.run_alone(second.pk)
        second.refresh_from_db()
        assert (second.state, second.attempts) == (State.WAITING, 0)
        assert second.next_attempt_at > database_now()

    def test_does_nothing_during_a_pause(self) -> None:
        job = due()
        pausing.pause(by=None, reason="점검")

        assert batch_runner.run_due_jobs() == 0
        job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.WAITING, 0)


class TestARunOfItsOwn:
    def test_changes_the_item(self) -> None:
        story = StoryFactory(published=True)
        job = due(story)

        tasks.__getattr__("run_archive")(job.pk)

        story.refresh_from_db()
        job.refresh_from_db()
        assert (story.status, story.body, job.state) == ("unpublished", "안녕", "succeeded")

    def test_does_just_what_the_batch_does(self) -> None:
        alone, together = StoryFactory(published=True), StoryFactory(published=True)
        job_runner.run_alone(due(alone).pk)
        due(together)

        batch_runner.run_due_jobs()

        for story in (alone, together):
            story.refresh_from_db()
        same = ("status", "body", "version", "publish_at", "unpublish_at", "published_at")
        assert [getattr(alone, it) for it in same] == [getattr(together, it) for it in same]

    def test_fails_at_once_when_the_item_is_in_no_status_for_it(self) -> None:
        job = failed()

        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert "draft" in job.events.get(what="failed").reason
        assert Story.objects.get().body != "안녕"

    def test_is_made_again_after_an_error_that_may_pass(self) -> None:
        job = due()
        Job.objects.filter(pk=job.pk).update(params={})

        with pytest.raises(IntegrityError):
            job_runner.run_alone(job.pk)

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.RETRYING, 1)
        assert row_of(job)["func"] == "scheduling.tasks.run_archive"


class TestAnUnknownKind:
    """Of an application that is not installed any more, or not yet on this worker."""

    @pytest.fixture
    def job(self, monkeypatch: pytest.MonkeyPatch) -> Job:
        job = due()
        monkeypatch.delitem(TRANSITIONS, "archive")
        return job

    def test_keeps_one_queue_row(self, job: Job) -> None:
        for _ in range(3):
            job_runner.run_alone(job.pk)
            sweep()

        [row] = OrmQ.objects.all()
        job.refresh_from_db()
        assert (row.pk, job.state, job.attempts) == (job.message_id, State.WAITING, 0)

    def test_holds_nothing_of_its_item_back(
        self, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(TRANSITIONS, "archive", Archive())
        item = job.find_item()
        later = due(item)
        Job.objects.filter(pk=job.pk).update(kind="gone")

        job_runner.run_alone(later.pk)

        later.refresh_from_db()
        assert later.state == State.SUCCEEDED

    def test_can_be_cancelled(self, job: Job) -> None:
        assert operations.cancel(job=job, by=None).state == State.CANCELLED

    def test_is_charged_no_attempt(self, job: Job) -> None:
        tasks.give_up(job.pk, "again and again")

        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.WAITING, 0)


class Breaking(Archive):
    """A kind whose own code cannot be put into a batch."""

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        raise RuntimeError("변경할 수 없음")


class TestAKindWhoseCodeFails:
    @pytest.fixture(autouse=True)
    def _breaking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TRANSITIONS, "archive", Breaking())

    def test_keeps_no_other_job_from_its_batch(self) -> None:
        due()
        story = StoryFactory()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        make_due(Job.objects.of(story).get())
        Story.objects.filter(pk=story.pk).update(publish_at=LONG_AGO)

        assert batch_runner.run_due_jobs() == 1
        assert sweep().drained == 0

    def test_has_its_error_in_its_own_job(self) -> None:
        job = due()

        with pytest.raises(RuntimeError):
            tasks.run_job(job.pk)

        job.refresh_from_db()
        assert job.state == State.RETRYING
        assert "변경할 수 없음" in job.events.get(what="attempt_failed").reason


class Rewrite(Archive):
    """A kind whose changes are of many sorts."""

    name = "rewrite"
    to: dict[str, Any]

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value(params) for name, value in self.to.items()}

    def check_params(self, params: Mapping[str, Any]) -> None:
        pass

    def is_for(self, model: type[Any]) -> bool:
        return model is Story


class TestAChange:
    """Is the same alone and in a batch."""

    @pytest.mark.parametrize(
        ("params", "to", "expected"),
        [
            ({"w": 5}, {"body": lambda p: p["w"]}, {"body": "5"}),
            ({"w": ["a", "b"]}, {"body": lambda p: p["w"]}, {"body": '["a", "b"]'}),
            ({"w": True}, {"body": lambda p: p["w"]}, {"body": "true"}),
            ({}, {"body": lambda p: p.get("w", "없음")}, {"body": "없음"}),
            ({"w": "있음"}, {"body": lambda p: p.get("w", "없음")}, {"body": "있음"}),
            ({"w": None}, {"body": lambda p: p.get("w", "없음")}, {"body": "없음"}),
            ({}, {"body": lambda _: Concat(F("body"), Value("!"))}, {"body": "본문 “따옴표”!"}),
            ({}, {"updated_at": lambda p: p.get("at", "2100-01-01T00:00:00Z")}, {}),
            ({"at": "2100-01-01T00:00:00Z"}, {"updated_at": lambda p: p["at"]}, {}),
            ({"w": "모음"}, {"extra": lambda p: p["w"]}, {"extra": "모음"}),
            ({}, {"extra": lambda _: {"a": [1]}}, {"extra": {"a": [1]}}),
            ({}, {"author": lambda _: None}, {"author_id": None}),
        ],
    )
    def test_is_the_same_in_both(
        self,
        monkeypatch: pytest.MonkeyPatch,
        params: dict[str, Any],
        to: dict[str, Any],
        expected: dict[str, Any],
    ) -> None:
        kind = Rewrite()
        kind.to = to
        monkeypatch.setitem(TRANSITIONS, "rewrite", kind)
        stories = [StoryFactory(published=True), StoryFactory(published=True)]
        alone, together = [
            operations.schedule(item=it, kind="rewrite", run_at=FAR_OFF, by=None, params=params)
            for it in stories
        ]
        make_due(alone)
        job_runner.run_alone(alone.pk)
        make_due(together)

        assert batch_runner.run_due_jobs() == 1

        one, other = Story.objects.order_by("pk")
        for name in (
            "body",
            "extra",
            "author_id",
            "version",
            "updated_at" if "at" in params else "body",
        ):
            assert getattr(one, name) == getattr(other, name), name
        assert {name: getattr(one, name) for name in expected} == expected


class TestTheOrderOfAnItemsJobs:
    def test_is_that_of_their_times_whatever_their_kinds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kind = Rewrite()
        kind.to = {"body": lambda _: "먼저"}
        monkeypatch.setitem(TRANSITIONS, "rewrite", kind)
        story = StoryFactory(published=True)
        operations.schedule(item=story, kind="unpublish", run_at=FAR_OFF, by=None)
        end = Job.objects.of(story).get()
        first = schedule(story, kind="rewrite")
        make_due(first, end)
        end.refresh_from_db()
        Story.objects.filter(pk=story.pk).update(unpublish_at=end.run_at)

        assert batch_runner.run_due_jobs() == 2

        first.refresh_from_db()
        end.refresh_from_db()
        assert (first.state, end.state) == (State.SUCCEEDED, State.SUCCEEDED)
        assert first.finished_at is not None
        assert end.finished_at is not None
        assert first.finished_at < end.finished_at

    def test_holds_back_no_end_when_the_one_before_it_is_retried(self) -> None:
        story = StoryFactory(published=True)
        operations.schedule(item=story, kind="unpublish", run_at=FAR_OFF, by=None)
        end = Job.objects.of(story).get()
        first = schedule(story)
        make_due(first, end)
        end.refresh_from_db()
        Story.objects.filter(pk=story.pk).update(unpublish_at=end.run_at)
        Job.objects.filter(pk=first.pk).update(state=State.RETRYING, next_attempt_at=FAR_OFF)

        assert batch_runner.run_due_jobs() == 1

        story.refresh_from_db()
        assert story.status == Status.UNPUBLISHED

    def test_is_said_by_explain(self) -> None:
        story = StoryFactory(published=True)
        first, second = schedule(story), schedule(story)
        make_due(first, second)

        texts = [finding.text for finding in explain(story)]

        assert any(f"{second.pk} waits for job {first.pk}" in text for text in texts)

    def test_holds_alone_too(self) -> None:
        story = StoryFactory(published=True)
        operations.schedule(item=story, kind="unpublish", run_at=FAR_OFF, by=None)
        end = Job.objects.of(story).get()
        first = schedule(story)
        make_due(first, end)

        job_runner.run_alone(end.pk)

        end.refresh_from_db()
        assert (end.state, end.attempts) == (State.WAITING, 0)


class TestARegisteredStatus:
    @pytest.fixture(autouse=True)
    def _shelved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Set, so that they are put back: registering changes both tables in place.
        monkeypatch.setitem(item_models.STATUSES, "shelved", "")
        for status in ("shelved", "published"):
            before = item_models.ALLOWED.get(status, frozenset())
            monkeypatch.setitem(item_models.ALLOWED, status, before)

        register_status("shelved", "shelved", after=["published"], before=["published"])

    @pytest.mark.parametrize("query", ["", "?ordering=publish_at", "?ordering=-published_at"])
    def test_is_in_every_list_of_the_api(self, query: str) -> None:
        StoryFactory(published=True)
        Story.objects.update(status="shelved")
        client = APIClient()
        client.force_authenticate(User.objects.create_superuser("boss"))

        [found] = client.get(f"/api/v1/stories/{query}").json()["results"]

        assert found["status"] == "shelved"


class TestAStatusThatIsGone:
    def test_is_refused_in_words(self) -> None:
        story = StoryFactory(published=True)
        Story.objects.update(status="shelved")
        client = APIClient()
        client.force_authenticate(User.objects.create_superuser("boss"))

        answer = client.post(
            f"/api/v1/stories/{story.pk}/schedule/",
            {"publish_at": FAR_OFF.isoformat()},
            format="json",
        )

        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


class TestAName:
    def test_whose_task_runs_publishes_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="runs publishes"):
            register(type("Odd", (Archive,), {"name": "job"}))

    def test_that_is_taken_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="Two kinds"):
            register(type("Odd", (Archive,), {"name": "publish"}))


class Marking(Archive):
    """A kind that leaves a mark on an item whose job has failed."""

    name = "marking"
    on_failure = Status.FAILED
    runs_from = (Status.PUBLISHED,)


class TestAKindThatMarksFailures:
    def test_is_run_again_from_its_mark(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TRANSITIONS, "marking", Marking())
        story = StoryFactory(published=True)
        job = operations.schedule(item=story, kind="marking", run_at=FAR_OFF, by=None)
        make_due(job)
        for _ in range(job_runner.max_attempts()):
            Job.objects.filter(pk=job.pk).update(next_attempt_at=LONG_AGO)
            with pytest.raises(IntegrityError):
                job_runner.run_alone(job.pk)
        story.refresh_from_db()
        assert story.status == Status.FAILED
        assert Job.objects.filter(rerunnable()).get() == job
        Job.objects.filter(pk=job.pk).update(params={"last_word": "이제"})

        operations.rerun(job=job, by=None)

        assert batch_runner.run_due_jobs() == 1
        story.refresh_from_db()
        assert (story.status, story.body) == (Status.UNPUBLISHED, "이제")


class TestTheReconciler:
    def test_gives_each_its_lost_queue_row_again(self) -> None:
        job = schedule()
        OrmQ.objects.all().delete()

        assert sweep().messages == 1

        assert row_of(job)["func"] == "scheduling.tasks.run_archive"

    def test_gives_no_item_one(self) -> None:
        StoryFactory(published=True)

        assert sweep().created == 0


class TestRunningAgain:
    def test_does_it_after_all(self) -> None:
        job = operations.rerun(job=failed(), by=None)

        assert batch_runner.run_due_jobs() == 1

        job.refresh_from_db()
        assert (job.state, Story.objects.get().body) == (State.SUCCEEDED, "안녕")

    def test_is_refused_while_the_item_is_in_no_status_for_it(self) -> None:
        job = failed()
        Story.objects.update(status=Status.DRAFT, published_at=None)

        with pytest.raises(operations.ItemHasMovedOn):
            operations.rerun(job=job, by=None)

    def test_is_refused_for_what_is_not_ready(self) -> None:
        job = failed()
        Story.objects.update(title="forever")

        with pytest.raises(operations.NotPublishable):
            operations.rerun(job=job, by=None)

    def test_goes_through_the_way_of_many(self) -> None:
        job = failed()

        answer = rerun_many.rerun_one(job.pk, by=None)

        assert answer.outcome == rerun_many.RERUN


class TestPruning:
    def prune(self) -> None:
        Job.objects.update(finished_at=LONG_AGO)
        list(prune.prune(timedelta(days=1)))

    def test_keeps_what_can_still_be_run_again(self) -> None:
        failed()

        self.prune()

        assert Job.objects.exists()

    def test_deletes_what_cannot(self) -> None:
        failed()
        Story.objects.update(status=Status.DRAFT, published_at=None)

        self.prune()

        assert not Job.objects.exists()


class TestReading:
    def test_explains_it(self) -> None:
        job = schedule()
        item = job.find_item()
        assert item is not None

        texts = [finding.text for finding in explain(item)]

        assert any(f"{job.pk}: archive" in text for text in texts)

    @pytest.mark.parametrize(
        "run",
        [
            batch_runner.run_due_jobs,
            lambda: job_runner.run_alone(Job.objects.get(kind="archive").pk),
        ],
    )
    def test_finds_nothing_amiss_once_it_has_changed_the_status(
        self, run: Callable[[], object]
    ) -> None:
        story = StoryFactory(published=True)
        operations.schedule(item=story, kind="unpublish", run_at=FAR_OFF, by=None)
        due(story)

        run()

        amiss = [check.name for check in examine() if check.name.startswith(("job to", "story to"))]
        assert amiss
        assert all(check.ok for check in examine() if check.name in amiss)
        assert Job.objects.get(kind="unpublish").state == State.CANCELLED

    def test_foretells_what_would_become_of_it(self) -> None:
        due(StoryFactory(published=True, title="forever"))

        [seen] = forecast(database_now())

        assert seen.problems == ["It is to stay."]

    def test_keeps_no_answer_beyond_it(self) -> None:
        assert seconds_until_next_change(Story) is None
        story = StoryFactory(published=True)
        schedule(story, run_at=database_now() + timedelta(seconds=30))

        for item in (None, story):
            left = seconds_until_next_change(Story, item)
            assert left is not None
            assert 0 < left <= 30

    def test_lists_it_as_json(self) -> None:
        job = schedule()
        out = StringIO()

        call_command("jobs", "--kind", "archive", "--json", stdout=out)

        [row] = json.loads(out.getvalue())
        assert (row["id"], row["kind"]) == (job.pk, "archive")


class TestPages:
    @pytest.fixture
    def boss(self) -> User:
        return User.objects.create_superuser("boss", password="boss")

    @pytest.fixture
    def api(self, boss: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(boss)
        return client

    @pytest.fixture
    def site(self, boss: User, client: Client) -> Client:
        client.force_login(boss)
        return client

    def test_show_it_in_the_api(self, api: APIClient) -> None:
        job = schedule()

        assert api.get(f"/api/v1/jobs/{job.pk}/").json()["kind"] == "archive"
        found = api.get("/api/v1/jobs/", {"kind": "archive"}).json()["results"]
        assert [each["id"] for each in found] == [job.pk]

    @pytest.mark.parametrize(
        "change",
        [
            lambda job: schedule(job.find_item()),
            lambda job: operations.move(job=job, run_at=FAR_OFF + HOUR, by=None),
            lambda job: operations.cancel(job=job, by=None),
            lambda job: operations.unschedule(item=job.find_item(), kind="archive", by=None),
        ],
        ids=["scheduled", "moved", "cancelled", "unscheduled"],
    )
    def test_cancel_nothing_that_changed_since_the_item_was_read(
        self, api: APIClient, change: Callable[[Job], Job]
    ) -> None:
        story = StoryFactory(published=True)
        job = schedule(story)
        path = f"/api/v1/stories/{story.pk}/"
        etag = api.get(path)["ETag"]
        change(job)

        answer = api.post(
            f"{path}unschedule/", {"kind": "archive"}, format="json", HTTP_IF_MATCH=etag
        )

        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")

    def test_show_and_take_its_parameters_in_the_api(self, api: APIClient) -> None:
        story = StoryFactory(published=True)
        wanted = {
            "model": "story",
            "id": story.pk,
            "kind": "archive",
            "run_at": FAR_OFF.isoformat(),
        }
        path = "/api/v1/jobs/"

        made = api.post(path, {**wanted, "params": {"last_word": "안녕"}}, format="json")
        plain = api.post(path, {**wanted, "params": None}, format="json")

        assert made.json()["params"] == {"last_word": "안녕"}
        assert plain.json()["params"] is None
        assert Job.objects.get(pk=made.json()["id"]).params == {"last_word": "안녕"}

    @pytest.mark.parametrize("params", [{"last_word": 3}, {"last_word": "\0"}, [1], "x"])
    def test_refuse_parameters_that_it_cannot_use(self, api: APIClient, params: Any) -> None:
        story = StoryFactory(published=True)
        wanted = {
            "model": "story",
            "id": story.pk,
            "kind": "archive",
            "run_at": FAR_OFF.isoformat(),
        }

        answer = api.post("/api/v1/jobs/", {**wanted, "params": params}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
        assert [error["field"] for error in answer.json()["errors"]] == ["params"]

    def test_take_its_parameters_from_the_command(self) -> None:
        story = StoryFactory(published=True)
        arguments = ["schedule", story.label, "--at", FAR_OFF.isoformat(), "--kind", "archive"]

        call_command(*arguments, "--params", '{"last_word": "안녕"}', stdout=StringIO())

        assert Job.objects.get().params == {"last_word": "안녕"}
        with pytest.raises(CommandError, match="not JSON") as error:
            call_command(*arguments, "--params", "{x", stdout=StringIO())
        assert error.value.returncode == 2

    def test_take_it_from_the_api(self, api: APIClient) -> None:
        story = StoryFactory(published=True)
        wanted = {
            "model": "story",
            "id": story.pk,
            "kind": "archive",
            "run_at": FAR_OFF.isoformat(),
        }

        answer = api.post("/api/v1/jobs/", wanted, format="json")

        assert answer.status_code == 201, answer.content
        assert Job.objects.of(story).get().kind == "archive"

    def test_show_it_in_the_admin(self, site: Client) -> None:
        job = schedule()
        day = job.run_at.date().isoformat()

        for address in (
            "/admin/scheduling/job/",
            "/admin/scheduling/job/?kind=archive",
            f"/admin/scheduling/job/{job.pk}/change/",
            f"/admin/content/story/{job.object_id}/change/",
            f"/admin/calendar/?view=day&date={day}",
            f"/admin/calendar/?view=day&date={day}&kind=archive",
        ):
            answer = site.get(address)
            assert answer.status_code == 200, address
            assert "archive" in answer.content.decode(), address

    def test_move_it_in_the_calendar(self, site: Client) -> None:
        job = schedule()

        answer = site.post(
            "/admin/calendar/move/",
            {"job": job.pk, "to": "2100-11-02T10:00:00", "expected": job.run_at.isoformat()},
        )

        assert answer.status_code == 200, answer.content
        job.refresh_from_db()
        assert job.run_at.isoformat() == "2100-11-02T10:00:00+00:00"

    def test_count_a_failed_one_on_the_first_page(self, site: Client) -> None:
        job = failed()

        assert f"/admin/scheduling/job/{job.pk}/change/" in site.get("/admin/").content.decode()

    def test_show_it_in_the_feed(self, client: Client, boss: User) -> None:
        job = schedule()

        answer = client.get(f"/feeds/schedule/{make_calendar_link(boss)}.ics")

        assert f"SUMMARY:Archive: {job.item_title}" in answer.content.decode()


class SetSeverity(Archive):
    """A notice becomes urgent: no other type has the field."""

    name = "set_severity"

    def is_for(self, model: type[Schedulable]) -> bool:
        return model is Notice

    def changes(self, *, at: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"severity": params["severity"]}


class TestAKindForOneType:
    @pytest.fixture(autouse=True)
    def _set_severity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TRANSITIONS, "set_severity", SetSeverity())

    @pytest.mark.parametrize("run", [tasks.run_job, job_runner.run_alone])
    def test_changes_a_field_that_the_others_do_not_have(self, run: Callable[[int], None]) -> None:
        notice = NoticeFactory(published=True)
        job = operations.schedule(
            item=notice,
            kind="set_severity",
            run_at=FAR_OFF,
            by=None,
            params={"severity": Notice.Severity.URGENT},
        )
        make_due(job)

        run(job.pk)

        notice.refresh_from_db()
        job.refresh_from_db()
        assert (notice.severity, job.state) == (Notice.Severity.URGENT, State.SUCCEEDED)

    def test_is_refused_for_another(self) -> None:
        with pytest.raises(operations.InvalidTransition):
            schedule(kind="set_severity")
