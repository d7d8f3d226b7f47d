"""
One job alone, so that its error is its own.

An attempt is counted, and committed, before it runs: a job that kills its worker uses up its
attempts all the same. Errors have a class: a *permanent* one no retry can mend, and the job fails
at once; any other is *transient*, and the job waits `RETRY_DELAYS` before each next attempt.
"""

import logging
import random
import traceback
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils.translation import gettext_noop
from django_q.exceptions import TimeoutException

from armo.errors import DomainError
from scheduling import drain, ledger, queue
from scheduling.announce import WORKER, Change, announce
from scheduling.items import ItemNotFound
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status
from scheduling.operations import NotPublishable, reconcile

logger = logging.getLogger(__name__)

What = JobEvent.What

# How long a job waits for an item that somebody's open transaction holds; no attempt is counted.
BUSY_PAUSE = timedelta(seconds=0.5)
# How long an end waits for the publish before it, which is being retried.
UNPUBLISHED_YET_PAUSE = timedelta(seconds=5)


class AttemptsUsedUp(DomainError):
    """Every attempt was begun and none came to an end: the worker died each time."""

    code = "attempts_used_up"


# What no retry can mend.
PERMANENT = (DomainError,)


class _Answer(Enum):
    """What became of a job that a message arrived for."""

    ATTEMPT = auto()  # it may be tried now
    OVER = auto()  # nothing is left to do


def max_attempts() -> int:
    """Return how often a job is tried in all."""
    return 1 + len(settings.RETRY_DELAYS)


class Outcome(NamedTuple):
    """How many jobs a run has finished, and how many attempts failed."""

    done: int
    failed: int


def run_everything_due() -> Outcome:
    """Do everything that is due, in this process: the drain, then each job that it left."""
    done = drain.drain()
    failed = 0
    for job_id in list(Job.objects.due().values_list("pk", flat=True)):
        try:
            run_alone(job_id)
        except Exception as error:  # noqa: BLE001 (whatever a type's own code raises; it is recorded)
            logger.debug("Job %d: %s", job_id, error)
            failed += 1
            continue
        # It may also have been put off, or have had no attempt left.
        state = Job.objects.filter(pk=job_id).values_list("state", flat=True).first()
        done += state == State.SUCCEEDED
        failed += state == State.FAILED
    return Outcome(done=done, failed=failed)


def run_alone(job_id: int) -> None:
    """
    Run one job if it is open and due.

    A message that comes late, twice, or for a job that has moved finds nothing to do.

    :raises Exception: whatever the attempt raised, once the failure is recorded.
    """
    try:
        answer = _begin(job_id)
    except DatabaseError:
        # Nothing is recorded yet, and this message is used up. If even this cannot be written, the
        # sweep after the next connection finds the job.
        _wake_again(job_id)
        raise
    if answer is _Answer.OVER:
        return
    try:
        _carry_out(job_id)
    except (Exception, TimeoutException) as error:
        # django-q2's time-out is a SystemExit, so that tasks do not catch it by chance.
        _record_failure(job_id, error)
        raise


@transaction.atomic
def _begin(job_id: int) -> _Answer:
    """Count the attempt, unless there is nothing to attempt."""
    job = _lock_due(job_id)
    if job is None:
        return _Answer.OVER
    item = job.find_item()
    if item is not None and not _can_lock(item):
        _wait(job, BUSY_PAUSE)
        return _Answer.OVER
    if job.attempts >= max_attempts():
        _fail(job, AttemptsUsedUp(), at=ledger.database_now())
        return _Answer.OVER
    job.attempts += 1
    job.save(update_fields=["attempts"])
    return _Answer.ATTEMPT


@transaction.atomic
def _carry_out(job_id: int) -> None:
    """Change the item, if it still asks for that, and close the job."""
    job = _lock_due(job_id)
    if job is None:
        return
    item = job.find_item()
    if item is None:
        raise ItemNotFound
    if not _can_lock(item):
        job.attempts -= 1  # it was not tried
        _wait(job, BUSY_PAUSE)
        return
    item.refresh_from_db()
    if job.kind == Kind.PUBLISH:
        _publish(job, item)
    else:
        _unpublish(job, item)


def _publish(job: Job, item: Schedulable) -> None:
    if item.status != Status.SCHEDULED or item.publish_at != job.run_at:
        _follow(item)
        return
    if problems := item.publish_problems():
        raise NotPublishable(problems)
    item.before_publish()
    at = ledger.database_now()
    _write(item, status=Status.PUBLISHED, published_at=at)
    _succeed(job, item, at)
    ends = Job.objects.of(item).open().filter(kind=Kind.UNPUBLISH, run_at__lte=at)
    for end in ends.select_for_update(skip_locked=True):
        # It has passed and waited for this.
        ledger.wake(job=end, at=at)


