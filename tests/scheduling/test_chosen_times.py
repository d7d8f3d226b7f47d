"""A time chosen in a time zone: every entry point keeps it, and shows when it has shifted."""

import json
import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import translation

from armo.accounts.middleware import KEY
from content.models import Story
from scheduling import operations
from scheduling.models import Job, times
from scheduling.queries.explain import explain
from scheduling.queries.health import examine
from tests.admin_pages import confirm, page_of, press, signed_in
from tests.api_clients import API, client_of, superuser
from tests.factories import StoryFactory
from tests.time_zone_rules import rules_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]

AT = datetime(2100, 3, 1, 0, 30, tzinfo=UTC)
IN_SEOUL = "2100-03-01T09:30:00+09:00[Asia/Seoul]"
BEFORE = datetime(2100, 12, 15, 17, tzinfo=UTC)
SHIFTED = "2100-12-15T09:00:00-08:00[America/Vancouver]"


def kept(item: Story) -> list[str]:
    return list(Job.objects.of(item).open().order_by("run_at").values_list("local_time", flat=True))


@pytest.fixture
def editor() -> Client:
    """Return the browser of an editor who has chosen Seoul."""
    client = signed_in("Editors")
    session = client.session
    session[KEY] = {"time_zone": "Asia/Seoul", "language": "en"}
    session.save()
    return client


class TestTheAdmin:
    def test_keeps_the_zone_of_a_button(self, editor: Client) -> None:
        story = StoryFactory()
        times_typed = {"run_at": "2100-03-01T09:30", "unpublish_at": "2100-03-02T09:30"}

        press(editor, story, "schedule", **times_typed)

        assert kept(story) == [IN_SEOUL, "2100-03-02T09:30:00+09:00[Asia/Seoul]"]

    def test_keeps_the_zone_that_the_page_has_shown(self, editor: Client) -> None:
        story = StoryFactory()

        press(editor, story, "schedule", run_at="2100-03-01T09:30", run_at_zone="Europe/Berlin")

        assert kept(story) == ["2100-03-01T09:30:00+01:00[Europe/Berlin]"]

    def test_keeps_the_zone_of_an_end(self, editor: Client) -> None:
        story = StoryFactory(published=True)

        press(editor, story, "end", run_at="2100-03-01T09:30")

        assert kept(story) == [IN_SEOUL]

    def test_keeps_none_of_an_instant(self, editor: Client) -> None:
        story = StoryFactory()

        press(editor, story, "schedule", run_at="2100-03-01T00:30:00Z")

        assert kept(story) == [""]

    def test_leaves_a_time_that_nobody_touched_as_it_was_chosen(self, editor: Client) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=AT, by=None, zone="Europe/Berlin")

        again = {"run_at": "2100-03-01T09:30:00", "unpublish_at": "2100-03-02T09:30"}
        press(editor, story, "move", **again)

        assert kept(story) == [
            "2100-03-01T01:30:00+01:00[Europe/Berlin]",
            "2100-03-02T09:30:00+09:00[Asia/Seoul]",
        ]

    def test_keeps_the_zone_of_many(self, editor: Client) -> None:
        story = StoryFactory()

        confirm(editor, Story, "schedule_selected", story.pk, run_at="2100-03-01T09:30")

        assert kept(story) == [IN_SEOUL]

    def test_keeps_the_readers_zone_of_a_shift(self, editor: Client) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=AT, by=None)

        confirm(editor, Story, "shift_selected", story.pk, number="1", unit="days")

        assert kept(story) == ["2100-03-02T09:30:00+09:00[Asia/Seoul]"]

    @pytest.mark.parametrize("to", ["2100-03-02T09:30", "2100-03-02T00:30:00Z"])
    def test_keeps_the_zone_that_the_calendar_shows(self, editor: Client, to: str) -> None:
        story = StoryFactory()
        job = operations.schedule(item=story, run_at=AT, by=None)
        data = {"job": job.pk, "to": to, "to_zone": "Asia/Seoul", "expected": times.utc(AT)}

        assert editor.post(reverse("admin-calendar-move"), data).status_code == 200

        assert kept(story) == ["2100-03-02T09:30:00+09:00[Asia/Seoul]"]

    @pytest.mark.parametrize(
        ("language", "text"),
        [("en", "The clocks there have other rules by now."), ("ko", "규칙이 바뀌었습니다")],
    )
    def test_shows_it_on_the_page_of_the_job(
        self, editor: Client, tmp_path: Path, language: str, text: str
    ) -> None:
        editor.force_login(User.objects.get(username="one-of-Editors"))
        with rules_in(tmp_path, America_Vancouver="America/Los_Angeles"):
            job = operations.schedule(
                item=StoryFactory(), run_at=BEFORE, by=None, zone="America/Vancouver"
            )
        session = editor.session
        session[KEY] = {"time_zone": "Asia/Seoul", "language": language}
        session.save()

        html = editor.get(page_of(job)).content.decode()

        assert "2100-12-15 09:00:00 America/Vancouver" in html
        assert text in html


