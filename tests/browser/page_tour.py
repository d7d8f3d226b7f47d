"""Every page that a person meets, and what it shows."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import reverse

from content.models import Category, Notice, Story, Tag
from scheduling import operations
from scheduling.access.preview_links import make_preview_token
from scheduling.models import Job, State
from scheduling.models.clock import database_now
from tests.database_rows import failed_publish
from tests.factories import NoticeFactory, StoryFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = {
    "today": "/admin/",
    "month": "/admin/calendar/?view=month",
    "week": "/admin/calendar/?view=week",
    "day": "/admin/calendar/?view=day",
    "stories": "/admin/content/story/",
    "story": "/admin/content/story/{story}/change/",
    "new-story": "/admin/content/story/add/",
    "story-history": "/admin/content/story/{story}/history/",
    "delete-story": "/admin/content/story/{story}/delete/",
    "notices": "/admin/content/notice/",
    "notice": "/admin/content/notice/{notice}/change/",
    "jobs": "/admin/scheduling/job/",
    "job": "/admin/scheduling/job/{job}/change/",
    "failed": "/admin/content/story/?due=failed",
    "preferences": "/admin/preferences/",
    "password": "/admin/password_change/",
    "categories": "/admin/content/category/",
    "category": "/admin/content/category/{category}/change/",
    "tags": "/admin/content/tag/",
    "users": "/admin/auth/user/",
    "user": "/admin/auth/user/{user}/change/",
    "groups": "/admin/auth/group/",
    "access": "/admin/knox/authtoken/",
    "keys": "/admin/api/apikey/",
    "new-key": "/admin/api/apikey/add/",
    # Without a login:
    "front": "/",
    "read": "/stories/{slug}/",
    "preview": "{preview}",
}


def addresses() -> dict[str, str]:
    """Return the address of each page, of what there is."""
    story = Story.objects.get(title="첫서리가 내리기 전에 할 일")
    chief = get_user_model()._default_manager.get(username="chief")
    kept = {
        "story": story.pk,
        "job": Job.objects.filter(state=State.FAILED).earliest("pk").pk,
        "notice": Notice.objects.earliest("pk").pk,
        "category": Category.objects.earliest("pk").pk,
        "user": chief.pk,
        "slug": Story.objects.get(title="How we pick the first apples").slug,
        "preview": reverse("preview", args=[make_preview_token(story, by=chief)]),
    }
    return {name: path.format(**kept) for name, path in PAGES.items()}


def walk(page: "Page", *, has_worker: bool = False) -> Iterator[str]:
    """Go to each page in turn, as the chief editor; the last ones after having signed out."""
    at = addresses()
    for name, address in at.items():
        page.goto(address)
        yield name

    page.goto(at["stories"])
    # A page that is the first to hear that no worker runs is moved by its banner.
    if not has_worker:
        page.locator("[data-armo-banner] .armo-banner").wait_for()
    for box in page.locator("#result_list input.action-select").all():
        box.check()
    page.select_option("select[name=action]", "schedule_selected")
    page.click("button[name=index]")
    page.fill("#id_run_at", "2100-03-01T09:30")
    page.click("form:has(#id_run_at) button[type=submit]")
    page.wait_for_selector("#allowed")
    yield "bulk"

    page.goto(at["story"])
    page.click("aside details:has(form[action$='/move/']) summary")
    page.fill("#move_unpublish_at", "2001-01-01T00:00:00")
    page.click("aside form[action$='/move/'] button[type=submit]")
    page.wait_for_url("**/move/")
    yield "refused"

    page.evaluate("document.getElementById('logout-form').submit()")
    page.wait_for_url("**/logout/")
    yield "signed-out"
    page.goto("/admin/login/")
    yield "sign-in"

    failures = settings.AXES_FAILURE_LIMIT
    AccessAttempt.objects.create(
        username="nobody", ip_address="127.0.0.1", failures_since_start=failures
    )
    page.fill("input[name=username]", "nobody")
    page.fill("input[name=password]", "wrong")
    page.click("#login-form button[type=submit]")
    page.wait_for_selector("[role=alert]")
    yield "locked"


def furnish() -> None:
    """Make one row of each kind that the pages show."""
    writer = get_user_model()._default_manager.create(
        username="haru", first_name="하루", last_name="이"
    )
    garden, news = Category.objects.create(name="정원"), Category.objects.create(name="News")
    soon = Tag.objects.create(name="soon")
    now = database_now()
    planned = StoryFactory(
        title="첫서리가 내리기 전에 할 일", author=writer, body="물을 **잠근다**."
    )
    planned.categories.set([garden])
    planned.tags.set([soon])
    operations.schedule(
        item=planned, run_at=now + timedelta(hours=3, minutes=12), by=writer, reason="아침 판"
    )
    operations.schedule(
        item=planned, run_at=now + timedelta(hours=5), by=writer, reason="하루 늦추지는 않는다"
    )
    live = StoryFactory(title="How we pick the first apples", author=writer)
    live.categories.set([news])
    operations.publish_now(item=live, by=writer)
    for day in range(1, 6):
        story = StoryFactory(title=f"Letter from the orchard, {day}", author=writer)
        operations.schedule(item=story, run_at=now + timedelta(days=day), by=writer)
    StoryFactory(title="아직 쓰고 있는 글", author=writer)
    failed_publish(title="본문이 빠졌던 글")
    notice = NoticeFactory(title="The lift is resting", severity="warning")
    operations.schedule(
        item=notice,
        run_at=now + timedelta(minutes=40),
        unpublish_at=now + timedelta(hours=20),
        by=writer,
    )
