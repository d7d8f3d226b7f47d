"""
Everything that is due, set-based: a handful of statements a batch, however many rows.

The drain takes what it can change without asking the item anything: its type has no
`before_publish`, a query says that it may go live, and nobody else holds its row. The rest it
leaves for that job's own `run_job`, where an error is the item's own. It never waits for an item
and never meets a job twice, so nothing that one item does can delay the others.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from scheduling import pulse, queue
from scheduling.announce import WORKER, Change, announce
from scheduling.models import JobEvent, Kind, Schedulable, Status, schedulable_models

logger = logging.getLogger(__name__)

BATCH = 1000

# "Due" is the database's clock at the moment of the claim; why in a subquery, see `ClockNow`.
# `after` is where the last batch ended: what was passed over is not met again, what others hold is
# theirs. So is a job whose attempt has begun: how that ended has to be found out, and noted, first.
CLAIM = """
    SELECT id, kind, content_type_id, object_id, run_at, next_attempt_at, message_id,
           clock_timestamp() AS claimed_at
    FROM scheduling_job
    WHERE state IN ('waiting', 'retrying')
      AND next_attempt_at <= (SELECT clock_timestamp())
      AND NOT (kind = 'publish' AND content_type_id = ANY(%(hooked)s))
      AND attempt_begun_at IS NULL
      AND (next_attempt_at, id) > (%(after_time)s, %(after_id)s)
    ORDER BY next_attempt_at, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""

CLAIM_AGAIN = """
    SELECT id, kind, content_type_id, object_id, run_at, next_attempt_at, message_id,
           clock_timestamp() AS claimed_at
    FROM scheduling_job
    WHERE id = ANY(%(ids)s) AND state IN ('waiting', 'retrying')
      AND next_attempt_at <= (SELECT clock_timestamp()) AND attempt_begun_at IS NULL
    ORDER BY next_attempt_at, id
    FOR UPDATE SKIP LOCKED
"""

CLOSE = """
    WITH done AS (
        UPDATE scheduling_job
        SET state = 'succeeded', finished_at = %(at)s, attempts = attempts + 1, message_id = NULL
        WHERE id = ANY(%(ids)s)
        RETURNING id
    )
    INSERT INTO scheduling_jobevent (job_id, what, at, reason)
    SELECT id, %(what)s, %(at)s, '' FROM done
"""


class DueJob(NamedTuple):
    """A due job under its lock."""

    id: int
    kind: str
    content_type_id: int
    object_id: int
    run_at: datetime
    next_attempt_at: datetime
    message_id: int | None
    claimed_at: datetime


class Batch(NamedTuple):
    """What one transaction claimed, and which of it is done."""

    claimed: list[DueJob]
    done: list[DueJob]


def drain() -> int:
    """
    Publish, and take down, everything that is due.

    Many may run at once; each works on rows that no other holds.

    :returns: how many jobs succeeded.
    :raises django.db.OperationalError: the database cannot be reached; what was committed stays.
    """
    return sum(len(batch.done) for batch in _batches())


def _batches() -> Iterator[Batch]:
    after: tuple[datetime | None, int] = (None, 0)
    while True:
        batch = _take_next(after)
        pulse.beat_within_a_batch()
        yield batch
        if len(batch.claimed) < BATCH:
            return
        last = batch.claimed[-1]
        after = (last.next_attempt_at, last.id)


def _take_next(after: tuple[datetime | None, int]) -> Batch:
    """Claim and do the next batch; when something in it breaks it, do its halves apart."""
    time, job_id = after
    claimed: list[DueJob] = []
    try:
        with transaction.atomic():
            claimed = _fetch(
                CLAIM,
                {
                    "hooked": [_content_type_id(m) for m in schedulable_models() if m.has_hook()],
                    "after_time": time or "-infinity",
                    "after_id": job_id,
                    "limit": BATCH,
                },
            )
            return Batch(claimed, _do(claimed))
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.warning("A batch of %d broke; its parts go on apart.", len(claimed), exc_info=True)
    return Batch(claimed, _halves([job.id for job in claimed]))


