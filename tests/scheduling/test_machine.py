"""
Any operations in any order, against a model that fits on a page.

Hypothesis makes up the steps, and with SHRINK=1 finds the fewest that break the agreement. The run
is the same each time; to try others, take `derandomize` out.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.conf import settings as site
from django.db import connection, transaction
from django_q.models import OrmQ
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from armo.errors import DomainError
from content.models import Notice, Story
from scheduling import attempts, operations, pruning, sweep
from scheduling.items import ItemNotFound
from scheduling.ledger import database_now
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, Status
from tests.factories import NoticeFactory, StoryFactory

What = JobEvent.What
HOUR = timedelta(hours=1)
STEPS = 2000
# To shrink a failure takes minutes: it is on when somebody looks for one.
PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("SHRINK") else [])]

# Items are named by their place; a rule for an item that is not there does nothing.
places = st.integers(0, 3)
hours = st.sampled_from([1, 1, 1, 2, 3, 0, -1])

# Every time the engine keeps. Time passes by moving all of them back.
TIMES = {
    "content_story": ("publish_at", "unpublish_at", "published_at"),
    "content_notice": ("publish_at", "unpublish_at", "published_at"),
    "scheduling_job": (
        "run_at",
        "next_attempt_at",
        "attempt_begun_at",
        "created_at",
        "finished_at",
        "told_at",
    ),
    "scheduling_jobevent": ("at", "old_run_at", "new_run_at"),
    "django_q_ormq": ("lock",),
}


class WorkerDies(BaseException):
    """Stands for the end of the process in the middle of an attempt."""


class Unreachable(Exception):
    """Stands for an error that may be gone next time."""


@dataclass
class Model:
    """What one item should be like. Hours are of the machine's own clock."""

    status: Status = Status.DRAFT
    start: int | None = None
    end: int | None = None
    was_live: bool = False
    is_blank: bool = False
    failures: list[int] = field(default_factory=list)

    @property
    def wants(self) -> dict[str, int]:
        """When a job of each kind should be open."""
        wishes: dict[str, int] = {}
        if self.status == Status.SCHEDULED and self.start is not None:
            wishes[Kind.PUBLISH] = self.start
        if self.status in (Status.SCHEDULED, Status.PUBLISHED) and self.end is not None:
            wishes[Kind.UNPUBLISH] = self.end
        return wishes


