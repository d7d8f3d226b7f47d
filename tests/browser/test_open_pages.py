"""Pages that stay open: what they say of the publisher, and what becomes of what they show."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session

from scheduling import operations
from scheduling.admin import live
from scheduling.models import Job
from scheduling.models.clock import database_now
from scheduling.operations import pause as pausing
from scheduling.worker import job_runner
from tests.browser.conftest import NewPage
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory
from tests.process.worker import Worker

try:
    from playwright.sync_api import expect
except ImportError:  # these tests are left out then
    expect = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("transactional_db")]

# A page asks every five seconds; the machine of the tests is slow.
SOON = 10_000
NO_WORKER = "[data-armo-banner]:has-text('no worker is connected')"


@pytest.fixture
def job(transactional_db: None) -> Job:
    """Return a job at noon of a Wednesday to come, so that both its sides are in its week."""
    now = database_now()
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    at = noon + timedelta(days=9 - now.weekday())
    return operations.schedule(item=StoryFactory(title="수요일의 글"), run_at=at, by=None)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pages ask for news each second."""
    monkeypatch.setattr(live, "LIVE_SECONDS", 1.0)


def day_page(job: Job, view: str = "day") -> str:
    return f"/admin/calendar/?view={view}&date={job.run_at:%Y-%m-%d}"


def until_asked(page: "Page", times: int = 1) -> None:
    """Return when the page has asked for news so often."""
    for _ in range(times):
        with page.expect_response("**/admin/live/", timeout=SOON):
            pass