class TestTheApi:
    def test_keeps_a_zone_and_shows_it(self) -> None:
        client, story = client_of(superuser()), StoryFactory()
        body = {"publish_at": times.utc(AT), "zone": "Asia/Seoul"}

        answer = client.post(f"{API}/stories/{story.pk}/schedule/", body, format="json")

        assert answer.json()["local_time"] == IN_SEOUL
        assert kept(story) == [IN_SEOUL]

    def test_keeps_it_of_jobs_and_of_many(self) -> None:
        client, one, many = client_of(superuser()), StoryFactory(), StoryFactory()
        zone = {"zone": "Asia/Seoul"}
        job = {"model": "story", "id": one.pk, "kind": "publish", "run_at": times.utc(BEFORE)}

        made = client.post(f"{API}/jobs/", {**job, **zone}, format="json").json()
        move = {"run_at": times.utc(AT), **zone}
        client.post(f"{API}/jobs/{made['id']}/move/", move, format="json")
        bulk = {"ids": [many.pk], "publish_at": times.utc(AT), **zone}
        client.post(f"{API}/stories/bulk/schedule/", bulk, format="json")

        assert kept(one) == kept(many) == [IN_SEOUL]

    def test_keeps_it_of_items_that_are_written_with_their_times(self) -> None:
        client, story = client_of(superuser()), StoryFactory()
        zone = {"zone": "Asia/Seoul"}
        at = {"status": "scheduled", "publish_at": times.utc(AT)}

        new = client.post(
            f"{API}/stories/", {"title": "New", "body": "Text.", **at, **zone}, format="json"
        ).json()
        client.patch(f"{API}/stories/{story.pk}/", {**at, **zone}, format="json")
        live = StoryFactory(published=True)
        end = {"unpublish_at": times.utc(AT), **zone}
        client.patch(f"{API}/stories/{live.pk}/", end, format="json")

        assert kept(Story.objects.get(pk=new["id"])) == kept(story) == [IN_SEOUL]
        assert kept(live) == [IN_SEOUL]

    @pytest.mark.parametrize("more", [{}, {"title": "Other"}, {"status": "draft"}])
    def test_refuses_a_zone_without_a_time_of_an_item(self, more: dict[str, str]) -> None:
        client, story = client_of(superuser()), StoryFactory(scheduled=True)
        body = {"zone": "Asia/Seoul", **more}

        answer = client.patch(f"{API}/stories/{story.pk}/", body, format="json")

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "zone")

    def test_keeps_none_of_an_instant(self) -> None:
        client, story = client_of(superuser()), StoryFactory()

        body = {"publish_at": "2100-03-01T09:30:00+09:00"}
        answer = client.post(f"{API}/stories/{story.pk}/schedule/", body, format="json")

        assert answer.json()["local_time"] == ""

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "+09:00", "../../etc/passwd", 9, None])
    def test_refuses_a_zone_that_does_not_exist(self, zone: Any) -> None:
        client, story = client_of(superuser()), StoryFactory()
        body = {"publish_at": times.utc(AT), "zone": zone}

        answer = client.post(f"{API}/stories/{story.pk}/schedule/", body, format="json")

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "zone")
        assert kept(story) == []


