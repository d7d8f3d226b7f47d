"""`If-Match` is compared under the lock, after any wait for a colleague's commit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from content.models import Story, Tag
from scheduling import operations
from scheduling.models import Job
from tests.api_clients import API, client_of, superuser
from tests.conftest import InBackground
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory
from tests.scheduling.operations.test_concurrency import SECONDS, wait_until_blocked

AT = (FAR_OFF + timedelta(hours=1)).isoformat()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("unthrottled"),
]


@pytest.fixture
def client() -> Any:
    return client_of(superuser())


def change_text(job: Job) -> None:
    story = Story.objects.get(pk=job.object_id)
    story.body = "바뀐 본문"
    story.save()


def move(job: Job) -> None:
    operations.move(job=Job.objects.get(pk=job.pk), run_at=FAR_OFF + timedelta(days=1), by=None)


def scheduled_job() -> Job:
    StoryFactory(scheduled=True)
    return Job.objects.get()


STORY = [
    ("patch", "", {"title": "neu"}),
    ("delete", "", None),
    ("post", "schedule/", {"publish_at": AT}),
    ("post", "unschedule/", {}),
    ("post", "publish/", {}),
]


class TestAWriteThatWaits:
    def send(self, client: Any, method: str, path: str, data: Any, etag: str) -> Any:
        return getattr(client, method)(path, data, format="json", HTTP_IF_MATCH=etag)

    @pytest.mark.parametrize("change", [change_text, move])
    @pytest.mark.parametrize(("method", "action", "data"), STORY)
    def test_for_a_change_of_its_item_is_refused(
        self,
        client: Any,
        in_background: InBackground,
        method: str,
        action: str,
        data: Any,
        change: Callable[[Job], None],
    ) -> None:
        job = scheduled_job()
        path = f"{API}/stories/{job.object_id}/"
        etag = client.get(path)["ETag"]
        with transaction.atomic():
            change(job)
            waiting = in_background(self.send, client, method, path + action, data, etag)
            wait_until_blocked()

        refused = waiting.result(SECONDS)
        now = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (412, "version_conflict")
        assert refused["ETag"] == refused.json()["current_etag"] == now["ETag"] != etag
        assert refused.json()["current_version"] == now.json()["version"] == 2

    @pytest.mark.parametrize("kind", ["publish", "unpublish"])
    def test_to_make_a_job_is_refused_where_its_item_changed(
        self, client: Any, in_background: InBackground, kind: str
    ) -> None:
        job = scheduled_job()
        etag = client.get(f"{API}/stories/{job.object_id}/")["ETag"]
        data = {"model": "story", "id": job.object_id, "kind": kind, "run_at": AT}
        with transaction.atomic():
            move(job)
            waiting = in_background(self.send, client, "post", f"{API}/jobs/", data, etag)
            wait_until_blocked()

        refused = waiting.result(SECONDS)
        now = client.get(f"{API}/stories/{job.object_id}/")
        assert (refused.status_code, refused["ETag"]) == (412, now["ETag"])
        made = self.send(client, "post", f"{API}/jobs/", {**data, "kind": "publish"}, now["ETag"])
        assert made.status_code == 200

    @pytest.mark.parametrize(("action", "data"), [("move/", {"run_at": AT}), ("cancel/", {})])
    def test_for_a_move_of_its_job_is_refused(
        self, client: Any, in_background: InBackground, action: str, data: Any
    ) -> None:
        job = scheduled_job()
        path = f"{API}/jobs/{job.pk}/"
        etag = client.get(path)["ETag"]
        with transaction.atomic():
            move(job)
            waiting = in_background(self.send, client, "post", path + action, data, etag)
            wait_until_blocked()

        refused = waiting.result(SECONDS)
        assert refused.status_code == 412
        assert refused["ETag"] == refused.json()["current_etag"] == client.get(path)["ETag"]
        assert refused.json()["current_version"] is None

    def test_for_another_run_of_its_job_is_refused(
        self, client: Any, in_background: InBackground
    ) -> None:
        job = failed_publish()
        path = f"{API}/jobs/{job.pk}/"
        etag = client.get(path)["ETag"]
        with transaction.atomic():
            operations.rerun(job=Job.objects.get(), by=None)
            waiting = in_background(self.send, client, "post", f"{path}rerun/", {}, etag)
            wait_until_blocked()

        assert waiting.result(SECONDS).status_code == 412


class TestTheTagOfALockedRow:
    @pytest.mark.parametrize("etag", [None, '"stale"'])
    def test_has_the_names_that_the_answer_shows(self, client: Any, etag: str | None) -> None:
        story = StoryFactory()
        story.tags.add(Tag.objects.create(name="봄"))
        path = f"{API}/stories/{story.pk}/"
        now = client.get(path)["ETag"]

        answer = client.post(f"{path}publish/", {}, format="json", HTTP_IF_MATCH=etag or now)

        assert answer.status_code == (412 if etag else 200)
        if etag:
            assert answer["ETag"] == now
