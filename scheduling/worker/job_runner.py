"""
Run one job by itself, so that its error affects no other.

An attempt is counted, and committed, before it runs: a job that kills its worker uses up its
attempts too. After a *permanent* error, which a retry cannot fix, the job fails at once; any other
error is *transient*, and the job waits `RETRY_DELAYS` before each further attempt. An attempt that
ended with its worker or its connection is probably not the job's fault: the first such attempt is
repeated at once. One that a server which accepts no writes has ended is not counted.
"""

import json
import logging
import random
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F
from django.utils.translation import gettext_noop
from django_q.exceptions import TimeoutException

from scheduling import conf, tracing
from scheduling.errors import DomainError, Reason, Why, in_english, reasons_of
from scheduling.models import (
    TRANSITIONS,
    Job,
    JobEvent,
    Schedulable,
    State,
    clock,
    longest_attempt,
    mirrored,
)
from scheduling.models.expressions import ClockNow
from scheduling.models.job import ATTEMPT_LOCK
from scheduling.models.publish_log import WORKER, Change, log_changes
from scheduling.models.references import ItemNotFound
from scheduling.models.transitions import InvalidTransition, is_by_now
from scheduling.operations import pause as pausing
from scheduling.operations import reconcile, store
from scheduling.pooling import has_session
from scheduling.queue import leases, messages
from scheduling.queue.broker import TimedBroker
from scheduling.queue.outages import accepts_no_writes, is_outage, retry_while_disconnected
from scheduling.worker import batch_runner, child_process, failure_mail

logger = logging.getLogger(__name__)

What = JobEvent.What

# A job waits for a server that accepts no writes by a twentieth of its delay so far; no attempt is
# counted, up to this delay: a hook that runs again and again may be what fills the disk.
LONGEST_OUTAGE, SHORTEST_OUTAGE_PAUSE = timedelta(hours=1), timedelta(seconds=0.5)
# How long a job of an unknown kind is left to workers of another version.
UNKNOWN_KIND_PAUSE = timedelta(minutes=1)
# Who makes an attempt behind a pooler that is no cluster's, such as a command's. It is taken to be
# made for as long as an attempt may take.
UNKNOWN_OWNER = 0


class AttemptsUsedUp(DomainError):
    """All attempts were begun but none finished: the worker died each time."""

    code = "attempts_used_up"


class WorkerDied(Exception):
    """The worker ended in the middle of the attempt."""

    def __init__(self) -> None:
        super().__init__(
            Reason(
                "worker_died",
                gettext_noop(
                    "The worker ended in the middle of it: it was killed, ran out of memory,"
                    " or its host went away."
                ),
            )
        )


class NeverEnded(Exception):
    """The job was claimed several times, and its worker died each time."""


# Errors that a retry cannot fix.
PERMANENT = (DomainError,)
# Errors of a process, which will probably not happen again; so is one of a connection.
CUT_OFF = (WorkerDied, child_process.ChildDied)


class _Answer(Enum):
    """What to do about a job whose queue row has arrived."""

    ATTEMPT = auto()  # run it now
    ATTEMPT_WITH_HOOK = auto()  # run it now, with its type's own code
    NOTHING = auto()
    BUSY = auto()  # another worker runs it


class _Begun(NamedTuple):
    """
    What to do, and when the attempt began, which identifies it among those of the job.

    `request_id` and `traceparent` are the job's: what the attempt logs and records is done for that
    request.
    """

    answer: _Answer
    at: datetime | None = None
    request_id: str = ""
    traceparent: str = ""


class _Asking(NamedTuple):
    """
    One run's question whether to begin an attempt, repeated while the connection is lost.

    `since` is when it was asked first, by `monotonic()`. `begun` are the times of attempts that it
    has begun: the answer to their commit may be lost with the connection.
    """

    since: float
    begun: list[datetime]


def max_attempts() -> int:
    """Return how many attempts a job has: the first run and its retries."""
    return 1 + len(conf.RETRY_DELAYS)


class Outcome(NamedTuple):
    """How many jobs succeeded, and how many attempts failed."""

    done: int
    failed: int