def run(*arguments: str) -> str:
    output = StringIO()
    with translation.override("en"):
        call_command(*arguments, stdout=output)
    return output.getvalue()


class TestTheCommands:
    def test_keep_a_zone(self) -> None:
        story = StoryFactory()

        run("schedule", story.label, "--at", times.utc(AT), "--zone", "Asia/Seoul")

        assert kept(story) == [IN_SEOUL]
        assert json.loads(run("jobs", "--json"))[0]["local_time"] == IN_SEOUL

    def test_refuse_a_zone_that_does_not_exist(self) -> None:
        with pytest.raises(CommandError, match="There is no such time zone"):
            run("schedule", StoryFactory().label, "--at", times.utc(AT), "--zone", "Mars/Olympus")

    def test_list_and_move_what_has_shifted(self, tmp_path: Path) -> None:
        story = StoryFactory()
        with rules_in(tmp_path, America_Vancouver="America/Los_Angeles"):
            job = operations.schedule(item=story, run_at=BEFORE, by=None, zone="America/Vancouver")

        listed = run("zone_changes").splitlines()
        dry = json.loads(run("zone_changes", "--move", "--dry-run", "--json"))
        moved = run("zone_changes", "--move").splitlines()
        after = json.loads(run("zone_changes", "--json"))

        line = f"{job.pk}  publish {story.label}  {SHIFTED}, now at 2100-12-15T17:00:00Z"
        assert listed[0] == f"{line}  would move to 2100-12-15T16:00:00Z"
        assert listed[1].endswith("1 would move, 0 cannot move.")
        assert (dry["dry_run"], dry["summary"]["shifts"]) == (True, 1)
        assert moved[0] == f"{line}  moved to 2100-12-15T16:00:00Z"
        assert after["jobs"] == []
        assert Job.objects.get(pk=job.pk).run_at.hour == 16

    def test_end_with_1_when_something_cannot_be_moved(self, tmp_path: Path) -> None:
        with rules_in(tmp_path, Europe_Berlin="Asia/Seoul"):
            run_at = datetime(2100, 3, 27, 17, 30, tzinfo=UTC)
            operations.schedule(item=StoryFactory(), run_at=run_at, by=None, zone="Europe/Berlin")

        with pytest.raises(SystemExit) as end:
            run("zone_changes", "--move")

        assert end.value.code == 1

    def test_say_so_in_doctor_and_explain(self, tmp_path: Path) -> None:
        story = StoryFactory()
        with rules_in(tmp_path, America_Vancouver="America/Los_Angeles"):
            operations.schedule(item=story, run_at=BEFORE, by=None, zone="America/Vancouver")

        [check] = [it for it in examine() if it.name == "local times that have shifted"]
        [finding] = [it for it in explain(story) if it.subject == "time zone"]

        assert (check.ok, check.facts["count"]) == (False, 1)
        assert f"{story.label}, {SHIFTED}, comes at 2100-12-15T17:00:00Z" in check.text
        assert not finding.ok
        assert SHIFTED in finding.text

    def test_say_that_all_is_well(self) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=AT, by=None, zone="Asia/Seoul")

        [check] = [it for it in examine() if it.name == "local times that have shifted"]
        [finding] = [it for it in explain(story) if it.subject == "time zone"]

        assert (check.ok, check.text) == (True, "None.")
        assert (finding.ok, finding.text.endswith(f"chosen as {IN_SEOUL}.")) == (True, True)


