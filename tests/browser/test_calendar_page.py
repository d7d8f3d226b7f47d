"""The calendar: moved by drag, by keys and by its dialog; and taken back."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from scheduling import operations
from scheduling.models import Job, JobEvent
from scheduling.models.clock import database_now
from tests.browser.conftest import NewPage
from tests.factories import StoryFactory

try:
    from playwright.sync_api import expect
except ImportError:  # these tests are left out then
    expect = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.django_db(transaction=True)

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture
def job(transactional_db: None) -> Job:
    """Return a job in the middle of a week that is to come, so that both its sides are there."""
    to_wednesday = 9 - database_now().astimezone(SEOUL).weekday()
    at = database_now().replace(hour=3, minute=30, second=0) + timedelta(days=to_wednesday)
    return operations.schedule(item=StoryFactory(title="수요일의 글"), run_at=at, by=None)


def open_week(page: "Page", job: Job) -> "Locator":
    """Open the week of a job; return its entry."""
    page.goto(f"/admin/calendar/?view=week&date={job.run_at:%Y-%m-%d}")
    entry = page.locator(f"[data-job='{job.pk}']")
    entry.wait_for()
    # No worker runs here. The first page hears so a moment later, and its banner moves it down.
    page.locator("[data-armo-banner] .armo-banner").wait_for()
    return entry


def day(page: "Page", job: Job, days: int) -> "Locator":
    at = job.run_at + timedelta(days=days)
    return page.locator(f"[data-day='{at:%Y-%m-%d}']")


def now_at(job: Job) -> timedelta:
    """Return by how much the job has moved."""
    return Job.objects.get(pk=job.pk).run_at - job.run_at


class TestAnEntry:
    def test_is_dragged_to_another_day_and_taken_back(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        entry = open_week(page, job)

        entry.drag_to(day(page, job, 1))
        day(page, job, 1).locator(f"[data-job='{job.pk}']").wait_for()
        moved = now_at(job)
        page.click("#calendar-undo")
        day(page, job, 0).locator(f"[data-job='{job.pk}']").wait_for()

        assert moved == timedelta(days=1)
        assert now_at(job) == timedelta(0)

    def test_is_moved_by_keys_and_taken_back(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        open_week(page, job).locator("a").focus()

        page.keyboard.press("Alt+ArrowRight")
        day(page, job, 1).locator(f"[data-job='{job.pk}']").wait_for()
        moved = now_at(job)
        page.keyboard.press("Control+z")
        day(page, job, 0).locator(f"[data-job='{job.pk}']").wait_for()

        assert moved == timedelta(days=1)
        assert now_at(job) == timedelta(0)

    def test_is_moved_by_its_dialog(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        entry = open_week(page, job)
        to = job.run_at + timedelta(days=1, hours=2)

        entry.locator("button").focus()
        page.keyboard.press("Enter")
        page.fill("#calendar-to", f"{to:%Y-%m-%dT%H:%M}")
        page.locator("#calendar-to").press("Enter")
        day(page, job, 1).locator(f"[data-job='{job.pk}']").wait_for()

        assert now_at(job) + timedelta(seconds=job.run_at.second) > timedelta(days=1, hours=1)

    def test_is_moved_to_a_time_that_is_typed_straight_through(
        self, sign_in: NewPage, job: Job
    ) -> None:
        page = sign_in()
        open_week(page, job).locator(".calendar-move").click()

        page.focus("#calendar-to")
        page.keyboard.type("030121000930AM")
        page.keyboard.press("Enter")
        page.wait_for_selector("#calendar-undo")

        moved = Job.objects.get(pk=job.pk).run_at
        assert f"{moved:%Y-%m-%dT%H:%M}" == "2100-03-01T09:30"

    def test_opens_its_item(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()

        open_week(page, job).locator("a").press("Enter")

        page.wait_for_url(f"**/story/{job.object_id}/change/")

    def test_loses_its_seconds_in_the_dialog(self, sign_in: NewPage, job: Job) -> None:
        item = job.find_item()
        assert item is not None
        with_seconds = job.run_at.replace(second=30, microsecond=0)
        operations.schedule(item=item, run_at=with_seconds, by=None)
        page = sign_in()
        open_week(page, job).locator(".calendar-move").click()

        page.fill("#calendar-to", page.input_value("#calendar-to")[:16])
        page.click("#calendar-dialog button[type=submit]")
        page.wait_for_selector("#calendar-undo")

        assert Job.objects.get(pk=job.pk).run_at == with_seconds.replace(second=0)

    def test_is_one_move_however_long_a_key_is_held(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()
        open_week(page, job).locator("a").focus()

        page.keyboard.down("Alt")
        for _ in range(9):  # the second and all that follow are repeats
            page.keyboard.down("ArrowDown")
        page.keyboard.up("ArrowDown")
        page.keyboard.up("Alt")
        expect(page.locator(f"[data-job='{job.pk}']")).to_have_attribute(
            "data-run-at", re.compile(f"{job.run_at + timedelta(minutes=135):%Y-%m-%dT%H:%M}")
        )

        assert now_at(job) == timedelta(minutes=135)
        assert job.events.filter(what=JobEvent.What.MOVED).count() == 2

    def test_onto_a_time_that_comes_twice_is_asked_about(
        self, sign_in: NewPage, settings: object, transactional_db: None
    ) -> None:
        settings.TIME_ZONE = "America/New_York"  # type: ignore[attr-defined]
        at = datetime(2100, 11, 6, 5, 30, tzinfo=UTC)
        job = operations.schedule(item=StoryFactory(), run_at=at, by=None)
        page = sign_in()
        open_week(page, job).locator("a").focus()

        page.keyboard.press("Alt+ArrowRight")
        page.check("#calendar-which input[value='1']")
        page.click("#calendar-dialog button[type=submit]")
        page.wait_for_selector("#calendar-dialog", state="hidden")

        assert Job.objects.get().run_at == datetime(2100, 11, 7, 6, 30, tzinfo=UTC)

    def test_makes_room_in_a_crowded_month(self, sign_in: NewPage, job: Job) -> None:
        at = job.run_at.replace(hour=4, minute=0)
        jobs = [
            operations.schedule(item=StoryFactory(), run_at=at + timedelta(minutes=n), by=None)
            for n in range(10)
        ]
        page = sign_in()
        page.goto(f"/admin/calendar/?view=month&date={job.run_at:%Y-%m-%d}")
        page.locator(f"[data-job='{job.pk}'] a").focus()

        page.keyboard.press("Alt+ArrowRight")
        page.locator(f"[data-job='{jobs[7].pk}']").wait_for()

        expect(day(page, job, 0).locator(".calendar-more")).to_contain_text("2")
