"""The everyday work of editors."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session

from content.models import Story, Tag
from scheduling import operations
from scheduling.models import Job, JobEvent, State, Status
from scheduling.models.clock import database_now
from scheduling.operations import pause as pausing
from tests.browser.conftest import NewPage
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory
from tests.process.worker import Worker

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("transactional_db")]

FORMAT = "%Y-%m-%dT%H:%M:%S"
# As a field is laid out in English: month, day, year; hour, minute, half of the day.
TYPED = "030121000930AM"


def save(page: "Page") -> None:
    page.click("button[name=_continue]")
    page.wait_for_selector("text=successfully")


def bring_nearer(story: Story) -> None:
    """Have a scheduled story go live in a moment, once the page that is to show it is there."""
    at = database_now() + timedelta(seconds=1)
    operations.schedule(item=story, run_at=at, by=None)


def choose(page: "Page", *titles: str) -> None:
    """Select rows of a list."""
    for title in titles:
        row = page.locator("#result_list tr", has_text=title)
        row.locator("input.action-select").check()


def run_action(page: "Page", name: str) -> None:
    page.select_option("select[name=action]", name)
    page.click("button[name=index]")


class TestAnEditor:
    def test_writes_a_story_and_watches_it_go_live(self, sign_in: NewPage, worker: Worker) -> None:
        page = sign_in()
        page.goto("/admin/content/story/add/")
        page.fill("#id_title", "첫눈이 온 아침")
        page.fill("#id_body", "눈이 **많이** 온다.")
        preview = page.frame_locator("iframe")
        assert preview.locator("strong").inner_text() == "많이"
        save(page)

        page.fill("#schedule_run_at", f"{FAR_OFF:{FORMAT}}")
        page.click("aside form[action$='/schedule/'] button[type=submit]")
        page.wait_for_selector("aside .armo-badge.armo-scheduled")
        loaded = page.evaluate("performance.timeOrigin")
        bring_nearer(Story.objects.get())
        page.wait_for_selector("aside .armo-badge.armo-published")

        assert page.evaluate("performance.timeOrigin") == loaded
        story = Story.objects.get()
        assert (story.title, story.status) == ("첫눈이 온 아침", Status.PUBLISHED)
        assert page.locator("aside").get_by_text("publish: succeeded").is_visible()

    def test_watches_the_list_while_a_story_goes_live(
        self, sign_in: NewPage, worker: Worker
    ) -> None:
        story = StoryFactory(title="예고한 글", scheduled=True)
        page = sign_in()

        page.goto("/admin/content/story/")
        page.wait_for_selector("#result_list .armo-badge.armo-scheduled")
        bring_nearer(story)

        page.wait_for_selector("#result_list .armo-badge.armo-published")
        assert page.locator("#result_list .field-published_at time").is_visible()

    def test_schedules_many_at_once(self, sign_in: NewPage) -> None:
        StoryFactory(title="가을 첫째 글")
        StoryFactory(title="가을 둘째 글")
        StoryFactory(title="이미 나간 글", published=True)
        page = sign_in()

        page.goto("/admin/content/story/")
        choose(page, "가을 첫째 글", "가을 둘째 글", "이미 나간 글")
        run_action(page, "schedule_selected")
        page.focus("#id_run_at")
        page.keyboard.type(TYPED)
        assert page.input_value("#id_run_at") == "2100-03-01T09:30"
        page.click("text=Show what would happen")
        page.wait_for_selector("#refused:has-text('Refused: 1')")
        page.wait_for_selector("#allowed:has-text('Will be done: 2')")
        page.click("button[name=confirmed]")
        page.wait_for_selector("text=2 done.")

        assert Job.objects.open().count() == 2

    def test_is_shown_what_another_has_changed_and_loses_nothing(self, sign_in: NewPage) -> None:
        story = StoryFactory(title="첫눈", body="눈이 온다.")
        first, second = sign_in("arum"), sign_in("bora")
        for page in (first, second):
            page.goto(f"/admin/content/story/{story.pk}/change/")
        first.fill("#id_body", "눈이 많이 온다.")
        save(first)

        second.fill("#id_body", "눈이 그쳤다.")
        second.click("button[name=_continue]")
        second.wait_for_selector("text=by arum")

        assert second.input_value("#id_body") == "눈이 그쳤다."
        assert second.input_value(".armo-theirs textarea") == "눈이 많이 온다."
        story.refresh_from_db()
        assert story.body == "눈이 많이 온다."
        save(second)
        story.refresh_from_db()
        assert story.body == "눈이 그쳤다."

    def test_is_asked_about_a_time_that_comes_twice(
        self, sign_in: NewPage, settings: object
    ) -> None:
        settings.TIME_ZONE = "America/New_York"  # type: ignore[attr-defined]
        story = StoryFactory()
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")

        page.fill("#schedule_run_at", "2100-11-07T01:30:00")
        page.check("input[name=run_at_which][value='1']")
        page.wait_for_selector("aside [data-armo-when]:has-text('2100-11-07 06:30:00 UTC')")
        assert not page.locator("aside .armo-error").count()
        page.click("aside form[action$='/schedule/'] button[type=submit]")
        page.wait_for_selector("aside .armo-badge.armo-scheduled")

        assert f"{Job.objects.get().run_at:{FORMAT}}" == "2100-11-07T06:30:00"

    def test_schedules_without_a_mouse(self, sign_in: NewPage) -> None:
        story = StoryFactory()
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")

        page.focus("#schedule_run_at")
        page.keyboard.type(TYPED)
        page.keyboard.press("Enter")
        page.wait_for_selector("aside .armo-badge.armo-scheduled")

        assert f"{Job.objects.get().run_at:{FORMAT}}" == "2100-03-01T09:30:00"

    def test_reaches_menu_and_filters_without_a_mouse(self, sign_in: NewPage, width: str) -> None:
        StoryFactory(title="초안", body="")
        page = sign_in()
        page.goto("/admin/content/story/")

        page.locator("#changelist [role=button]", has_text="Filters").press("Enter")
        page.locator("select[name=status]").wait_for()
        page.keyboard.press("Escape")
        if width == "telephone":
            return  # the menu is behind a button there
        page.locator("#nav-sidebar [role=button]", has_text="editor").press("Enter")
        page.get_by_role("link", name="Time zone and language").press("Enter")

        page.wait_for_url("**/admin/preferences/")

    def test_gets_past_the_menu_without_a_mouse(self, sign_in: NewPage) -> None:
        StoryFactory(title="초안", body="")
        page = sign_in()
        page.goto("/admin/content/story/")

        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")

        assert page.evaluate("document.activeElement.closest('#main') !== null")

    def test_looks_a_tag_up_to_filter_by_it(self, sign_in: NewPage) -> None:
        soon = Tag.objects.create(name="곧")
        StoryFactory(title="태그가 있는 글").tags.add(soon)
        StoryFactory(title="없는 글")
        page = sign_in()
        page.goto("/admin/content/story/")

        page.locator("#changelist [role=button]", has_text="Filters").click()
        page.locator("#id_tags + .select2-container").click()
        page.keyboard.type("곧")
        page.locator(".select2-results__option", has_text="곧").click()
        page.get_by_role("button", name="Apply filters").click()
        page.wait_for_url("**tags=*")

        assert page.locator("#result_list tbody tr").count() == 1
        assert page.locator("#result_list", has_text="태그가 있는 글").is_visible()

    def test_sees_in_an_open_page_that_nothing_goes_out(self, sign_in: NewPage) -> None:
        story = StoryFactory(due=True)
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        page.wait_for_selector("aside .armo-badge.armo-scheduled")

        pausing.pause(by=None, reason="추모 기간")

        page.wait_for_selector("aside .armo-health:has-text('추모 기간')")

    def test_sees_all_that_has_become_of_an_item_due_at_a_full_minute(
        self, sign_in: NewPage
    ) -> None:
        story = StoryFactory(due=True)
        Story.objects.update(publish_at=database_now().replace(second=0, microsecond=0))
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        page.wait_for_selector("aside .armo-badge.armo-scheduled")

        operations.publish_now(item=story, by=None)

        page.wait_for_selector("aside summary:has-text('Take down now')")
        assert page.locator("aside [data-armo-note]").is_hidden()

    def test_keeps_what_is_typed_beside_it_while_a_colleague_saves(self, sign_in: NewPage) -> None:
        story = StoryFactory(due=True)
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        page.click("aside summary:has-text('Move')")
        page.fill("#move_reason", "아침 판")
        page.focus("#id_body")

        story.summary = "다른 사람이 고친 요약"
        story.save()
        page.wait_for_selector("aside [data-armo-note]:not([hidden])")

        assert page.input_value("#move_reason") == "아침 판"

    def test_who_was_signed_out_learns_so_and_goes_on(self, sign_in: NewPage) -> None:
        story = StoryFactory(due=True)
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        page.fill("#id_body", "밤새 쓴 글")

        Session.objects.all().delete()
        page.wait_for_selector("[data-armo-trouble='signed-out']:not([hidden])")
        with page.context.expect_page() as opened:
            page.click("[data-armo-trouble='signed-out'] a")
        other = opened.value
        other.fill("input[name=username]", "editor")
        other.fill("input[name=password]", "editor")
        other.click("#login-form button[type=submit]")
        other.wait_for_url("**/admin/")
        page.wait_for_selector("[data-armo-trouble='signed-out']", state="hidden")
        save(page)

        story.refresh_from_db()
        assert story.body == "밤새 쓴 글"

    def test_chooses_a_time_zone(self, sign_in: NewPage) -> None:
        story = StoryFactory(scheduled=True)
        page = sign_in()

        page.goto("/admin/preferences/")
        page.select_option("select[name=time_zone]", "Asia/Seoul")
        page.select_option("select[name=language]", "ko")
        page.click(".armo-form button[type=submit]")
        page.goto(f"/admin/content/story/{story.pk}/change/")

        page.wait_for_selector("text=2100-10-31 10:00:00")
        assert page.locator("html").get_attribute("lang") == "ko"


class TestAnOperator:
    def test_runs_a_failed_job_again(
        self, sign_in: NewPage, request: pytest.FixtureRequest
    ) -> None:
        job = failed_publish(title="빠진 글")
        # Not before: it would be at the job as soon as that can go live.
        request.getfixturevalue("worker")
        page = sign_in("operator", "Operators")

        page.goto("/admin/scheduling/job/?state=failed")
        page.click("#result_list a:has-text('publish story')")
        page.click("summary:has-text('Run again')")
        page.click("form[action$='/rerun/'] button[type=submit]")
        page.wait_for_selector("text=The job runs again.")

        page.reload()
        page.wait_for_selector("aside :text('publish: succeeded')")
        job.refresh_from_db()
        assert job.state == State.SUCCEEDED
        assert JobEvent.objects.filter(job=job, what="rerun", by__username="operator").exists()

    def test_pauses_and_resumes(self, sign_in: NewPage) -> None:
        page = sign_in("operator", "Operators")
        page.goto("/admin/scheduling/job/")

        page.click("summary:has-text('Pause publishing')")
        page.fill("#pause_reason", "점검")
        page.click("form[action$='/pause/'] button[type=submit]")
        page.wait_for_selector("[data-armo-banner]:has-text('점검')")
        page.click("form[action$='/resume/'] button[type=submit]")

        page.wait_for_selector("text=Publishing goes on.")
        # No worker runs here, which the banner may say already.
        assert not page.locator("[data-armo-banner]:has-text('점검')").count()
