"""
One job alone, so that its error is its own.

An attempt is counted, and committed, before it runs: a job that kills its worker uses up its
attempts all the same. Errors have a class: a *permanent* one no retry can mend, and the job fails
at once; any other is *transient*, and the job waits `RETRY_DELAYS` before each next attempt. An
attempt that was cut off, by the end of its worker or of a connection, is most likely not the job's
fault: the first time it is made again at once.
"""

import logging
import random
import traceback
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q
from django.utils.translation import gettext, gettext_noop
from django_q.exceptions import TimeoutException

from scheduling import conf
from scheduling.errors import DomainError
from scheduling.models import (
    TRANSITIONS,
    Job,
    JobEvent,
    Schedulable,
    State,
    clock,
    longest_attempt,
    mirrored,
    status_label,
)
from scheduling.models.publish_log import WORKER, Change, log_changes
from scheduling.models.references import ItemNotFound
from scheduling.models.transitions import InvalidTransition
from scheduling.operations import pause as pausing
from scheduling.operations import reconcile, store
from scheduling.queue import messages
from scheduling.queue.outages import DISCONNECTED, retry_while_disconnected
from scheduling.worker import batch_runner, child_process, failure_mail

logger = logging.getLogger(__name__)

What = JobEvent.What

# How long a job waits for an item that somebody's open transaction holds; no attempt is counted.
BUSY_PAUSE = timedelta(seconds=0.5)
# How long a job waits for one before it that is being retried, as an end for its publish.
NOT_YET_PAUSE = timedelta(seconds=5)
# How long a job of an unknown kind is left to workers of another version.
UNKNOWN_KIND_PAUSE = timedelta(minutes=1)
# How long work waits in its place for a database that is away; less than a task may take.
PATIENCE_SECONDS = 40.0
LONGEST_PAUSE_SECONDS = 0.5
# First key of the advisory locks under which attempts are made; the second is the job's id.
ATTEMPT_LOCK = 0x41726D70


class AttemptsUsedUp(DomainError):
    """Every attempt was begun and none came to an end: the worker died each time."""

    code = "attempts_used_up"


class WorkerDied(Exception):
    """The worker ended in the middle of the attempt."""

    def __init__(self) -> None:
        super().__init__(
            gettext_noop(
                "The worker ended in the middle of it: it was killed, ran out of memory,"
                " or its host went away."
            )
        )


class NeverEnded(Exception):
    """The job was handed out again and again, and its worker ended each time."""


# What no retry can mend.
PERMANENT = (DomainError,)
# What happened to a process or a connection, and most likely would not happen again.
CUT_OFF = (WorkerDied, child_process.ChildDied, *DISCONNECTED)


class _Answer(Enum):
    """What became of a job that a message arrived for."""

    ATTEMPT = auto()  # it may be tried now
    ATTEMPT_WITH_HOOK = auto()  # ... and runs its type's own code
    OVER = auto()  # nothing is left to do
    BUSY = auto()  # another worker is at it


class _Begun(NamedTuple):
    """What became of it, and when the attempt began, which tells it from others of the job."""

    answer: _Answer
    at: datetime | None = None


def max_attempts() -> int:
    """Return how often a job is tried in all."""
    return 1 + len(conf.RETRY_DELAYS)


class Outcome(NamedTuple):
    """How many jobs a run has finished, and how many attempts failed."""

    done: int
    failed: int


