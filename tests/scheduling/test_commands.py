"""The commands: what they do, print and refuse, and with which exit code."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.core.management import ManagementUtility
from django.utils import translation

from content.models import Story
from scheduling import items, operations
from scheduling.ledger import database_now
from scheduling.models import Job, Kind, State, Status
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory, UserFactory
from tests.process.worker import PROJECT, database_url
from tests.scheduling.rows import due_stories, everything, last_event, open_jobs, row

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
            "next_attempt_at": "2100-10-31T01:00:00.654321Z",
            "finished_at": None,
            "lateness_ms": None,
            "attempts": 0,
            "scheduled_by": "편집자",
            "reason": "엠바고",
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
    def test_tells_it_in_order(self, manage: Manage) -> None:
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


class TestTheNameOfAnItem:
    def test_needs_its_application_where_two_have_that_type(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Meta:
            model_name, label_lower = "story", "archive.story"

        class Elsewhere:
            _meta = Meta

        monkeypatch.setattr(items, "schedulable_models", lambda: [Story, Elsewhere])
        story = StoryFactory()

        with pytest.raises(items.UnknownModel, match=r"archive\.story, content\.story"):
            items.find_item(story.label)
        assert items.find_item(f"content.{story.label}") == story

    def test_may_be_written_large(self) -> None:
        story = StoryFactory()

        assert items.find_item(f"Story:{story.pk}") == story


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
    "qcluster, unknown option": (2, ["qcluster", "--turbo"]),
}


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
