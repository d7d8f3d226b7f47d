"""The admin's pages with very many stories and jobs: how long each takes, in how many queries."""

import time
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench import stage
from bench.run import Run
from content.generate import generate, vocabulary
from content.models import Story
from scheduling import operations
from scheduling.models import Job, State, clock
from tests.process.server import execute

# A person waits for the page.
MOST_MS = 300
WEEK = 500

# The ledger of a year: one job in a hundred has failed and was not run again.
FINISHED = """
    INSERT INTO scheduling_job
        (kind, state, content_type_id, object_id, item_title, run_at, next_attempt_at, attempts,
         reason, created_at, finished_at)
    SELECT 'publish', CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'succeeded' END, %(type)s, id,
           title, at, at, 1, '', at - interval '1 day', at + interval '4 ms'
    FROM (
        SELECT n, id, title, now() - make_interval(secs => n * 31536000.0 / %(count)s) AS at
        FROM (
            SELECT row_number() OVER (ORDER BY again, id) AS n, id, title
            FROM content_story CROSS JOIN generate_series(1, 2) AS again
            WHERE status = 'published'
        ) AS live LIMIT %(count)s
    ) AS done
"""
HISTORY = """
    INSERT INTO scheduling_jobevent (job_id, what, at, reason)
    SELECT id, state, finished_at, '' FROM scheduling_job WHERE finished_at IS NOT NULL
"""


class Page(NamedTuple):
    """One page, and what is posted to it, if anything."""

    name: str
    path: str
    data: dict[str, object] | None = None


def pages(run: Run) -> None:
    """The admin with 100,000 stories and 100,000 jobs: each page as an editor opens it."""
    number = run.size(100_000, quick=2_000)
    stage.empty(with_words=True)
    for _ in generate(stories=number, scheduled=number // 5):
        pass
    story_type = ContentType.objects.get_for_model(Story).pk
    execute(FINISHED, {"type": story_type, "count": number * 4 // 5})
    execute(HISTORY)
    _fill_a_week(number)
    execute("VACUUM ANALYZE")
    run.add("pages", "stories", Story.objects.count(), "", note=f"{Job.objects.count():,} jobs")
    user = User.objects.create(username=f"editor-{User.objects.count()}", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=("Editors", "Operators")))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    for page in _pages():
        _measure(run, client, page)


def _fill_a_week(number: int) -> None:
    """Have 500 items in the week after next, each at a time of its own."""
    start = clock.database_now() + timedelta(days=14)
    drafts = list(Story.objects.filter(status="draft").order_by("pk")[: min(WEEK, number // 50)])
    for place, story in enumerate(drafts):
        at = start + timedelta(minutes=place * 13)
        operations.schedule(item=story, run_at=at, by=None)


def _pages() -> list[Page]:
    now = clock.database_now()
    day = f"{now + timedelta(days=17):%Y-%m-%d}"
    month = f"publish_at__year={now:%Y}&publish_at__month={now.month}"
    story = Story.objects.filter(status="scheduled").earliest("pk").pk
    failed = Job.objects.filter(state=State.FAILED).earliest("pk").pk
    selected = list(Story.objects.order_by("-pk").values_list("pk", flat=True)[:50])
    stories, jobs = "/admin/content/story/", "/admin/scheduling/job/"
    word = vocabulary()[1000]
    return [
        Page("today", "/admin/"),
        Page("stories", stories),
        Page("stories, last page", f"{stories}?p=1990"),
        Page("stories due this week", f"{stories}?due=week"),
        Page("stories found by a word", f"{stories}?q={word}"),
        Page("stories of one month", f"{stories}?{month}"),
        Page("50 to schedule at once", stories, {
            "action": "schedule_selected",
            "_selected_action": selected,
            "rows": str(selected),
            "run_at": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}",
        }),
        Page("a story", f"{stories}{story}/change/"),
        Page("its panel alone", f"{stories}{story}/panel/"),
        Page("what 50 rows are by now", f"{stories}live/?ids={','.join(map(str, selected))}"),
        Page("notices", "/admin/content/notice/"),
        Page("calendar, month", f"/admin/calendar/?view=month&date={day}"),
        Page("calendar, week", f"/admin/calendar/?view=week&date={day}"),
        Page("calendar, day", f"/admin/calendar/?view=day&date={day}"),
        Page("jobs", jobs),
        Page("jobs that failed", f"{jobs}?state=failed"),
        Page("a job", f"{jobs}{failed}/change/"),
    ]  # fmt: skip


def _measure(run: Run, client: Client, page: Page) -> None:
    """Open a page a few times; note how long it took, and the most."""
    taken: list[float] = []
    with CaptureQueriesContext(connection) as queries:
        _open(client, page)
    asked = len(queries)  # forgotten when the next request begins
    for _ in range(run.size(15, quick=3)):
        began = time.perf_counter()
        _open(client, page)
        taken.append(1000 * (time.perf_counter() - began))
    taken.sort()
    note = f"{asked} queries, most {taken[-1]:.0f} ms"
    run.add("pages", page.name, stage.part(taken, 0.5), "ms", most=MOST_MS, note=note)


def _open(client: Client, page: Page) -> None:
    answer = client.post(page.path, page.data) if page.data else client.get(page.path)
    if answer.status_code != 200:
        raise SystemExit(f"{page.name}: {answer.status_code}")