def run_everything_due() -> Outcome:
    """
    Run every due job in this process: in batches, then one by one those that batches left.

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
        # It may also have been postponed, or have had no attempt left.
        state = Job.objects.filter(pk=job_id).values_list("state", flat=True).first()
        done += state == State.SUCCEEDED
        failed += state == State.FAILED
    return Outcome(done=done, failed=failed)


def run_alone(job_id: int) -> None:
    """
    Run one job if it is open and due, and publishing is not paused.

    For a queue row that comes late, twice, or for a job that has moved, there is nothing to do. If
    the job is locked, or run elsewhere, its queue row waits: see `TimedBroker.delete`.

    :raises Exception: whatever the attempt raised, once the failure is recorded.
    """
    begun = None
    try:
        begun = retry_while_disconnected(partial(_lock_and_begin, job_id, _Asking(monotonic(), [])))
        if begun.answer not in (_Answer.BUSY, _Answer.NOTHING):
            asked = tracing.of_request(begun.request_id)
            with asked, tracing.span("attempt", links=[begun.traceparent], job=job_id):
                _run_attempt(job_id, begun)
    finally:
        if begun is None or begun.answer is not _Answer.BUSY:
            _unlock(job_id, begun)


def _run_attempt(job_id: int, begun: "_Begun") -> None:
    work = partial(_carry_out, job_id)
    failed = partial(_record_failure, job_id, begun.at)
    # A child process would see nothing of a transaction that is open here.
    if begun.answer is _Answer.ATTEMPT_WITH_HOOK and not connection.in_atomic_block:
        try:
            with tracing.span("hook", job=job_id):
                child_process.run(work, seconds=conf.HOOK_TIMEOUT, failed=failed)
        except child_process.FailedInChild:
            raise  # the child has recorded it
        except BaseException as error:  # including django-q2's time-out of this process
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
    Enqueue a job that the `publish` lane must not run in its own lane; return whether it was one.

    This happens when its type was given a hook after the queue row was enqueued.
    """
    with transaction.atomic():
        job = Job.objects.due().filter(pk=job_id).select_for_update(skip_locked=True).first()
        if job is None or job.lane == conf.PUBLISH_LANE:
            return False
        store.wake(job=job, at=clock.database_now())
    return True


@transaction.atomic
def charge_attempt(job_id: int, why: str) -> None:
    """
    Count an attempt for a job whose queue row was claimed again and again without an end.

    While publishing is paused its row is put in again, and the count begins anew.
    """
    job = _lock_due(job_id)
    if job is not None and pausing.current():
        _enqueue(job, job.next_attempt_at)
    elif job is not None and job.kind in TRANSITIONS:
        job.attempts += 1
        with tracing.of_request(job.request_id):
            _retry_or_fail(job, NeverEnded(why), at=clock.database_now())


def _lock_and_begin(job_id: int, asking: _Asking) -> _Begun:
    """
    Lock the job against other workers, and count the attempt.

    The advisory lock belongs to the session, so PostgreSQL releases it when the worker dies or
    loses its connection. Behind a pooler the session is others' too; there `_begin` notes who makes
    the attempt, and whoever comes next looks whether they live.
    """
    if has_session(connection):
        [is_free] = _select("SELECT pg_try_advisory_lock(%s, %s)", _key(job_id))
        if not is_free:
            return _Begun(_Answer.BUSY)
    return _begin(job_id, asking)


def _unlock(job_id: int, begun: _Begun | None) -> None:
    if not connection.is_usable():
        return
    if not has_session(connection):
        _note_end(job_id, begun)
    else:
        # If the lock was lost with its connection, PostgreSQL only warns.
        _select("SELECT pg_advisory_unlock(%s, %s)", _key(job_id))


def _key(job_id: int) -> list[int]:
    return [ATTEMPT_LOCK, job_id % 2**31]


def _select(statement: str, params: list[int]) -> tuple[bool]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        row: tuple[bool] = cursor.fetchone()
        return row


