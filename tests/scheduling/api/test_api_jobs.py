"""The ledger as programs see it."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User

from armo.common.api.fields import utc
from content.models import Notice, Story
from scheduling import operations
from scheduling.models import Job, Kind, State
from tests.api_clients import API, client_of, person, superuser
from tests.database_rows import due_stories
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.scheduling.api.test_api_rights import failed_job

HOUR = timedelta(hours=1)
PATH = f"{API}/jobs/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]


@pytest.fixture
def operator() -> User:
    return person(group="Operators")


@pytest.fixture
def client(operator: User) -> Any:
    return client_of(operator)


def ids(client: Any, query: str) -> list[int]:
    page = client.get(f"{PATH}?ordering=id&{query}").json()
    return [row["id"] for row in page["results"]]


class TestAList:
    def test_is_filtered(self, client: Any) -> None:
        story, notice = StoryFactory(), NoticeFactory(published=True)
        start = operations.schedule(item=story, run_at=FAR_OFF, by=None)
        end = operations.schedule(item=notice, kind=Kind.UNPUBLISH, run_at=FAR_OFF + HOUR, by=None)
        failed = failed_job(StoryFactory())
        at = (FAR_OFF + HOUR).isoformat().replace("+", "%2B")

        assert ids(client, "state=waiting") == [start.pk, end.pk]
        assert ids(client, "state=failed") == [failed.pk]
        assert ids(client, "kind=unpublish") == [end.pk]
        assert ids(client, f"item=story:{story.pk}") == [start.pk]
        assert ids(client, f"item=content.notice:{notice.pk}") == [end.pk]
        assert ids(client, f"run_at_after={at}") == [end.pk]
        assert ids(client, f"run_at_before={at}") == [start.pk, failed.pk]
        assert ids(client, "kind=publish&state=waiting") == [start.pk]

    def test_keeps_what_is_overdue_apart_from_what_is_not(self, client: Any) -> None:
        [late] = due_stories(1)
        job = Job.objects.get(object_id=late.pk)
        waiting = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        failed = failed_job(StoryFactory())

        assert ids(client, "overdue=true") == [job.pk]
        assert ids(client, "overdue=false") == [waiting.pk, failed.pk]

    def test_knows_the_jobs_of_what_was_deleted(self, client: Any) -> None:
        story = StoryFactory(title="사라진 글")
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
        pk = story.pk
        story.delete()

        [row] = client.get(f"{PATH}?item=story:{pk}").json()["results"]

        assert (row["id"], row["state"], row["item_title"]) == (job.pk, "cancelled", "사라진 글")


class TestAJob:
    def test_shows_its_history(self, client: Any, operator: User) -> None:
        story = StoryFactory(title="봄")
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None, reason="첫째")
        client.post(
            f"{PATH}{job.pk}/move/",
            {"run_at": (FAR_OFF + HOUR).isoformat(), "reason": "둘째"},
            format="json",
        )

        shown = client.get(f"{PATH}{job.pk}/").json()

        assert (shown["item"], shown["model"], shown["item_id"]) == (
            *(story.label, "content.story"),
            story.pk,
        )
        assert (shown["state"], shown["attempts"], shown["lateness_ms"]) == ("waiting", 0, None)
        assert shown["next_attempt_at"] == shown["run_at"] == "2100-10-31T02:00:00.654321Z"
        first, second = shown["events"]
        assert (first["what"], first["by"], first["reason"]) == ("scheduled", None, "첫째")
        assert (second["what"], second["by"]) == ("moved", operator.username)
        assert (second["old_run_at"], second["new_run_at"]) == (
            "2100-10-31T01:00:00.654321Z",
            "2100-10-31T02:00:00.654321Z",
        )

    def test_shows_how_late_it_was(self, client: Any) -> None:
        job = operations.publish_now(item=StoryFactory(), by=None)
        Job.objects.filter(pk=job.pk).update(run_at=LONG_AGO, finished_at=LONG_AGO + HOUR / 1000)

        shown = client.get(f"{PATH}{job.pk}/").json()

        assert (shown["state"], shown["lateness_ms"]) == ("succeeded", 3600.0)
        assert shown["next_attempt_at"] is None

    @pytest.mark.parametrize("kind", ["publish", "unpublish"])
    def test_that_is_there_is_moved_and_not_made(self, client: Any, kind: str) -> None:
        story = StoryFactory(published=kind == "unpublish")
        times = [FAR_OFF, FAR_OFF, FAR_OFF + timedelta(days=1)]

        answers = [
            client.post(
                PATH,
                {"model": "story", "id": story.pk, "kind": kind, "run_at": at.isoformat()},
                format="json",
            )
            for at in times
        ]

        assert [it.status_code for it in answers] == [201, 200, 200]
        assert ["Location" in it for it in answers] == [True, False, False]
        assert len({it.json()["id"] for it in answers}) == 1
        assert answers[2].json()["run_at"] == utc(times[2])

    @pytest.mark.parametrize("make", [StoryFactory, NoticeFactory])
    @pytest.mark.parametrize("name", ["{model}", "content.{model}"])
    def test_is_made_for_an_item_of_any_type(self, client: Any, make: Any, name: str) -> None:
        item = make()
        model = name.format(model=item._meta.model_name)
        data = {"model": model, "id": item.pk, "kind": "publish", "run_at": FAR_OFF.isoformat()}

        made = client.post(PATH, data, format="json")

        assert made.status_code == 201
        assert client.get(made["Location"]).json()["id"] == made.json()["id"]
        item.refresh_from_db()
        assert item.status == "scheduled"

    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            ({"model": "user"}, 400, "validation_error"),
            ({"id": 10**15}, 404, "not_found"),
            ({"kind": "delete"}, 400, "validation_error"),
            ({"run_at": "2001-01-01T00:00:00Z"}, 400, "not_in_future"),
            ({"kind": "unpublish"}, 409, "invalid_transition"),
        ],
    )
    def test_is_not_made_when_it_is_refused(
        self, client: Any, data: Any, status: int, code: str
    ) -> None:
        good = {"model": "story", "id": StoryFactory().pk, "kind": "publish"}

        refused = client.post(PATH, {**good, "run_at": FAR_OFF.isoformat(), **data}, format="json")

        if data == {"model": "user"}:
            assert refused.json()["code"] in ("validation_error", "unknown_model")
        else:
            assert refused.json()["code"] == code
        assert refused.status_code == status
        assert not Job.objects.exists()

    def test_is_cancelled_once(self, client: Any, operator: User) -> None:
        story = StoryFactory()
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None)

        done = client.post(f"{PATH}{job.pk}/cancel/", {"reason": "비"}, format="json")
        again = client.post(f"{PATH}{job.pk}/cancel/", {}, format="json")

        assert (done.status_code, done.json()["state"]) == (200, "cancelled")
        assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
        event = job.events.latest("pk")
        assert (event.by, event.reason) == (operator, "비")
        story.refresh_from_db()
        assert story.status == "draft"

    def test_that_failed_runs_again_as_the_same(self, client: Any, operator: User) -> None:
        job = failed_job(StoryFactory())

        done = client.post(f"{PATH}{job.pk}/rerun/", {"reason": "고쳤다"}, format="json")

        assert (done.json()["id"], done.json()["state"]) == (job.pk, "waiting")
        event = job.events.latest("pk")
        assert (event.what, event.by, event.reason) == ("rerun", operator, "고쳤다")

    def test_that_did_not_fail_does_not_run_again(self, client: Any) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)

        assert client.post(f"{PATH}{job.pk}/rerun/", {}, format="json").status_code == 409

    @pytest.mark.parametrize("action", ["move", "cancel", "rerun"])
    def test_that_is_not_there_is_not_found(self, client: Any, action: str) -> None:
        data = {"run_at": FAR_OFF.isoformat()} if action == "move" else {}

        assert client.post(f"{PATH}1/{action}/", data, format="json").status_code == 404


class TestRunningManyAgain:
    @pytest.fixture
    def rerun(self, client: Any) -> Any:
        def send(**data: Any) -> Any:
            response = client.post(f"{PATH}rerun/", data, format="json")
            assert response.status_code == 200, response.json()
            return response.json()

        return send

    def test_takes_all_that_failed(self, rerun: Any) -> None:
        jobs = [failed_job(make()) for make in (StoryFactory, NoticeFactory)]
        operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)

        answer = rerun(reason="고쳤다")

        assert answer["summary"] == {"rerun": 2, "already": 0, "refused": 0, "failed": 0}
        assert {row["job"] for row in answer["jobs"]} == {job.pk for job in jobs}
        assert not Job.objects.filter(state=State.FAILED).exists()

    def test_says_first_what_would_happen(self, rerun: Any) -> None:
        failed_job(StoryFactory())

        answer = rerun(dry_run=True)

        assert (answer["dry_run"], answer["summary"]["rerun"]) == (True, 1)
        assert Job.objects.filter(state=State.FAILED).exists()

    def test_takes_what_its_filters_keep(self, rerun: Any) -> None:
        story, notice = StoryFactory(), NoticeFactory()
        one, other = failed_job(story), failed_job(notice)

        assert [row["job"] for row in rerun(ids=[one.pk], dry_run=True)["jobs"]] == [one.pk]
        assert [row["job"] for row in rerun(item=notice.label, dry_run=True)["jobs"]] == [other.pk]
        assert rerun(kind="unpublish", dry_run=True)["jobs"] == []
        assert len(rerun(run_at_after=FAR_OFF.isoformat(), dry_run=True)["jobs"]) == 2
        assert rerun(run_at_before=FAR_OFF.isoformat(), dry_run=True)["jobs"] == []
        assert rerun(since=FAR_OFF.isoformat(), dry_run=True)["jobs"] == []
        assert len(rerun(since=LONG_AGO.isoformat(), state="failed")["jobs"]) == 2

    def test_takes_its_filters_in_an_object_of_their_own_too(self, rerun: Any) -> None:
        one, _ = failed_job(StoryFactory()), failed_job(NoticeFactory())

        answer = rerun(filter={"state": "failed", "ids": [one.pk]}, dry_run=True)

        assert [row["job"] for row in answer["jobs"]] == [one.pk]

    def test_leaves_alone_what_runs_again_already(self, rerun: Any) -> None:
        job = failed_job(StoryFactory())

        first, second = rerun(ids=[job.pk]), rerun(ids=[job.pk])

        assert first["jobs"][0]["outcome"] == "rerun"
        assert second["jobs"][0]["outcome"] == "already"
        assert job.events.filter(what="rerun").count() == 1

    def test_says_of_each_why_it_is_refused(self, rerun: Any) -> None:
        gone, good = StoryFactory(), StoryFactory()
        jobs = [failed_job(gone), failed_job(good)]
        Story.objects.filter(pk=gone.pk).update(body="")

        answer = rerun()

        outcomes = {row["job"]: (row["outcome"], row["code"]) for row in answer["jobs"]}
        assert outcomes == {jobs[0].pk: ("refused", "not_publishable"), jobs[1].pk: ("rerun", None)}

    def test_says_that_there_are_more(self, rerun: Any) -> None:
        for _ in range(3):
            failed_job(StoryFactory())

        with patch("scheduling.api.viewsets.RERUN_AT_ONCE", 2):
            first, second = rerun(), rerun()

        assert (first["has_more"], len(first["jobs"])) == (True, 2)
        assert (second["has_more"], len(second["jobs"])) == (False, 1)


def test_who_sees_one_type_sees_its_jobs() -> None:
    client = client_of(person("scheduling.view_job", "content.view_notice", "content.rerun_notice"))
    seen, unseen = failed_job(NoticeFactory()), failed_job(StoryFactory())

    assert ids(client, "") == [seen.pk]
    assert client.get(f"{PATH}{unseen.pk}/").status_code == 404
    assert ids(client_of(superuser()), "") == [seen.pk, unseen.pk]
    assert Notice.objects.count() == 1
