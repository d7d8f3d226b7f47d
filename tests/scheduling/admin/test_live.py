"""What every open page of the admin asks for again and again."""

from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from content.models import Story
from scheduling import operations
from scheduling.admin import banner as of_every_page
from scheduling.models import Job
from scheduling.operations import pause as pausing
from scheduling.queries import health
from tests.admin_pages import list_of
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, LONG_AGO, StoryFactory

pytestmark = pytest.mark.django_db


def live(client: Client, **headers: str) -> Any:
    return client.get(reverse("admin-live"), headers=headers).json()


def well(**other: Any) -> health.Publisher:
    return health.Publisher(3, 1.0, None)._replace(**other)


class TestAnOpenPage:
    def test_hears_that_no_worker_runs(self, editor: Client) -> None:
        assert "no worker is connected" in live(editor)["banner"]

    def test_hears_it_in_korean(self, editor: Client) -> None:
        assert "연결된 작업자가 없습니다" in live(editor, accept_language="ko")["banner"]

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            (well(), ""),
            (well(seconds_since_beat=45.0), "no worker has finished anything since"),
            (well(stuck_seconds=90.0), "has been taken up by no worker"),
        ],
    )
    def test_hears_what_is_wrong(
        self, editor: Client, state: health.Publisher, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "publisher", lambda: state)

        banner = live(editor)["banner"]

        assert said in banner
        assert bool(said) == bool(banner)

    def test_hears_the_same_for_as_long_as_it_is_so(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        banners = []
        for seconds in (90.0, 95.0):
            now = LONG_AGO.replace(second=int(seconds) - 80)
            state = well(stuck_seconds=seconds, now=now)
            monkeypatch.setattr(health, "publisher", lambda state=state: state)
            banners.append(live(editor)["banner"])

        # A screen reader reads whatever changes.
        assert banners[0] == banners[1]

    def test_hears_of_a_pause_and_not_twice(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pause = pausing.pause(by=None, reason="추모 기간")
        state = well(stuck_seconds=90.0, paused=pause)
        monkeypatch.setattr(health, "publisher", lambda: state)

        banner = live(editor)["banner"]

        assert "추모 기간" in banner
        assert "no worker" not in banner

    @pytest.mark.parametrize("language", ["en", "ko"])
    def test_has_the_next_one_show_at_once_what_it_heard(
        self, editor: Client, author: Client, language: str
    ) -> None:
        known = live(editor, accept_language=language)["banner"]

        page = author.get(reverse("admin:index"), headers={"accept-language": language})

        assert "armo-banner" in known
        assert known in page.content.decode()

    def test_has_no_other_show_what_it_heard_before_it_was_mended(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def is_shown() -> bool:
            return "no worker is connected" in editor.get(list_of(Story)).content.decode()

        before = is_shown()
        live(editor)
        after = is_shown()
        monkeypatch.setattr(health, "publisher", well)
        live(editor)

        assert (before, after, is_shown()) == (False, True, False)

    def test_shows_faults_in_its_first_answer_if_no_other_has_lately_heard(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(of_every_page, "KNOWN_SECONDS", 0)

        page = editor.get(list_of(Story)).content.decode()

        assert live(editor)["banner"] in page
        assert "no worker is connected" in page

    def test_is_shown_where_the_publisher_cannot_be_asked(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def locked() -> health.Publisher:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 1")
                cursor.execute("SELECT pg_sleep(5)")
            raise AssertionError("It has waited.")

        monkeypatch.setattr(of_every_page, "KNOWN_SECONDS", 0)
        monkeypatch.setattr(health, "publisher", transaction.atomic(locked))

        assert editor.get(list_of(Story)).status_code == 200

    def test_hears_of_news_when_a_job_has_changed_and_only_then(self, editor: Client) -> None:
        story = StoryFactory()
        before = live(editor)["news"]
        again = live(editor)["news"]

        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert before == again != live(editor)["news"]

    def test_hears_of_a_change_that_was_committed_after_a_later_one(self, editor: Client) -> None:
        earlier = Job.objects.of(StoryFactory(scheduled=True)).get().events.get()
        StoryFactory(scheduled=True)
        number = earlier.pk
        earlier.delete()  # as others see it until it is committed
        before = live(editor)["news"]

        earlier.pk = number
        earlier.save(force_insert=True)

        assert live(editor)["news"] != before

    def test_begins_with_the_news_that_it_shows(self, editor: Client) -> None:
        StoryFactory(scheduled=True)

        page = editor.get(list_of(Story)).content.decode()

        assert f'data-armo-news="{live(editor)["news"]}"' in page

    def test_hears_that_the_database_does_not_answer(
        self, editor: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> health.Publisher:
            raise OperationalError

        monkeypatch.setattr(health, "publisher", away)

        assert editor.get(reverse("admin-live")).status_code == 503

    def test_is_sent_to_the_login_once_its_reader_is_signed_out(self, client: Client) -> None:
        answer = client.get(reverse("admin-live"))

        assert answer.status_code == 302
        assert "/login/" in answer.headers["Location"]

    def test_asks_little_of_the_database(self, editor: Client) -> None:
        StoryFactory.create_batch(5, due=True)
        live(editor)

        with CaptureQueriesContext(connection) as queries:
            live(editor)

        assert len(queries) <= 16


class TestAnOpenListOfJobs:
    def live(self, client: Client, *jobs: Job) -> Any:
        ids = ",".join(str(job.pk) for job in jobs)
        return client.get(reverse("admin:scheduling_job_live"), {"ids": ids})

    def test_hears_what_has_become_of_them(self, operator: Client) -> None:
        failed, waiting = failed_publish(), Job.objects.of(StoryFactory(scheduled=True)).get()

        rows = self.live(operator, failed, waiting).json()["rows"]

        assert "armo-failed" in rows[str(failed.pk)]["state_badge"]
        assert "body is empty" in rows[str(failed.pk)]["last_error"]
        assert "2100-10-31" in rows[str(waiting.pk)]["run_at"]
        assert rows[str(waiting.pk)]["attempts"] == "0"

    def test_asks_sooner_when_one_is_due(self, operator: Client) -> None:
        due = Job.objects.of(StoryFactory(due=True)).get()
        waiting = Job.objects.of(StoryFactory(scheduled=True)).get()
        Job.objects.filter(pk=due.pk).update(next_attempt_at=due.created_at)

        assert self.live(operator, waiting).json()["again"] == 10
        assert self.live(operator, due, waiting).json()["again"] == 1

    def test_is_closed_to_who_may_not_see_jobs(self, author: Client) -> None:
        assert self.live(author).status_code == 403