def _unpublish(job: Job, item: Schedulable) -> None:
    if item.status == Status.SCHEDULED and item.unpublish_at == job.run_at:
        job.attempts -= 1  # it was not tried
        _wait(job, UNPUBLISHED_YET_PAUSE)
    elif item.status != Status.PUBLISHED or item.unpublish_at != job.run_at:
        _follow(item)
    else:
        at = ledger.database_now()
        _write(item, status=Status.UNPUBLISHED)
        _succeed(job, item, at)


def _follow(item: Schedulable) -> None:
    """The item has another wish by now, written around the operations: that one counts."""
    reconcile(item=item, reason=gettext_noop("The item asks for something else by now."))


def _write(item: Schedulable, **fields: object) -> None:
    type(item)._base_manager.filter(pk=item.pk).update(version=F("version") + 1, **fields)
    for name, value in fields.items():
        setattr(item, name, value)


def _succeed(job: Job, item: Schedulable, at: datetime) -> None:
    ledger.close_job(job=job, state=State.SUCCEEDED, what=What.SUCCEEDED, at=at, by=None)
    announce(WORKER, [Change(item.label, item.status, at, job.run_at, job.pk)])


# Failure


@transaction.atomic
def _record_failure(job_id: int, error: BaseException) -> None:
    """Have the job retried, or end it; either way its history says what happened."""
    job = _lock_due(job_id)
    if job is None:
        return
    item = job.find_item()
    if item is not None and not _can_lock(item):
        # Somebody is changing the item just now: the attempt is made again on what they leave.
        job.attempts -= 1
        _wait(job, BUSY_PAUSE)
        return
    at = ledger.database_now()
    if isinstance(error, PERMANENT) or job.attempts >= max_attempts():
        _fail(job, error, at=at)
        return
    delay = settings.RETRY_DELAYS[job.attempts - 1]
    # A tenth either way, so that what failed together does not come back together.
    pause = timedelta(seconds=delay * random.uniform(0.9, 1.1))  # noqa: S311 (no secret)
    job.state = State.RETRYING
    ledger.wake(job=job, at=at + pause)
    ledger.new_event(
        job=job,
        what=What.ATTEMPT_FAILED,
        at=at,
        by=None,
        reason=_text(error),
        new_run_at=job.next_attempt_at,
        detail=_describe(error),
    ).save()
    logger.warning("Attempt %d of %s failed: %s", job.attempts, job, _text(error))


def _fail(job: Job, error: BaseException, *, at: datetime) -> None:
    """End the job; what was asked for stays on the item."""
    ledger.close_job(
        job=job,
        state=State.FAILED,
        what=What.FAILED,
        at=at,
        by=None,
        reason=_text(error),
        detail=_describe(error),
    )
    item = job.find_item()
    if item is not None and job.kind == Kind.PUBLISH:
        type(item)._base_manager.filter(
            pk=item.pk, status=Status.SCHEDULED, publish_at=job.run_at
        ).update(status=Status.FAILED, version=F("version") + 1)
    logger.error("%s failed for good: %s", job, _text(error))


def _describe(error: BaseException) -> Mapping[str, object]:
    return {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "class": "permanent" if isinstance(error, PERMANENT) else "transient",
        "traceback": _storable("".join(traceback.format_exception(error))),
    }


def _text(error: BaseException) -> str:
    """Return what the error says, or at least what it is."""
    return _storable(str(error)) or type(error).__name__


def _storable(text: str) -> str:
    """Spell out what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


# Locks


def _lock_due(job_id: int) -> Job | None:
    """
    Lock the job if it is open, due, and in nobody else's hands.

    Whoever holds it is changing it; if that comes to nothing, a message of its own wakes it again.
    """
    job = Job.objects.due().filter(pk=job_id).select_for_update(skip_locked=True).first()
    if job is None and Job.objects.due().filter(pk=job_id).exists():
        _wake_again(job_id)
    return job


def _can_lock(item: Schedulable) -> bool:
    """Lock the item without waiting: a worker never waits for one while it holds a job."""
    rows = type(item)._base_manager.filter(pk=item.pk)
    return bool(rows.select_for_update(skip_locked=True).values_list("pk"))


def _wait(job: Job, pause: timedelta) -> None:
    """Have the job taken up a little later."""
    ledger.wake(job=job, at=ledger.database_now() + pause)


def _wake_again(job_id: int) -> None:
    """Put in a further message for a job that is in other hands."""
    queue.put(job_id=job_id, at=ledger.database_now() + BUSY_PAUSE)
