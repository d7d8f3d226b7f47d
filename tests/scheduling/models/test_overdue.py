"""What counts as overdue: the same rule everywhere."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Notice, Story
from scheduling.models import Job, Schedulable, State, Status, clock
from scheduling.operations import pause as pausing
from scheduling.queries import dashboard_stats, health
from scheduling.queries.explain import explain
from tests.api_clients import API, client_of, superuser
from tests.database_rows import due_stories, failed_publish, over
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

GRACE = 60


@pytest.fixture(autouse=True)
def _grace(settings: Settings) -> None:
    settings.OVERDUE_AFTER = GRACE


def due_for(seconds: float, **fields: Any) -> Job:
    """Return the open job of a story whose time came so long ago."""
    [story] = due_stories(1, publish_at=clock.database_now() - timedelta(seconds=seconds))
    job = Job.objects.of(story).get()
    Job.objects.filter(pk=job.pk).update(**fields)
    return job


def to_come() -> Job:
    return Job.objects.of(StoryFactory(scheduled=True)).get()


def in_the_grace() -> Job:
    return due_for(GRACE - 20)


def just_beyond_the_grace() -> Job:
    return due_for(GRACE + 1)


def beyond() -> Job:
    return due_for(3 * GRACE)


def waiting_for_another_attempt() -> Job:
    return due_for(3 * GRACE, state=State.RETRYING, attempts=1, next_attempt_at=FAR_OFF)


def ready_for_another_attempt() -> Job:
    soon = clock.database_now() - timedelta(seconds=1)
    return due_for(3 * GRACE, state=State.RETRYING, attempts=1, next_attempt_at=soon)


def being_tried() -> Job:
    return due_for(3 * GRACE, attempts=1, attempt_begun_at=clock.database_now())


def tried_by_a_worker_that_died() -> Job:
    return due_for(3 * GRACE, attempts=1, attempt_begun_at=LONG_AGO)


def held_by_a_pause() -> Job:
    pausing.pause(by=None, reason="엠바고")
    return beyond()


def an_end() -> Job:
    notice = NoticeFactory(published=True, unpublish_at=LONG_AGO + timedelta(days=1))
    return Job.objects.of(notice).get()


def failed() -> Job:
    return failed_publish()


def succeeded() -> Job:
    return over(StoryFactory(published=True))


def cancelled() -> Job:
    return over(StoryFactory(), State.CANCELLED)


class Situation(NamedTuple):
    make: Any
    is_overdue: bool
    is_stuck: bool


SITUATIONS = [
    Situation(to_come, False, False),
    Situation(in_the_grace, False, False),
    Situation(just_beyond_the_grace, True, True),
    Situation(beyond, True, True),
    Situation(waiting_for_another_attempt, True, False),
    Situation(ready_for_another_attempt, True, False),
    Situation(being_tried, True, False),
    Situation(tried_by_a_worker_that_died, True, True),
    Situation(held_by_a_pause, True, True),
    Situation(an_end, True, True),
    Situation(failed, False, False),
    Situation(succeeded, False, False),
    Situation(cancelled, False, False),
]


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(superuser())
    return client


def rows_of(admin: Client, model: Any, **query: str) -> list[Any]:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    found = admin.get(address, query)
    assert found.status_code == 200
    return list(found.context["cl"].result_list)


def named_by_the_command() -> set[int]:
    out = StringIO()
    call_command("jobs", "--overdue", "--json", stdout=out)
    return {job["id"] for job in json.loads(out.getvalue())}


def named_by_the_api() -> set[int]:
    page = client_of(superuser()).get(f"{API}/jobs/?overdue=true").json()
    return {job["id"] for job in page["results"]}


def named_by_the_admin(admin: Client) -> set[int]:
    return {job.pk for job in rows_of(admin, Job, overdue="1")}


def named_by_the_admin_of_items(admin: Client) -> set[int]:
    items: list[Schedulable] = [
        *rows_of(admin, Story, due="overdue"),
        *rows_of(admin, Notice, due="overdue"),
    ]
    return {pk for item in items for pk in Job.objects.of(item).open().values_list("pk", flat=True)}


def the_doctor() -> health.Check:
    [found] = [check for check in health.examine() if check.name == "overdue jobs"]
    return found


def named_by_the_doctor() -> set[int]:
    facts = the_doctor().facts
    oldest = facts["oldest"]
    assert isinstance(oldest, list)
    assert facts["count"] == len(oldest)
    return set(oldest)


def named_by_explain() -> set[int]:
    jobs = Job.objects.select_related("content_type")
    said = {job.pk: explain(item) for job in jobs if (item := job.find_item())}
    return {
        pk
        for pk, findings in said.items()
        if any(it.subject == "job" and it.text.endswith("overdue.") for it in findings)
    }


@pytest.mark.slow
class TestAJob:
    @pytest.mark.parametrize("situation", SITUATIONS, ids=lambda it: it.make.__name__)
    def test_is_overdue_wherever_that_is_asked_or_nowhere(
        self, admin: Client, situation: Situation
    ) -> None:
        job = situation.make()

        expected = {job.pk} if situation.is_overdue else set()
        assert named_by_the_command() == expected
        assert named_by_the_api() == expected
        assert named_by_the_admin(admin) == expected
        assert named_by_the_admin_of_items(admin) == expected
        assert named_by_the_doctor() == expected
        assert named_by_explain() == expected
        assert (health.publisher().overdue_seconds is not None) == situation.is_overdue

    @pytest.mark.parametrize("situation", SITUATIONS, ids=lambda it: it.make.__name__)
    def test_that_is_stuck_is_the_fault_of_the_publisher(self, situation: Situation) -> None:
        job = situation.make()

        now = clock.database_now()
        stuck = Job.objects.stuck(now=now)
        assert [it.pk for it in stuck] == ([job.pk] if situation.is_stuck else [])
        assert set(stuck) <= set(Job.objects.overdue(now=now))
        assert (health.publisher().stuck_seconds is not None) == situation.is_stuck
        assert the_doctor().ok != situation.is_stuck


@pytest.mark.slow
class TestAllJobsTogether:
    def test_are_named_by_all_alike(self, admin: Client) -> None:
        # Last: what is due is published on the way of whatever fails.
        makers = sorted(SITUATIONS, key=lambda it: it.make is not failed)
        jobs = {it.make: it.make().pk for it in makers}

        expected = {jobs[it.make] for it in SITUATIONS if it.is_overdue}
        assert named_by_the_command() == expected
        assert named_by_the_api() == expected
        assert named_by_the_admin(admin) == expected
        assert named_by_the_admin_of_items(admin) == expected
        assert named_by_the_doctor() == expected
        assert named_by_explain() == expected

    def test_are_counted_on_the_first_page_of_the_admin(self) -> None:
        for situation in sorted(SITUATIONS, key=lambda it: it.make is not failed):
            situation.make()

        now = clock.database_now()
        found = dashboard_stats.dashboard_stats(Job.objects.all(), now=now, zone=now.tzinfo)  # type: ignore[arg-type]  # aware

        assert found.due.overdue == sum(it.is_overdue for it in SITUATIONS)

    def test_make_health_name_the_oldest(self, admin: Client) -> None:
        waiting_for_another_attempt()
        beyond()

        answer = admin.get("/health/publisher/").json()

        assert answer["oldest_overdue_seconds"] == pytest.approx(3 * GRACE, abs=20)
        assert answer["oldest_stuck_seconds"] == pytest.approx(3 * GRACE, abs=20)

    def test_that_are_retried_leave_health_well(self) -> None:
        waiting_for_another_attempt()

        state = health.publisher()._replace(connections=1, seconds_since_beat=0)

        assert state.overdue_seconds is not None
        assert state.problems() == []


def test_an_item_whose_time_came_within_the_grace_is_not_overdue(admin: Client) -> None:
    in_the_grace()

    assert Story.objects.filter(status=Status.SCHEDULED).count() == 1
    assert rows_of(admin, Story, due="overdue") == []