def _halves(ids: Sequence[int]) -> list[DueJob]:
    """Do a broken batch by halves, down to the one that breaks it: that one keeps its error."""
    if len(ids) <= 1:
        return []
    done = []
    middle = len(ids) // 2
    for half in (ids[:middle], ids[middle:]):
        try:
            with transaction.atomic():
                done += _do(_fetch(CLAIM_AGAIN, {"ids": list(half)}))
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError:
            done += _halves(half)
    return done


def _fetch(statement: str, params: Mapping[str, Any]) -> list[DueJob]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return [DueJob(*row) for row in cursor.fetchall()]


def _do(jobs: Sequence[DueJob]) -> list[DueJob]:
    """Change the items of claimed jobs; return those that are done."""
    if not jobs:
        return []
    # After every claim, so never before a job's time.
    at = max(job.claimed_at for job in jobs)
    done: list[DueJob] = []
    # Publishes first: of an item whose start and end both passed, the end follows in the same
    # transaction, and readers never see it in between.
    for kind, change in ((Kind.PUBLISH, _publish), (Kind.UNPUBLISH, _unpublish)):
        for model, group in _by_model(jobs, kind):
            done += change(model, group, at)
    if done:
        with connection.cursor() as cursor:
            cursor.execute(
                CLOSE,
                {"ids": [job.id for job in done], "at": at, "what": JobEvent.What.SUCCEEDED},
            )
        queue.take_back(job.message_id for job in done)
    return done


def _by_model(
    jobs: Sequence[DueJob], kind: Kind
) -> Iterator[tuple[type[Schedulable], dict[int, DueJob]]]:
    """Group jobs of one kind by the type of their items, by item."""
    groups: dict[int, dict[int, DueJob]] = defaultdict(dict)
    for job in jobs:
        if job.kind == kind:
            groups[job.content_type_id][job.object_id] = job
    known = {_content_type_id(model): model for model in schedulable_models()}
    for content_type_id, group in groups.items():
        # A job of a type that is gone fails by itself, in its own run.
        if content_type_id in known:
            yield known[content_type_id], group


def _content_type_id(model: type[Schedulable]) -> int:
    return ContentType.objects.get_for_model(model).pk


def _publish(model: type[Schedulable], group: dict[int, DueJob], at: datetime) -> list[DueJob]:
    items = (
        model._base_manager.filter(model.publishable_condition(), status=Status.SCHEDULED)
        .filter(pk__in=group)
        .select_for_update(skip_locked=True, of=("self",))
    )
    done = _agreeing(group, items.values_list("pk", "publish_at"))
    model._base_manager.filter(pk__in=[job.object_id for job in done]).update(
        status=Status.PUBLISHED, published_at=at, version=F("version") + 1
    )
    _announce(model, done, Status.PUBLISHED, at)
    return done


def _unpublish(model: type[Schedulable], group: dict[int, DueJob], at: datetime) -> list[DueJob]:
    items = (
        model._base_manager.filter(status=Status.PUBLISHED)
        .filter(pk__in=group)
        .select_for_update(skip_locked=True, of=("self",))
    )
    done = _agreeing(group, items.values_list("pk", "unpublish_at"))
    model._base_manager.filter(pk__in=[job.object_id for job in done]).update(
        status=Status.UNPUBLISHED, version=F("version") + 1
    )
    _announce(model, done, Status.UNPUBLISHED, at)
    return done


def _agreeing(
    group: dict[int, DueJob], items: Iterable[tuple[int, datetime | None]]
) -> list[DueJob]:
    """Keep the jobs whose time is still what their item asks for."""
    return [group[pk] for pk, wanted in items if wanted == group[pk].run_at]


def _announce(
    model: type[Schedulable], done: Sequence[DueJob], status: Status, at: datetime
) -> None:
    name = model._meta.model_name
    announce(
        WORKER,
        [Change(f"{name}:{job.object_id}", status, at, job.run_at, job.id) for job in done],
    )