def run_everything_due() -> Outcome:
    """
    Do everything that is due, in this process: the drain, then each job that it left.

    :raises PublishingPaused:
    """
    pausing.require_running()
    done = batch_runner.run_due_jobs()
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
    Run one job if it is open and due, and publishing is not paused.

    A message that comes late, twice, or for a job that has moved finds nothing to do.

    :raises Exception: whatever the attempt raised, once the failure is recorded.
    """
    begun = None
    try:
        begun = retry_while_disconnected(partial(_lock_and_begin, job_id))
        _make(job_id, begun)
    except DatabaseError:
        if begun is None:
            # Nothing is recorded yet, and this message is used up. If even this cannot be written,
            # the sweep after the next connection finds the job.
            _wake_again(job_id)
        raise
    finally:
        if begun is None or begun.answer is not _Answer.BUSY:
            _unlock(job_id)


def _make(job_id: int, begun: "_Begun") -> None:
    """Make the attempt that has begun, if one has."""
    if begun.answer is _Answer.BUSY:
        _wake_again(job_id)
        return
    if begun.answer is _Answer.OVER:
        return
    work = partial(_carry_out, job_id)
    failed = partial(_record_failure, job_id, begun.at)
    # A child would see nothing of a transaction that is open here.
    if begun.answer is _Answer.ATTEMPT_WITH_HOOK and not connection.in_atomic_block:
        try:
            child_process.run(work, seconds=conf.HOOK_TIMEOUT, failed=failed)
        except child_process.FailedInChild:
            raise  # and recorded
        except BaseException as error:  # django-q2's time-out of this process among them
            failed(error)
            raise
        return
    try:
        work()
    except (Exception, TimeoutException) as error:
        # django-q2's time-out is a SystemExit, so that tasks do not catch it by chance.
        failed(error)
        raise


def move_to_own_lane(job_id: int) -> bool:
    """
    Send a job that the `publish` lane must not run on to its own lane; return whether it was one.

    Its type has had a hook only since the message was put in.
    """
    with transaction.atomic():
        job = Job.objects.due().filter(pk=job_id).select_for_update(skip_locked=True).first()
        if job is None or job.lane == conf.PUBLISH_LANE:
            return False
        _wait(job, timedelta(0))
    return True


@transaction.atomic
def charge_attempt(job_id: int, why: str) -> None:
    """Count an attempt for a job whose message was handed out again and again, to no end."""
    job = _lock_due(job_id)
    if job is not None:
        job.attempts += 1
        _retry_or_fail(job, NeverEnded(why), at=clock.database_now())


def _lock_and_begin(job_id: int) -> _Begun:
    """
    Keep other workers off the job, and count the attempt.

    Both on one connection: the lock ends with it, so that of a dead worker is gone, and so is that
    of a worker whose connection was lost in between. Behind a proxy that pools transactions it
    would be nobody's own; there `_begin` waits out the time an attempt may take.
    """
    if conf.QUEUE_LISTEN:
        [is_free] = _select("SELECT pg_try_advisory_lock(%s, %s)", _key(job_id))
        if not is_free:
            return _Begun(_Answer.BUSY)
    return _begin(job_id)


def _unlock(job_id: int) -> None:
    # One that went with a lost connection is nobody's to give back; PostgreSQL then only warns.
    if conf.QUEUE_LISTEN and connection.is_usable():
        _select("SELECT pg_advisory_unlock(%s, %s)", _key(job_id))


def _key(job_id: int) -> list[int]:
    return [ATTEMPT_LOCK, job_id % 2**31]


def _select(statement: str, params: list[int]) -> tuple[bool]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        row: tuple[bool] = cursor.fetchone()
        return row


@transaction.atomic
def _begin(job_id: int) -> _Begun:
    """Count the attempt, unless there is nothing to attempt."""
    job = _lock_due(job_id)
    if job is None:
        return _Begun(_Answer.OVER)
    if pausing.current():
        _hold(job)
        return _Begun(_Answer.OVER)
    now = clock.database_now()
    if job.kind not in TRANSITIONS:
        logger.warning("%s is of a kind that this worker does not know: left to others.", job)
        messages.enqueue(job_id=job_id, at=now + UNKNOWN_KIND_PAUSE, lane=job.lane, func=job.task)
        return _Begun(_Answer.OVER)
    item = job.find_item()
    if item is not None and not _can_lock(item):
        _wait(job, BUSY_PAUSE)
        return _Begun(_Answer.OVER)
    if item is not None and _is_behind_another(job, item):
        _wait(job, NOT_YET_PAUSE)
        return _Begun(_Answer.OVER)
    if job.attempt_begun_at is not None:
        # An attempt was begun and never ended, and nobody is at it any more.
        if not conf.QUEUE_LISTEN and (left := _may_still_run(job.attempt_begun_at, now)):
            messages.enqueue(job_id=job_id, at=now + left, lane=job.lane, func=job.task)
            return _Begun(_Answer.OVER)
        _retry_or_fail(job, WorkerDied(), at=now)
        # django-q2 has not heard of the end of that attempt.
        task = {"name": f"job {job_id}", "func": job.task, "args": (job_id,)}
        messages.keep_failure(task, str(WorkerDied()), at=now)
        if not job.is_open or job.next_attempt_at > now:
            return _Begun(_Answer.OVER)
    if job.attempts >= max_attempts():
        _fail(job, AttemptsUsedUp(), at=now)
        return _Begun(_Answer.OVER)
    job.attempts += 1
    job.attempt_begun_at = now
    job.save(update_fields=["attempts", "attempt_begun_at"])
    has_hook = job.transition.runs_hook and item is not None and item.has_hook()
    return _Begun(_Answer.ATTEMPT_WITH_HOOK if has_hook else _Answer.ATTEMPT, now)


def _is_behind_another(job: Job, item: Schedulable) -> bool:
    """Query whether an open job of the item comes before it, of a kind that mirrors no time."""
    if job.transition.time_field is not None:
        return False
    before = Q(run_at__lt=job.run_at) | Q(run_at=job.run_at, pk__lt=job.pk)
    return Job.objects.of(item).open().filter(before).exists()


def _may_still_run(begun_at: datetime, now: datetime) -> timedelta:
    return max(begun_at + longest_attempt() - now, timedelta(0))


def _carry_out(job_id: int) -> None:
    """Let the type do its work, then change the item, if it still asks for that."""
    job = Job.objects.due().filter(pk=job_id).first()
    if job is None:
        return
    item = job.find_item()
    version = None
    transition = job.transition
    has_hook = transition.runs_hook and item is not None and item.has_hook()
    if has_hook and item is not None and transition.can_run(item, job.run_at):
        transition.require_ready(item)
        # No lock is held meanwhile: the hook may talk to a network, and editors must not wait for
        # that. What it writes is undone when it raises.
        with transaction.atomic():
            item.before_publish()
        version = item.version
    _change(job_id, version)


@transaction.atomic
def _change(job_id: int, version: int | None) -> None:
    """
    Change the item and close the job.

    :param version: of the item that the hook has seen; None if it was not asked.
    """
    job = _lock_due(job_id)
    if job is None:
        return
    item = job.find_item()
    if item is None:
        raise ItemNotFound
    if not _can_lock(item):
        _postpone(job, BUSY_PAUSE)
        return
    item.refresh_from_db()
    transition = job.transition
    if not transition.can_run(item, job.run_at):
        _leave(job, item)
    elif transition.runs_hook and item.has_hook() and item.version != version:
        # Somebody has changed what the hook has checked: it has to see that too.
        _postpone(job, BUSY_PAUSE)
    else:
        transition.require_ready(item)
        at = clock.database_now()
        store.write_item(item, **transition.changes(at=at, params=job.params or {}))
        _succeed(job, item, at)
        _wake_passed(job, item, at)


def _leave(job: Job, item: Schedulable) -> None:
    """
    Do not change an item that is in no status for it.

    :raises InvalidTransition: of a kind that mirrors no time: only the job says what was asked for.
    """
    transition = job.transition
    if transition.time_field is None:
        raise InvalidTransition(
            gettext("It is %(status)s by now.") % {"status": status_label(item.status)}
        )
    if transition.asked_at(item) == job.run_at:
        # It comes before its time, as an end whose publish is being retried.
        _postpone(job, NOT_YET_PAUSE)
    else:
        _follow(item)


def _wake_passed(job: Job, item: Schedulable, at: datetime) -> None:
    """Have those of the item's times taken up now that have passed and waited for this change."""
    kinds = [it.name for it in mirrored() if it.name != job.kind]
    passed = Job.objects.of(item).open().filter(kind__in=kinds, run_at__lte=at)
    for other in passed.select_for_update(skip_locked=True):
        store.wake(job=other, at=at)


