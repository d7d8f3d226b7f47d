"""
Everything that can be done to items and jobs, in chance order, beside a model of what ought to be.

The engine is real, and so is PostgreSQL; each example is one long transaction that is rolled back,
and nothing waits: time passes by moving every time in the database back. What two connections do
to each other, and processes, are other tests' matter.

The examples are the same each time. For others, and as many as wanted:

    MACHINE_SEEDS=100-199 pytest tests/scheduling/state_machine/test_state_machine.py
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import count
from typing import Any, ClassVar, NamedTuple, TypeVar
from unittest.mock import patch

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from django_q.conf import Conf
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ
from hypothesis import HealthCheck, Phase, note, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from content.models import Notice, Story
from scheduling import operations, tasks
from scheduling.broker import TimedBroker
from scheduling.errors import DomainError
from scheduling.models import OPEN_STATES, Job, Kind, State, Status
from scheduling.models.clock import database_now
from scheduling.operations import WouldBreak
from scheduling.operations import pause as pausing
from scheduling.operations import prune as pruning
from scheduling.queue import messages
from scheduling.worker import job_runner, reconciler
from scheduling.worker.batch_runner import run_due_jobs
from tests.factories import NoticeFactory, StoryFactory
from tests.scheduling.state_machine.interruptions import Break, Interruption, Kill, SomebodyElse
from tests.scheduling.state_machine.model import (
    MAX_ATTEMPTS,
    PAUSE,
    RETRY_DELAYS,
    UNIT,
    Expected,
    ExpectedJob,
    Item,
    Killed,
    is_as,
)

pytestmark = pytest.mark.django_db

# "3" or "100-199"; each seed is ten examples.
CHOSEN_SEEDS = os.environ.get("MACHINE_SEEDS", "")
FIRST_SEED, _, LAST_SEED = (CHOSEN_SEEDS or "1-6").partition("-")
SEEDS = range(int(FIRST_SEED), int(LAST_SEED or FIRST_SEED) + 1)
STEPS = 50
LEAST_STEPS = 2000
# Few, so that much happens to each.
MOST_ITEMS = 3
# The last moment that anybody asks for, in units of time.
FARTHEST = 30
# After so many rounds of a worker no job is open, whatever came before.
ROUNDS = MAX_ATTEMPTS + 3

# Every column that holds a time, for time to pass.
TIMES = {
    "content_story": ("publish_at", "unpublish_at", "published_at", "created_at", "updated_at"),
    "content_notice": ("publish_at", "unpublish_at", "published_at", "created_at", "updated_at"),
    "scheduling_job": (
        *("run_at", "next_attempt_at", "attempt_begun_at"),
        *("told_at", "created_at", "finished_at"),
    ),
    "scheduling_jobevent": ("at", "old_run_at", "new_run_at"),
    "django_q_ormq": ("lock", "armo_waiting_since"),
    "django_q_task": ("started", "stopped"),
}

BODY = "본문"

# What has to have happened at least once: a run whose steps all do nothing shows nothing.
HAPPENS = {
    *("succeeded", "failed", "cancelled", "moved", "attempt_failed", "rerun"),
    *(Kill.__name__, Break.__name__, SomebodyElse.__name__),
    *("schedule: done", "schedule: NotInFuture", "schedule: EndNotAfterStart"),
    *("schedule: InvalidTransition", "schedule: NotPublishable", "schedule: ItemNotFound"),
    *("publish now: done", "publish now: InvalidTransition", "unpublish now: done"),
    *("move: done", "cancel: done", "unschedule: done", "unschedule: InvalidTransition"),
    *("save: done", "save: IntegrityError", "save: WouldBreak", "edit: WouldBreak"),
    *("around: done", "delete: done"),
    *("rerun: done", "rerun: ItemHasMovedOn", "rerun: InvalidTransition", "prune: done"),
    *("deliver: done", "deliver late: done", "attempt: Killed", "attempt: NotPublishable"),
    *("pause: done", "resume: done", "resume: NotPaused", "everything due: PublishingPaused"),
    *("drain: done", "everything due: done", "sweep: done", "sweep: Killed", "notify: done"),
}


class Unreachable(Exception):
    """Stands for an error that may be gone next time."""


class Refused(DomainError):
    """The type's own check refuses."""


class Hook(Enum):
    """What the hook of a notice does when it is called."""

    WORKS = None
    RAISES = Unreachable
    REFUSES = Refused
    TIMES_OUT = TimeoutException
    KILLS_ITS_PROCESS = Killed

    def __call__(self) -> None:
        """Behave so."""
        if self.value is not None:
            raise self.value


class Act(Enum):
    """What somebody else may do to an item while a worker is at it."""

    EDIT = "edit"
    EMPTY = "empty"
    MOVE = "move"
    CANCEL = "cancel"
    PUBLISH = "publish"
    TAKE_DOWN = "take down"
    DELETE = "delete"


UNCHANGED = "keep"

