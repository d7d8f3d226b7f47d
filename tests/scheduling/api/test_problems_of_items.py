"""What an item, and a refusal, say of an item for whoever may see it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from content.models import Story
from scheduling import operations
from scheduling.errors import DomainError
from scheduling.models import Job, Status
from scheduling.worker import job_runner
from tests.admin_pages import page_of
from tests.api_clients import API, client_of, person
from tests.database_rows import failed_publish, row
from tests.factories import FAR_OFF, StoryFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]

SECRET = "postgres://armo:hunter2@db/armo"


@pytest.fixture
def author() -> User:
    return person(group="Authors", username="kim", is_staff=True)


def failed_by(error: Exception, monkeypatch: pytest.MonkeyPatch, settings: Any, by: User) -> Story:
    """Return a story whose hook has raised that."""
    settings.RETRY_DELAYS = []

    def hook(story: Story) -> None:
        raise error

    monkeypatch.setattr(Story, "before_publish", hook)
    story = StoryFactory(due=True, author=by)
    job_runner.run_everything_due()
    return row(story)  # type: ignore[no-any-return]


class TestAFailedItem:
    def test_says_why_to_its_author(self, author: User) -> None:
        job = failed_publish(author=author)

        [found] = client_of(author).get(f"{API}/stories/?status=failed").json()["results"]
        alone = client_of(author).get(f"{API}/stories/{job.object_id}/").json()

        assert found["problem"] == alone["problem"]
        assert found["problem"]["code"] == "not_publishable"
        assert found["problem"]["detail"] == "It cannot go live as it is. Its body is empty."
        assert found["problem"]["at"].endswith("Z")

    def test_says_so_in_their_language(self, author: User) -> None:
        job = failed_publish(author=author)

        answer = client_of(author).get(
            f"{API}/stories/{job.object_id}/", headers={"Accept-Language": "ko"}
        )

        assert answer.json()["problem"]["detail"].endswith("본문이 비어 있습니다.")

    def test_says_it_of_its_last_failure(self, author: User) -> None:
        job = failed_publish(author=author)
        operations.rerun(job=job, by=None)
        Story.objects.update(title="")
        job_runner.run_everything_due()

        problem = client_of(author).get(f"{API}/stories/{job.object_id}/").json()["problem"]

        assert "no title" in problem["detail"]

    def test_shows_nothing_of_an_exception_that_nobody_expected(
        self, author: User, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        story = failed_by(ConnectionError(SECRET), monkeypatch, settings, author)
        client = client_of(author)

        api = client.get(f"{API}/stories/{story.pk}/")
        client.force_login(author)
        page = client.get(page_of(story)).content.decode()

        assert story.status == Status.FAILED
        assert api.json()["problem"]["code"] == "internal_error"
        for text in (api.content.decode(), page):
            assert "operators have been notified" in text
            assert "hunter2" not in text
            assert "ConnectionError" not in text

    def test_shows_what_a_hook_says_to_people(
        self, author: User, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        story = failed_by(DomainError("It is sold out."), monkeypatch, settings, author)

        problem = client_of(author).get(f"{API}/stories/{story.pk}/").json()["problem"]

        assert problem["detail"] == "It is sold out."

    def test_is_asked_for_once_a_list(self, author: User) -> None:
        client = client_of(author)
        failed_publish(author=author)
        client.get(f"{API}/stories/")
        with CaptureQueriesContext(connection) as one:
            client.get(f"{API}/stories/")
        for _ in range(3):
            failed_publish(author=author)
        with CaptureQueriesContext(connection) as many:
            found = client.get(f"{API}/stories/").json()["results"]

        assert len(many) == len(one)
        assert all(it["problem"] for it in found)

    def test_has_no_problem_once_it_is_live(self, author: User) -> None:
        job = failed_publish(author=author)
        operations.rerun(job=job, by=None)
        job_runner.run_everything_due()

        assert client_of().get(f"{API}/stories/{job.object_id}/").json()["problem"] is None


class TestARefusalByStatus:
    @pytest.fixture
    def editor(self) -> Any:
        return client_of(person(group="Editors"))

    @pytest.mark.parametrize(
        ("route", "body"),
        [
            ("schedule/", {"publish_at": FAR_OFF.isoformat()}),
            ("publish/", {}),
            ("unschedule/", {}),
            ("", {"status": "scheduled", "publish_at": FAR_OFF.isoformat()}),
        ],
    )
    def test_says_what_the_item_is_now(self, editor: Any, route: str, body: Any) -> None:
        story = StoryFactory(published=True)
        url = f"{API}/stories/{story.pk}/"
        tag = editor.get(url).headers["ETag"]

        answer = (editor.post if route else editor.patch)(f"{url}{route}", body, format="json")

        assert answer.status_code == 409
        assert answer.json()["current_status"] == "published"
        assert answer.json()["current_etag"] == answer.headers["ETag"] == tag

    def test_of_a_job_says_what_that_is_now(self, editor: Any) -> None:
        story = StoryFactory(scheduled=True)
        [job] = Job.objects.of(story)
        operations.cancel(job=job, by=None)

        answer = editor.post(f"{API}/jobs/{job.pk}/cancel/", {}, format="json")

        assert answer.status_code == 409
        assert answer.json()["current_state"] == "cancelled"
        assert answer.json()["current_status"] == "draft"
        assert answer.headers["ETag"] == editor.get(f"{API}/jobs/{job.pk}/").headers["ETag"]

    def test_of_many_says_it_of_each(self, editor: Any) -> None:
        story = StoryFactory(published=True)

        answer = editor.post(
            f"{API}/stories/bulk/schedule/",
            {"ids": [story.pk], "publish_at": FAR_OFF.isoformat()},
            format="json",
        )

        [refusal] = answer.json()["refusals"]
        assert refusal["current_status"] == "published"
        assert refusal["current_etag"] == editor.get(f"{API}/stories/{story.pk}/").headers["ETag"]

    def test_of_a_new_job_says_what_its_item_is_now(self, editor: Any) -> None:
        story = StoryFactory(published=True)
        body = {"model": "story", "id": story.pk, "kind": "publish", "run_at": FAR_OFF.isoformat()}

        answer = editor.post(f"{API}/jobs/", body, format="json")

        assert answer.json()["current_status"] == "published"


class TestASlugThatIsTaken:
    def test_says_whose_it_is_to_who_may_see_that(self, author: User) -> None:
        other = StoryFactory(slug="taken")

        answer = client_of(person(group="Editors")).post(
            f"{API}/stories/", {"title": "T", "slug": "taken"}, format="json"
        )

        assert answer.status_code == 400
        [error] = answer.json()["errors"]
        assert (error["field"], error["code"], error["item"]) == ("slug", "unique", other.pk)
        assert f"story:{other.pk}" in answer.json()["detail"]

    def test_says_nothing_of_it_to_others(self, author: User) -> None:
        other = StoryFactory(slug="taken")
        mine = StoryFactory(author=author)

        answer = client_of(author).patch(
            f"{API}/stories/{mine.pk}/", {"slug": "taken"}, format="json"
        )

        assert answer.status_code == 400
        [error] = answer.json()["errors"]
        assert "item" not in error
        assert str(other.pk) not in answer.json()["detail"]