def _follow(item: Schedulable) -> None:
    """The item has another wish by now, written around the operations: that one counts."""
    reconcile(item=item, reason=gettext_noop("The item asks for something else by now."))


def _succeed(job: Job, item: Schedulable, at: datetime) -> None:
    store.close_job(job=job, state=State.SUCCEEDED, what=What.SUCCEEDED, at=at, by=None)
    outcome = job.transition.leads_to or job.kind
    log_changes(WORKER, [Change(item.label, outcome, at, job.run_at, job.pk)])


# Failure


def _record_failure(job_id: int, begun_at: datetime | None, error: BaseException) -> None:
    """Have the job retried, or end it, as soon as the database can be reached."""
    retry_while_disconnected(partial(_record, job_id, begun_at, error))


@transaction.atomic
def _record(job_id: int, begun_at: datetime | None, error: BaseException) -> None:
    job = _lock_due(job_id)
    if job is None or job.attempt_begun_at != begun_at:
        # While the database was away this attempt was given up by another worker, which may be in
        # the middle of the next.
        return
    item = job.find_item()
    if item is not None and not _can_lock(item):
        # Somebody is changing the item just now: the attempt is made again on what they leave.
        _postpone(job, BUSY_PAUSE)
        return
    _retry_or_fail(job, error, at=clock.database_now())


