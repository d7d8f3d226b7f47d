"""
The sweep: create the jobs of items and the queue rows of jobs that are missing.

It runs when a worker starts, when its connection to the database is restored, and every minute.
Each step is idempotent, skips locked rows, and may run in many workers at once.

With a million jobs waiting, comparing each with its queue row takes seconds. So a sweep compares
only those of the next hour, and counts the rest; the first sweep of a worker, and one an hour,
compare all.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Any, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop

from scheduling import conf
from scheduling.errors import Reason
from scheduling.models import (
    Job,
    JobQuerySet,
    Schedulable,
    State,
    Transition,
    clock,
    lane_of,
    mirrored,
    schedulable_models,
)
from scheduling.models.sql import join_by_hash
from scheduling.models.task_names import task_of
from scheduling.operations import event_counts, prune, store
from scheduling.queue import messages
from scheduling.queue.sql_files import read_statements
from scheduling.worker import failure_mail
from scheduling.worker.batch_runner import run_due_jobs

logger = logging.getLogger(__name__)

BATCH = 1000
CLOSE_LOOK = timedelta(hours=1)

FOUND = Reason("item_found", gettext_noop("The item was found like this."))

SQL = read_statements(__name__)


class Swept(NamedTuple):
    """How many jobs a sweep ran, and how many jobs and queue rows it created."""

    drained: int
    created: int
    messages: int


def sweep(*, everything: bool = True) -> Swept:
    """
    Run what is due, create missing jobs of items, and enqueue missing queue rows of jobs.

    With PRUNE_AFTER_DAYS delete a batch of what was finished long ago, too.

    :param everything: compare all that is scheduled, not only the next hour.
    """
    drained = run_due_jobs()
    horizon = clock.database_now() + CLOSE_LOOK
    until = None if everything else horizon
    created = sum(
        create_missing_jobs(model, transition, until)
        for model, transition in _kinds_without_job(until)
    )
    if created:
        drained += run_due_jobs()
    messages = restore_messages(until)
    if not everything and _messages_are_missing_after(horizon):
        messages += restore_messages(None)
    failure_mail.enqueue_unsent()
    if created or messages:
        logger.warning("The sweep created %d jobs and enqueued %d queue rows.", created, messages)
    event_counts.count_events()
    if conf.PRUNE_AFTER_DAYS:
        pruned = prune.prune_a_batch(timedelta(days=conf.PRUNE_AFTER_DAYS))
        if pruned.jobs:
            logger.info("The sweep deleted %d finished jobs.", pruned.jobs)
    return Swept(drained=drained, created=created, messages=messages)


def restore_messages(until: datetime | None) -> int:
    """
    Enqueue a new queue row for each open job that has none; return how many.

    :param until: aware; only for jobs that run up to this time.
    """
    after: tuple[datetime | str, int] = ("-infinity", 0)
    restored = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            params = {"until": until or "infinity", "after_time": after[0], "after_id": after[1]}
            cursor.execute(SQL["without_message"], {**params, "limit": BATCH})
            found: Sequence[tuple[int, datetime, str, int]] = cursor.fetchall()
            if not found:
                return restored
            # Another sweep may have enqueued some between this query's snapshot and its locks.
            cursor.execute(SQL["still_without"], [[job_id for job_id, *_ in found]])
            wanted = [
                messages.Wake(job_id, at, lane_of(_model(content_type_id), kind), task_of(kind))
                for job_id, at, kind, content_type_id in cursor.fetchall()
            ]
            if wanted:
                ids = messages.enqueue_many(wanted)
                cursor.execute(SQL["link"], [[wake.job_id for wake in wanted], ids])
        restored += len(wanted)
        if len(found) < BATCH:
            return restored
        job_id, at, *_ = found[-1]
        after = (at, job_id)


def _messages_are_missing_after(horizon: datetime) -> bool:
    """
    Query whether there are fewer queue rows than open jobs after that time.

    So far ahead only jobs have queue rows, one each. Counting takes a tenth of the time of
    comparing the rows.
    """
    with connection.cursor() as cursor:
        lanes = [conf.PUBLISH_LANE, conf.SLOW_LANE]
        cursor.execute(SQL["fewer_messages"], {"after": horizon, "lanes": lanes})
        [are_missing] = cursor.fetchone()
        return bool(are_missing)


def _model(content_type_id: int) -> type[Model] | None:
    return ContentType.objects.get_for_id(content_type_id).model_class()


def create_missing_jobs(
    model: type[Schedulable], transition: Transition, until: datetime | None
) -> int:
    """
    Create a job for each item that asks for a change of that kind, and has no open job for it.

    :param until: aware; only for items that ask for it up to this time.
    :returns: how many were created.
    """
    jobs, time = _open_jobs(model, transition), str(transition.time_field)
    items = _without_job(model, transition, until)
    created = 0
    while True:
        with transaction.atomic():
            join_by_hash()
            batch = list(items.select_for_update(skip_locked=True, of=("self",))[:BATCH])
            # The job may run later than the item asks; or another sweep has created it between
            # this query's snapshot and its locks.
            found = jobs.filter(object_id__in=[item.pk for item in batch])
            taken = set(found.values_list("object_id", flat=True))
            if transition.on_failure is None:
                taken |= _whose_job_has_failed(model, transition, batch)
            wanted = [
                store.Planned(item, transition, getattr(item, time))
                for item in batch
                if item.pk not in taken
            ]
            if wanted:
                store.open_jobs(wanted, at=clock.database_now(), by=None, reason=FOUND)
        created += len(wanted)
        if len(batch) < BATCH:
            return created
        # Continue after the last one: those that were skipped are not selected again.
        last = batch[-1]
        items = items.filter(
            Q(**{f"{time}__gt": getattr(last, time)})
            | Q(**{time: getattr(last, time)}, pk__gt=last.pk)
        )


def _open_jobs(model: type[Schedulable], transition: Transition) -> JobQuerySet:
    return Job.objects.open().of_type(model).filter(kind=transition.name)


def _without_job(
    model: type[Schedulable], transition: Transition, until: datetime | None
) -> QuerySet[Any]:
    """Return the items that ask for a change of that kind and have no open job for it."""
    jobs, time = _open_jobs(model, transition), str(transition.time_field)
    items = model._base_manager.filter(transition.asking()).order_by(time, "pk")
    if until is not None:
        jobs = jobs.filter(next_attempt_at__lte=until)
        items = items.filter(**{f"{time}__lte": until})
    return items.filter(~Exists(jobs.filter(object_id=OuterRef("pk"))))


def _kinds_without_job(until: datetime | None) -> list[tuple[type[Schedulable], Transition]]:
    """Query in one statement which types and kinds have such items: usually none has."""
    asked = [(model, it) for model in schedulable_models() for it in mirrored()]
    queries = [_without_job(*one, until).order_by().values("pk").query for one in asked]
    compiled = [query.sql_with_params() for query in queries]
    statement = "SELECT " + ", ".join(f"EXISTS ({sql})" for sql, _ in compiled)
    with transaction.atomic(), connection.cursor() as cursor:
        join_by_hash()
        cursor.execute(statement, [value for _, params in compiled for value in params])
        return list(compress(asked, cursor.fetchone()))


def _whose_job_has_failed(
    model: type[Schedulable], transition: Transition, items: Sequence[Schedulable]
) -> set[int]:
    """
    Query the items whose job has failed, of a kind whose failure does not change their status.

    Without this they would get a new job each minute, which would fail each minute.
    """
    failed = (
        Job.objects.of_type(model)
        .filter(kind=transition.name, state=State.FAILED, object_id__in=[item.pk for item in items])
        .values_list("object_id", "run_at")
    )
    asked = {(item.pk, transition.asked_at(item)) for item in items}
    return {pk for pk, run_at in failed if (pk, run_at) in asked}
