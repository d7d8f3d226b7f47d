"""Who is told, in which words, that something has failed for good."""

from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ

from content.models import Story
from scheduling import attempts, ledger, operations, sweep, tasks, telling
from scheduling.models import Job, JobEvent, State
from scheduling.operations import NotPublishable
from tests.factories import LONG_AGO, StoryFactory, UserFactory
from tests.scheduling.conftest import InBackground
from tests.scheduling.rows import failed_publish, last_event, row
from tests.scheduling.test_concurrency import wait_until_blocked

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _addresses(settings: Any) -> None:
    settings.FAILURE_EMAILS = ["desk@example.org"]
    settings.SITE_URL = "https://news.example.org"


def fail_as(by: Any, **fields: Any) -> Job:
    """Return a job that a person has scheduled, and whose item could not go live."""
    story = StoryFactory(due=True, body="", **fields)
    job = Job.objects.of(story).get()
    Job.objects.filter(pk=job.pk).update(scheduled_by=by)
    with pytest.raises(NotPublishable):
        attempts.run_alone(job.pk)
    job.refresh_from_db()
    return job


class Unreachable(EmailBackend):
    """A mail server that cannot be reached."""

    def send_messages(self, messages: Any) -> int:
        raise ConnectionRefusedError("no mail server here")


class TestTheMail:
    def test_says_what_when_why_and_where_to_run_it_again(self, settings: Any) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        job = fail_as(UserFactory(email="kim@example.org"), title="추수 소식")

        assert tasks.tell_failures() == 1

        [sent] = mail.outbox
        assert sent.to == ["kim@example.org", "desk@example.org"]
        assert sent.subject == "Failed to publish: 추수 소식"
        assert f"추수 소식 (story:{job.object_id})" in sent.body
        assert job.run_at == LONG_AGO
        assert f"({LONG_AGO:%Y-%m-%dT%H:%M:%SZ})" in sent.body
        assert "KST" in sent.body
        assert "It cannot go live as it is. Its body is empty." in sent.body
        assert "scheduling.operations.NotPublishable" in sent.body
        assert f"https://news.example.org/admin/scheduling/job/{job.pk}/change/\n" in sent.body
        assert f"manage.py rerun {job.pk}" in sent.body

    def test_is_in_the_language_of_the_site(self, settings: Any) -> None:
        settings.LANGUAGE_CODE = "ko"
        fail_as(None, title="Harvest")

        tasks.tell_failures()

        assert mail.outbox[0].subject == "발행 실패: Harvest"

    def test_of_a_job_is_sent_once(self) -> None:
        job = fail_as(None)
        tasks.tell_failures()

        assert tasks.tell_failures() == 0
        assert len(mail.outbox) == 1
        job.refresh_from_db()
        assert job.told_at is not None
        assert last_event(job).detail is not None
        assert (last_event(job).detail or {})["told"] == ["desk@example.org"]

    def test_is_sent_again_when_it_fails_again(self) -> None:
        job = fail_as(None)
        tasks.tell_failures()
        Story.objects.update(body="mended")
        operations.rerun(job=job, by=None)
        Story.objects.update(body="")
        with pytest.raises(NotPublishable):
            attempts.run_alone(job.pk)

        tasks.tell_failures()

        assert len(mail.outbox) == 2

    @pytest.mark.parametrize(
        "title", ["Line\nBcc: everyone@example.org", "Line\r\n\r\nbody", "가" * 5000]
    )
    def test_begins_no_header_and_stays_short_whatever_the_title(self, title: str) -> None:
        job = fail_as(None)
        Job.objects.filter(pk=job.pk).update(item_title=title[:255])

        assert tasks.tell_failures() == 1

        [sent] = mail.outbox
        message = sent.message()
        assert message["Bcc"] is None
        assert len(sent.subject) <= 150
        assert "\n" not in sent.subject

    def test_cuts_a_reason_that_never_ends(self) -> None:
        job = fail_as(None)
        JobEvent.objects.filter(job=job).update(reason="x" * 100_000)

        tasks.tell_failures()

        assert len(mail.outbox[0].body) < 5000


class TestThePeople:
    def test_are_each_told_once(self) -> None:
        fail_as(UserFactory(email="desk@example.org"))

        tasks.tell_failures()

        assert mail.outbox[0].to == ["desk@example.org"]

    def test_do_not_include_who_has_left_or_has_no_address(self) -> None:
        fail_as(UserFactory(email="left@example.org", is_active=False))
        fail_as(UserFactory(email=""))

        tasks.tell_failures()

        assert [sent.to for sent in mail.outbox] == [["desk@example.org"]] * 2

    def test_may_be_nobody(self, settings: Any) -> None:
        settings.FAILURE_EMAILS = []
        job = fail_as(None)

        assert tasks.tell_failures() == 0

        job.refresh_from_db()
        assert job.told_at is not None
        assert (last_event(job).detail or {})["told"] == []

    def test_get_one_mail_about_many_failures_instead_of_a_flood(self) -> None:
        jobs = [failed_publish() for _ in range(12)]

        assert tasks.tell_failures() == 1

        [sent] = mail.outbox
        assert sent.subject.startswith("12 jobs have failed")
        assert all(f"manage.py rerun {job.pk}\n" in sent.body for job in jobs)
        assert not telling.untold().exists()


class TestAMailThatCannotBeSent:
    @pytest.fixture(autouse=True)
    def _unreachable(self, settings: Any) -> None:
        settings.EMAIL_BACKEND = f"{__name__}.Unreachable"

    def test_harms_neither_job_nor_item_and_is_noted(self) -> None:
        job = fail_as(None)
        item = job.find_item()
        assert item is not None
        before = row(item).version

        assert tasks.tell_failures() == 0

        job.refresh_from_db()
        assert (job.state, job.told_at, row(item).version) == (State.FAILED, None, before)
        detail = last_event(job).detail or {}
        assert detail["mail_error"] == "ConnectionRefusedError: no mail server here"
        assert detail["error"] == "scheduling.operations.NotPublishable"

    def test_is_tried_again_by_the_sweep(self, settings: Any) -> None:
        fail_as(None)
        tasks.tell_failures()
        OrmQ.objects.all().delete()  # its message is used up

        sweep.sweep()
        sweep.sweep()

        assert OrmQ.objects.get().key == "mail"  # one, however often it sweeps
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        assert tasks.tell_failures() == 1
        assert not telling.untold().exists()

    def test_is_given_up_after_a_day(self) -> None:
        job = fail_as(None)
        OrmQ.objects.all().delete()
        long_ago = ledger.database_now() - 2 * telling.TRIED_FOR
        Job.objects.filter(pk=job.pk).update(finished_at=long_ago, run_at=long_ago)

        sweep.sweep()

        assert not OrmQ.objects.exists()


class TestTwoWhoTell:
    @pytest.mark.django_db(transaction=True)
    def test_do_so_one_after_the_other(
        self, in_background: InBackground, other: BaseDatabaseWrapper
    ) -> None:
        failed_publish()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [telling.TELLING_LOCK])
        waiting = in_background(tasks.tell_failures)
        wait_until_blocked()
        Job.objects.update(told_at=ledger.database_now())  # as the first does
        other.close()

        assert waiting.result(20) == 0
        assert not mail.outbox
