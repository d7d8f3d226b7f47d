"""The id of a request goes with what it asks for: job, events, log, up to the publish."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from content.models import Story
from scheduling import operations, tracing
from scheduling.models import Job, JobEvent, Kind, Schedulable, State
from scheduling.queries import explain
from scheduling.worker import batch_runner, job_runner
from tests.api_clients import API, client_of, superuser
from tests.database_rows import due_stories, failed_publish
from tests.factories import FAR_OFF, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def by() -> User:
    return UserFactory()


def ids_of(item: Schedulable) -> list[tuple[str, str]]:
    """Return what has happened to the item's jobs, and for which request."""
    events = JobEvent.objects.filter(job__in=Job.objects.of(item)).order_by("pk")
    return list(events.values_list("what", "request_id"))


class TestAnOperation:
    def test_keeps_the_request_that_has_asked_for_it(self, by: User) -> None:
        story = StoryFactory()

        with tracing.of_request("click-1"):
            job = operations.schedule(item=story, run_at=FAR_OFF, by=by)
        with tracing.of_request("click-2"):
            job = operations.move(job=job, run_at=FAR_OFF + timedelta(days=1), by=by)
        stored = Job.objects.get()
        with tracing.of_request("click-3"):
            operations.cancel(job=job, by=by)

        assert job.request_id == stored.request_id == "click-2"
        assert ids_of(story) == [
            ("scheduled", "click-1"),
            ("moved", "click-2"),
            ("cancelled", "click-3"),
        ]

    def test_keeps_it_of_many_items(self, by: User) -> None:
        stories = StoryFactory.create_batch(3)

        with tracing.of_request("click-1"):
            jobs = operations.schedule_many(items=stories, run_at=FAR_OFF, by=by)

        assert {job.request_id for job in jobs} == {"click-1"}
        assert {it for story in stories for it in ids_of(story)} == {("scheduled", "click-1")}

    def test_keeps_none_where_there_is_none(self, by: User) -> None:
        story = StoryFactory()

        job = operations.schedule(item=story, run_at=FAR_OFF, by=by)

        assert job.request_id == Job.objects.get().request_id == ""
        assert ids_of(story) == [("scheduled", "")]

    def test_that_runs_a_job_again_replaces_the_one_before(self, by: User) -> None:
        with tracing.of_request("click-1"):
            failed = failed_publish()

        with tracing.of_request("click-2"):
            operations.rerun(job=failed, by=by)

        assert Job.objects.get().request_id == "click-2"
        assert ids_of(failed.find_item())[-1] == ("rerun", "click-2")  # type: ignore[arg-type]


class TestAPublish:
    @pytest.fixture
    def lines(self, caplog: pytest.LogCaptureFixture) -> Any:
        with caplog.at_level(logging.INFO, "armo.publish"):
            yield caplog

    @pytest.mark.parametrize("is_alone", [False, True])
    def test_names_the_request_that_has_asked_for_it(
        self, is_alone: bool, lines: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        with tracing.of_request("click-1"):
            story = StoryFactory(due=True)

        with django_capture_on_commit_callbacks(execute=True):
            if is_alone:
                job_runner.run_alone(Job.objects.get().pk)
            else:
                batch_runner.run_due_jobs()

        assert [it.request_id for it in lines.records] == ["click-1"]
        assert ids_of(story) == [("scheduled", "click-1"), ("succeeded", "click-1")]

    def test_names_each_its_own_in_a_batch(
        self, lines: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        asked = {}
        for request in ("click-1", "click-2", ""):
            with tracing.of_request(request):
                asked[StoryFactory(due=True).label] = request

        with django_capture_on_commit_callbacks(execute=True):
            batch_runner.run_due_jobs()

        assert {it.item: getattr(it, "request_id", "") for it in lines.records} == asked

    def test_at_once_names_its_own(
        self, by: User, lines: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        story = StoryFactory()

        with django_capture_on_commit_callbacks(execute=True), tracing.of_request("click-1"):
            operations.publish_now(item=story, by=by)

        assert [it.request_id for it in lines.records] == ["click-1"]
        assert ids_of(story) == [("succeeded", "click-1")]

    def test_that_fails_does_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        def hook(story: Story) -> None:
            seen.append(tracing.request_id())
            raise RuntimeError

        monkeypatch.setattr(Story, "before_publish", hook)
        with tracing.of_request("click-1"):
            story = StoryFactory(due=True)

        with pytest.raises(RuntimeError):
            job_runner.run_alone(Job.objects.get().pk)

        assert seen == ["click-1"]
        assert ids_of(story)[-1] == ("attempt_failed", "click-1")
        assert tracing.request_id() == ""

    def test_whose_worker_died_does_too(self) -> None:
        with tracing.of_request("click-1"):
            [story] = due_stories(1)
        Job.objects.update(attempt_begun_at=Job.objects.get().run_at, attempts=9)

        job_runner.run_alone(Job.objects.get().pk)

        assert Job.objects.get().state == State.FAILED
        assert ids_of(story)[-1] == ("failed", "click-1")


class TestARequestOfTheApi:
    def test_is_followed_to_its_publish(self) -> None:
        story = StoryFactory()
        client = client_of(superuser())

        answer = client.post(
            f"{API}/stories/{story.pk}/schedule/",
            {"publish_at": "2099-01-01T00:00:00Z"},
            format="json",
            headers={"x-request-id": "click-1"},
        )

        assert answer.status_code < 300, answer.content
        job = client.get(f"{API}/jobs/{Job.objects.get().pk}/").json()
        assert job["request_id"] == "click-1"
        assert [it["request_id"] for it in job["events"]] == ["click-1"]
        found = [it.text for it in explain.explain(story) if "scheduled by" in it.text]
        assert "(request click-1)" in found[0]
        assert job["kind"] == Kind.PUBLISH