ELSEWHERE = "2100-12-15T09:00:00-08:00"
RIGHT = ("2100-12-15T09:00:00-07:00", "2100-12-15T16:00:00Z", "2100-12-15T16:00:00+00:00")
IN_VANCOUVER = "2100-12-15T09:00:00-07:00[America/Vancouver]"


class TestAnOffset:
    """Of a time that is sent with a zone."""

    @pytest.mark.parametrize("written", RIGHT)
    def test_that_the_zone_has_or_that_is_of_utc_is_taken(self, written: str) -> None:
        story, other = StoryFactory(), StoryFactory()
        body = {"publish_at": written, "zone": "America/Vancouver"}

        run("schedule", story.label, "--at", written, "--zone", "America/Vancouver")
        answer = client_of(superuser()).post(
            f"{API}/stories/{other.pk}/schedule/", body, format="json"
        )

        assert answer.status_code == 200
        assert kept(story) == kept(other) == [IN_VANCOUVER]

    @pytest.mark.parametrize(
        ("language", "said"),
        [
            ("en", "America/Vancouver have the offset -07:00, not -08:00. Write it with"),
            ("ko", "America/Vancouver 시간대는 UTC 오프셋이 -08:00이(가) 아니라 -07:00입니다."),
        ],
    )
    def test_that_the_zone_has_not_is_refused_by_a_command(self, language: str, said: str) -> None:
        story = StoryFactory()

        with translation.override(language), pytest.raises(CommandError, match=re.escape(said)):
            call_command("schedule", story.label, at=ELSEWHERE, zone="America/Vancouver")

        assert kept(story) == []

    def test_that_the_zone_has_not_is_refused_by_every_route(self) -> None:
        client, story = client_of(superuser()), StoryFactory()
        live, scheduled = StoryFactory(published=True), StoryFactory()
        job = operations.schedule(item=scheduled, run_at=AT, by=None)
        publish, end = {"publish_at": ELSEWHERE}, {"unpublish_at": ELSEWHERE}
        of_story = {"model": "story", "id": story.pk, "kind": "publish", "run_at": ELSEWHERE}
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("post", f"stories/{story.pk}/schedule/", publish),
            ("post", f"stories/{story.pk}/schedule/", {"publish_at": times.utc(AT), **end}),
            ("post", "stories/bulk/schedule/", {"ids": [story.pk], **publish}),
            (
                "post",
                "stories/",
                {"title": "New", "body": "Text.", "status": "scheduled", **publish},
            ),
            ("patch", f"stories/{story.pk}/", {"status": "scheduled", **publish}),
            ("patch", f"stories/{live.pk}/", end),
            ("post", "jobs/", of_story),
            ("post", f"jobs/{job.pk}/move/", {"run_at": ELSEWHERE}),
        ]

        for method, path, body in requests:
            sent = {**body, "zone": "America/Vancouver"}
            answer = getattr(client, method)(f"{API}/{path}", sent, format="json")
            [error] = answer.json()["errors"]
            assert (answer.status_code, error["field"]) == (400, "zone"), path
            assert error["code"] == "offset_not_of_zone"
        assert [job.run_at] == list(Job.objects.values_list("run_at", flat=True))

    def test_is_free_without_a_zone(self) -> None:
        story = StoryFactory()

        run("schedule", story.label, "--at", ELSEWHERE)

        assert list(Job.objects.of(story).values_list("run_at", "local_time")) == [(BEFORE, "")]

    def test_is_that_of_the_day(self) -> None:
        for month, offset in ((7, "+02:00"), (12, "+01:00")):
            story = StoryFactory()
            at = f"2100-{month:02}-15T09:00:00{offset}"

            run("schedule", story.label, "--at", at, "--zone", "Europe/Berlin")

            assert kept(story) == [f"{at}[Europe/Berlin]"]
