"""Make rows in the database, and read them as they are stored."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Model
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from content.models import Notice, Story
from scheduling import tasks
from scheduling.broker import TimedBroker
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status, clock, transition_of
from scheduling.models.sql import ALONG_THE_INDEX
from scheduling.operations import store
from scheduling.worker import job_runner
from tests.factories import LONG_AGO, NoticeFactory, StoryFactory

What = JobEvent.What


def row(item: Schedulable) -> Any:
    """Return the item as it is in the database."""
    return type(item)._base_manager.get(pk=item.pk)


def everything() -> list[Any]:
    """Return all rows that the engine may write, to see that it wrote nothing."""
    tables: list[type[Model]] = [Story, Notice, Job, JobEvent, OrmQ]
    return [list(table._base_manager.order_by("pk").values_list()) for table in tables]


def open_jobs(item: Schedulable) -> dict[str, datetime]:
    """Return when each kind of change of an item is due."""
    return dict(Job.objects.of(item).open().values_list("kind", "run_at"))


def history(job: Job) -> list[str]:
    """Return what happened to a job, in order."""
    return list(job.events.order_by("pk").values_list("what", flat=True))


def last_event(job: Job) -> JobEvent:
    """Return the newest line of a job's history."""
    return job.events.order_by("-pk")[0]


def wakes_at(job: Job) -> datetime:
    """Return when the queue row of a job wakes a worker."""
    lock: datetime = OrmQ.objects.get(pk=Job.objects.get(pk=job.pk).message_id).lock
    return lock


def deliver(job: Job) -> None:
    """Claim a job's queue row, run its task, and acknowledge the row, as a worker does."""
    broker = TimedBroker(Job.objects.get(pk=job.pk).lane)
    [(message_id, payload)] = broker.claim()
    assert message_id is not None
    task = SignedPackage.loads(payload)
    assert task["args"] == (job.pk,)
    try:
        tasks.run_job(job.pk)
    finally:
        broker.delete(message_id)


def due_stories(number: int, **fields: Any) -> list[Story]:
    """Make stories that are due, each with its job and queue row, in few statements."""
    stories = Story.objects.bulk_create(
        StoryFactory.build_batch(
            number, **{"status": Status.SCHEDULED, "publish_at": LONG_AGO, **fields}
        )
    )
    open_jobs_of(stories)
    return stories


def open_jobs_of(stories: Iterable[Story]) -> list[Job]:
    """Open the job that each story asks for."""
    ids = store.open_jobs(
        [
            store.Planned(story, transition_of(Kind.PUBLISH), story.publish_at or LONG_AGO)
            for story in stories
        ],
        at=clock.database_now(),
        by=None,
        reason="",
    )
    return list(Job.objects.filter(pk__in=ids).order_by("pk"))


def failed_publish(**fields: Any) -> Job:
    """
    Return the failed job of a due story; what was missing has been added since.

    Whatever else is due is done on the way.
    """
    story = StoryFactory(due=True, **{**fields, "body": ""})
    job_runner.run_everything_due()
    story.refresh_from_db()
    story.body = "이제 있는 본문"
    story.save()
    return Job.objects.of(story).get(kind=Kind.PUBLISH)


def failed_end(**fields: Any) -> Job:
    """Return the failed job of a live notice that should have been taken down."""
    notice = NoticeFactory(published=True, unpublish_at=LONG_AGO + timedelta(days=1), **fields)
    job = Job.objects.of(notice).get()
    store.close_job(job=job, state=State.FAILED, what=What.FAILED, at=clock.database_now(), by=None)
    return job


def over(item: Schedulable, state: State = State.SUCCEEDED, **fields: Any) -> Job:
    """Return a job that was over long ago, with one line of history."""
    times = {"run_at": LONG_AGO, "created_at": LONG_AGO, "finished_at": LONG_AGO}
    job = store.new_job(
        item=item, by=None, reason="", state=state, **{"kind": Kind.PUBLISH, **times, **fields}
    )
    job.save()
    store.new_event(job=job, what=What(state.value), at=LONG_AGO, by=None).save()
    return job


@contextmanager
def plans() -> Iterator[list[dict[str, Any]]]:
    """
    Collect every step of how PostgreSQL carries out the statements of the block.

    It must be in a transaction: each statement runs twice, and the first run is rolled back.
    """
    steps: list[dict[str, Any]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        own = sql.removeprefix(ALONG_THE_INDEX)
        if own.split()[0] in ("SELECT", "WITH", "UPDATE", "DELETE"):
            with connection.cursor() as cursor:
                # On psycopg's cursor, which no wrapper sees.
                cursor.cursor.execute("SAVEPOINT explained")
                if own != sql:
                    cursor.cursor.execute(ALONG_THE_INDEX)
                cursor.cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {own}", params)
                [[[report]]] = cursor.fetchall()
                cursor.cursor.execute("ROLLBACK TO explained")
            plan = json.loads(report) if isinstance(report, str) else report
            found = [plan["Plan"]]
            for step in found:
                found += step.get("Plans", ())
            steps.extend(found)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield steps
