"""Whose jobs a person sees: one rule, wherever jobs are shown."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from content.models import Notice, Story
from scheduling.access.permissions import visible_jobs
from scheduling.admin import calendar
from scheduling.ical import feed
from scheduling.models import Job, Schedulable
from scheduling.operations import schedule
from tests.api_clients import API, client_of, person, superuser
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

ROLES = {
    "nobody": [],
    "writes stories": ["content.view_story", "content.add_story", "content.change_story"],
    "schedules stories": ["content.view_story", "content.schedule_story"],
    "schedules stories, sees jobs": [
        *("content.view_story", "content.schedule_story", "scheduling.view_job")
    ],
    "reads, sees jobs": ["content.view_story", "content.view_notice", "scheduling.view_job"],
    "publishes notices, writes stories": [
        *("content.view_story", "content.view_notice", "content.publish_notice"),
        "scheduling.view_job",
    ],
    "sees jobs only": ["scheduling.view_job"],
}
GROUPS = ("Authors", "Editors", "Operators")


def with_role(role: str) -> User:
    if role == "superuser":
        return superuser()
    if role in GROUPS:
        return person(group=role, is_staff=True)
    return person(*ROLES[role], is_staff=True)


def open_jobs_for(user: User) -> dict[str, Job]:
    """Return a job of an own, another's and nobody's item of each type."""
    others: User = UserFactory()
    owners = {"own": user, "another's": others, "nobody's": None}
    made: dict[str, Job] = {}
    items: Iterator[tuple[str, Schedulable]] = (
        (f"{whose} {factory._meta.model.__name__.lower()}", factory(author=owner))
        for whose, owner in owners.items()
        for factory in (StoryFactory, NoticeFactory)
    )
    for number, (name, item) in enumerate(items):
        made[name] = schedule(item=item, run_at=FAR_OFF + timedelta(hours=number), by=None)
    return made


def listed_by_the_api(user: User) -> set[int] | None:
    answer = client_of(user).get(f"{API}/jobs/")
    if answer.status_code == 403:
        return None
    return {row["id"] for row in answer.json()["results"]}


def listed_by_the_admin(user: User) -> set[int] | None:
    client = Client()
    client.force_login(user)
    answer = client.get(reverse("admin:scheduling_job_changelist"))
    if answer.status_code == 403:
        return None
    return {job.pk for job in answer.context["cl"].result_list}


@pytest.mark.parametrize("role", [*ROLES, *GROUPS, "superuser"])
@pytest.mark.slow
class TestEveryRole:
    def test_sees_the_same_jobs_in_the_calendar_the_feed_the_api_and_the_admin(
        self, role: str
    ) -> None:
        user = with_role(role)
        open_jobs_for(user)

        expected = set(visible_jobs(user, Job.objects.all()).values_list("pk", flat=True))
        assert {job.pk for job in calendar.jobs_to_show(user)} == expected
        assert {job.pk for job in feed.jobs_to_show(user)} == expected
        # To list jobs at all takes a right of its own.
        is_let_in = user.has_perm("scheduling.view_job")
        assert listed_by_the_api(user) == (expected if is_let_in else None)
        assert listed_by_the_admin(user) == (expected if is_let_in else None)


class TestVisibleJobs:
    @pytest.mark.parametrize(
        ("role", "seen"),
        [
            ("nobody", []),
            ("sees jobs only", []),
            ("writes stories", ["own story"]),
            ("schedules stories", ["own story", "another's story", "nobody's story"]),
            ("reads, sees jobs", ["own story", "own notice"]),
            (
                "publishes notices, writes stories",
                ["own story", "own notice", "another's notice", "nobody's notice"],
            ),
            ("Authors", ["own story", "own notice"]),
        ],
    )
    def test_are_those_of_types_seen_whole_and_of_own_items(
        self, role: str, seen: list[str]
    ) -> None:
        user = with_role(role)
        jobs = open_jobs_for(user)

        found = {job.pk for job in visible_jobs(user, Job.objects.all())}

        assert {name for name, job in jobs.items() if job.pk in found} == set(seen)

    @pytest.mark.parametrize("role", ["Editors", "Operators", "superuser"])
    def test_are_all_for_who_sees_all(self, role: str) -> None:
        user = with_role(role)
        jobs = open_jobs_for(user)

        assert visible_jobs(user, Job.objects.all()).count() == len(jobs)

    def test_of_a_type_that_belongs_to_nobody_are_for_all_who_may_view_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = with_role("Authors")
        jobs = open_jobs_for(user)
        for model in (Story, Notice):
            monkeypatch.setattr(model, "OWNER", None)

        assert visible_jobs(user, Job.objects.all()).count() == len(jobs)
