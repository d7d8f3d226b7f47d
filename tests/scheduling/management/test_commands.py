"""The commands: what they do, print and refuse, and with which exit code."""

import gzip
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, ManagementUtility
from django.db import connection
from django.utils import translation

from armo.common.logging import ConsoleFormatter, JsonFormatter
from content.models import Story
from scheduling import operations
from scheduling.errors import Why
from scheduling.management.base import require_migrated
from scheduling.models import Job, Kind, State, Status, references
from scheduling.models.clock import database_now
from scheduling.worker.batch_runner import run_due_jobs
from tests.database_rows import (
    due_stories,
    everything,
    failed_end,
    failed_publish,
    last_event,
    open_jobs,
    over,
    row,
)
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory
from tests.process.worker import PROJECT, database_url

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Manage:
    """`manage.py`, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> Result:
        self.capsys.readouterr()
        code: Any = 0
        try:
            ManagementUtility(["manage.py", *map(str, arguments)]).execute()
        except SystemExit as end:
            code = end.code
        return Result(code, *self.capsys.readouterr())


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Manage:
    # A command closes the connections at its end, and with them the transaction of the test.
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)
    return Manage(capsys)


class TestSchedule:
    def test_schedules_and_prints_the_id_of_the_job(self, manage: Manage) -> None:
        story = StoryFactory()

        result = manage(
            "schedule",
            story.label,
            "--at",
            "2100-03-01T09:00:00.123456+09:00",
            "--reason",
            "엠바고",
        )

        job = Job.objects.get()
        assert result == (0, f"{job.pk}\n", "")
        assert job.run_at.isoformat() == "2100-03-01T00:00:00.123456+00:00"
        assert (job.reason, job.scheduled_by) == ("엠바고", None)

    def test_moves_what_is_scheduled(self, manage: Manage) -> None:
        story = StoryFactory(scheduled=True)

        result = manage("schedule", f"content.{story.label}", "--at", "2100-03-01T09:00:00Z")

        assert result.out == f"{Job.objects.get().pk}\n"
        assert open_jobs(story)[Kind.PUBLISH].isoformat() == "2100-03-01T09:00:00+00:00"

    def test_schedules_an_end(self, manage: Manage) -> None:
        notice = NoticeFactory(published=True)

        result = manage(
            "schedule", notice.label, "--at", FAR_OFF.isoformat(), "--kind", "unpublish"
        )

        assert result.code == 0
        assert open_jobs(notice) == {Kind.UNPUBLISH: FAR_OFF}


class TestUnschedule:
    def test_cancels_and_prints_the_id_of_the_job(self, manage: Manage) -> None:
        story = StoryFactory(scheduled=True)

        result = manage("unschedule", story.label, "--reason", "미확인")

        job = Job.objects.get()
        assert result == (0, f"{job.pk}\n", "")
        assert (job.state, row(story).status) == (State.CANCELLED, Status.DRAFT)
        assert last_event(job).reason == "미확인"

    def test_cancels_the_end_alone(self, manage: Manage) -> None:
        notice = NoticeFactory(scheduled=True, unpublish_at=FAR_OFF + HOUR)

        result = manage("unschedule", notice.label, "--kind", "unpublish")

        assert result.code == 0
        assert open_jobs(notice) == {Kind.PUBLISH: FAR_OFF}


class TestJobs:
    def test_are_listed_with_what_has_still_to_run_first(self, manage: Manage) -> None:
        done = operations.publish_now(item=StoryFactory(), by=None)
        later = StoryFactory(scheduled=True)
        sooner = StoryFactory(status=Status.SCHEDULED, publish_at=FAR_OFF - HOUR)

        result = manage("jobs", "--json")

        assert [job["item"] for job in result.json] == [sooner.label, later.label, done.item_label]

    def test_are_described_for_programs(self, manage: Manage) -> None:
        editor = UserFactory(username="편집자")
        job = operations.schedule(
            item=StoryFactory(title="봄 “특집”"), run_at=FAR_OFF, by=editor, reason="엠바고"
        )

        [listed] = manage("jobs", "--json").json

        assert UTC_TIME.fullmatch(listed.pop("created_at"))
        assert listed == {
            "id": job.pk,
            "state": "waiting",
            "kind": "publish",
            "item": job.item_label,
            "title": "봄 “특집”",
            "run_at": "2100-10-31T01:00:00.654321Z",
            "local_time": "",
            "next_attempt_at": "2100-10-31T01:00:00.654321Z",
            "finished_at": None,
            "lateness_ms": None,
            "attempts": 0,
            "scheduled_by": "편집자",
            "params": None,
            "reason": "엠바고",
            "request_id": "",
        }

    def test_are_described_for_people_a_line_each(self, manage: Manage) -> None:
        StoryFactory(scheduled=True, title="봄 특집")
        operations.publish_now(item=NoticeFactory(), by=None)

        head, first, second = manage("jobs").out.splitlines()

        assert head.split() == [
            "id", "state", "kind", "item", "run_at", "lateness_ms", "attempts", "title",
        ]  # fmt: skip
        assert "waiting" in first
        assert first.endswith("봄 특집")
        assert " 0.0 " in second

    def test_can_be_filtered(self, manage: Manage) -> None:
        story = StoryFactory(due=True, unpublish_at=FAR_OFF)
        StoryFactory(scheduled=True)
        operations.publish_now(item=NoticeFactory(), by=None)

        def listed(*filters: str) -> set[tuple[str, str]]:
            return {(job["item"], job["kind"]) for job in manage("jobs", "--json", *filters).json}

        assert len(listed()) == 4
        assert len(listed("--state", "succeeded")) == 1
        assert listed("--kind", "unpublish") == {(story.label, "unpublish")}
        assert listed("--item", story.label) == {
            (story.label, "publish"),
            (story.label, "unpublish"),
        }
        assert listed("--overdue") == {(story.label, "publish")}
        assert len(listed("--limit", "2")) == 2

    def test_of_which_there_are_none_are_an_empty_list(self, manage: Manage) -> None:
        assert manage("jobs", "--json") == (0, "[]\n", "")
        assert manage("jobs") == (0, "", "No jobs.\n")

    def test_of_an_item_that_was_deleted_are_still_listed(self, manage: Manage) -> None:
        story = StoryFactory(scheduled=True)
        label = story.label
        story.delete()

        result = manage("jobs", "--item", label, "--json")

        assert [job["state"] for job in result.json] == ["cancelled"]

    def test_take_few_statements_however_many(
        self, manage: Manage, django_assert_max_num_queries: Any
    ) -> None:
        due_stories(40)

        with django_assert_max_num_queries(3):
            result = manage("jobs", "--json")

        assert len(result.json) == 40


class TestPublishDue:
    def test_does_what_is_due(self, manage: Manage) -> None:
        due_stories(2)

        result = manage("publish_due")

        assert (result.code, result.out) == (0, "2 done, 0 failed.\n")
        assert Story.objects.published().count() == 2

    def test_counts_for_programs(self, manage: Manage) -> None:
        due_stories(2)

        assert manage("publish_due", "--json").json == {"done": 2, "failed": 0}

    def test_ends_with_1_when_something_failed(self, manage: Manage) -> None:
        due_stories(1)
        due_stories(1, body="")

        result = manage("publish_due")

        assert (result.code, result.out) == (1, "1 done, 1 failed.\n")

    def test_does_nothing_the_second_time(self, manage: Manage) -> None:
        due_stories(2)
        manage("publish_due")

        result = manage("publish_due")

        assert (result.code, result.out) == (0, "0 done, 0 failed.\n")

    def test_only_shows_it_with_dry_run(self, manage: Manage) -> None:
        [story] = due_stories(1, title="봄 특집")
        StoryFactory(scheduled=True)
        before = everything()

        result = manage("publish_due", "--dry-run")

        assert result.code == 0
        first, last = result.out.splitlines()
        assert first.startswith("2025-03-30T01:00:00.123456Z")
        assert f"would publish  {story.label}  봄 특집" in first
        assert last == "1 would be done, 0 would fail."
        assert everything() == before

    def test_shows_what_would_go_live_by_a_time_and_what_would_fail(self, manage: Manage) -> None:
        good = StoryFactory(scheduled=True)
        bad = NoticeFactory(scheduled=True, body="")
        StoryFactory(status=Status.SCHEDULED, publish_at=FAR_OFF + timedelta(microseconds=1))
        until = FAR_OFF.isoformat()

        result = manage("publish_due", "--dry-run", "--at", until, "--json")

        assert result.code == 1
        shown = {forecast["item"]: forecast["problems"] for forecast in result.json}
        assert shown == {good.label: [], bad.label: ["Its body is empty."]}
        assert set(result.json[0]) == {"job", "kind", "item", "run_at", "title", "problems"}

    def test_shows_the_end_of_an_item_too(self, manage: Manage) -> None:
        NoticeFactory(published=True, unpublish_at=LONG_AGO)

        result = manage("publish_due", "--dry-run")

        assert "would unpublish" in result.out

    def test_shows_that_an_item_is_gone(self, manage: Manage) -> None:
        due_stories(1)
        Story.objects.all()._raw_delete("default")

        result = manage("publish_due", "--dry-run", "--json")

        assert [forecast["problems"] for forecast in result.json] == [["The item is gone."]]

    def test_shows_a_hundred_in_few_statements(
        self, manage: Manage, django_assert_max_num_queries: Any
    ) -> None:
        due_stories(100)

        with django_assert_max_num_queries(6):
            result = manage("publish_due", "--dry-run", "--json")

        assert len(result.json) == 100


class TestExplain:
    def test_lists_it_in_order(self, manage: Manage) -> None:
        editor = UserFactory(username="편집자")
        story = StoryFactory(title="봄 특집")
        operations.schedule(item=story, run_at=FAR_OFF, by=editor, reason="엠바고")

        result = manage("explain", story.label)

        assert result.code == 0
        assert "“봄 특집” is scheduled" in result.out
        assert "asked for by 편집자" in result.out
        assert "엠바고" in result.out
        subjects = [line[2:].split()[0] for line in result.out.splitlines()]
        assert list(dict.fromkeys(subjects)) == ["item", "job", "history", "message", "worker"]

    def test_marks_what_is_in_the_way(self, manage: Manage) -> None:
        notice = NoticeFactory(due=True, body="")
        manage("publish_due")

        result = manage("explain", notice.label)

        marked = [line for line in result.out.splitlines() if line.startswith("!")]
        assert any("is failed" in line for line in marked)
        assert any("Its body is empty." in line for line in marked)

    def test_finds_nothing_wrong_with_a_plain_draft(self, manage: Manage) -> None:
        result = manage("explain", StoryFactory().label)

        assert "nobody has scheduled it" in result.out
        assert not [line for line in result.out.splitlines() if line.startswith("!")]

    def test_marks_a_lost_message_and_a_missing_worker(self, manage: Manage) -> None:
        story = StoryFactory(scheduled=True)
        Job.objects.update(message_id=None)

        findings = manage("explain", story.label, "--json").json

        wrong = {finding["subject"] for finding in findings if not finding["ok"]}
        assert wrong == {"message", "worker"}

    def test_marks_what_is_overdue(self, manage: Manage) -> None:
        story = StoryFactory(due=True)

        findings = manage("explain", story.label, "--json").json

        assert {"job", "message"} <= {f["subject"] for f in findings if not f["ok"]}

    def test_says_of_a_scheduled_item_without_a_job_that_it_gets_one(self, manage: Manage) -> None:
        [story] = Story.objects.bulk_create(
            [StoryFactory.build(status=Status.SCHEDULED, publish_at=FAR_OFF)]
        )

        [*_, last] = manage("explain", story.label, "--json").json

        assert (last["subject"], last["ok"]) == ("job", False)
        assert "next sweep" in last["text"]

    def test_has_one_shape_for_programs(self, manage: Manage) -> None:
        story = StoryFactory(published=True, unpublish_at=database_now() + HOUR)

        findings = manage("explain", story.label, "--json").json

        assert all(set(finding) == {"subject", "text", "ok"} for finding in findings)


def moved_on() -> Job:
    """Return a failed job whose story was published by hand since."""
    job = failed_publish()
    story = job.find_item()
    assert story is not None
    operations.publish_now(item=story, by=None)
    return job


class TestRerun:
    def test_runs_the_named_jobs_again(self, manage: Manage) -> None:
        job, end, left = failed_publish(), failed_end(), failed_publish()

        result = manage("rerun", job.pk, end.pk, "--reason", "고쳤음")

        assert result.code == 0
        assert result.out.splitlines() == [
            f"{job.pk}  publish {job.item_label}  runs again",
            f"{end.pk}  unpublish {end.item_label}  runs again",
            "2 run again, 0 did already, 0 refused, 0 failed.",
        ]
        assert set(Job.objects.open()) == {job, end}
        event = last_event(job)
        assert (event.what, event.by, event.reason) == ("rerun", None, "고쳤음")
        left.refresh_from_db()
        assert left.state == State.FAILED

    def test_ends_with_them_live(self, manage: Manage) -> None:
        job = failed_publish()
        manage("rerun", job.pk)

        manage("publish_due")

        assert Story.objects.get().is_published

    def test_runs_all_that_have_failed_again(self, manage: Manage) -> None:
        failed_publish()
        failed_end()
        StoryFactory(scheduled=True)

        result = manage("rerun", "--all-failed")

        assert result.code == 0
        assert result.out.splitlines()[-1] == "2 run again, 0 did already, 0 refused, 0 failed."
        assert not Job.objects.filter(state=State.FAILED).exists()

    def test_finds_nothing_failed_the_second_time(self, manage: Manage) -> None:
        failed_publish()
        manage("rerun", "--all-failed")
        before = everything()

        result = manage("rerun", "--all-failed")

        assert result == (0, "0 run again, 0 did already, 0 refused, 0 failed.\n", "")
        assert everything() == before

    def test_can_be_narrowed_to_a_time_and_a_kind(self, manage: Manage) -> None:
        old, new, end = failed_publish(), failed_publish(), failed_end()
        Job.objects.filter(pk=old.pk).update(finished_at=LONG_AGO)
        assert new.finished_at is not None
        since = ("--all-failed", "--since", new.finished_at.isoformat(), "--dry-run", "--json")

        def found(*arguments: str) -> set[int]:
            return {job["job"] for job in manage("rerun", *arguments).json["jobs"]}

        assert found("--all-failed", "--dry-run", "--json") == {old.pk, new.pk, end.pk}
        assert found(*since) == {new.pk, end.pk}
        assert found(*since, "--kind", "publish") == {new.pk}

    def test_goes_page_by_page(self, manage: Manage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("scheduling.operations.rerun_many.PAGE", 2)
        jobs = [failed_publish() if n != 1 else moved_on() for n in range(5)]

        result = manage("rerun", "--all-failed", "--json")

        assert [job["job"] for job in result.json["jobs"]] == [job.pk for job in jobs]
        assert result.json["summary"]["rerun"] == 4

    def test_leaves_alone_what_runs_again_already_or_has_succeeded_since(
        self, manage: Manage
    ) -> None:
        done, again = failed_publish(), failed_publish()
        manage("rerun", done.pk)
        manage("publish_due")
        manage("rerun", again.pk)
        before = everything()

        result = manage("rerun", done.pk, again.pk, again.pk)

        assert result.code == 0
        assert result.out.splitlines() == [
            f"{done.pk}  publish {done.item_label}  has succeeded since",
            f"{again.pk}  publish {again.item_label}  runs again already",
            "0 run again, 2 did already, 0 refused, 0 failed.",
        ]
        assert everything() == before

    def test_says_of_each_job_why_it_is_refused_and_does_the_others(self, manage: Manage) -> None:
        gone, blank, good = moved_on(), failed_publish(), failed_publish()
        Story.objects.filter(pk=blank.object_id).update(body="")
        [waiting] = due_stories(1)
        never_failed = Job.objects.of(waiting).get()

        result = manage("rerun", gone.pk, never_failed.pk, blank.pk, 10**17, good.pk)

        assert (result.code, result.err) == (1, "")
        assert result.out.splitlines() == [
            f"{gone.pk}  publish {gone.item_label}  refused: It has been published since.",
            f"{never_failed.pk}  publish {waiting.label}  refused:"
            " Only a failed job can be run again; this one is waiting.",
            f"{blank.pk}  publish {blank.item_label}  refused:"
            " It cannot go live as it is. Its body is empty.",
            f"{10**17}  refused: There is no such job.",
            f"{good.pk}  publish {good.item_label}  runs again",
            "1 run again, 0 did already, 4 refused, 0 failed.",
        ]

    def test_goes_on_behind_a_job_whose_type_breaks(
        self, manage: Manage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken, good = failed_publish(title="망가진 글"), failed_publish()
        sound = Story.publish_problems

        def problems(story: Story) -> list[Why]:
            if story.title == "망가진 글":
                raise RuntimeError("two\nlines")
            return sound(story)

        monkeypatch.setattr(Story, "publish_problems", problems)

        result = manage("rerun", "--all-failed")

        assert result.code == 1
        assert result.out.splitlines() == [
            f"{broken.pk}  publish {broken.item_label}  failed: RuntimeError: two lines",
            f"{good.pk}  publish {good.item_label}  runs again",
            "1 run again, 0 did already, 0 refused, 1 failed.",
        ]

    def test_only_shows_it_with_dry_run(self, manage: Manage) -> None:
        refused, job = moved_on(), failed_publish()
        before = everything()

        result = manage("rerun", "--all-failed", "--dry-run")

        assert result.code == 1
        assert result.out.splitlines() == [
            f"{refused.pk}  publish {refused.item_label}  refused: It has been published since.",
            f"{job.pk}  publish {job.item_label}  would run again",
            "1 would run again, 0 did already, 1 refused, 0 failed.",
        ]
        assert everything() == before

    def test_describes_them_for_programs(self, manage: Manage) -> None:
        refused, job = moved_on(), failed_publish()

        result = manage("rerun", refused.pk, job.pk, 10**17, "--json")

        assert (result.code, result.err) == (1, "")
        assert result.json == {
            "dry_run": False,
            "summary": {"rerun": 1, "already": 0, "refused": 2, "failed": 0},
            "jobs": [
                {
                    "job": refused.pk,
                    "outcome": "refused",
                    "text": "It has been published since.",
                    "item": refused.item_label,
                    "kind": "publish",
                    "code": "invalid_transition",
                },
                {
                    "job": job.pk,
                    "outcome": "rerun",
                    "text": "runs again",
                    "item": job.item_label,
                    "kind": "publish",
                    "code": None,
                },
                {
                    "job": 10**17,
                    "outcome": "refused",
                    "text": "There is no such job.",
                    "item": None,
                    "kind": None,
                    "code": "not_found",
                },
            ],
        }


class TestPruneJobs:
    def test_deletes_what_is_old_and_says_how_much(self, manage: Manage) -> None:
        over(StoryFactory())
        young = over(StoryFactory(), finished_at=database_now() - HOUR)

        result = manage("prune_jobs", "--older-than", "12h")

        assert result == (0, "Deleted: 1 jobs, 1 events, 0 tasks, 0 sessions, 0 heartbeats.\n", "")
        assert Job.objects.get() == young

    def test_only_counts_with_dry_run(self, manage: Manage) -> None:
        over(StoryFactory())
        before = everything()

        result = manage("prune_jobs", "--older-than", "2w", "--dry-run")

        assert (
            result.out == "Would be deleted: 1 jobs, 1 events, 0 tasks, 0 sessions, 0 heartbeats.\n"
        )
        assert everything() == before

    def test_counts_for_programs(self, manage: Manage) -> None:
        over(StoryFactory())
        counts = {"jobs": 1, "events": 1, "tasks": 0, "sessions": 0, "heartbeats": 0}

        shown = manage("prune_jobs", "--older-than", "90d", "--dry-run", "--json").json
        done = manage("prune_jobs", "--older-than", "90d", "--json").json
        again = manage("prune_jobs", "--older-than", "90d", "--json").json

        assert shown == {"dry_run": True, **counts}
        assert done == {"dry_run": False, **counts}
        assert again == {"dry_run": False, **dict.fromkeys(counts, 0)}

    @pytest.mark.parametrize(
        ("age", "kept"), [("1h", 0), ("3h", 1), ("1d", 2), ("30h", 3), ("1w", 4), ("9d", 5)]
    )
    def test_reads_hours_days_and_weeks(self, manage: Manage, age: str, kept: int) -> None:
        now = database_now()
        for hours in (2, 12, 25, 6 * 24, 8 * 24):
            over(StoryFactory(), finished_at=now - hours * HOUR)

        manage("prune_jobs", "--older-than", age)

        assert Job.objects.count() == kept


class TestGrant:
    def test_puts_a_person_into_groups_and_lets_them_into_the_admin(self, manage: Manage) -> None:
        mina = UserFactory(username="mina", password="set")

        first = manage("grant", "mina", "Editors")
        second = manage("grant", "mina", "Operators", "Editors")

        assert first == (0, "mina is in Editors.\n", "")
        assert second.out == "mina is in Editors, Operators.\n"
        mina.refresh_from_db()
        assert mina.is_staff
        assert mina.has_perm("content.publish_story")

    def test_makes_an_account_without_a_password_when_asked(self, manage: Manage) -> None:
        result = manage(*("grant", "미나", "Authors", "--create", "--email", "mina@EXAMPLE.org"))

        assert result.code == 0
        assert "manage.py changepassword 미나" in result.out
        mina = User.objects.get(username="미나")
        assert mina.email == "mina@example.org"
        assert not mina.has_usable_password()

    def test_finds_the_account_the_second_time(self, manage: Manage) -> None:
        manage("grant", "mina", "Authors", "--create")

        again = manage("grant", "mina", "Editors", "--create")

        assert again.out.startswith("mina is in Authors, Editors.\n")
        assert User.objects.count() == 1

    def test_takes_a_person_out_of_groups(self, manage: Manage) -> None:
        mina = UserFactory(username="mina", password="set")
        manage("grant", "mina", "Editors", "Operators")

        one = manage("grant", "mina", "Editors", "--revoke")
        mina.refresh_from_db()
        was_let_in = mina.is_staff
        none = manage("grant", "mina", "Operators", "--revoke")

        assert one.out == "mina is in Operators.\n"
        assert was_let_in
        assert none.out == "mina is in no group.\n"
        mina.refresh_from_db()
        assert not mina.is_staff

    def test_leaves_a_superuser_in_the_admin(self, manage: Manage) -> None:
        root = UserFactory(username="root", is_superuser=True, is_staff=True)

        manage("grant", "root", "Editors", "--revoke")

        root.refresh_from_db()
        assert root.is_staff

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nobody", "Editors"], "No user is called nobody. --create makes one."),
            (["nobody", "Editors", "--revoke"], "No user is called nobody."),
            (["mina", "Editor"], "No group is called Editor. There are: Authors, Editors,"),
            (["a b", "Editors", "--create"], "Enter a valid username."),
            (["", "Editors", "--create"], "cannot be blank"),
            (["new", "Editors", "--create", "--email", "x"], "Enter a valid email address."),
        ],
    )
    def test_refuses_what_it_cannot_do_and_changes_nothing(
        self, manage: Manage, arguments: list[str], said: str
    ) -> None:
        UserFactory(username="mina", is_staff=True)

        result = manage("grant", *arguments)

        assert result.code == 1
        assert said in result.err
        assert User.objects.count() == 1
        assert not User.objects.get().groups.exists()

    def test_says_when_nobody_can_sign_in_with_the_account(self, manage: Manage) -> None:
        UserFactory(username="mina", is_active=False)

        result = manage("grant", "mina", "Editors")

        assert "inactive" in result.out


class TestTheNameOfAnItem:
    def test_needs_its_application_where_two_have_that_type(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Meta:
            model_name, label_lower = "story", "archive.story"

        class Elsewhere:
            _meta = Meta

        monkeypatch.setattr(references, "schedulable_models", lambda: [Story, Elsewhere])
        story = StoryFactory()

        with pytest.raises(references.UnknownModel, match=r"archive\.story, content\.story"):
            references.find_item(story.label)
        assert references.find_item(f"content.{story.label}") == story

    def test_may_be_written_large(self) -> None:
        story = StoryFactory()

        assert references.find_item(f"Story:{story.pk}") == story


FAR = "2100-01-01T00:00:00Z"
# What is typed, and the exit code it must end with. `S` stands for a story that could be scheduled,
# `BLANK` for one without a body, `LIVE` for one that is live.
WRONG: dict[str, tuple[int, list[str]]] = {
    "no item": (2, ["schedule", "--at", FAR]),
    "no time": (2, ["schedule", "S"]),
    "a time without offset": (2, ["schedule", "S", "--at", "2100-01-01T00:00:00"]),
    "a date alone": (2, ["schedule", "S", "--at", "2100-01-01"]),
    "a day that does not exist": (2, ["schedule", "S", "--at", "2100-02-30T00:00:00Z"]),
    "an offset that does not exist": (2, ["schedule", "S", "--at", "2100-01-01T00:00:00+25:00"]),
    "no time at all": (2, ["schedule", "S", "--at", "tomorrow"]),
    "an empty time": (2, ["schedule", "S", "--at", ""]),
    "a time beyond time": (2, ["schedule", "S", "--at", "9999-12-31T23:59:59-01:00"]),
    "a time before time": (2, ["schedule", "S", "--at", "0001-01-01T00:00:00+01:00"]),
    "a time in the past": (1, ["schedule", "S", "--at", "2025-01-01T00:00:00Z"]),
    "an unknown type": (2, ["schedule", "podcast:1", "--at", FAR]),
    "another application's type": (2, ["schedule", "auth.user:1", "--at", FAR]),
    "an unknown item": (1, ["schedule", "story:999999", "--at", FAR]),
    "a number beyond bigint": (1, ["schedule", "story:99999999999999999999", "--at", FAR]),
    "a number beyond reading": (1, ["schedule", "story:" + 5000 * "9", "--at", FAR]),
    "no number": (2, ["schedule", "story", "--at", FAR]),
    "an empty number": (2, ["schedule", "story:", "--at", FAR]),
    "a negative number": (2, ["schedule", "story:-1", "--at", FAR]),
    "a broken number": (2, ["schedule", "story:1.5", "--at", FAR]),
    "a number in other digits": (2, ["schedule", "story:٤٢", "--at", FAR]),
    "a name of two lines": (2, ["schedule", "story:42\n", "--at", FAR]),
    "an empty name": (2, ["schedule", "", "--at", FAR]),
    "an item without a body": (1, ["schedule", "BLANK", "--at", FAR]),
    "an item that is live": (1, ["schedule", "LIVE", "--at", FAR]),
    "an end of a draft": (1, ["schedule", "S", "--at", FAR, "--kind", "unpublish"]),
    "an unknown kind": (2, ["schedule", "S", "--at", FAR, "--kind", "archive"]),
    "an unknown option": (2, ["schedule", "S", "--at", FAR, "--bogus"]),
    "a reason that is no text": (2, ["schedule", "S", "--at", FAR, "--reason", "caf\udce9"]),
    "unschedule, without an item": (2, ["unschedule"]),
    "unschedule, nothing scheduled": (1, ["unschedule", "S"]),
    "unschedule, no end": (1, ["unschedule", "LIVE", "--kind", "unpublish"]),
    "unschedule, unknown item": (1, ["unschedule", "story:999999"]),
    "unschedule, unknown kind": (2, ["unschedule", "S", "--kind", "archive"]),
    "jobs, none of them": (2, ["jobs", "--limit", "0"]),
    "jobs, fewer than none": (2, ["jobs", "--limit", "-1"]),
    "jobs, no number": (2, ["jobs", "--limit", "many"]),
    "jobs, too many": (2, ["jobs", "--limit", "99999999999999999999"]),
    "jobs, unknown state": (2, ["jobs", "--state", "lost"]),
    "jobs, unknown kind": (2, ["jobs", "--kind", "archive"]),
    "jobs, no item": (2, ["jobs", "--item", ""]),
    "jobs, no request": (2, ["jobs", "--request", ""]),
    "jobs, no id of a request": (2, ["jobs", "--request", "요청"]),
    "jobs, a blank item": (2, ["jobs", "--item", " "]),
    "jobs, unknown type": (2, ["jobs", "--item", "podcast:1"]),
    "jobs, an argument too many": (2, ["jobs", "S"]),
    "publish_due, a time without dry-run": (2, ["publish_due", "--at", FAR]),
    "publish_due, an empty time": (2, ["publish_due", "--at", ""]),
    "publish_due, an empty time to show": (2, ["publish_due", "--dry-run", "--at", ""]),
    "publish_due, a time without offset": (
        2,
        ["publish_due", "--dry-run", "--at", "2100-01-01T00:00:00"],
    ),
    "explain, without an item": (2, ["explain"]),
    "explain, unknown item": (1, ["explain", "story:999999"]),
    "explain, unknown type": (2, ["explain", "podcast:1"]),
    "rerun, without a job": (2, ["rerun"]),
    "rerun, both one and all": (2, ["rerun", "1", "--all-failed"]),
    "rerun, an item": (2, ["rerun", "story:1"]),
    "rerun, a broken number": (2, ["rerun", "1.5"]),
    "rerun, a negative number": (2, ["rerun", "-1"]),
    "rerun, an empty number": (2, ["rerun", ""]),
    "rerun, a number of two lines": (2, ["rerun", "1\n2"]),
    "rerun, a number beyond bigint": (2, ["rerun", 5000 * "9"]),
    "rerun, a time without all": (2, ["rerun", "1", "--since", FAR]),
    "rerun, an empty time without all": (2, ["rerun", "1", "--since", ""]),
    "rerun, a kind without all": (2, ["rerun", "1", "--kind", "publish"]),
    "rerun, a time without offset": (
        2,
        ["rerun", "--all-failed", "--since", "2100-01-01T00:00:00"],
    ),
    "rerun, an empty time": (2, ["rerun", "--all-failed", "--since", ""]),
    "rerun, unknown kind": (2, ["rerun", "--all-failed", "--kind", "archive"]),
    "rerun, a reason that is no text": (2, ["rerun", "1", "--reason", "caf\udce9"]),
    "prune_jobs, no age": (2, ["prune_jobs"]),
    "prune_jobs, an empty age": (2, ["prune_jobs", "--older-than", ""]),
    "prune_jobs, a bare number": (2, ["prune_jobs", "--older-than", "90"]),
    "prune_jobs, an unknown unit": (2, ["prune_jobs", "--older-than", "90m"]),
    "prune_jobs, a broken number": (2, ["prune_jobs", "--older-than", "1.5d"]),
    "prune_jobs, a number in other digits": (2, ["prune_jobs", "--older-than", "٤d"]),
    "prune_jobs, a negative age": (2, ["prune_jobs", "--older-than=-1d"]),
    "prune_jobs, no age at all": (2, ["prune_jobs", "--older-than", "0d"]),
    "prune_jobs, an age of two lines": (2, ["prune_jobs", "--older-than", "9\n0d"]),
    "prune_jobs, an age beyond time": (2, ["prune_jobs", "--older-than", "999999w"]),
    "grant, nobody": (2, ["grant"]),
    "grant, no group": (2, ["grant", "mina"]),
    "grant, an address of no new account": (
        2,
        ["grant", "mina", "Editors", "--email", "a@b.example"],
    ),
    "grant, both ways at once": (2, ["grant", "mina", "Editors", "--create", "--revoke"]),
    "qcluster, unknown option": (2, ["qcluster", "--turbo"]),
    "doctor, no log": (2, ["doctor", "--log"]),
    "doctor, a log that is not there": (2, ["doctor", "--log", "no-such.log"]),
    "doctor, a folder": (2, ["doctor", "--log", "/"]),
}


class TestDoctorWithLogs:
    @pytest.fixture
    def log(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
    ) -> Path:
        """Return the log of three publishes."""
        due_stories(3)
        with (
            caplog.at_level(logging.INFO, "armo.publish"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            run_due_jobs()
        lines = [ConsoleFormatter().format(record) for record in caplog.records]
        path = tmp_path / "worker.log"
        path.write_text("\n".join([*lines[:2], "2026 INFO armo.publish [publish-worker] st"]))
        with gzip.open(tmp_path / "worker.log.1.gz", "wt") as file:
            file.write(JsonFormatter().format(caplog.records[2]))
        return path

    def lose(self) -> Story:
        """Have the database know nothing of one of them."""
        job = Job.objects.order_by("-pk")[0]
        job.events.all().delete()
        job.delete()
        Story.objects.filter(pk=job.object_id).update(status=Status.DRAFT, published_at=None)
        return Story.objects.get(pk=job.object_id)

    def test_finds_all_that_is_known(self, manage: Manage, log: Path) -> None:
        result = manage("doctor", "--log", log, f"{log}.1.gz")

        assert result == (
            0,
            "ok    publish log: 3 changes in the log. The database knows them."
            " Lines that cannot be read: 1.\n",
            "",
        )

    def test_names_what_is_not_and_ends_with_one(self, manage: Manage, log: Path) -> None:
        story = self.lose()

        result = manage("doctor", "--log", log, f"{log}.1.gz")

        assert result.code == 1
        named, summary = result.out.splitlines()
        assert named.startswith(f"FAIL  {story.label}: published at 20")
        assert f"({log}.1.gz, line 1) is not known to the database. It is draft: " in named
        assert "Not known to the database: 1; of these to be seen to: 1." in summary

    def test_prints_the_same_for_programs(self, manage: Manage, log: Path) -> None:
        story = self.lose()

        result = manage("doctor", "--json", "--log", log, f"{log}.1.gz")

        assert result.code == 1
        [lost] = result.json.pop("lost")
        assert (lost["item"], lost["status"]) == (story.label, "published")
        assert (lost["found"], lost["line"]) == ("to_be_repeated", 1)
        assert UTC_TIME.fullmatch(lost["at"])
        assert {name: result.json[name] for name in ("ok", "compared", "unreadable")} == {
            "ok": False,
            "compared": 3,
            "unreadable": 1,
        }

    def test_reads_its_input(
        self, manage: Manage, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with log.open() as file:
            monkeypatch.setattr("sys.stdin", file)

            assert manage("doctor", "--log", "-").code == 0

    def test_does_not_vouch_for_a_file_that_ends_early(self, manage: Manage, log: Path) -> None:
        cut = log.with_name("cut.gz")
        cut.write_bytes(gzip.compress(log.read_bytes())[:-9])

        result = manage("doctor", "--log", cut)

        assert result.code == 1
        assert "It ends early, or is damaged" in result.out

    def test_doubts_a_log_without_a_publish(self, manage: Manage, tmp_path: Path) -> None:
        empty = tmp_path / "web.log"
        empty.touch()

        result = manage("doctor", "--log", empty)

        assert (result.code, "LOG_LEVEL" in result.out) == (0, True)

    def test_changes_nothing(self, manage: Manage, log: Path) -> None:
        self.lose()
        before = everything()

        manage("doctor", "--log", log)

        assert everything() == before


class TestAWrongCommand:
    @pytest.mark.parametrize("wrong", WRONG)
    def test_ends_with_one_line_and_its_code_and_changes_nothing(
        self, manage: Manage, wrong: str
    ) -> None:
        code, arguments = WRONG[wrong]
        named = {
            "S": StoryFactory().label,
            "BLANK": StoryFactory(body="").label,
            "LIVE": StoryFactory(published=True).label,
        }
        # Due, so that a command which ran all the same would change it.
        NoticeFactory(due=True)
        before = everything()

        result = manage(*(named.get(argument, argument) for argument in arguments))

        assert result.code == code, result.err
        assert result.out == ""
        assert len(result.err.splitlines()) == 1
        assert "Traceback" not in result.err
        assert everything() == before

    def test_says_the_same_in_korean(self, manage: Manage) -> None:
        with translation.override("ko"):
            result = manage("unschedule", StoryFactory().label)

        assert result.code == 1
        assert re.search("[가-힣]", result.err)

    @pytest.mark.slow
    def test_is_one_line_of_a_real_process_too(self, db: None) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", "schedule", "story:1", "--at", FAR],
            cwd=PROJECT,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "armo.settings",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "CommandError: There is no such item. (story:1)\n"


class TestACommandWhoseReaderHasReadEnough:
    @pytest.mark.slow
    def test_ends_without_a_traceback(self, db: None) -> None:
        reader, writer = os.pipe()
        os.close(reader)

        done = subprocess.run(
            [sys.executable, "manage.py", "jobs", "--json"],
            cwd=PROJECT,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "armo.settings",
            },
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(writer)

        assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.django_db(transaction=True)
class TestACommandOnAnOlderSchema:
    @pytest.fixture(autouse=True)
    def _older(self, transactional_db: None) -> Iterator[None]:
        """Take one table away, and with it what is known of the migrations."""
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE scheduling_pauseevent RENAME TO not_yet")
            cursor.execute("CREATE TABLE kept AS TABLE django_migrations")
            cursor.execute("DELETE FROM django_migrations WHERE app = 'scheduling'")
        yield
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE not_yet RENAME TO scheduling_pauseevent")
            cursor.execute("TRUNCATE django_migrations")
            cursor.execute("INSERT INTO django_migrations TABLE kept")
            cursor.execute("DROP TABLE kept")

    @pytest.mark.parametrize("command", [["publish_due"], ["pause", "--reason", "점검"]])
    def test_says_in_one_line_what_to_do(self, manage: Manage, command: list[str]) -> None:
        result = manage(*command)

        assert result.code == 1
        assert re.fullmatch(
            r"CommandError: The database lacks migrations: scheduling\.0001_initial, [a-z0-9_., ]+"
            r" and \d+ more\. Run manage\.py migrate\.\n",
            result.err,
        )

    def test_works_where_nothing_that_it_needs_is_missing(self, manage: Manage) -> None:
        assert manage("jobs").code == 0


@pytest.mark.django_db(transaction=True)
class TestACommandOfARoleThatLacksARight:
    @pytest.fixture(params=["django_migrations", "scheduling_job"])
    def table(self, request: pytest.FixtureRequest) -> Iterator[str]:
        """Become a role that may do everything but read this table."""
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE armo_test_without_a_right")
            cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO armo_test_without_a_right")
            cursor.execute(f"REVOKE ALL ON {request.param} FROM armo_test_without_a_right")
            cursor.execute("SET ROLE armo_test_without_a_right")
        yield request.param
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY armo_test_without_a_right")
            cursor.execute("DROP ROLE armo_test_without_a_right")

    def test_says_in_one_line_what_it_may_not_read(self, manage: Manage, table: str) -> None:
        line = f"CommandError: The database refuses: permission denied for table {table}\n"

        assert manage("publish_due", "--dry-run") == (1, "", line)

    @pytest.mark.parametrize("table", ["django_migrations"], indirect=True)
    def test_is_no_traceback_where_a_worker_starts(self, table: str) -> None:
        with pytest.raises(CommandError, match=f"refuses: permission denied for table {table}$"):
            require_migrated()

    def test_is_said_by_doctor_too(self, manage: Manage, table: str) -> None:
        result = manage("doctor")

        assert result.code == 1
        assert f"FAIL  database: It refuses: permission denied for table {table}\n" in result.out


class TestAnyOutput:
    """What people wrote reaches a terminal in one line, and nothing in it is acted upon."""

    # Clear the screen, CSI as one character, a line of its own, the direction, a family of emoji.
    EVIL = "가\x1b[2J\x9b31m\nok  database: all is well\r\u2028\u202e\x07👨‍👩‍👧"
    SHOWN = r"가\x1b[2J\x9b31m\nok  database: all is well\r\u2028\u202e\x07👨‍👩‍👧"

    @pytest.fixture(params=["jobs", "explain", "publish_due --dry-run"])
    def command(self, request: pytest.FixtureRequest) -> list[str]:
        """Give a command that prints a title or a reason, with what it is to be of."""
        words: list[str] = request.param.split()
        item = StoryFactory(title=f"t{self.EVIL}t")
        operations.schedule(item=item, run_at=FAR_OFF, by=None, reason=f"t{self.EVIL}t")
        if words[0] == "explain":
            return [*words, item.label]
        if words[0] == "publish_due":
            return [*words, "--at", (FAR_OFF + HOUR).isoformat()]
        return words

    def test_shows_what_a_terminal_would_act_on(self, manage: Manage, command: list[str]) -> None:
        result = manage(*command)

        assert result.code == 0, result
        assert f"t{self.SHOWN}t" in result.out
        assert all(it.isprintable() or it in "\n\u200d" for it in result.out)
        assert "\nok  database" not in result.out

    def test_as_json_has_it_escaped(self, manage: Manage, command: list[str]) -> None:
        result = manage(*command, "--json")

        assert all(it.isprintable() or it in "\n\u200d" for it in result.out)
        assert f"t{self.EVIL}t" in "".join(_texts(result.json))

    def test_of_an_error_too(self, manage: Manage) -> None:
        item = StoryFactory(title=self.EVIL)

        result = manage("schedule", item.label, "--at", "2100-01-01\x1b[2J\n")
        paused = manage("pause", "--reason", self.EVIL)

        assert r"\x1b[2J" in result.err + result.out
        assert r"\x1b[2J\x9b31m ok" in paused.out
        for text in (*result[1:], paused.out):
            assert all(it.isprintable() or it in "\n\u200d" for it in text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for it in value:
            yield from _texts(it)
    else:
        yield str(value)