class Machine(RuleBasedStateMachine):
    """Items, what they should be like, and everything that can happen to them."""

    steps: ClassVar[Counter[str]] = Counter()
    # What the hook of notices does.
    hook: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.start = database_now()
        self.now = 0
        self.items: dict[int, Schedulable] = {}
        self.models: dict[int, Model] = {}
        self.finished: dict[int, str] = {}
        self.messages_may_be_missing = False
        type(self).hook = staticmethod(lambda: None)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    # Steps of the machine itself

    @initialize()
    def begin(self) -> None:
        for place in range(4):
            self.write(place)
            self._schedule(place, 1, 2 + place if place > 1 else None)
        self.edit(0, True)

    def write(self, place: int) -> None:
        factory = StoryFactory if place % 2 == 0 else NoticeFactory
        self.items[place] = factory()
        self.models[place] = Model()

    def at(self, hour: int) -> Any:
        """Return the time of an hour; the present one has just begun."""
        return self.start + (hour - self.now) * HOUR

    def try_to(self, place: int, expected: type[DomainError] | None, do: Callable[[], Any]) -> bool:
        """Do it; it must be refused just as the model says. Return whether it was done."""
        self.items[place].refresh_from_db()
        return self.is_done(expected, do)

    def is_done(self, expected: type[DomainError] | None, do: Callable[[], Any]) -> bool:
        refused: type[DomainError] | None = None
        try:
            with transaction.atomic():
                do()
        except DomainError as refusal:
            refused = type(refusal)
        assert refused is expected
        return refused is None

    # What people do

    @rule(place=places)
    def write_anew(self, place: int) -> None:
        if place not in self.items:
            self.write(place)

    @rule(place=places, hour=hours, end=st.none() | st.integers(0, 6))
    def schedule(self, place: int, hour: int, end: int | None) -> None:
        self._schedule(place, self.now + hour, None if end is None else self.now + end)

    @rule(place=places, hour=hours)
    def schedule_and_keep_the_end(self, place: int, hour: int) -> None:
        model = self.models.get(place)
        if model is not None:
            end = None if model.status == Status.UNPUBLISHED else model.end
            self._schedule(place, self.now + hour, end, keep=True)

    def _schedule(self, place: int, hour: int, end: int | None, keep: bool = False) -> None:
        if place not in self.items:
            return
        model, item = self.models[place], self.items[place]
        expected: type[DomainError] | None = None
        if hour <= self.now:
            expected = operations.NotInFuture
        elif model.status == Status.PUBLISHED:
            expected = operations.InvalidTransition
        elif model.is_blank:
            expected = operations.NotPublishable
        elif end is not None and end <= hour:
            expected = operations.EndNotAfterStart
        wish: dict[str, Any] = {} if keep else {"unpublish_at": end and self.at(end)}
        if not keep and end is not None:
            wish = {"unpublish_at": self.at(end)}
        if self.try_to(
            place,
            expected,
            lambda: operations.schedule(item=item, run_at=self.at(hour), by=None, **wish),
        ):
            model.status, model.start, model.end = Status.SCHEDULED, hour, end

    @rule(place=places, hour=hours)
    def schedule_an_end(self, place: int, hour: int) -> None:
        if place not in self.items:
            return
        model, item, hour = self.models[place], self.items[place], self.now + hour
        expected: type[DomainError] | None = None
        if hour <= self.now:
            expected = operations.NotInFuture
        elif model.status not in (Status.PUBLISHED, Status.SCHEDULED):
            expected = operations.InvalidTransition
        elif model.start is not None and hour <= model.start:
            expected = operations.EndNotAfterStart
        if self.try_to(
            place,
            expected,
            lambda: operations.schedule(
                item=item, run_at=self.at(hour), kind=Kind.UNPUBLISH, by=None
            ),
        ):
            model.end = hour

    @rule(place=places, hour=st.integers(1, 4), chance=st.randoms(use_true_random=False))
    def move(self, place: int, hour: int, chance: random.Random) -> None:
        if place not in self.items:
            return
        model, hour = self.models[place], self.now + hour
        job = self._any_job(place, chance)
        if job is None:
            return
        expected: type[DomainError] | None = None
        if not job.is_open:
            expected = operations.InvalidTransition
        elif job.kind == Kind.PUBLISH:
            if model.is_blank:
                expected = operations.NotPublishable
            elif model.end is not None and model.end <= hour:
                expected = operations.EndNotAfterStart
        elif model.start is not None and hour <= model.start:
            expected = operations.EndNotAfterStart
        if self.try_to(
            place, expected, lambda: operations.move(job=job, run_at=self.at(hour), by=None)
        ):
            if job.kind == Kind.PUBLISH:
                model.start = hour
            else:
                model.end = hour

    @rule(place=places, kind=st.sampled_from(list(Kind)))
    def unschedule(self, place: int, kind: Kind) -> None:
        if place not in self.items:
            return
        model, item = self.models[place], self.items[place]
        given_up = kind == Kind.PUBLISH and model.status in (Status.SCHEDULED, Status.FAILED)
        possible = given_up or kind in model.wants
        expected = None if possible else operations.InvalidTransition
        if self.try_to(
            place, expected, lambda: operations.unschedule(item=item, kind=kind, by=None)
        ):
            self._cancelled(model, kind)

    @rule(place=places, chance=st.randoms(use_true_random=False))
    def cancel(self, place: int, chance: random.Random) -> None:
        job = self._any_job(place, chance)
        if job is None or place not in self.items:
            return
        expected = None if job.is_open else operations.InvalidTransition
        if self.try_to(place, expected, lambda: operations.cancel(job=job, by=None)):
            self._cancelled(self.models[place], job.kind)

    def _cancelled(self, model: Model, kind: str) -> None:
        if kind == Kind.PUBLISH:
            model.status = Status.UNPUBLISHED if model.was_live else Status.DRAFT
            model.start = None
        model.end = None

    @rule(place=places)
    def publish_by_hand(self, place: int) -> None:
        if place not in self.items:
            return
        model, item = self.models[place], self.items[place]
        expected: type[DomainError] | None = None
        if model.status == Status.PUBLISHED:
            expected = operations.InvalidTransition
        elif model.is_blank:
            expected = operations.NotPublishable
        if self.try_to(place, expected, lambda: operations.publish_now(item=item, by=None)):
            model.start = self.now
            if model.end is not None and model.end <= self.now:
                model.end = None
            if item.has_hook():
                model.status = Status.SCHEDULED  # a worker does it
            else:
                model.status, model.was_live = Status.PUBLISHED, True

    @rule(place=places)
    def take_down_by_hand(self, place: int) -> None:
        if place not in self.items:
            return
        model, item = self.models[place], self.items[place]
        expected = None if model.status == Status.PUBLISHED else operations.InvalidTransition
        if self.try_to(place, expected, lambda: operations.unpublish_now(item=item, by=None)):
            model.status, model.end = Status.UNPUBLISHED, self.now

    @rule(place=places, is_blank=st.booleans())
    def edit_something(self, place: int, is_blank: bool) -> None:
        self.edit(place, is_blank)

    def edit(self, place: int, is_blank: bool) -> None:
        if place in self.items:
            # As a page that was opened long ago: what it shows of the status is stale.
            item = self.items[place]
            item.body = " " if is_blank else "본문"  # type: ignore[attr-defined]
            item.save()
            self.models[place].is_blank = is_blank

    @rule(place=places, hour=st.integers(-3, 4))
    def save_with_another_time(self, place: int, hour: int) -> None:
        if place not in self.items:
            return
        model, item, hour = self.models[place], self.items[place], self.now + hour
        if model.status not in (Status.DRAFT, Status.SCHEDULED) or (model.end or hour + 1) <= hour:
            return
        item.refresh_from_db()
        item.status, item.publish_at = Status.SCHEDULED, self.at(hour)
        item.save()
        model.status, model.start = Status.SCHEDULED, hour

    @rule(place=places)
    def delete(self, place: int) -> None:
        if place in self.items:
            self.items.pop(place).delete()
            del self.models[place]

    @rule(chance=st.randoms(use_true_random=False), is_mended=st.booleans())
    def rerun(self, chance: random.Random, is_mended: bool) -> None:
        job = self._choose(chance, Job.objects.filter(state=State.FAILED))
        if job is None:
            return
        # The model's word on what has moved on.
        place = next((p for p, i in self.items.items() if self._is_of(job, i)), None)
        expected: type[DomainError] | None = None
        if place is None:
            expected = ItemNotFound
        else:
            if is_mended:
                self.edit(place, False)
            model = self.models[place]
            newest = Job.objects.of(self.items[place]).filter(kind=Kind.PUBLISH).order_by("-pk")[0]
            if (
                model.status != Status.FAILED
                or newest != job
                or (model.end is not None and model.end <= self.now)
            ):
                expected = operations.ItemHasMovedOn
            elif model.is_blank:
                expected = operations.NotPublishable
        if self.is_done(expected, lambda: operations.rerun(job=job, by=None)):
            assert place is not None
            self.models[place].status = Status.SCHEDULED
            del self.finished[job.pk]
            self.steps["rerun"] += 1

    # What happens by itself

    @rule(passed=st.integers(1, 2), is_worker_there=st.booleans())
    def time_passes(self, passed: int, is_worker_there: bool) -> None:
        self.now += passed
        with connection.cursor() as cursor:
            for table, columns in TIMES.items():
                moved = ", ".join(f"{c} = {c} - interval '{passed} hours'" for c in columns)
                cursor.execute(f"UPDATE {table} SET {moved}")
        for item in self.items.values():
            item.refresh_from_db()
        if is_worker_there:
            self._work(None)

    @rule(trouble=st.sampled_from([None, Unreachable, DomainError]))
    def a_worker_does_what_is_due(self, trouble: type[Exception] | None) -> None:
        self._work(trouble)

    def _work(self, trouble: type[Exception] | None) -> None:
        self.set_hook(trouble)
        due = {job.pk for job in Job.objects.due()}
        attempts.run_everything_due()
        self._learn(due, trouble)

    @rule(chance=st.randoms(use_true_random=False))
    def a_worker_runs_one_job(self, chance: random.Random) -> None:
        """Run any job, open or not, as a message that comes late or twice does."""
        job = self._choose(chance, Job.objects.all())
        if job is None:
            return
        self.set_hook(None)
        due = {job.pk} & {job.pk for job in Job.objects.due()}
        try:
            attempts.run_alone(job.pk)
        except operations.NotPublishable:
            assert due
        self._learn(due, None)

    @rule(chance=st.randoms(use_true_random=False))
    def a_worker_dies(self, chance: random.Random) -> None:
        self.set_hook(WorkerDies)
        job = self._choose(chance, Job.objects.due().filter(kind=Kind.PUBLISH))
        if job is None:
            return
        due = {job.pk}
        try:
            with transaction.atomic():
                attempts.run_alone(job.pk)
        except WorkerDies:
            # The transaction around the test hides what was committed: it is written again.
            Job.objects.filter(pk=job.pk).update(
                attempts=job.attempts + 1, attempt_begun_at=database_now()
            )
            self.steps["died"] += 1
            return
        except operations.NotPublishable:
            self.fail_alone(job)
            return
        self._learn(due, WorkerDies)

    def fail_alone(self, job: Job) -> None:
        """Let the failure that the rolled back attempt has lost happen for good."""
        with pytest.raises(operations.NotPublishable):
            attempts.run_alone(job.pk)
        self._learn({job.pk}, None)

    @rule(chance=st.randoms(use_true_random=False))
    def messages_are_lost(self, chance: random.Random) -> None:
        ids = [pk for pk in OrmQ.objects.values_list("pk", flat=True) if chance.random() < 0.5]
        OrmQ.objects.filter(pk__in=ids).delete()
        self.messages_may_be_missing = True

    @rule()
    def the_sweep_comes(self) -> None:
        self.set_hook(None)
        due = {job.pk for job in Job.objects.due()}
        sweep.sweep()
        self.messages_may_be_missing = False
        self._learn(due, None)

    @precondition(lambda self: self.now > 8)
    @rule()
    def old_jobs_are_pruned(self) -> None:
        before = set(Job.objects.open().values_list("pk", flat=True))
        for _ in pruning.prune(timedelta(hours=3)):
            pass
        left = set(Job.objects.values_list("pk", flat=True))
        assert before <= left
        self.finished = {pk: state for pk, state in self.finished.items() if pk in left}

    # The model learns what a worker may have done: only what it allows

    def _learn(self, due: set[int], trouble: type[BaseException] | None) -> None:
        """Take over what became of items that had something due, if it may be so."""
        for place, item in self.items.items():
            row: Any = type(item)._base_manager.get(pk=item.pk)
            model = self.models[place]
            if row.status == model.status:
                continue
            may_become = self._outcomes(model, item, trouble)
            jobs = set(Job.objects.of(item).values_list("pk", flat=True))
            assert row.status in may_become, f"{item.label} is {row.status}, not {may_become}"
            assert due & jobs, f"{item.label} became {row.status}, though nothing was due"
            model.status = Status(row.status)
            self.steps[row.status] += 1
            model.was_live |= row.published_at is not None

    def _outcomes(
        self, model: Model, item: Schedulable, trouble: type[BaseException] | None
    ) -> set[str]:
        ends = model.end is not None and model.end <= self.now
        starts = model.start is not None and model.start <= self.now
        if model.status == Status.PUBLISHED:
            return {Status.UNPUBLISHED} if ends else set()
        if model.status != Status.SCHEDULED or not starts:
            return set()
        if model.is_blank or (trouble and item.has_hook()):
            return {Status.FAILED}
        return {Status.PUBLISHED, Status.UNPUBLISHED} if ends else {Status.PUBLISHED}

    # Invariants

    @invariant()
    def every_item_is_as_the_model_says(self) -> None:
        self.steps["all"] += 1
        for place, item in self.items.items():
            row: Any = type(item)._base_manager.get(pk=item.pk)
            model = self.models[place]
            assert row.status == model.status
            assert (row.publish_at is None) == (model.start is None)
            assert (row.unpublish_at is None) == (model.end is None)
            if model.start is not None:
                # What is done by hand is done within the hour, not at its beginning.
                assert timedelta(0) <= row.publish_at - self.at(model.start) < HOUR
            if row.status == Status.PUBLISHED:
                assert row.published_at >= row.publish_at

    @invariant()
    def a_job_is_open_just_where_an_item_asks_for_it(self) -> None:
        wanted, possible = {}, {}
        for place, item in self.items.items():
            row: Any = type(item)._base_manager.get(pk=item.pk)
            times = {Kind.PUBLISH: row.publish_at, Kind.UNPUBLISH: row.unpublish_at}
            for kind in self.models[place].wants:
                wanted[item.label, kind] = times[Kind(kind)]
            if row.status == Status.FAILED:
                # Its end may wait for a rerun, until it has passed itself.
                possible[item.label, str(Kind.UNPUBLISH)] = row.unpublish_at
        found = {(job.item_label, job.kind): job.run_at for job in Job.objects.open()}
        assert wanted.items() <= found.items() <= (wanted | possible).items()

    @invariant()
    def nothing_is_done_early_or_twice(self) -> None:
        runs: Counter[int] = Counter()
        ends: Counter[int] = Counter()
        for event in JobEvent.objects.order_by("pk"):
            runs[event.job_id] += event.what in (What.SCHEDULED, What.RERUN)
            ends[event.job_id] += event.what in (What.SUCCEEDED, What.FAILED, What.CANCELLED)
        for job in Job.objects.all():
            # A job done by hand has an end and no beginning.
            assert ends[job.pk] == max(runs[job.pk], 1) - job.is_open
            assert job.attempts <= 1 + len(site.RETRY_DELAYS)
            if job.state == State.SUCCEEDED:
                assert job.finished_at is not None
                assert job.finished_at >= job.run_at

    @invariant()
    def what_is_finished_stays_as_it_is(self) -> None:
        now = dict(Job.objects.finished().values_list("pk", "state"))
        assert self.finished.items() <= now.items()
        self.finished = now

    @invariant()
    def every_open_job_has_a_message(self) -> None:
        if not self.messages_may_be_missing:
            messages = dict(OrmQ.objects.values_list("pk", "key"))
            for job in Job.objects.open():
                assert messages.get(job.message_id or 0) == job.lane

    # Helpers

    def set_hook(self, trouble: type[BaseException] | None) -> None:
        def hook() -> None:
            if trouble is not None:
                raise trouble

        type(self).hook = staticmethod(hook)

    def _is_of(self, job: Job, item: Schedulable) -> bool:
        return job.item_label == item.label

    def _any_job(self, place: int, chance: random.Random) -> Job | None:
        if place not in self.items:
            return None
        return self._choose(chance, Job.objects.of(self.items[place]))

    def _choose(self, chance: random.Random, jobs: Any) -> Job | None:
        found = list(jobs.order_by("pk"))
        return chance.choice(found) if found else None


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_the_engine_agrees_with_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notice, "before_publish", lambda notice: Machine.hook())
    assert not Story.has_hook()
    Machine.steps.clear()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=45,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        ),
    )

    assert Machine.steps["all"] >= STEPS
    # And it got to where it matters.
    reached = {"published", "unpublished", "failed", "died", "rerun"}
    assert reached <= Machine.steps.keys(), Machine.steps
