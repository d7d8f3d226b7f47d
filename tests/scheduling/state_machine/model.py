"""
What ought to be: the rules of the engine once more, in memory, for the state machine.

No rows, no locks, no messages: an item, its jobs, and what each operation does to them or refuses.
Where the engine's rule changes, this changes with it; where only its code changes, this does not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django_q.exceptions import TimeoutException

from content.models import Notice, Story
from scheduling.errors import DomainError
from scheduling.models import (
    ALLOWED,
    GUARDED,
    JobEvent,
    Kind,
    Pause,
    State,
    Status,
    schedulable_models,
)
from scheduling.models.references import ItemNotFound
from scheduling.operations import (
    EndNotAfterStart,
    InvalidTransition,
    ItemHasMovedOn,
    JobNotFound,
    NotInFuture,
    NotPublishable,
    WouldBreak,
)
from scheduling.operations.pause import AlreadyPaused, NotPaused, PublishingPaused
from scheduling.worker.job_runner import Outcome, WorkerDied
from scheduling.worker.reconciler import Swept
from tests.factories import LONG_AGO

What = JobEvent.What

# Every moment that is asked for lies on a grid of this width, and time passes by it. Pauses lie
# between its lines, so that the milliseconds a step takes decide nothing.
UNIT = timedelta(minutes=10)
PAUSE = UNIT / 2
RETRY_DELAYS = [300, 900, 1500]
CLOSE_LOOK = 6 * UNIT
NOTIFIED_WITHIN = timedelta(days=1)

MAX_ATTEMPTS = 1 + len(RETRY_DELAYS)
NOW = timedelta(0)


class Killed(BaseException):
    """The process ends here."""


class About(datetime):
    """A time known approximately: the clock goes on during a step, and retries are jittered."""

    early = late = NOW

    @classmethod
    def moment(cls, at: datetime, give_or_take: timedelta = NOW) -> "About":
        """Return the time with that tolerance."""
        about = cls.combine(at.date(), at.timetz())
        about.early = about.late = give_or_take
        return about


def is_as(expected: Any, actual: Any, *, step_took: timedelta) -> bool:
    """Whether a value is the expected one, within its tolerance."""
    if isinstance(expected, About) and actual is not None:
        late = expected.late + step_took
        return bool(expected - expected.early <= actual <= expected + late)
    return bool(expected == actual)


@dataclass(eq=False)
class Item:
    """A story or a notice."""

    model: type[Story] | type[Notice]
    status: str = Status.DRAFT
    publish_at: datetime | None = None
    unpublish_at: datetime | None = None
    published_at: datetime | None = None
    is_complete: bool = True
    version: int = 1
    # 0 until it is known.
    pk: int = 0
    is_deleted: bool = False
    # Its row was written by hand since its jobs were last brought in line with it.
    is_written_around: bool = False

    @property
    def has_hook(self) -> bool:
        """Whether its type has one: only notices are given one here."""
        return self.model is Notice

    def asked_at(self, kind: str) -> datetime | None:
        """Return when the item asks for a change of that kind."""
        if kind == Kind.PUBLISH:
            return self.publish_at if self.status == Status.SCHEDULED else None
        is_up = self.status in (Status.SCHEDULED, Status.PUBLISHED)
        return self.unpublish_at if is_up else None


@dataclass(eq=False)
class ExpectedJob:
    """A job with its history, and whether a queue row will wake a worker for it."""

    item: Item
    kind: str
    run_at: datetime
    next_attempt_at: datetime
    state: str = State.WAITING
    attempts: int = 0
    is_begun: bool = False
    finished_at: datetime | None = None
    is_notified: bool = False
    history: list[str] = field(default_factory=list)
    # Stands for the queue row; another after each replacement, None when it is gone.
    message: object | None = None
    # 0 until it is known.
    pk: int = 0
    is_pruned: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it has still to run."""
        return not self.is_pruned and self.state in (State.WAITING, State.RETRYING)

    @property
    def is_not_notified(self) -> bool:
        """Whether its failure has still to be mailed."""
        return self.state == State.FAILED and not self.is_notified and not self.is_pruned

    @property
    def is_hooked(self) -> bool:
        """Whether running it calls the hook."""
        return self.kind == Kind.PUBLISH and self.item.has_hook

    @property
    def lane(self) -> str:
        """Return where it is run."""
        return "slow" if self.is_hooked else "publish"