ITEM_TYPES = st.sampled_from([Story, Notice])
# Mostly complete: what is not goes nowhere.
COMPLETE = st.sampled_from([True, True, True, True, False])
# In units of time from now. Beyond 6 a sweep looks less closely.
MOMENTS = st.sampled_from([1, 2, 3, 1, 2, 3, 6, 7, FARTHEST, 0, -1, -12])
MAYBE_MOMENTS = st.none() | MOMENTS
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(Status),
        "publish_at": MAYBE_MOMENTS,
        "unpublish_at": MAYBE_MOMENTS,
        "published_at": st.sampled_from([0, -1, None]),
    },
)
NUMBERS = st.integers(0, 39)
LATE = st.sampled_from([0, 0, 1, 7])
REASONS = st.sampled_from(["", "이유 “하나”"])
LANES = st.sampled_from(["publish", "slow"])
HOOKS = st.sampled_from([Hook.WORKS, *Hook])
KILLS = st.builds(Kill, statement=st.integers(0, 30))
BREAKS = st.builds(
    Break, statement=st.integers(0, 8), error=st.sampled_from([DataError, OperationalError])
)
OTHERS = st.tuples(st.integers(0, 3), st.sampled_from(Act))
MAYBE_KILLS = st.one_of(*[st.none()] * 5, KILLS)


def outcome_of(act: Callable[[], Any]) -> Any:
    """Return what it returns, or raises."""
    try:
        return act()
    except (Exception, TimeoutException, Killed) as error:  # noqa: BLE001 (it is compared)
        return error


def essence(outcome: Any) -> Any:
    """Return what has to agree of an outcome: the class of an error, or a count."""
    if isinstance(outcome, BaseException):
        return type(outcome)
    return outcome if isinstance(outcome, int | tuple) else None


class ItemRow(NamedTuple):
    """What of an item's row is compared."""

    id: int
    status: str
    publish_at: datetime | None
    unpublish_at: datetime | None
    published_at: datetime | None
    version: int


class JobRow(NamedTuple):
    """What of a job's row is compared."""

    id: int
    kind: str
    state: str
    run_at: datetime
    next_attempt_at: datetime
    attempts: int
    attempt_begun_at: datetime | None
    finished_at: datetime | None
    told_at: datetime | None
    message_id: int | None
    content_type_id: int
    object_id: int


class EventRow(NamedTuple):
    """What of an event's row may never change."""

    id: int
    job_id: int
    what: str
    at: datetime
    by_id: int | None
    old_run_at: datetime | None
    new_run_at: datetime | None
    reason: str


class MessageRow(NamedTuple):
    """What of a message's row is compared."""

    id: int
    key: str
    lock: datetime
    armo_job: int | None


Row = TypeVar("Row", ItemRow, JobRow, EventRow, MessageRow)


