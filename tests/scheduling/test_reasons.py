"""A Korean editor reads in Korean why something failed, wherever that is shown."""

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import translation

from armo.accounts.models import Preferences
from scheduling import operations
from scheduling.ical.feed import calendar_url, write_calendar
from scheduling.ical.tokens import make_calendar_link
from scheduling.models import Job, JobEvent
from scheduling.queries.explain import explain
from scheduling.worker.failure_mail import send_failure_mails
from tests.admin_pages import list_of, page_of, signed_in
from tests.api_clients import client_of, person
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db

BOTH = "지금 상태로는 발행할 수 없습니다. 본문이 비어 있습니다."


@pytest.fixture
def korean() -> Iterator[None]:
    with translation.override("ko"):
        yield


@pytest.fixture
def failed() -> Job:
    return failed_publish(title="실패한 글", author=UserFactory(username="kim"))


def codes_of(event: JobEvent) -> list[str]:
    return [it["code"] for it in (event.detail or {})["reasons"]]


def in_korean(client: Client, url: str) -> str:
    return client.get(url, headers={"Accept-Language": "ko"}).content.decode()


class TestWhyAJobFailed:
    @pytest.fixture(autouse=True)
    def _failed(self, failed: Job) -> None:
        self.job = failed

    def test_is_stored_as_code_and_parameters(self) -> None:
        event = JobEvent.objects.get(job=self.job, what=JobEvent.What.FAILED)

        assert codes_of(event) == ["not_publishable", "empty_body"]
        assert event.reason == "It cannot go live as it is. Its body is empty."

    @pytest.mark.parametrize("page", ["list", "job", "item", "today"])
    def test_is_korean_on_every_page(self, page: str) -> None:
        item = self.job.find_item()
        assert item is not None
        urls = {
            "list": list_of(Job),
            "job": page_of(self.job),
            "item": page_of(item),
            "today": reverse("admin:index"),
        }

        html = in_korean(signed_in("Operators"), urls[page])

        assert BOTH in html
        # Tracebacks are for operators, and as Python wrote them.
        assert "body is empty" not in re.sub("<pre>.*?</pre>", "", html, flags=re.DOTALL)

    def test_has_a_korean_title_above_it(self) -> None:
        html = in_korean(signed_in("Operators"), page_of(self.job))

        [title] = re.findall(r"<title>\s*(.*?)\s*</title>", html, re.DOTALL)
        assert title.startswith("발행: 실패한 글 | 작업 보기")
        assert f"Publish story:{self.job.object_id}" not in html

    def test_of_many_reruns_is_in_the_language_of_the_request(self) -> None:
        operator = client_of(person(group="Operators"))
        body = {"ids": [self.job.pk], "dry_run": True}

        answer = operator.post(
            "/api/v1/jobs/rerun/", body, format="json", headers={"Accept-Language": "ko"}
        )

        assert answer.json()["jobs"][0]["text"] == "다시 실행됩니다"

    def test_is_in_the_language_of_an_api_request(self, failed: Job) -> None:
        url, operator = f"/api/v1/jobs/{failed.pk}/", client_of(person(group="Operators"))

        answer = operator.get(url, headers={"Accept-Language": "ko"}).json()

        assert answer["events"][-1]["reason"] == BOTH
        assert operator.get(url).json()["events"][-1]["reason"].startswith("It cannot go live")

    def test_is_in_the_language_of_whoever_gets_the_mail(self) -> None:
        by = UserFactory(username="lee", email="lee@example.org")
        Preferences.objects.create(user=by, time_zone="Asia/Seoul", language="ko")
        Job.objects.update(scheduled_by=by)

        send_failure_mails()

        [sent] = mail.outbox
        assert BOTH in sent.body

    @pytest.mark.usefixtures("korean")
    def test_is_korean_in_commands(self) -> None:
        item = self.job.find_item()
        assert item is not None

        assert any(BOTH in finding.text for finding in explain(item))


def calendar_of(job: Job) -> str:
    return write_calendar([job]).replace(b"\r\n ", b"").decode()


class TestWhyAJobIsThere:
    def test_is_korean_where_the_engine_says_it(self) -> None:
        story = StoryFactory(status="scheduled", publish_at=FAR_OFF)
        [job] = Job.objects.of(story)
        [event] = job.events.all()

        with translation.override("ko"):
            assert job.why == event.why == "항목이 이렇게 저장되었습니다."
            assert "항목이 이렇게 저장되었습니다." in calendar_of(job)

    def test_is_in_the_language_of_whoever_has_the_calendar(self, client: Client) -> None:
        user = person(group="Editors")
        Preferences.objects.create(user=user, time_zone="Asia/Seoul", language="ko")
        StoryFactory(status="scheduled", publish_at=FAR_OFF)

        calendar = client.get(calendar_url(make_calendar_link(user))).content

        assert "항목이 이렇게 저장되었습니다." in calendar.replace(b"\r\n ", b"").decode()

    def test_is_what_a_person_wrote_where_they_wrote_it(self) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None, reason="draft")
        [event] = job.events.all()

        with translation.override("ko"):
            assert (job.why, event.why) == ("draft", "draft")

    def test_is_kept_with_many_jobs_as_with_one(self) -> None:
        story = StoryFactory(status="scheduled", publish_at=FAR_OFF)
        event = JobEvent.objects.get(job__object_id=story.pk)

        assert codes_of(event) == ["item_saved"]


def listed() -> list[dict[str, Any]]:
    out = StringIO()
    call_command("jobs", "--json", stdout=out)
    return list(json.loads(out.getvalue()))


class TestTheCommandJobs:
    @pytest.mark.usefixtures("korean")
    def test_shows_the_reason_in_the_active_language(self) -> None:
        StoryFactory(status="scheduled", publish_at=FAR_OFF)

        [row] = listed()

        assert row["reason"] == "항목이 이렇게 저장되었습니다."