@transaction.atomic
def _begin(job_id: int, asking: _Asking) -> _Begun:
    """Count the attempt, if the job is to run now."""
    nothing = _Begun(_Answer.NOTHING)
    if not has_session(connection):
        # Somebody who has a session may hold its lock.
        [is_free] = _select("SELECT pg_try_advisory_xact_lock(%s, %s)", _key(job_id))
        if not is_free:
            return _Begun(_Answer.BUSY)
    # Before the row is locked: whoever ends the attempt just then would skip it.
    if _is_being_made(job_id, asking):
        return nothing
    job = _lock_due(job_id)
    if job is None:
        return nothing
    with tracing.of_request(job.request_id):
        return _begin_locked(job, asking)


def _begin_locked(job: Job, asking: _Asking) -> _Begun:
    nothing = _Begun(_Answer.NOTHING)
    if pausing.current():
        # With its time unchanged: no broker claims it before the resume.
        _enqueue(job, job.next_attempt_at)
        return nothing
    now = clock.database_now()
    if job.kind not in TRANSITIONS:
        logger.warning("%s is of a kind that this worker does not know: left to others.", job.label)
        _enqueue(job, now + UNKNOWN_KIND_PAUSE)
        return nothing
    item = job.find_item()
    if item is not None and not _can_lock(item):
        _wait(job)
        return nothing
    if job.find_earlier() is not None:
        _wait(job)
        return nothing
    has_hook = item is not None and job.transition.has_hook(type(item))
    answer = _Answer.ATTEMPT_WITH_HOOK if has_hook else _Answer.ATTEMPT
    if job.attempt_begun_at in asking.begun:
        return _Begun(answer, job.attempt_begun_at, job.request_id, job.traceparent)
    if job.attempt_begun_at is not None:
        # An attempt was begun, and its worker died before it ended.
        _retry_or_fail(job, WorkerDied(), at=now)
        # django-q2 has no record of how that attempt ended.
        task = {"name": f"job {job.pk}", "func": job.task, "args": (job.pk,)}
        messages.keep_failure(task, in_english(*reasons_of(WorkerDied())), at=now)
        if not job.is_open or job.next_attempt_at > now:
            return nothing
    if job.attempts >= max_attempts():
        _fail(job, AttemptsUsedUp(), at=now)
        return nothing
    job.attempts += 1
    job.attempt_begun_at = now
    owner = TimedBroker.owner or UNKNOWN_OWNER
    job.attempt_owner = None if has_session(connection) else owner
    job.save(update_fields=["attempts", "attempt_begun_at", "attempt_owner"])
    asking.begun.append(now)
    return _Begun(answer, now, job.request_id, job.traceparent)


def _is_being_made(job_id: int, asking: _Asking) -> bool:
    """Query whether a worker that lives has begun the job's attempt, without a session's lock."""
    begun = Job.objects.filter(pk=job_id, attempt_begun_at__gt=ClockNow() - longest_attempt())
    begun = begun.exclude(attempt_begun_at__in=asking.begun)
    owner = begun.values_list("attempt_owner", flat=True).first()
    if owner is None or owner in TimedBroker.dead_owners:
        return False
    if owner == UNKNOWN_OWNER or leases.is_owner_alive(owner):
        return True
    # While this waited for an answer, they could not renew their lease either.
    return monotonic() - asking.since > leases.RENEW_SECONDS


def _note_end(job_id: int, begun: _Begun | None) -> None:
    """
    Note that an attempt is no longer made that has changed nothing, as its job was locked.

    Nobody waits for long: if the job still is, it runs again once an attempt would be over.
    """
    if begun is None or begun.at is None or connection.in_atomic_block:
        return
    with suppress(DatabaseError, InterfaceError), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
        Job.objects.filter(pk=job_id, attempt_begun_at=begun.at).update(attempt_owner=None)


