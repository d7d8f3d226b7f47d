"""Who is notified, in which language, that something has failed for good."""

from itertools import chain, repeat
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ

from armo.accounts.models import Preferences
from content.models import Story
from scheduling import operations, tasks
from scheduling.models import Job, JobEvent, State, clock
from scheduling.models.job import NOTIFIED_WITHIN
from scheduling.operations import NotPublishable
from scheduling.worker import failure_mail, job_runner, reconciler
from tests.api_clients import person
from tests.conftest import InBackground
from tests.database_rows import failed_end, failed_publish, last_event, row
from tests.factories import LONG_AGO, StoryFactory, UserFactory
from tests.scheduling.operations.test_concurrency import wait_until_blocked

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
        job_runner.run_alone(job.pk)
    job.refresh_from_db()
    return job


def leak(story: Story) -> None:
    raise ConnectionError("postgres://armo:hunter2@db/armo")


def to(address: str) -> list[Any]:
    """Return the mails to that address."""
    return [sent for sent in mail.outbox if sent.to == [address]]


class Unreachable(EmailBackend):
    """A mail server that cannot be reached."""

    tries: ClassVar[list[str]] = []

    def open(self) -> bool:
        self.tries.append("open")
        raise ConnectionRefusedError("no mail server here")


class Choosy(EmailBackend):
    """A mail server that hangs up on mail to some people."""

    tries: ClassVar[list[str]] = []

    def send_messages(self, messages: Any) -> int:
        [message] = messages
        self.tries.append(message.to[0])
        if message.to[0].startswith("no-"):
            raise ConnectionResetError("not to them")
        return int(super().send_messages(messages))


@pytest.fixture(autouse=True)
def _no_tries() -> None:
    Unreachable.tries.clear()
    Choosy.tries.clear()


class TestTheMail:
    def test_says_what_when_why_and_where_to_run_it_again(self, settings: Any) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        job = fail_as(UserFactory(email="kim@example.org"), title="추수 소식")

        assert tasks.tell_failures() == 2

        [sent] = to("desk@example.org")
        assert sent.subject == "Failed to publish: 추수 소식"
        assert f"추수 소식 (story:{job.object_id})" in sent.body
        assert job.run_at == LONG_AGO
        assert f"({LONG_AGO:%Y-%m-%dT%H:%M:%SZ})" in sent.body
        assert "KST" in sent.body
        assert "It cannot go live as it is. Its body is empty." in sent.body
        assert "scheduling.models.item.NotPublishable" in sent.body
        assert "Traceback (most recent call last)" in sent.body
        assert f"https://news.example.org/admin/scheduling/job/{job.pk}/change/\n" in sent.body
        assert f"manage.py rerun {job.pk}" in sent.body

    def test_goes_out_without_an_address_where_there_is_no_admin(self, settings: Any) -> None:
        settings.ROOT_URLCONF = "scheduling.urls"
        job = fail_as(UserFactory(email="kim@example.org"))

        assert tasks.tell_failures() == 2

        assert "http" not in to("kim@example.org")[0].body
        [sent] = to("desk@example.org")
        assert "http" not in sent.body
        assert f"run it again:\nmanage.py rerun {job.pk}" in sent.body

    def test_is_in_the_language_of_the_site(self, settings: Any) -> None:
        settings.LANGUAGE_CODE = "ko"
        fail_as(None, title="Harvest")

        tasks.tell_failures()

        assert mail.outbox[0].subject == "발행 실패: Harvest"

    def test_to_one_person_is_in_their_own_language_and_zone(self, settings: Any) -> None:
        settings.FAILURE_EMAILS = []
        kim = UserFactory(email="kim@example.org")
        Preferences.objects.create(user=kim, time_zone="Asia/Seoul", language="ko")
        fail_as(kim, title="Harvest")
        fail_as(UserFactory(email="lee@example.org"), title="Harvest")

        tasks.tell_failures()

        to_kim, to_lee = sorted(mail.outbox, key=lambda sent: sent.to)
        assert to_kim.subject == "발행 실패: Harvest"
        assert "2025-03-30 10:00:00 KST" in to_kim.body
        assert to_lee.subject == "Failed to publish: Harvest"
        assert "2025-03-30 01:00:00 UTC" in to_lee.body

    def test_to_operators_is_in_the_sites(self) -> None:
        kim = UserFactory(email="kim@example.org")
        Preferences.objects.create(user=kim, time_zone="Asia/Seoul", language="ko")
        fail_as(kim, title="Harvest")

        tasks.tell_failures()

        [sent] = to("desk@example.org")
        assert sent.subject == "Failed to publish: Harvest"
        assert "2025-03-30 01:00:00 UTC" in sent.body

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
            job_runner.run_alone(job.pk)

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


def staff(group: str) -> User:
    return person(group=group, email="kim@example.org", is_staff=True)


