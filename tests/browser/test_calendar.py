"""The calendar: moved by drag, by keys and by its dialog; and taken back."""

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from scheduling import operations
from scheduling.ledger import database_now
from scheduling.models import Job
from tests.browser.conftest import NewPage
from tests.factories import StoryFactory

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
        page.click("#planner-undo")
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
        page.fill("#planner-to", f"{to:%Y-%m-%dT%H:%M}")
        page.locator("#planner-to").press("Enter")
        day(page, job, 1).locator(f"[data-job='{job.pk}']").wait_for()

        assert now_at(job) + timedelta(seconds=job.run_at.second) > timedelta(days=1, hours=1)

    def test_opens_its_item(self, sign_in: NewPage, job: Job) -> None:
        page = sign_in()

        open_week(page, job).locator("a").press("Enter")

        page.wait_for_url(f"**/story/{job.object_id}/change/")
