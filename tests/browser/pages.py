"""The pages of the admin, and what they show."""

from datetime import timedelta

from django.contrib.auth import get_user_model

from content.models import Category, Story, Tag
from scheduling import operations
from scheduling.ledger import database_now
from scheduling.models import Job, State
from tests.factories import NoticeFactory, StoryFactory
from tests.scheduling.rows import failed_publish

PAGES = {
    "today": "/admin/",
    "month": "/admin/calendar/?view=month",
    "week": "/admin/calendar/?view=week",
    "day": "/admin/calendar/?view=day",
    "stories": "/admin/content/story/",
    "story": "/admin/content/story/{story}/change/",
    "new-story": "/admin/content/story/add/",
    "notices": "/admin/content/notice/",
    "jobs": "/admin/scheduling/job/",
    "job": "/admin/scheduling/job/{job}/change/",
    "failed": "/admin/content/story/?due=failed",
    "preferences": "/admin/preferences/",
    "categories": "/admin/content/category/",
    "users": "/admin/auth/user/",
}


def addresses() -> dict[str, str]:
    """Return the address of each page, of what there is."""
    story = Story.objects.get(title="첫서리가 내리기 전에 할 일")
    job = Job.objects.filter(state=State.FAILED).earliest("pk")
    return {name: path.format(story=story.pk, job=job.pk) for name, path in PAGES.items()}


def furnish() -> None:
    """Have something of everything."""
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