class TestTheMailToAnEditor:
    def mail_to(self, by: User, **fields: Any) -> str:
        """Return the text of the mail about a publish that they had scheduled."""
        fail_as(by, **fields)
        tasks.tell_failures()
        [sent] = to(by.email)
        return str(sent.body)

    def test_names_the_story_links_it_and_says_what_to_do(self) -> None:
        kim = staff("Editors")

        text = self.mail_to(kim, title="추수 소식")

        [story] = Story.objects.all()
        assert f"Story “추수 소식” (story:{story.pk})" in text
        assert "Why: It cannot go live as it is. Its body is empty." in text
        assert "fill in what is missing, and save. Then publish it" in text
        assert f"https://news.example.org/admin/content/story/{story.pk}/change/\n" in text

    def test_leads_to_no_page_where_they_may_do_nothing(self) -> None:
        kim = staff("Editors")

        text = self.mail_to(kim)

        assert "/admin/scheduling/job/" not in text
        assert "manage.py" not in text

    def test_leads_to_the_job_if_they_may_run_it_again(self) -> None:
        kim = staff("Operators")

        text = self.mail_to(kim)

        [job] = Job.objects.all()
        assert f"https://news.example.org/admin/scheduling/job/{job.pk}/change/\n" in text

    def test_sends_to_an_editor_who_may_not_mend_it_themselves(self) -> None:
        kim = staff("Authors")

        assert "Ask an editor to fill in what is missing" in self.mail_to(kim, author=kim)

    def test_leads_who_is_no_staff_to_no_page_of_the_admin(self) -> None:
        text = self.mail_to(person(group="Operators", email="kim@example.org"))

        assert "/admin/" not in text

    def test_says_so_if_it_is_live_by_now(self) -> None:
        kim = staff("Editors")
        job = fail_as(kim)
        Story.objects.update(body="mended")
        item = job.find_item()
        assert item is not None
        operations.publish_now(item=item, by=kim)

        tasks.tell_failures()

        [sent] = to("kim@example.org")
        assert "It is published by now." in sent.body

    def test_names_neither_classes_nor_tracebacks(self) -> None:
        text = self.mail_to(staff("Editors"))

        assert "NotPublishable" not in text
        assert "Traceback" not in text

    def test_hides_what_an_exception_says_that_nobody_expected(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.RETRY_DELAYS = []
        monkeypatch.setattr(Story, "before_publish", leak)
        kim = staff("Editors")
        StoryFactory(due=True)
        Job.objects.update(scheduled_by=kim)

        job_runner.run_everything_due()
        tasks.tell_failures()

        [theirs], [operators] = to("kim@example.org"), to("desk@example.org")
        assert "hunter2" in operators.body
        assert "hunter2" not in theirs.body
        assert "ConnectionError" not in theirs.body
        assert "operators have been notified" in theirs.body
        assert "Once the cause is mended" in theirs.body

    def test_is_in_their_language(self) -> None:
        kim = staff("Editors")
        Preferences.objects.create(user=kim, time_zone="Asia/Seoul", language="ko")

        text = self.mail_to(kim)

        assert "본문이 비어 있습니다." in text
        assert "빠진 내용을 채우고 저장하세요" in text
        assert "KST" in text

    def test_says_that_nothing_is_left_to_do_if_the_item_is_gone(self) -> None:
        kim = staff("Editors")
        fail_as(kim, title="추수 소식")
        Story.objects.all().delete()

        tasks.tell_failures()

        [sent] = to("kim@example.org")
        assert "“추수 소식”" in sent.body
        assert "nothing is left to do" in sent.body
        assert "http" not in sent.body

    def test_about_an_end_says_that_the_item_is_as_it_was(self) -> None:
        kim = staff("Editors")
        job = failed_end()
        Job.objects.filter(pk=job.pk).update(scheduled_by=kim)

        tasks.tell_failures()

        [sent] = to("kim@example.org")
        assert "It is as it was before. Do it by hand" in sent.body
        assert f"/admin/content/notice/{job.object_id}/change/" in sent.body


class TestTwoMailsAboutOneFailure:
    @pytest.fixture(autouse=True)
    def _choosy(self, settings: Any) -> None:
        settings.EMAIL_BACKEND = f"{__name__}.Choosy"

    @pytest.mark.parametrize(
        ("editor", "operators"),
        [("no-kim@example.org", "desk@example.org"), ("kim@example.org", "no-desk@example.org")],
    )
    def test_are_each_sent_once_though_the_other_fails(
        self, settings: Any, editor: str, operators: str
    ) -> None:
        settings.FAILURE_EMAILS = [operators]
        job = fail_as(UserFactory(email=editor))

        tasks.tell_failures()
        first = [sent.to for sent in mail.outbox]
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        not_yet = Job.objects.not_notified().exists()
        tasks.tell_failures()
        tasks.tell_failures()

        assert len(first) == 1
        assert not_yet
        assert sorted(sent.to for sent in mail.outbox) == sorted([[editor], [operators]])
        detail = last_event(job).detail or {}
        assert sorted(detail["told"]) == sorted([editor, operators])
        assert "mail_error" not in detail
        assert not Job.objects.not_notified().exists()


class TestThePeople:
    def test_are_each_notified_once(self) -> None:
        fail_as(UserFactory(email="desk@example.org"))

        tasks.tell_failures()

        assert mail.outbox[0].to == ["desk@example.org"]

    def test_are_one_however_their_address_is_written(self, settings: Any) -> None:
        settings.FAILURE_EMAILS = [" Desk@Example.org", "desk@example.org", ""]
        fail_as(UserFactory(email="desk@example.org"))

        tasks.tell_failures()

        assert mail.outbox[0].to == ["desk@example.org"]

    def test_hear_of_it_though_one_address_among_them_is_none(self) -> None:
        job = fail_as(UserFactory(email="kim@example.org\nBcc: everyone@example.org"))

        assert tasks.tell_failures() == 1

        assert [sent.to for sent in mail.outbox] == [["desk@example.org"]]
        detail = last_event(job).detail or {}
        assert detail["told"] == ["desk@example.org"]
        assert "Header values" in detail["mail_error"]
        assert not Job.objects.not_notified().exists()

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

    @pytest.mark.slow
    def test_get_one_mail_about_many_failures_instead_of_a_flood(self) -> None:
        jobs = [failed_publish() for _ in range(12)]

        assert tasks.tell_failures() == 1

        [sent] = mail.outbox
        assert sent.subject.startswith("12 jobs have failed")
        assert all(f"manage.py rerun {job.pk}\n" in sent.body for job in jobs)
        assert not Job.objects.not_notified().exists()


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
        assert detail["error"] == "scheduling.models.item.NotPublishable"

    def test_is_tried_again_by_the_sweep(self, settings: Any) -> None:
        fail_as(None)
        tasks.tell_failures()
        OrmQ.objects.all().delete()  # its message is used up

        reconciler.sweep()
        reconciler.sweep()

        assert OrmQ.objects.get().key == "mail"  # one, however often it sweeps
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        assert tasks.tell_failures() == 1
        assert not Job.objects.not_notified().exists()

    def test_has_an_unreachable_server_waited_for_once(self) -> None:
        for name in ("kim", "lee", "park"):
            fail_as(UserFactory(email=f"{name}@example.org"))

        tasks.tell_failures()

        assert Unreachable.tries == ["open"]
        reasons = JobEvent.objects.filter(what="failed").values_list("detail__mail_error")
        assert [reason for (reason,) in reasons] == [
            "ConnectionRefusedError: no mail server here"
        ] * 3

    def test_by_smtp_is_noted_as_well(self, settings: Any) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
        job = fail_as(None)

        assert tasks.tell_failures() == 0

        assert (last_event(job).detail or {})["mail_error"].startswith("ConnectionRefusedError")

    def test_is_not_tried_after_a_day(self) -> None:
        job = fail_as(None)
        OrmQ.objects.all().delete()
        long_ago = clock.database_now() - 2 * NOTIFIED_WITHIN
        Job.objects.filter(pk=job.pk).update(finished_at=long_ago, run_at=long_ago)

        reconciler.sweep()

        assert not OrmQ.objects.exists()


class TestAMailThatHangs:
    @pytest.fixture(autouse=True)
    def _choosy(self, settings: Any) -> None:
        settings.EMAIL_BACKEND = f"{__name__}.Choosy"
        settings.FAILURE_EMAILS = []

    def test_stops_no_other(self) -> None:
        fail_as(UserFactory(email="no-one@example.org"))
        fail_as(UserFactory(email="kim@example.org"))

        assert tasks.tell_failures() == 1

        assert [sent.to for sent in mail.outbox] == [["kim@example.org"]]
        assert Job.objects.not_notified().count() == 1

    def test_comes_after_the_others_the_next_time(self) -> None:
        fail_as(UserFactory(email="no-one@example.org"))
        tasks.tell_failures()
        fail_as(UserFactory(email="kim@example.org"))

        tasks.tell_failures()

        assert Choosy.tries[1:] == ["kim@example.org", "no-one@example.org"]

    def test_leaves_what_there_is_no_time_for_to_the_next_message(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("kim", "lee"):
            fail_as(UserFactory(email=f"{name}@example.org"))
        OrmQ.objects.all().delete()  # the messages of the failures are used up
        clock = chain([0.0, 0.0], repeat(failure_mail.SENDING_SECONDS + 1))
        monkeypatch.setattr(failure_mail, "monotonic", lambda: next(clock))

        assert tasks.tell_failures() == 1

        assert Job.objects.not_notified().count() == 1
        assert OrmQ.objects.get().key == "mail"


class TestTwoWhoNotify:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("has_sessions", [True, False])
    def test_do_so_one_after_the_other(
        self,
        in_background: InBackground,
        other: BaseDatabaseWrapper,
        settings: Any,
        has_sessions: bool,
    ) -> None:
        settings.QUEUE_LISTEN = has_sessions  # a proxy that pools transactions leaves none
        failed_publish()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [failure_mail.MAIL_LOCK])
        waiting = in_background(tasks.tell_failures)
        wait_until_blocked()
        Job.objects.update(told_at=clock.database_now())  # as the first does
        other.close()

        assert waiting.result(20) == 0
        assert not mail.outbox