def _carry_out(job_id: int) -> None:
    """Run the type's hook, then change the item, if it still asks for that."""
    # In a child of its own this is the first statement, and connects.
    job = retry_while_disconnected(Job.objects.due().filter(pk=job_id).first)
    if job is None:
        return
    item = job.find_item()
    version = None
    transition = job.transition
    has_hook = item is not None and transition.has_hook(type(item))
    if has_hook and item is not None and transition.can_run(item, job.run_at):
        transition.require_ready(item)
        # The hook holds no lock: it may use a network, and editors must not wait for that.
        # What it writes is rolled back when it raises.
        with transaction.atomic():
            item.before_publish()
        version = item.version
    _change(job_id, version)


@transaction.atomic
def _change(job_id: int, version: int | None) -> None:
    """
    Change the item and close the job.

    :param version: the item's version that the hook has checked; None if there was no hook.
    """
    job = _lock_due(job_id)
    if job is None:
        return
    item = job.find_item()
    if item is None:
        raise ItemNotFound
    if not _can_lock(item):
        _postpone(job)
        return
    item.refresh_from_db()
    transition = job.transition
    if not transition.can_run(item, job.run_at):
        _skip(job, item)
    elif transition.has_hook(type(item)) and item.version != version:
        # The item was changed after the hook had checked it: the hook must check it again.
        _postpone(job)
    else:
        transition.require_ready(item)
        at = clock.database_now()
        store.write_item(item, **transition.changes(at=at, params=_texts(job.params)))
        store.close_job(job=job, state=State.SUCCEEDED, what=What.SUCCEEDED, at=at, by=None)
        outcome = transition.leads_to or job.kind
        change = Change(item.label, outcome, at, job.run_at, job.pk, job.request_id)
        log_changes(WORKER, [change])
        if transition.time_field is None and transition.leads_to is not None:
            # Times that the item had in the status before are not asked for any more.
            reconcile(item=item, reason=batch_runner.ASKS_FOR_ELSE)
        _wake_passed(job, item, at)


class _Texts(dict[str, str]):
    """Parameters as a batch has them: each is text, and None where the job does not have it."""

    def __missing__(self, name: str) -> None:
        return None


def _texts(params: Mapping[str, Any] | None) -> _Texts:
    given = {name: value for name, value in (params or {}).items() if value is not None}
    return _Texts(
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in given.items()
    )


def _skip(job: Job, item: Schedulable) -> None:
    """
    Postpone or reconcile a job whose item is not in a status that it can change.

    :raises InvalidTransition: the kind mirrors no time, so that the item asks for nothing else.
    """
    transition = job.transition
    if transition.time_field is None:
        raise InvalidTransition(is_by_now(item))
    if transition.asked_at(item) == job.run_at:
        # It has to wait for another job, such as an end for its publish, which is being retried.
        _postpone(job)
    else:
        # The item's time was changed without an operation: the item's own values count.
        reconcile(item=item, reason=batch_runner.ASKS_FOR_ELSE)


def _wake_passed(job: Job, item: Schedulable, at: datetime) -> None:
    """Wake the item's other jobs that are due and were waiting for this change."""
    kinds = [it.name for it in mirrored() if it.name != job.kind]
    passed = Job.objects.of(item).open().filter(kind__in=kinds, run_at__lte=at)
    for other in passed.select_for_update(skip_locked=True):
        store.wake(job=other, at=at)


def _record_failure(job_id: int, begun_at: datetime | None, error: BaseException) -> None:
    """Retry the job, or fail it, as soon as the database can be reached."""
    retry_while_disconnected(partial(_record, job_id, begun_at, error))


@transaction.atomic
def _record(job_id: int, begun_at: datetime | None, error: BaseException) -> None:
    job = _lock_due(job_id)
    if job is None or job.attempt_begun_at != begun_at:
        # While the database could not be reached, another worker recorded this attempt as ended,
        # and may be running the next.
        return
    item = job.find_item()
    if item is not None and not _can_lock(item):
        # The item is being changed: the attempt is repeated after that.
        _postpone(job)
        return
    now = clock.database_now()
    delay = now - job.run_at
    if accepts_no_writes(error) and delay < LONGEST_OUTAGE:
        job.attempts = max(job.attempts - 1, 0)
        store.wake(job=job, at=now + max(delay / 20, SHORTEST_OUTAGE_PAUSE))
        logger.warning("%s waits until the database accepts writes again.", job.label)
        return
    _retry_or_fail(job, error, at=now)