@contextmanager
def hidden(page: "Page") -> Iterator[None]:
    """Have the page believe that nobody sees it, until the block ends."""
    turn = """(isHidden) => {
        Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(turn, True)
    yield
    page.evaluate(turn, False)


class TestEveryPage:
    def test_says_within_seconds_that_the_worker_is_gone(
        self, sign_in: NewPage, job: Job, worker: Worker
    ) -> None:
        first = sign_in()
        pages = [first, *(first.context.new_page() for _ in range(5))]
        addresses = [
            *("/admin/", "/admin/calendar/?view=month", "/admin/content/story/"),
            *("/admin/scheduling/job/", f"/admin/scheduling/job/{job.pk}/change/"),
            f"/admin/content/story/{job.object_id}/change/",
        ]
        for page, address in zip(pages, addresses, strict=True):
            page.goto(address)
        first.wait_for_selector(".armo-health.armo-well")
        until_asked(first)
        assert not first.locator("[data-armo-banner] > *").count()

        worker.kill()

        for page in pages:
            page.wait_for_selector(NO_WORKER, timeout=SOON)
        first.wait_for_selector(".armo-health.armo-ill", timeout=SOON)

    def test_says_so_in_korean_and_that_publishing_is_paused(self, sign_in: NewPage) -> None:
        page = sign_in(language="ko-KR")
        page.wait_for_selector("[data-armo-banner]:has-text('연결된 작업자가 없습니다')")
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("[data-armo-banner]")).to_be_in_viewport()

        pausing.pause(by=None, reason="추모 기간")

        page.wait_for_selector("[data-armo-banner]:has-text('추모 기간')", timeout=SOON)
        assert page.locator("[data-armo-banner]").get_attribute("aria-live") == "polite"

    def test_says_that_the_database_does_not_answer_and_that_it_does_again(
        self, sign_in: NewPage, job: Job, often: None
    ) -> None:
        page = sign_in()
        page.goto(day_page(job))
        page.route("**/admin/live/", lambda route: route.abort())

        page.wait_for_selector("[data-armo-trouble='no-answer']:not([hidden])", timeout=SOON)
        page.unroute("**/admin/live/")

        page.wait_for_selector("[data-armo-trouble='no-answer']", state="hidden", timeout=SOON)

    def test_says_no_longer_that_all_is_well_when_nothing_answers(
        self, sign_in: NewPage, often: None, worker: Worker
    ) -> None:
        page = sign_in()
        page.goto("/admin/")
        page.wait_for_selector(".armo-health.armo-well")

        page.route("**/admin/live/", lambda route: route.abort())

        page.wait_for_selector("[data-armo-trouble='no-answer']:not([hidden])", timeout=SOON)
        expect(page.locator(".armo-health.armo-well")).to_be_hidden()

    def test_says_that_its_reader_is_signed_out(
        self, sign_in: NewPage, job: Job, often: None
    ) -> None:
        page = sign_in()
        page.goto(day_page(job))

        Session.objects.all().delete()

        page.wait_for_selector("[data-armo-trouble='signed-out']:not([hidden])", timeout=SOON)

    def test_asks_nothing_while_nobody_sees_it_and_at_once_when_somebody_does(
        self, sign_in: NewPage, often: None
    ) -> None:
        page = sign_in()
        until_asked(page)
        page.wait_for_load_state("networkidle")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))

        with hidden(page):
            page.wait_for_timeout(3_000)
            while_hidden = len(asked)
            StoryFactory(scheduled=True, title="그 사이의 글")
        page.wait_for_selector("[data-armo-part=coming]:has-text('그 사이의 글')", timeout=2_000)

        assert while_hidden == 0


@pytest.mark.usefixtures("often")
class TestToday:
    def test_follows_what_is_scheduled_and_what_fails(self, sign_in: NewPage) -> None:
        page = sign_in()
        page.wait_for_selector("[data-armo-part=coming]:has-text('Nothing is scheduled.')")

        StoryFactory(scheduled=True, title="나중의 글")
        failed_publish(title="빠진 글")

        page.wait_for_selector("[data-armo-part=coming]:has-text('나중의 글')", timeout=SOON)
        page.wait_for_selector("[data-armo-part=failures]:has-text('빠진 글')", timeout=SOON)

    def test_leaves_the_focus_where_it_is(self, sign_in: NewPage) -> None:
        StoryFactory(scheduled=True, title="먼저 있던 글")
        page = sign_in()
        page.locator("[data-armo-part=coming] a", has_text="먼저 있던 글").focus()

        StoryFactory(scheduled=True, title="새로 온 글")
        page.wait_for_selector("[data-armo-part=coming]:has-text('새로 온 글')", timeout=SOON)

        assert page.evaluate("document.activeElement.textContent") == "먼저 있던 글"


@pytest.mark.usefixtures("often")
class TestTheCalendar:
    def test_follows_what_others_move(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        page.goto(day_page(job, "month"))
        page.wait_for_selector(f"[data-job='{job.pk}'] time:has-text('12:00')")

        later = job.run_at + timedelta(hours=1, minutes=17)
        operations.move(job=job, run_at=later, by=None)

        page.wait_for_selector(f"[data-job='{job.pk}'] time:has-text('13:17')", timeout=SOON)

    def test_shows_that_something_is_live_or_has_failed(self, sign_in: NewPage) -> None:
        job = Job.objects.of(StoryFactory(due=True)).get()
        page = sign_in()
        page.goto(day_page(job))
        page.wait_for_selector(f"[data-job='{job.pk}'].calendar-waiting")

        broken = failed_publish()  # and what else is due

        page.wait_for_selector(f"[data-job='{job.pk}'].calendar-succeeded", timeout=SOON)
        page.wait_for_selector(f"[data-job='{broken.pk}'].calendar-failed", timeout=SOON)

    def test_waits_while_a_dialog_is_open_and_then_shows_it(
        self, sign_in: NewPage, job: Job
    ) -> None:
        page = sign_in()
        page.goto(day_page(job))
        page.locator(".calendar-move").click()
        page.fill("#calendar-to", "2100-03-01T09:30")

        operations.move(job=job, run_at=job.run_at + timedelta(minutes=17), by=None)
        until_asked(page, 2)
        still = page.locator(f"[data-job='{job.pk}'] time").inner_text()
        typed = page.input_value("#calendar-to")
        page.click("#calendar-cancel")

        assert (still, typed) == ("12:00", "2100-03-01T09:30")
        page.wait_for_selector(f"[data-job='{job.pk}'] time:has-text('12:17')", timeout=2_000)

    def test_waits_while_an_entry_is_dragged(self, sign_in: NewPage, job: Job) -> None:
        other = operations.schedule(item=StoryFactory(), run_at=job.run_at, by=None)
        page = sign_in()
        page.goto(day_page(job, "week"))
        page.wait_for_selector(NO_WORKER)  # which moves what is below it
        target = page.locator(f"[data-day='{job.run_at + timedelta(days=1):%Y-%m-%d}']")
        page.locator(f"[data-job='{job.pk}'] a").hover()
        page.mouse.down()
        target.hover()

        operations.move(job=other, run_at=job.run_at + timedelta(minutes=17), by=None)
        until_asked(page, 2)
        still = page.locator(f"[data-job='{other.pk}'] time").inner_text()
        target.hover()
        target.hover()
        page.mouse.up()

        assert still == "12:00"
        target.locator(f"[data-job='{job.pk}']").wait_for()
        page.wait_for_selector(f"[data-job='{other.pk}'] time:has-text('12:17')", timeout=SOON)

    def test_leaves_focus_and_scroll_where_they_are(self, sign_in: NewPage, job: Job) -> None:
        jobs = [
            operations.schedule(item=StoryFactory(), run_at=job.run_at, by=None) for _ in range(40)
        ]
        page = sign_in()
        page.goto(day_page(job))
        page.locator(f"[data-job='{jobs[-1].pk}'] a").focus()
        page.evaluate("document.activeElement.scrollIntoView()")
        top = "document.activeElement.getBoundingClientRect().top"
        before = page.evaluate(top)

        operations.move(job=jobs[0], run_at=job.run_at + timedelta(minutes=17), by=None)
        page.wait_for_selector(f"[data-job='{jobs[0].pk}'] time:has-text('12:17')", timeout=SOON)

        focused = page.evaluate("document.activeElement.closest('[data-job]').dataset.job")
        assert focused == str(jobs[-1].pk)
        assert abs(page.evaluate(top) - before) < 120  # one entry, which has gone below it

    def test_does_not_go_back_behind_its_own_move(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        page.goto(day_page(job))
        page.locator(f"[data-job='{job.pk}'] a").focus()

        page.keyboard.press("Alt+ArrowDown")
        page.wait_for_selector(f"[data-job='{job.pk}'] time:has-text('12:15')")
        until_asked(page, 2)

        assert page.locator(f"[data-job='{job.pk}'] time").inner_text() == "12:15"
        assert page.locator("#calendar-undo").is_visible()


@pytest.mark.usefixtures("often")
class TestAList:
    def test_rows_follow_what_others_do(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        page.goto("/admin/content/story/")
        page.locator("input.action-select").check()

        operations.move(job=job, run_at=FAR_OFF, by=None)

        page.wait_for_selector(".field-goes_live:has-text('2100-10-31')", timeout=SOON)
        assert page.locator("input.action-select").is_checked()

    def test_jobs_follow_what_becomes_of_them(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        page.goto("/admin/scheduling/job/?state=waiting")
        page.wait_for_selector("#result_list .armo-waiting")

        operations.cancel(job=job, by=None)

        page.wait_for_selector("#result_list .armo-cancelled", timeout=SOON)


@pytest.mark.usefixtures("often")
class TestThePageOfAJob:
    def test_follows_it(self, sign_in: NewPage) -> None:
        job = Job.objects.of(StoryFactory(due=True)).get()
        page = sign_in()
        page.goto(f"/admin/scheduling/job/{job.pk}/change/")
        page.wait_for_selector("aside summary:has-text('Cancel')")

        job_runner.run_everything_due()

        page.wait_for_selector("[data-armo-part=job] .armo-succeeded", timeout=SOON)
        page.wait_for_selector("[data-armo-part=history]:has-text('succeeded')")
        assert not page.locator("aside summary").count()