def breaks_a_constraint(item: Item, changes: Mapping[str, Any]) -> bool:
    """Whether the database refuses these values together."""
    values = {name: getattr(item, name) for name in ("publish_at", "unpublish_at", "published_at")}
    values |= changes
    status = changes.get("status", item.status)
    start, end, live = values["publish_at"], values["unpublish_at"], values["published_at"]
    return (
        (status == Status.DRAFT and live is not None)
        or (status in (Status.SCHEDULED, Status.FAILED) and start is None)
        or (status in (Status.PUBLISHED, Status.UNPUBLISHED) and live is None)
        or (status == Status.PUBLISHED and start is not None and live < start)
        or (start is not None and end is not None and end < start)
    )


def nothing() -> None:
    """Do nothing."""


class Expected:
    """The expected items and jobs, and every operation on them."""

    def __init__(self) -> None:
        # By the clock of the last look at the database. A step takes milliseconds.
        self.now = LONG_AGO
        self.items: list[Item] = []
        self.jobs: list[ExpectedJob] = []
        self.is_paused = False
        # Called before each transaction of a worker: there it may be killed, or others may act.
        self.between: Callable[[], None] = nothing

    # Looking

    def jobs_of(self, item: Item, kind: str) -> Iterator[ExpectedJob]:
        """Yield the jobs of that kind that are still known."""
        return (
            job for job in self.jobs if job.item is item and job.kind == kind and not job.is_pruned
        )

    def open_job(self, item: Item, kind: str) -> ExpectedJob | None:
        """Return the one open job of that kind."""
        return next((job for job in self.jobs_of(item, kind) if job.is_open), None)

    def due(self) -> list[ExpectedJob]:
        """Return what should run now."""
        return [job for job in self.jobs if self.is_due(job)]

    def is_due(self, job: ExpectedJob) -> bool:
        """Whether a worker may take it up."""
        return job.is_open and job.next_attempt_at <= self.now

    def end_has_failed(self, item: Item) -> bool:
        """Whether taking it down at the time it asks for has failed for good."""
        return any(
            job.state == State.FAILED and job.run_at == item.unpublish_at
            for job in self.jobs_of(item, Kind.UNPUBLISH)
        )

    def can_be_rerun(self, job: ExpectedJob) -> bool:
        """Whether the item's request is represented by a failed job alone."""
        item, is_publish = job.item, job.kind == Kind.PUBLISH
        status = Status.FAILED if is_publish else Status.PUBLISHED
        wanted = item.publish_at if is_publish else item.unpublish_at
        return (
            job.state == State.FAILED
            and not item.is_deleted
            and item.status == status
            and wanted == job.run_at
        )

    def needs_a_sweep(self) -> bool:
        """Whether the sweep would find something to do."""
        is_lost = any(job.is_open and not job.message for job in self.jobs)
        return is_lost or bool(self.due()) or any(item.is_written_around for item in self.items)

    def has_old_history(self, older_than: timedelta) -> bool:
        """Whether pruning would find something."""
        return any(
            job.finished_at is not None
            and job.finished_at < self.now - older_than
            and not job.is_pruned
            for job in self.jobs
        )

    # Operations

    def schedule(
        self, item: Item, run_at: datetime, end: datetime | None, *, keep_end: bool
    ) -> None:
        self._require_item(item)
        self._require_future(run_at)
        if item.status == Status.PUBLISHED:
            raise InvalidTransition
        self._require_complete(item)
        if keep_end:
            end = None if item.status == Status.UNPUBLISHED else item.unpublish_at
        if end is not None and end <= run_at:
            raise EndNotAfterStart
        self._write(item, status=Status.SCHEDULED, publish_at=run_at, unpublish_at=end)
        self._bring_in_line(item)

    def schedule_end(self, item: Item, run_at: datetime) -> None:
        self._require_item(item)
        self._require_future(run_at)
        if item.status not in (Status.PUBLISHED, Status.SCHEDULED):
            raise InvalidTransition
        if item.publish_at is not None and run_at <= item.publish_at:
            raise EndNotAfterStart
        self._write(item, unpublish_at=run_at)
        self._bring_in_line(item)

    def move(self, job: ExpectedJob, run_at: datetime) -> None:
        self._require_item(job.item)
        if not job.is_open:
            raise InvalidTransition
        if job.kind == Kind.PUBLISH:
            self.schedule(job.item, run_at, None, keep_end=True)
        else:
            self.schedule_end(job.item, run_at)

    def cancel(self, job: ExpectedJob) -> None:
        self._require_item(job.item)
        if not job.is_open:
            raise InvalidTransition
        self.unschedule(job.item, job.kind)

    def unschedule(self, item: Item, kind: str) -> None:
        self._require_item(item)
        job = self.open_job(item, kind)
        if kind == Kind.PUBLISH and item.status in (Status.SCHEDULED, Status.FAILED):
            has_failed = item.status == Status.FAILED and any(self.jobs_of(item, kind))
            if job is None and not has_failed:
                self._record(item, kind, State.CANCELLED)
            before = Status.DRAFT if item.published_at is None else Status.UNPUBLISHED
            self._write(item, status=before, publish_at=None, unpublish_at=None)
        elif job is None:
            raise InvalidTransition
        elif kind == Kind.UNPUBLISH:
            self._write(item, unpublish_at=None)
        self._bring_in_line(item)

    def publish_now(self, item: Item) -> None:
        self._require_item(item)
        if item.status == Status.PUBLISHED:
            raise InvalidTransition
        self._require_complete(item)
        now = About.moment(self.now)
        end = item.unpublish_at
        if end is not None and end <= self.now:
            end = None
        if item.has_hook:
            self._write(item, status=Status.SCHEDULED, publish_at=now, unpublish_at=end)
        else:
            live = {"status": Status.PUBLISHED, "publish_at": now, "published_at": now}
            self._write(item, unpublish_at=end, **live)
            self._record(item, Kind.PUBLISH, State.SUCCEEDED)
        self._bring_in_line(item)

    def unpublish_now(self, item: Item) -> None:
        self._require_item(item)
        if item.status != Status.PUBLISHED:
            raise InvalidTransition
        self._write(item, status=Status.UNPUBLISHED, unpublish_at=About.moment(self.now))
        self._set_job(item, Kind.UNPUBLISH, None)
        self._record(item, Kind.UNPUBLISH, State.SUCCEEDED)

    def rerun(self, job: ExpectedJob) -> None:
        item = job.item
        self.check_rerun(job)
        job.state, job.attempts, job.finished_at, job.is_notified = State.WAITING, 0, None, False
        self._wake(job, NOW)
        job.history.append(What.RERUN)
        if job.kind == Kind.PUBLISH:
            self._write(item, status=Status.SCHEDULED)
            self._bring_in_line(item)

    def check_rerun(self, job: ExpectedJob) -> None:
        item = job.item
        if job.is_pruned:
            raise JobNotFound
        if job.state != State.FAILED:
            raise InvalidTransition
        self._require_item(item)
        if not self.can_be_rerun(job):
            raise ItemHasMovedOn
        if job.kind == Kind.UNPUBLISH:
            if self.open_job(item, job.kind):
                raise ItemHasMovedOn
            return
        newest = list(self.jobs_of(item, job.kind))[-1]
        assert job.finished_at is not None
        has_been_live = item.published_at is not None and item.published_at >= job.finished_at
        has_ended = item.unpublish_at is not None and item.unpublish_at <= self.now
        if newest is not job or has_been_live or has_ended:
            raise ItemHasMovedOn
        self._require_complete(item)

    # Around the operations

    def create(self, item: Item) -> None:
        if breaks_a_constraint(item, {}):
            raise IntegrityError
        self.items.append(item)
        if item.status != Status.DRAFT:
            self._bring_in_line(item)

    def save(self, item: Item, changes: Mapping[str, Any], *, is_complete: bool) -> None:
        """Save an item: `changes` are the status and times that the caller changed."""
        if item.is_deleted:
            raise DatabaseError
        had_problem = item.status in GUARDED and not item.is_complete
        is_guarded = changes.get("status", item.status) in GUARDED
        if is_guarded and not is_complete and not had_problem:
            raise WouldBreak([])
        if breaks_a_constraint(item, changes):
            raise IntegrityError
        self._put(item, is_complete=is_complete, **changes)
        item.version += 1
        if changes:
            self._bring_in_line(item)

    def empty(self, item: Item) -> None:
        if not item.is_deleted:
            item.is_complete = False

    def write_around(self, item: Item, changes: Mapping[str, Any]) -> None:
        if item.is_deleted:
            return
        if breaks_a_constraint(item, changes):
            raise IntegrityError
        self._put(item, **changes)
        item.is_written_around = True

    def delete(self, item: Item) -> None:
        for kind in Kind:
            self._set_job(item, kind, None)
        item.is_deleted = True

    # Operators

    def pause(self) -> None:
        if self.is_paused:
            raise AlreadyPaused
        self.is_paused = True

    def resume(self) -> None:
        if not self.is_paused:
            raise NotPaused
        self.is_paused = False

    # Workers

    def drain(self) -> int:
        self.between()
        if self.is_paused:
            return 0
        # How an attempt that has begun ended is found out by the job's own run.
        claimed = [job for job in self.due() if not (job.is_hooked or job.is_begun)]
        starts = [job for job in claimed if job.kind == Kind.PUBLISH]
        ends = [job for job in claimed if job.kind == Kind.UNPUBLISH]
        passed = [job for job in starts if self._has_ended(job.item)]
        done = sum(self._drain(job) for job in starts if job not in passed)
        if not any(job.kind == Kind.UNPUBLISH for job in self.due()):
            return done
        # An item whose start and end have both passed is never seen in between.
        self.between()
        published = [job.item.pk for job in passed if self._drain(job)]
        followed = [job for job in ends if job.item.pk in published and self._drain(job)]
        self.between()
        ended = [job for job in ends if job not in followed and self._drain(job)]
        return done + len(published) + len(followed) + len(ended)

    def _has_ended(self, item: Item) -> bool:
        return item.unpublish_at is not None and item.unpublish_at <= self.now

    def _drain(self, job: ExpectedJob) -> bool:
        item = job.item
        if item.is_deleted:
            return False
        if job.kind == Kind.PUBLISH:
            if not (self._wants(job) and item.is_complete):
                return False
            self._write(item, status=Status.PUBLISHED, published_at=About.moment(self.now))
        elif item.status == Status.PUBLISHED and item.unpublish_at == job.run_at:
            self._write(item, status=Status.UNPUBLISHED)
        else:
            return False
        self._close(job, State.SUCCEEDED)
        job.attempts += 1
        return True

    def run_job(self, job: ExpectedJob, lane: str, hook: Callable[[], None]) -> None:
        if lane == "publish":
            self.drain()
            self.between()
            if self.is_due(job) and job.lane != lane:
                self._wake(job, NOW)
                return
        self.run_alone(job, hook)

    def run_everything_due(self, hook: Callable[[], None]) -> Outcome:
        if self.is_paused:
            raise PublishingPaused(Pause(paused_at=self.now))
        done = self.drain()
        failed = 0
        for job in sorted(self.due(), key=lambda job: (job.next_attempt_at, job.pk)):
            try:
                self.run_alone(job, hook)
            except Exception:  # noqa: BLE001 (as the engine does)
                failed += 1
                continue
            done += job.state == State.SUCCEEDED
            failed += job.state == State.FAILED
        return Outcome(done=done, failed=failed)

    def run_alone(self, job: ExpectedJob, hook: Callable[[], None]) -> None:
        self.between()
        if not self._begin(job):
            return
        try:
            self._carry_out(job, hook)
        except (Exception, TimeoutException) as error:
            self.between()
            # If the job was moved meanwhile, another attempt is to come: this one does not count.
            if self.is_due(job) and job.is_begun:
                self._retry_or_fail(job, error)
            raise

    def _begin(self, job: ExpectedJob) -> bool:
        if not self.is_due(job):
            return False
        if self.is_paused:
            job.message = object()
            return False
        if job.is_begun:
            self._retry_or_fail(job, WorkerDied())
            if not self.is_due(job):
                return False
        if job.attempts >= MAX_ATTEMPTS:
            self._fail(job)
            return False
        job.attempts += 1
        job.is_begun = True
        return True

    def _carry_out(self, job: ExpectedJob, hook: Callable[[], None]) -> None:
        item, seen = job.item, None
        if job.is_hooked and not item.is_deleted and self._wants(job):
            self._require_complete(item)
            seen = item.version
            self.between()
            hook()
        self.between()
        if not self.is_due(job):
            return
        self._require_item(item)
        if job.kind == Kind.UNPUBLISH:
            self._take_down(job)
        elif seen not in (None, item.version):
            self._postpone(job)
        elif not self._wants(job):
            self._bring_in_line(item)
        else:
            self._require_complete(item)
            self._write(item, status=Status.PUBLISHED, published_at=About.moment(self.now))
            self._close(job, State.SUCCEEDED)
            end = self.open_job(item, Kind.UNPUBLISH)
            if end is not None and end.run_at <= self.now:
                self._wake(end, NOW)

    def _take_down(self, job: ExpectedJob) -> None:
        item = job.item
        if item.asked_at(Kind.UNPUBLISH) != job.run_at:
            self._bring_in_line(item)
        elif item.status == Status.SCHEDULED:
            self._postpone(job)
        else:
            self._write(item, status=Status.UNPUBLISHED)
            self._close(job, State.SUCCEEDED)

    def charge_attempt(self, job: ExpectedJob) -> None:
        self.between()
        if self.is_due(job) and self.is_paused:
            job.message = object()
        elif self.is_due(job):
            job.attempts += 1
            self._retry_or_fail(job, Exception())

    def sweep(self, *, everything: bool) -> Swept:
        drained = self.drain()
        until = None if everything else self.now + CLOSE_LOOK
        self.between()
        kinds = [(model, kind) for model in schedulable_models() for kind in Kind]
        without_jobs = [one for one in kinds if self._without_job(*one, until)]
        created = sum(self._create_missing_jobs(model, kind, until) for model, kind in without_jobs)
        if created:
            drained += self.drain()
        messages = self._restore_messages(until)
        if until is not None and any(job.is_open and not job.message for job in self.jobs):
            messages += self._restore_messages(None)
        return Swept(drained=drained, created=created, messages=messages)

    def _without_job(self, model: type, kind: str, until: datetime | None) -> list[Item]:
        return [
            item
            for item in self.items
            if item.model is model and not item.is_deleted and not self.open_job(item, kind)
            if (at := item.asked_at(kind)) is not None and (until is None or at <= until)
        ]

    def _create_missing_jobs(self, model: type, kind: str, until: datetime | None) -> int:
        self.between()
        created = 0
        for item in self._without_job(model, kind, until):
            if not (kind == Kind.UNPUBLISH and self.end_has_failed(item)):
                self._set_job(item, kind, item.asked_at(kind))
                created += 1
        return created

    def _restore_messages(self, until: datetime | None) -> int:
        self.between()
        lost = [
            job
            for job in self.jobs
            if job.is_open and not job.message and (until is None or job.next_attempt_at <= until)
        ]
        for job in lost:
            job.message = object()
        return len(lost)

    def prune(self, older_than: timedelta) -> None:
        for job in self.jobs:
            if job.finished_at is not None and not self.can_be_rerun(job):
                job.is_pruned |= job.finished_at < self.now - older_than

    def notify(self) -> None:
        for job in self.jobs:
            if job.state == State.FAILED and job.finished_at is not None:
                job.is_notified |= job.finished_at > self.now - NOTIFIED_WITHIN

    def lose(self, job: ExpectedJob) -> None:
        job.message = None

    def pass_time(self, by: timedelta) -> None:
        """Let time pass: move every stored time back."""
        for thing in (*self.items, *self.jobs):
            for name, value in vars(thing).items():
                if isinstance(value, datetime):
                    setattr(thing, name, value - by)

    # Steps

    def _require_item(self, item: Item) -> None:
        if item.is_deleted:
            raise ItemNotFound

    def _require_future(self, at: datetime) -> None:
        if at <= self.now:
            raise NotInFuture

    def _require_complete(self, item: Item) -> None:
        if not item.is_complete:
            raise NotPublishable([])

    def _wants(self, job: ExpectedJob) -> bool:
        return job.item.asked_at(Kind.PUBLISH) == job.run_at

    def _write(self, item: Item, **fields: Any) -> None:
        """Change an item as the engine does: only by the ways that are allowed."""
        wanted = Status(fields.get("status", item.status))
        assert wanted == item.status or wanted in ALLOWED[Status(item.status)]
        self._put(item, **fields)
        item.version += 1

    def _put(self, item: Item, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(item, name, value)

    def _bring_in_line(self, item: Item) -> None:
        """Have just the jobs that the item asks for."""
        for kind in Kind:
            self._set_job(item, kind, item.asked_at(kind))
        item.is_written_around = False

    def _set_job(self, item: Item, kind: str, run_at: datetime | None) -> None:
        job = self.open_job(item, kind)
        if job is None:
            if run_at is not None:
                job = ExpectedJob(item, kind, run_at, run_at, history=[What.SCHEDULED])
                job.message = object()
                self.jobs.append(job)
        elif run_at is None:
            self._close(job, State.CANCELLED)
        elif job.run_at != run_at:
            job.run_at, job.state, job.attempts = run_at, State.WAITING, 0
            self._wake_at(job, run_at)
            job.history.append(What.MOVED)

    def _record(self, item: Item, kind: str, state: State) -> None:
        now = About.moment(self.now)
        self.jobs.append(
            ExpectedJob(item, kind, now, now, state, finished_at=now, history=[state.value])
        )

    def _close(self, job: ExpectedJob, state: State) -> None:
        job.state, job.finished_at = state, About.moment(self.now)
        job.message, job.is_begun = None, False
        job.history.append(state.value)

    def _wake(self, job: ExpectedJob, pause: timedelta, give_or_take: timedelta = NOW) -> None:
        self._wake_at(job, About.moment(self.now + pause, give_or_take))

    def _wake_at(self, job: ExpectedJob, at: datetime) -> None:
        job.next_attempt_at, job.is_begun, job.message = at, False, object()

    def _postpone(self, job: ExpectedJob) -> None:
        job.attempts = max(job.attempts - 1, 0)
        self._wake(job, PAUSE)

    def _retry_or_fail(self, job: ExpectedJob, error: BaseException) -> None:
        if isinstance(error, DomainError) or job.attempts >= MAX_ATTEMPTS:
            self._fail(job)
            return
        job.state = State.RETRYING
        job.history.append(What.ATTEMPT_FAILED)
        was_cut_off = isinstance(error, (WorkerDied, OperationalError, InterfaceError))
        if was_cut_off and job.attempts <= 1:
            self._wake(job, NOW)
        else:
            delay = timedelta(seconds=RETRY_DELAYS[max(job.attempts, 1) - 1])
            self._wake(job, delay, delay / 10)

    def _fail(self, job: ExpectedJob) -> None:
        self._close(job, State.FAILED)
        if job.kind == Kind.PUBLISH and not job.item.is_deleted and self._wants(job):
            self._write(job.item, status=Status.FAILED)