def _retry_or_fail(job: Job, error: BaseException, *, at: datetime) -> None:
    """Have a locked job retried, or end it; either way its history says what happened."""
    if isinstance(error, PERMANENT) or job.attempts >= max_attempts():
        _fail(job, error, at=at)
        return
    job.state = State.RETRYING
    store.wake(job=job, at=at + _pause_after(job, error))
    store.new_event(
        job=job,
        what=What.ATTEMPT_FAILED,
        at=at,
        by=None,
        reason=_text(error),
        new_run_at=job.next_attempt_at,
        detail=_describe(error),
    ).save()
    logger.warning("Attempt %d of %s failed: %s", job.attempts, job, _text(error))


def _pause_after(job: Job, error: BaseException) -> timedelta:
    """Return how long the job waits for its next attempt."""
    if isinstance(error, CUT_OFF) and job.attempts <= 1:
        return timedelta(0)
    delay = conf.RETRY_DELAYS[max(job.attempts, 1) - 1]
    # A tenth either way, so that what failed together does not come back together.
    return timedelta(seconds=delay * random.uniform(0.9, 1.1))  # noqa: S311 (no secret)


def _fail(job: Job, error: BaseException, *, at: datetime) -> None:
    """End the job; what was asked for stays on the item."""
    store.close_job(
        job=job,
        state=State.FAILED,
        what=What.FAILED,
        at=at,
        by=None,
        reason=_text(error),
        detail=_describe(error),
    )
    item = job.find_item()
    if item is not None and job.transition.on_failure:
        rows = type(item)._base_manager.filter(job.transition.runnable(job.run_at), pk=item.pk)
        rows.update(status=job.transition.on_failure, version=F("version") + 1)
    failure_mail.enqueue()
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
    store.wake(job=job, at=clock.database_now() + pause)


def _hold(job: Job) -> None:
    """
    Put the message that was taken back, as it was: no broker hands it out before the resume.

    Nothing else of the job changes: its place among the others, or an attempt that was cut off.
    """
    messages.delete_rows([job.message_id])
    job.message_id = messages.enqueue(
        job_id=job.pk, at=job.next_attempt_at, lane=job.lane, func=job.task
    )
    job.save(update_fields=["message_id"])


def _postpone(job: Job, pause: timedelta) -> None:
    """Take back an attempt that came to nothing, and have the job taken up a little later."""
    # It may be 0 already: whoever moved the job meanwhile gave it a new start.
    job.attempts = max(job.attempts - 1, 0)
    _wait(job, pause)


def _wake_again(job_id: int) -> None:
    """Put in a further message for a job that is in other hands."""
    job = Job.objects.filter(pk=job_id).first()
    if job is not None and job.is_open:
        messages.enqueue(
            job_id=job_id, at=clock.database_now() + BUSY_PAUSE, lane=job.lane, func=job.task
        )