def _retry_or_fail(job: Job, error: BaseException, *, at: datetime) -> None:
    """Retry a locked job, or fail it, and record why in its history."""
    if isinstance(error, PERMANENT) or job.attempts >= max_attempts():
        _fail(job, error, at=at)
        return
    job.state = State.RETRYING
    store.wake(job=job, at=at + _pause_after(job, error))
    facts: dict[str, Any] = {"reasons": _reasons(error), "detail": _describe(error)}
    store.new_event(
        job=job, what=What.ATTEMPT_FAILED, at=at, by=None, new_run_at=job.next_attempt_at, **facts
    ).save()
    logger.warning(
        "Attempt %d of %s failed: %s", job.attempts, job.label, in_english(*_reasons(error))
    )


def _pause_after(job: Job, error: BaseException) -> timedelta:
    """Return how long the job waits for its next attempt."""
    if (isinstance(error, CUT_OFF) or is_outage(error)) and job.attempts <= 1:
        return timedelta(0)
    delay = conf.RETRY_DELAYS[max(job.attempts, 1) - 1]
    # Up to a tenth more or less, so that jobs that failed together are not retried together.
    return timedelta(seconds=delay * random.uniform(0.9, 1.1))  # noqa: S311 (no secret)


def _fail(job: Job, error: BaseException, *, at: datetime) -> None:
    """Fail the job; the times on the item stay."""
    facts: dict[str, Any] = {"reasons": _reasons(error), "detail": _describe(error)}
    store.close_job(job=job, state=State.FAILED, what=What.FAILED, at=at, by=None, **facts)
    item = job.find_item()
    if item is not None and job.transition.on_failure:
        rows = type(item)._base_manager.filter(job.transition.runnable(job.run_at), pk=item.pk)
        rows.update(status=job.transition.on_failure, version=F("version") + 1)
    failure_mail.enqueue()
    logger.error("%s failed for good: %s", job.label, in_english(*_reasons(error)))


def _describe(error: BaseException) -> Mapping[str, object]:
    return {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "class": "permanent" if isinstance(error, PERMANENT) else "transient",
        "traceback": _storable("".join(traceback.format_exception(error))),
    }


def _reasons(error: BaseException) -> list[Why]:
    reasons = [_storable(it) if isinstance(it, str) else it for it in reasons_of(error)]
    return reasons if any(reasons) else [type(error).__name__]


def _storable(text: str) -> str:
    """Escape what PostgreSQL cannot store: NUL and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _lock_due(job_id: int) -> Job | None:
    """
    Lock the job if it is open, due, and not locked by another transaction.

    One that is locked is being changed. Its queue row waits, in case that is rolled back.
    """
    return Job.objects.due().filter(pk=job_id).select_for_update(skip_locked=True).first()


def _can_lock(item: Schedulable) -> bool:
    """Lock the item without waiting: a worker that holds a job never waits for an item."""
    rows = type(item)._base_manager.filter(pk=item.pk)
    return bool(rows.select_for_update(skip_locked=True).values_list("pk"))


def _wait(job: Job) -> None:
    """Let a locked job wait, in pauses that grow; its item, or an earlier job, holds it up."""
    until = messages.put_back(job.message_id)
    if until is None:  # its queue row is lost, or locked
        store.wake(job=job, at=clock.database_now())
        return
    job.next_attempt_at, job.attempt_begun_at = until, None
    job.save()


def _enqueue(job: Job, at: datetime) -> None:
    """
    Enqueue the job again, in place of its queue row.

    Nothing else of the job changes: neither its order among others nor an attempt that was cut off.
    """
    messages.delete_rows([job.message_id])
    job.message_id = messages.enqueue(job_id=job.pk, at=at, lane=job.lane, func=job.task)
    job.save(update_fields=["message_id"])


def _postpone(job: Job) -> None:
    """Uncount the attempt, and run the job a little later."""
    # It may be 0 already: a move resets the attempts.
    job.attempts = max(job.attempts - 1, 0)
    _wait(job)