def fetch(row: type[Row], table: str) -> dict[int, Row]:
    """Return the rows of a table, in order."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(row._fields)} FROM {table} ORDER BY id")
        return {values[0]: row(*values) for values in cursor.fetchall()}


class Rows:
    """The rows that the engine writes, as they are now."""

    def __init__(self) -> None:
        self.now = database_now()
        self.items = {
            (model, pk): row
            for model, table in ((Story, "content_story"), (Notice, "content_notice"))
            for pk, row in fetch(ItemRow, table).items()
        }
        self.jobs = fetch(JobRow, "scheduling_job")
        self.events = fetch(EventRow, "scheduling_jobevent")
        self.messages = fetch(MessageRow, "django_q_ormq WHERE key <> 'mail'")
        self.histories: dict[int, list[str]] = defaultdict(list)
        for event in self.events.values():
            self.histories[event.job_id].append(event.what)


def earlier(value: Any, by: timedelta) -> Any:
    """Return a time so much earlier, anything else as it is."""
    return value - by if isinstance(value, datetime) else value


def has_open_jobs(machine: "Machine") -> bool:
    """Whether any job has still to run."""
    return any(job.is_open for job in machine.expected.jobs)


class Machine(RuleBasedStateMachine):
    """Editors, operators, workers, and what goes wrong."""

    # What the hook of every notice does now.
    hook: ClassVar[Callable[[], None]] = Hook.WORKS
    # How often each rule had which outcome, and each event happened, over all examples.
    counts: ClassVar[Counter[str]] = Counter()
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.expected = Expected()
        # Each item as an editor's form has it, which may be from long before.
        self.forms: dict[Item, Story | Notice] = {}
        self.rows = self.rows_before = Rows()
        self.may_change: set[int] = set()
        self.steps_since_the_end = 0
        self.expected.now = self.rows.now
        # The invariants are looked at once before the first step.
        Machine.steps -= 1
        Machine.hook = Hook.WORKS
        self.begin()

    def teardown(self) -> None:
        for job in self.expected.jobs:
            self.counts.update(job.history)
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)

    # Editors

    def begin(self) -> None:
        """Begin with one scheduled item of each type."""
        for model in (Story, Notice):
            changes = {"status": Status.SCHEDULED, "publish_at": 1}
            self.write(model=model, is_complete=True, changes=changes)

    @precondition(lambda self: len(self.living()) < MOST_ITEMS)
    @rule(model=ITEM_TYPES, is_complete=COMPLETE, changes=st.just({}) | CHANGES)
    def write(
        self, model: type[Story] | type[Notice], is_complete: bool, changes: Mapping[str, Any]
    ) -> None:
        """Write a new item, which may ask for a time at once."""
        values = self.values(changes)
        item = Item(model, is_complete=is_complete, **values)
        factory = StoryFactory if model is Story else NoticeFactory
        make = partial(factory, body=BODY if is_complete else "", **values)
        outcome = self.step("write", make, partial(self.expected.create, item))
        if not isinstance(outcome, BaseException):
            self.forms[item] = outcome

    @rule(number=NUMBERS)
    def open_form(self, number: int) -> None:
        """Read an item anew."""
        self.read_anew(self.pick_item(number))

    @rule(number=NUMBERS, is_complete=COMPLETE, title=st.sampled_from(["제목", "다른 제목"]))
    def edit(self, number: int, is_complete: bool, title: str) -> None:
        """Save an item as the editor has it: status and times were not touched."""
        item = self.pick_item(number)
        form = self.forms[item]
        form.title, form.body = title, BODY if is_complete else ""
        expect = partial(self.expected.save, item, {}, is_complete=is_complete)
        self.operate("edit", item, lambda form: form.save(), expect)

    @rule(number=NUMBERS, changes=CHANGES, kill=MAYBE_KILLS)
    def save_changes(self, number: int, changes: Mapping[str, Any], kill: Kill | None) -> None:
        """Save an item with another status or time than it was read with."""
        self.save_as(self.pick_item(number), self.values(changes), kill)

    @rule(number=NUMBERS, changes=CHANGES)
    def write_around(self, number: int, changes: Mapping[str, Any]) -> None:
        """Write status and times without anything that follows: SQL by hand, a restored dump."""
        item, values = self.pick_item(number), self.values(changes)
        if values:
            rows = item.model._base_manager.filter(pk=item.pk)

            def update() -> None:
                with transaction.atomic():
                    rows.update(**values)

            self.step("around", update, partial(self.expected.write_around, item, values))

    @rule(number=NUMBERS, at=MOMENTS, end=st.just(UNCHANGED) | MAYBE_MOMENTS, kill=MAYBE_KILLS)
    def schedule(self, number: int, at: int, end: int | str | None, kill: Kill | None) -> None:
        """Schedule an item's publish, or move it."""
        item, run_at = self.pick_item(number, can_be_published), self.at(at)
        if isinstance(end, str):
            keep, ending = True, None
        else:
            keep, ending = False, None if end is None else self.at(end)
        self.operate(
            "schedule",
            item,
            lambda form: operations.schedule(
                item=form,
                run_at=run_at,
                by=None,
                unpublish_at=operations.UNCHANGED if keep else ending,
            ),
            partial(self.expected.schedule, item, run_at, ending, keep_end=keep),
            kill,
        )

    @precondition(lambda self: any(map(can_have_an_end, self.living())))
    @rule(number=NUMBERS, at=MOMENTS)
    def schedule_end(self, number: int, at: int) -> None:
        """Give an item an end."""
        item = self.pick_item(number, can_have_an_end)
        end = partial(operations.schedule, run_at=self.at(at), kind=Kind.UNPUBLISH, by=None)
        self.operate(
            "schedule the end",
            item,
            lambda form: end(item=form),
            partial(self.expected.schedule_end, item, self.at(at)),
        )

    @precondition(lambda self: any(map(can_be_unscheduled, self.living())))
    @rule(number=NUMBERS, kind=st.sampled_from(Kind), kill=MAYBE_KILLS)
    def unschedule(self, number: int, kind: Kind, kill: Kill | None) -> None:
        """Unschedule a scheduled or failed item."""
        item = self.pick_item(number, can_be_unscheduled)
        self.operate(
            "unschedule",
            item,
            lambda form: operations.unschedule(item=form, by=None, kind=kind),
            partial(self.expected.unschedule, item, kind),
            kill,
        )

    @rule(number=NUMBERS, kill=MAYBE_KILLS)
    def publish_now(self, number: int, kill: Kill | None) -> None:
        """Publish an item at once."""
        item = self.pick_item(number, can_be_published)
        self.operate(
            "publish now",
            item,
            lambda form: operations.publish_now(item=form, by=None),
            partial(self.expected.publish_now, item),
            kill,
        )

    @precondition(lambda self: any(map(is_live, self.living())))
    @rule(number=NUMBERS)
    def unpublish_now(self, number: int) -> None:
        """Take an item down at once."""
        item = self.pick_item(number, is_live)
        self.operate(
            "unpublish now",
            item,
            lambda form: operations.unpublish_now(item=form, by=None),
            partial(self.expected.unpublish_now, item),
        )

    @precondition(has_open_jobs)
    @rule(number=NUMBERS, at=MOMENTS)
    def move(self, number: int, at: int) -> None:
        """Give a job another time."""
        job, run_at = self.pick_job(number, lambda job: job.is_open), self.at(at)
        if not job.is_pruned:
            self.step(
                "move",
                lambda: operations.move(job=self.row_of(job), run_at=run_at, by=None),
                partial(self.expected.move, job, run_at),
            )

    @precondition(has_open_jobs)
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        """Cancel a job."""
        job = self.pick_job(number, lambda job: job.is_open)
        if not job.is_pruned:
            self.step(
                "cancel",
                lambda: operations.cancel(job=self.row_of(job), by=None),
                partial(self.expected.cancel, job),
            )

    @precondition(lambda self: len(self.living()) == MOST_ITEMS)
    @rule(number=NUMBERS, is_by_hand=st.booleans(), kill=MAYBE_KILLS)
    def delete(self, number: int, is_by_hand: bool, kill: Kill | None) -> None:
        """Delete an item; by hand its jobs stay behind."""
        item = self.living()[number % MOST_ITEMS]
        if is_by_hand:
            rows = item.model._base_manager.filter(pk=item.pk)
            self.step(
                "delete by hand",
                lambda: quiet(rows._raw_delete("default")),
                partial(setattr, item, "is_deleted", True),
            )
        else:
            self.step(
                "delete",
                partial(delete, item),
                partial(self.expected.delete, item),
                kill,
                is_one_transaction=True,
            )

    # Operators

    @precondition(lambda self: any(job.state == State.FAILED for job in self.expected.jobs))
    @rule(number=NUMBERS, is_mended=st.booleans(), kill=MAYBE_KILLS)
    def rerun(self, number: int, is_mended: bool, kill: Kill | None) -> None:
        """Run a failed job again, perhaps when what was missing has been added."""
        job = self.pick_job(number, lambda job: job.state == State.FAILED)
        if is_mended and not job.item.is_deleted:
            self.save_body(job.item, BODY)
        self.step(
            "check rerun",
            lambda: operations.check_rerun(job=self.row_of(job)),
            partial(self.expected.check_rerun, job),
        )
        self.may_change = {job.pk}
        self.step(
            "rerun",
            lambda: operations.rerun(job=self.row_of(job), by=None),
            partial(self.expected.rerun, job),
            kill,
            is_one_transaction=True,
        )

    @precondition(lambda self: self.expected.has_old_history(2 * UNIT))
    @rule(units=st.sampled_from([2, 12, 40]))
    def prune(self, units: int) -> None:
        """Delete old history."""
        self.step(
            "prune",
            lambda: list(pruning.prune(units * UNIT)),
            partial(self.expected.prune, units * UNIT),
        )

    @precondition(has_open_jobs)
    @rule(number=NUMBERS, lane=LANES, kill=MAYBE_KILLS)
    def pause(self, number: int, lane: str, kill: Kill | None) -> None:
        """Pause publishing, see that workers leave a due job alone, and mostly resume it."""
        job = self.pick_open_job(number)
        self.step("pause", lambda: quiet(pausing.pause(by=None)), self.expected.pause)
        self.wait_for(job)
        self.run_job("deliver in a pause", job, lane, kill)
        self.do_everything_due(kill=None)
        if number % 4:
            self.resume()

    @rule()
    def resume(self) -> None:
        """Resume publishing."""
        self.step("resume", lambda: pausing.resume(by=None), self.expected.resume)

    # Workers

    @precondition(lambda self: any(job.message for job in self.expected.jobs))
    @rule(number=NUMBERS, late=LATE, interruption=st.one_of(st.none(), KILLS, OTHERS, OTHERS))
    def deliver(self, number: int, late: int, interruption: Kill | tuple[int, Act] | None) -> None:
        """Have a worker claim a queue row, run its task, and delete the row."""
        with_message = [job for job in self.expected.jobs if job.message]
        job = with_message[number % len(with_message)]
        self.wait_for(job, late)
        message, message_id = job.message, self.rows.jobs[job.pk].message_id
        with connection.cursor() as cursor:
            claim = "UPDATE django_q_ormq SET armo_deliveries = armo_deliveries + 1 WHERE id = %s"
            cursor.execute(claim, [message_id])
        outcome = self.run_job("deliver", job, job.lane, self.resolve(interruption, job))
        if isinstance(outcome, Killed):
            return
        assert message_id is not None
        TimedBroker(job.lane).delete(message_id)
        assert job.message is not message, "it is open, and its only message is used up"
        self.look()

    @precondition(lambda self: self.expected.jobs)
    @rule(number=NUMBERS, lane=LANES, interruption=st.one_of(st.none(), KILLS, OTHERS, OTHERS))
    def deliver_late(
        self, number: int, lane: str, interruption: Kill | tuple[int, Act] | None
    ) -> None:
        """Have a worker run a stale task: its job may be finished, moved, or deleted."""
        job = self.pick_job(number, lambda job: job.is_open)
        if job.is_open and number % 2:
            self.wait_for(job)
        self.run_job("deliver late", job, lane, self.resolve(interruption, job))

    @precondition(has_open_jobs)
    @rule(number=NUMBERS, interruption=st.one_of(st.none(), KILLS, BREAKS, OTHERS, OTHERS))
    def attempt(self, number: int, interruption: Kill | Break | tuple[int, Act] | None) -> None:
        """Attempt a job alone at its time, whatever a drain would have done."""
        job = self.pick_open_job(number)
        self.attempt_alone(job, self.resolve(interruption, job))

    @precondition(has_open_jobs)
    @rule(number=NUMBERS, times=st.integers(2, MAX_ATTEMPTS + 1), way=HOOKS | KILLS | BREAKS)
    def wear_out(self, number: int, times: int, way: Hook | Kill | Break) -> None:
        """Attempt a job again and again, and have each attempt end in the same way."""
        job = self.pick_open_job(number)
        if isinstance(way, Hook):
            self.change_hook(way)
        for _ in range(times):
            if job.is_open:
                self.attempt_alone(job, None if isinstance(way, Hook) else replace(way))

    @precondition(lambda self: any(map(can_be_emptied, self.living())))
    @rule(number=NUMBERS)
    def empty(self, number: int) -> None:
        """Have something missing of an item when its time comes."""
        items = [item for item in self.living() if can_be_emptied(item)]
        item = items[number % len(items)]
        self.step("empty", partial(empty, item), partial(self.expected.empty, item))
        job = self.expected.open_job(item, Kind.PUBLISH)
        if job is not None:
            self.attempt_alone(job)

    @precondition(lambda self: any(map(has_failed, self.living())))
    @rule(number=NUMBERS, end=MAYBE_MOMENTS)
    def mend(self, number: int, end: int | None) -> None:
        """Add what is missing of an item that has failed, and perhaps give it another end."""
        items = [item for item in self.living() if has_failed(item)]
        item = items[number % len(items)]
        self.save_body(item, BODY)
        self.read_anew(item)
        if end is not None:
            self.save_as(item, {"unpublish_at": self.at(end)})

    @precondition(lambda self: self.expected.due())
    @rule(number=NUMBERS)
    def charge_attempt(self, number: int) -> None:
        """Charge an attempt for a queue row that was handed out too often."""
        due = self.expected.due()
        job = due[number % len(due)]
        self.step(
            "charge an attempt",
            lambda: job_runner.charge_attempt(job.pk, "handed out too often"),
            partial(self.expected.charge_attempt, job),
        )

    @precondition(has_open_jobs)
    @rule(number=NUMBERS, kill=MAYBE_KILLS)
    def run_due_jobs(self, number: int, kill: Kill | None) -> None:
        """Do everything that is due, set by set, as soon as some job is."""
        self.wait_for(self.pick_open_job(number))
        self.step("drain", run_due_jobs, self.expected.drain, kill)

    @precondition(lambda self: self.expected.due())
    @rule(kill=MAYBE_KILLS)
    def do_everything_due(self, kill: Kill | None) -> None:
        """Do everything that is due without a worker."""
        self.step(
            "everything due",
            job_runner.run_everything_due,
            partial(self.expected.run_everything_due, Machine.hook),
            kill,
        )

    @precondition(lambda self: self.expected.needs_a_sweep())
    @rule(everything=st.booleans(), kill=MAYBE_KILLS)
    def sweep(self, everything: bool, kill: Kill | None) -> None:
        """Run the sweep."""
        self.step(
            "sweep",
            lambda: reconciler.sweep(everything=everything),
            partial(self.expected.sweep, everything=everything),
            kill,
        )

    @precondition(lambda self: any(job.is_not_notified for job in self.expected.jobs))
    @rule()
    def notify(self) -> None:
        """Notify people of what has failed."""
        OrmQ.objects.filter(key="mail").delete()
        self.may_change = {job.pk for job in self.expected.jobs if job.state == State.FAILED}
        self.step("notify", lambda: quiet(tasks.tell_failures()), self.expected.notify)

    # What happens to them all

    @rule(hook=HOOKS)
    def change_hook(self, hook: Hook) -> None:
        """Change what the hook of notices does."""
        Machine.hook = hook

    @precondition(has_open_jobs)
    @rule(units=st.sampled_from([1, 1, 1, 2, 3, 7, 31, 150]))
    def pass_time(self, units: int) -> None:
        """Let time pass, without waiting: all that was lies further back."""
        by = units * UNIT
        form: Any
        for form in self.forms.values():
            for name in form.ENGINE_FIELDS:
                setattr(form, name, earlier(getattr(form, name), by))
            form.copy_engine_fields(form)
        before = self.rows
        before.events = {
            pk: EventRow(*(earlier(value, by) for value in row))
            for pk, row in before.events.items()
        }
        before.jobs = {
            pk: JobRow(*(earlier(value, by) for value in row)) for pk, row in before.jobs.items()
        }
        self.step("time", partial(move_back, by), partial(self.expected.pass_time, by))

    @precondition(lambda self: any(job.message for job in self.expected.jobs))
    @rule(numbers=st.sets(NUMBERS, min_size=1, max_size=3))
    def lose_messages(self, numbers: set[int]) -> None:
        """Lose some queue rows."""
        for number in numbers:
            job = self.pick_job(number, lambda job: job.message is not None)
            if job.message is not None:
                OrmQ.objects.filter(pk=self.rows.jobs[job.pk].message_id).delete()
                self.expected.lose(job)
        self.look()

    # Now and then: it takes as long as twenty steps.
    @precondition(lambda self: self.steps_since_the_end > 20 and self.expected.due())
    @rule()
    def come_to_an_end(self) -> None:
        """Let the workers finish: no job stays open."""
        self.steps_since_the_end = 0
        self.change_hook(Hook.WORKS)
        if self.expected.is_paused:
            self.resume()
        self.pass_time(FARTHEST + 1)
        self.sweep(everything=True, kill=None)
        for _ in range(ROUNDS):
            self.do_everything_due(kill=None)
            self.pass_time(3)

        assert not any(row.state in OPEN_STATES for row in self.rows.jobs.values())
        for (model, pk), row in self.rows.items.items():
            is_up_after_its_end = row.status == Status.PUBLISHED and row.unpublish_at is not None
            [item] = [i for i in self.expected.items if (i.model, i.pk) == (model, pk)]
            assert row.status != Status.SCHEDULED
            assert not is_up_after_its_end or self.expected.end_has_failed(item)

    # What always holds, whatever the model says

    @invariant()
    def is_counted(self) -> None:
        Machine.steps += 1
        self.steps_since_the_end += 1

    @invariant()
    def has_the_jobs_that_items_ask_for(self) -> None:
        found = {(job.item, job.kind): job.run_at for job in self.expected.jobs if job.is_open}
        for item in self.expected.items:
            if item.is_deleted or item.is_written_around:
                continue
            row = self.rows.items[item.model, item.pk]
            start = row.publish_at if row.status == Status.SCHEDULED else None
            end = row.unpublish_at if row.status in (Status.SCHEDULED, Status.PUBLISHED) else None
            assert found.get((item, Kind.PUBLISH)) == start
            if row.status == Status.FAILED:
                # Its end waits for what becomes of it.
                assert found.get((item, Kind.UNPUBLISH)) in (None, row.unpublish_at)
            elif not self.expected.end_has_failed(item):
                assert found.get((item, Kind.UNPUBLISH)) == end

    @invariant()
    def publishes_never_early_and_once(self) -> None:
        for item in self.rows.items.values():
            if item.status == Status.PUBLISHED and item.publish_at is not None:
                assert item.published_at is not None
                assert item.published_at >= item.publish_at
        for job in self.rows.jobs.values():
            history = self.rows.histories[job.id]
            assert history.count("succeeded") == (job.state == State.SUCCEEDED)
            if job.state not in OPEN_STATES:
                assert history[-1] == job.state
                assert job.finished_at is not None
            if job.state == State.SUCCEEDED and job.finished_at is not None:
                assert job.finished_at >= job.run_at

    @invariant()
    def tries_only_so_often(self) -> None:
        for row in self.rows.jobs.values():
            # A run_due_jobs, or a message that was handed out too often, may come on top.
            assert row.attempts <= MAX_ATTEMPTS + (row.state not in OPEN_STATES)

    # Steps

    def living(self) -> list[Item]:
        """Return the items that are not deleted."""
        return [item for item in self.expected.items if not item.is_deleted]

    def at(self, units: int) -> datetime:
        """Return the moment so far from now."""
        return self.expected.now + units * UNIT

    def wait_for(self, job: ExpectedJob, late: int = 0) -> None:
        """Let time pass until the job is due, or later."""
        units = -((self.expected.now - job.next_attempt_at) // UNIT) + late
        if units > 0:
            self.pass_time(units)

    def attempt_alone(self, job: ExpectedJob, interruption: Interruption | None = None) -> None:
        """Attempt a job at its time."""
        self.wait_for(job)
        self.step(
            "attempt",
            partial(job_runner.run_alone, job.pk),
            partial(self.expected.run_alone, job, Machine.hook),
            interruption,
        )

    def save_body(self, item: Item, body: str) -> None:
        """Change an item's body, and nothing else."""
        expect = partial(self.expected.save, item, {}, is_complete=bool(body))
        self.step("body", partial(save, item, body=body), expect)

    def save_as(self, item: Item, values: Mapping[str, Any], kill: Kill | None = None) -> None:
        """Save an item as the editor has it, but for these values."""
        form = self.forms[item]
        changes = {name: at for name, at in values.items() if at != getattr(form, name)}
        expect = partial(self.expected.save, item, changes, is_complete=bool(form.body))

        def save(form: Story | Notice) -> None:
            for name, value in values.items():
                setattr(form, name, value)
            form.save()

        self.operate("save", item, save, expect, kill)

    def read_anew(self, item: Item) -> None:
        """Have the editor read an item as it is now."""
        if not item.is_deleted:
            self.forms[item] = read(item)

    def values(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return changes with their moments as times."""
        return {
            name: self.at(value) if isinstance(value, int) else value
            for name, value in changes.items()
        }

    def pick_item(
        self, number: int, is_likely: Callable[[Item], object] = lambda item: not item.is_deleted
    ) -> Item:
        """Return an item: three in four times one that there is something to do with, if any."""
        items = self.expected.items[::-1]
        likely = [item for item in items if is_likely(item) and not item.is_deleted]
        chosen = likely if likely and number % 4 < 3 else items
        return chosen[number // 4 % len(chosen)]

    def pick_job(self, number: int, is_likely: Callable[[ExpectedJob], object]) -> ExpectedJob:
        """Return a job: three in four times one that there is something to do with, if any."""
        jobs = self.expected.jobs[::-1]
        likely = [job for job in jobs if is_likely(job)]
        chosen = likely if likely and number % 4 < 3 else jobs
        return chosen[number // 4 % len(chosen)]

    def pick_open_job(self, number: int) -> ExpectedJob:
        """Return a job that has still to run."""
        open_jobs = [job for job in self.expected.jobs if job.is_open]
        return open_jobs[number % len(open_jobs)]

    def row_of(self, job: ExpectedJob) -> Job:
        """Return the row of a job; of one that is gone, as somebody may still have it."""
        row = Job.objects.filter(pk=job.pk).first()
        if row is None:
            of = ContentType.objects.get_for_model(job.item.model)
            row = Job(pk=job.pk, content_type=of, object_id=job.item.pk, kind=job.kind)
        return row

    def resolve(
        self, interruption: Interruption | tuple[int, Act] | None, job: ExpectedJob
    ) -> Interruption | None:
        """Return the interruption; somebody else acts on just the item of this job."""
        if not isinstance(interruption, tuple):
            return interruption
        number, act = interruption
        item, model = job.item, self.expected
        if item.is_deleted:
            return None
        at = self.at(3)
        acts: dict[Act, tuple[Callable[[], Any], Callable[[], Any]]] = {
            Act.EDIT: (
                partial(save, item, title="딴 제목"),
                lambda: model.save(item, {}, is_complete=item.is_complete),
            ),
            Act.EMPTY: (partial(empty, item), partial(model.empty, item)),
            Act.MOVE: (
                lambda: operations.schedule(item=read(item), run_at=at, by=None),
                partial(model.schedule, item, at, None, keep_end=True),
            ),
            Act.CANCEL: (
                lambda: operations.unschedule(item=read(item), by=None),
                partial(model.unschedule, item, Kind.PUBLISH),
            ),
            Act.PUBLISH: (
                lambda: operations.publish_now(item=read(item), by=None),
                partial(model.publish_now, item),
            ),
            Act.TAKE_DOWN: (
                lambda: operations.unpublish_now(item=read(item), by=None),
                partial(model.unpublish_now, item),
            ),
            Act.DELETE: (partial(delete, item), partial(model.delete, item)),
        }
        real, expected = acts[act]
        return SomebodyElse(
            transaction=number,
            act=lambda: essence(outcome_of(real)),
            act_on_model=lambda: essence(outcome_of(expected)),
        )

    def run_job(
        self, name: str, job: ExpectedJob, lane: str, interruption: Interruption | None
    ) -> Any:
        """Run a task as a worker of the lane does."""
        with patch.object(Conf, "CLUSTER_NAME", lane):
            return self.step(
                name,
                partial(tasks.run_job, job.pk),
                partial(self.expected.run_job, job, lane, Machine.hook),
                interruption,
            )

    def operate(
        self,
        name: str,
        item: Item,
        act: Callable[[Any], object],
        expect: Callable[[], object],
        kill: Kill | None = None,
    ) -> None:
        """Do something with an item as the editor has it, however old."""
        outcome = self.step(
            name, lambda: act(self.forms[item]), expect, kill, is_one_transaction=True
        )
        if isinstance(outcome, Killed | DatabaseError | WouldBreak):
            self.read_anew(item)

    def step(
        self,
        name: str,
        act: Callable[[], Any],
        expect: Callable[[], Any],
        interruption: Interruption | None = None,
        *,
        is_one_transaction: bool = False,
    ) -> Any:
        """
        Do something to the engine and to the model, and compare.

        :param is_one_transaction: interrupted, it has done nothing.
        """
        watched = interruption or Interruption()
        with watched.watch():
            outcome = outcome_of(act)
        if not (is_one_transaction and watched.has_happened):
            numbers = count()
            self.expected.between = lambda: watched.repeat(next(numbers))
            expected = outcome_of(expect)
            if isinstance(outcome, Killed) and watched.has_happened:
                # It may have been killed when all was done.
                expected = outcome
            if essence(outcome) != essence(expected):
                cause = outcome if isinstance(outcome, BaseException) else expected
                raise AssertionError(f"{name}: {outcome!r}, expected {expected!r}") from (
                    cause if isinstance(cause, BaseException) else None
                )
        if isinstance(watched, SomebodyElse):
            assert watched.outcome == watched.expected
        result = type(outcome).__name__ if isinstance(outcome, BaseException) else "done"
        self.counts[f"{name}: {result}"] += 1
        note(f"{name}: {result}")
        if watched.has_happened:
            self.counts[type(watched).__name__] += 1
        self.look()
        return outcome

    def look(self) -> None:
        """Compare every row with the model, and learn from the rows what it cannot know."""
        before, rows = self.rows, Rows()
        self.rows = rows
        took = rows.now - before.now
        self.compare_items(rows, took)
        self.compare_jobs(rows, took)
        self.compare_messages(rows)
        self.compare_with_the_last(before, rows)
        self.expected.now = rows.now

    def compare_items(self, rows: Rows, took: timedelta) -> None:
        known = {(item.model, item.pk): item for item in self.expected.items}
        for key in rows.items.keys() - known.keys():
            [item] = [i for i in self.expected.items if not i.pk and i.model is key[0]]
            item.pk = key[1]
        for item in self.expected.items:
            row = rows.items.get((item.model, item.pk))
            assert (row is None) == item.is_deleted
            for name in ItemRow._fields[1:] if row else ():
                learn(item, name, getattr(row, name), took)

    def compare_jobs(self, rows: Rows, took: timedelta) -> None:
        known = {job.pk for job in self.expected.jobs}
        for pk in sorted(rows.jobs.keys() - known):
            row = rows.jobs[pk]
            # In the order they were made in.
            job = next(
                job
                for job in self.expected.jobs
                if not job.pk
                and (job.item.pk, job.kind) == (row.object_id, row.kind)
                and job.item.model is model_of(row.content_type_id)
            )
            job.pk = pk
        for job in self.expected.jobs:
            found = rows.jobs.get(job.pk)
            assert (found is None) == job.is_pruned, job
            if found is None:
                continue
            for name in ("state", "attempts", "run_at", "next_attempt_at", "finished_at"):
                learn(job, name, getattr(found, name), took)
            learn(job, "is_begun", found.attempt_begun_at is not None, took)
            learn(job, "is_notified", found.told_at is not None, took)
            learn(job, "history", rows.histories[job.pk], took)

    def compare_messages(self, rows: Rows) -> None:
        """Each open job has one queue row, at its time, unless that was lost; there is no other."""
        left = dict(rows.messages)
        for job in self.expected.jobs:
            if job.message is not None:
                row = rows.jobs[job.pk]
                assert row.message_id is not None
                message = left.pop(row.message_id)
                assert message[1:] == (job.lane, row.next_attempt_at, job.pk)
        assert not left

    def compare_with_the_last(self, before: Rows, rows: Rows) -> None:
        """Finished jobs and their events never change, or are pruned."""
        for pk, event in before.events.items():
            assert rows.events.get(pk, event) == event
            assert pk in rows.events or event.job_id not in rows.jobs
        for pk, job in before.jobs.items():
            if job.state not in OPEN_STATES and pk not in self.may_change:
                assert rows.jobs.get(pk, job) == job
        self.may_change = set()


def learn(thing: Item | ExpectedJob, name: str, actual: Any, took: timedelta) -> None:
    """Compare one value, and from now on know it exactly."""
    expected = getattr(thing, name)
    assert is_as(expected, actual, step_took=took), (
        f"{name}: {actual}, expected {expected}: {thing}"
    )
    setattr(thing, name, actual)


def can_be_published(item: Item) -> bool:
    """Whether it may go live, as far as it knows itself."""
    return item.is_complete and item.status != Status.PUBLISHED


def can_have_an_end(item: Item) -> bool:
    """Whether it is live, or will be."""
    return item.status in (Status.SCHEDULED, Status.PUBLISHED)


def can_be_emptied(item: Item) -> bool:
    """Whether it would go live."""
    return item.is_complete and item.status == Status.SCHEDULED


def can_be_unscheduled(item: Item) -> bool:
    """Whether it asks for something, or has failed to get it."""
    return item.status == Status.FAILED or any(map(item.asked_at, Kind))


def has_failed(item: Item) -> bool:
    """Whether it should be live and could not."""
    return item.status == Status.FAILED


def is_live(item: Item) -> bool:
    """Whether readers see it."""
    return item.status == Status.PUBLISHED


def quiet(result: object) -> None:
    """Ignore the result."""


def model_of(content_type_id: int) -> object:
    """Return the type of that number."""
    return ContentType.objects.get_for_id(content_type_id).model_class()


def read(item: Item) -> Any:
    """Return the row of an item."""
    return item.model._base_manager.get(pk=item.pk)


def save(item: Item, **changes: str) -> None:
    """Save an item as it is, but for these changes."""
    row = read(item)
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


def empty(item: Item) -> None:
    """Take away an item's text, as SQL can; a save of what is live or scheduled cannot."""
    with transaction.atomic():
        item.model._base_manager.filter(pk=item.pk).update(body="")


def delete(item: Item) -> None:
    """Delete an item."""
    # Django deletes without a savepoint of its own, which a transaction around it would not bear.
    with transaction.atomic():
        read(item).delete()


def move_back(by: timedelta) -> None:
    """Move every time in the database back."""
    with connection.cursor() as cursor:
        for table, columns in TIMES.items():
            moves = ", ".join(
                f"{column} = {column} - make_interval(secs => %(seconds)s)" for column in columns
            )
            cursor.execute(f"UPDATE {table} SET {moves}", {"seconds": by.total_seconds()})


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Have an error say what it came from."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise


class TestTheEngine:
    @pytest.mark.timeout(900)  # what fails is made small before it is shown
    def test_does_what_is_expected_whatever_is_done_in_whatever_order(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "scheduling")
        monkeypatch.setattr(Notice, "before_publish", lambda notice: Machine.hook())
        # Half a unit of time, so that no pause ends when something else is due.
        for name in ("first_pause", "longest_pause"):
            monkeypatch.setitem(messages.PAUSES, name, PAUSE.total_seconds())
        settings.RETRY_DELAYS = RETRY_DELAYS
        Machine.counts.clear()
        Machine.steps = 0

        for number in SEEDS:
            with saying(f"seed {number}"):
                run_state_machine_as_test(
                    seed(number)(type("Machine", (Machine,), {})),
                    settings=hypothesis_settings(
                        # More would be variations of the first ten.
                        max_examples=10,
                        stateful_step_count=STEPS,
                        deadline=None,
                        phases=(Phase.generate, Phase.shrink),
                        report_multiple_bugs=False,
                        database=None,
                        suppress_health_check=list(HealthCheck),
                    ),
                )

        if not CHOSEN_SEEDS:
            assert Machine.steps >= LEAST_STEPS
            assert not HAPPENS - Machine.counts.keys()
