"""Who did something is known by a name that outlives the account."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from content.models import Story
from scheduling import operations
from scheduling.ical.feed import write_calendar
from scheduling.models import Job, JobEvent, Pause, PauseEvent
from scheduling.models.fields import name_for_programs
from scheduling.operations import pause as pausing
from scheduling.queries.explain import explain
from tests.admin_pages import list_of, page_of, signed_in
from tests.api_clients import API, client_of, person
from tests.factories import FAR_OFF, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class UserByProxy(User):
    """Somebody, by another class of the same table."""

    class Meta:
        proxy = True
        app_label = "tests"


def by_admin(user: User) -> None:
    boss = UserFactory(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(boss)
    url = reverse("admin:auth_user_delete", args=[user.pk])
    assert client.get(url).status_code == 200
    client.post(url, {"post": "yes"})


WAYS: dict[str, Callable[[User], Any]] = {
    "the row": lambda user: user.delete(),
    "a query": lambda user: User.objects.filter(pk=user.pk).delete(),
    "a proxy": lambda user: UserByProxy.objects.get(pk=user.pk).delete(),
    "the admin": by_admin,
}


def forget(user: User, way: str = "the row") -> None:
    WAYS[way](user)
    assert not User.objects.filter(pk=user.pk).exists()


@pytest.fixture
def kim() -> User:
    return UserFactory(username="kim")


@pytest.fixture
def job(kim: User) -> Job:
    """Return a job that Kim has scheduled and moved, and that Lee has cancelled."""
    lee = UserFactory(username="lee")
    story = StoryFactory(title="잊힌 사람의 글")
    job = operations.schedule(item=story, run_at=FAR_OFF, by=kim)
    operations.unschedule(item=story, by=lee)
    return job


def names(job: Job) -> list[str | None]:
    return [name_for_programs(it, "by") for it in job.events.order_by("pk")]


class TestAName:
    @pytest.mark.parametrize("way", WAYS)
    def test_outlives_the_account(self, kim: User, job: Job, way: str) -> None:
        forget(kim, way)

        job.refresh_from_db()
        assert name_for_programs(job, "scheduled_by") == "kim"
        assert names(job) == ["kim", "lee"]

    def test_of_each_is_kept_when_many_are_deleted_at_once(self, kim: User, job: Job) -> None:
        User.objects.filter(username__in=["kim", "lee"]).delete()

        assert names(job) == ["kim", "lee"]

    def test_is_the_last_one_of_somebody_who_was_renamed(self, kim: User, job: Job) -> None:
        kim.username = "kim-lee"
        kim.save()

        assert names(job) == ["kim-lee", "lee"]
        forget(kim)
        assert names(job) == ["kim-lee", "lee"]

    def test_is_not_that_of_a_later_account(self, kim: User, job: Job) -> None:
        forget(kim)
        UserFactory(username="kim")

        assert [it.who for it in job.events.order_by("pk")] == ["kim (account deleted)", "lee"]

    def test_of_a_pause_is_kept(self, kim: User) -> None:
        pausing.pause(by=kim, reason="wrong front page")
        forget(kim)
        held = Pause.objects.get()
        pausing.resume(by=None)

        assert held.who == "kim (account deleted)"
        assert [it.who for it in PauseEvent.objects.order_by("pk")] == [
            "kim (account deleted)",
            "a command",
        ]

    @pytest.mark.parametrize("users", [1, 3])
    def test_is_kept_by_the_one_statement_of_a_table(self, kim: User, users: int) -> None:
        people = [kim, *UserFactory.create_batch(users - 1)]
        for user in people * 2:
            operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=user)
        with CaptureQueriesContext(connection) as asked:
            User.objects.filter(pk__in=[user.pk for user in people]).delete()

        updates = [it["sql"] for it in asked if it["sql"].startswith('UPDATE "scheduling_')]
        tables = ["job", "jobevent", "pause", "pauseevent"]
        assert sorted(it.split('"')[1] for it in updates) == [f"scheduling_{it}" for it in tables]
        assert JobEvent.objects.filter(by_name="kim", by=None).count() == 2
        assert JobEvent.objects.exclude(by_name="").count() == 2 * users


class TestNobody:
    def test_is_not_a_deleted_person(self) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        [event] = job.events.all()

        assert (job.who, event.who) == ("the publisher", "the publisher")
        assert name_for_programs(event, "by") is None

    def test_is_unknown_in_a_row_from_before_names_were_kept(self) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        Job.objects.update(scheduled_by_name=None)
        JobEvent.objects.update(by_name=None)
        job.refresh_from_db()
        [event] = job.events.all()

        assert (job.who, event.who) == ("unknown", "unknown")

    def test_is_the_publisher_in_such_a_row_that_only_it_writes(self) -> None:
        StoryFactory(status="scheduled", publish_at=FAR_OFF)
        Job.objects.update(scheduled_by_name=None)
        JobEvent.objects.update(by_name=None)

        assert Job.objects.get().who == "the publisher"
        assert JobEvent.objects.get().who == "the publisher"


class TestADeletedPerson:
    @pytest.fixture(autouse=True)
    def _forgotten(self, kim: User, job: Job) -> None:
        self.job = job
        forget(kim)

    def test_is_named_by_the_api_without_more(self) -> None:
        answer = client_of(person(group="Operators")).get(f"{API}/jobs/{self.job.pk}/").json()

        assert answer["scheduled_by"] == "kim"
        assert [event["by"] for event in answer["events"]] == ["kim", "lee"]

    def test_is_named_by_explain(self) -> None:
        story = Story.objects.get(pk=self.job.object_id)

        text = "\n".join(finding.text for finding in explain(story))

        assert "asked for by kim (account deleted)" in text
        assert "a command or an import" not in text

    @pytest.mark.parametrize("page", ["job", "item"])
    def test_is_named_on_pages(self, page: str) -> None:
        item = self.job.find_item()
        assert item is not None
        url = page_of(self.job) if page == "job" else page_of(item)

        html = signed_in("Operators").get(url, headers={"Accept-Language": "ko"}).content.decode()

        assert "kim(계정 삭제됨)" in html

    def test_is_named_in_a_calendar(self) -> None:
        Job.objects.filter(pk=self.job.pk).update(state="waiting", finished_at=None)

        with translation.override("ko"):
            calendar = write_calendar([Job.objects.get()]).replace(b"\r\n ", b"").decode()

        assert "kim(계정 삭제됨)" in calendar

    def test_is_named_in_the_list_of_pauses(self) -> None:
        lee = User.objects.get(username="lee")
        pausing.pause(by=lee, reason="wrong front page")
        forget(lee)

        html = signed_in("Operators").get(list_of(Job)).content.decode()

        assert "lee (account deleted)" in html
