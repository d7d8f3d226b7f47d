"""Scheduling many items for one moment: all of them, or none."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F

from scheduling import tracing
from scheduling.errors import DomainError, Why
from scheduling.models import IsOneOf, Job, JobQuerySet, Kind, Schedulable, Status, clock
from scheduling.models.references import ItemNotFound
from scheduling.models.sql import along_the_index, pipeline, send
from scheduling.models.times import in_zone
from scheduling.models.transitions import require_end_after, require_transition, transition_of
from scheduling.operations import store
from scheduling.operations.expected import Expected, require_unchanged
from scheduling.operations.rules import (
    Actor,
    ItemRow,
    SomeRefused,
    in_utc,
    kept_end,
    require_future,
    require_zone,
)


@tracing.traced
@transaction.atomic
def schedule_many(
    *,
    items: Iterable[Schedulable],
    run_at: datetime,
    by: Actor,
    zone: str = "",
    reason: Why = "",
    expected: Mapping[Schedulable, Expected] | None = None,
) -> JobQuerySet:
    """
    Schedule the publishing of many items for one time, all or none; move those already scheduled.

    Set-based: half a dozen statements for each thousand. Each item keeps the end it has.

    :param items: of any types; duplicates count once.
    :param run_at: aware; must lie after the database's clock.
    :param zone: the name of the time zone in which the time was chosen; see `schedule`.
    :param expected: what the person saw of the items; one that is not in it may be anything.
    :returns: the jobs, one for each item; a lazy query.
    :raises NotInFuture:
    :raises UnknownZone:
    :raises OffsetNotOfZone:
    :raises SomeRefused: says of each item that `schedule` would refuse, why.
    """
    expected = expected or {}
    chosen_in = require_zone(zone, run_at)
    run_at = in_utc(run_at)
    require_future(run_at, clock.database_now())
    by_model: dict[type[Schedulable], dict[int, Schedulable]] = defaultdict(dict)
    for item in items:
        by_model[type(item)][item.pk] = item
    # Locked in one order, so that two calls with items in common do not deadlock.
    batches = [
        _Batch(model, {pk: by_model[model][pk] for pk in ids[start : start + store.BATCH]}, run_at)
        for model in sorted(by_model, key=lambda model: model._meta.label)
        for ids in [sorted(by_model[model])]
        for start in range(0, len(ids), store.BATCH)
    ]
    refusals: dict[Schedulable, DomainError] = {}
    # Cached before the pipeline: if one were created in it and another process did the same, the
    # IntegrityError would end the pipeline.
    ContentType.objects.get_for_models(*by_model)
    with along_the_index(), pipeline():
        for batch in batches:
            batch.ask_for_items()
        for batch in batches:
            batch.ask_for_jobs()
        for batch in batches:
            batch.read_items()
            refusals |= batch.refusals(expected)
        for batch in batches:
            batch.read_jobs()
    if refusals:
        raise SomeRefused(refusals)
    # Waiting for the locks may have taken a while.
    now = clock.database_now()
    require_future(run_at, now)
    new = iter(store.give_ids(planned for batch in batches for planned in batch.missing()))
    for batch in batches:
        batch.new = list(islice(new, len(batch.without)))
    # Python takes as long to build the payloads of a batch as PostgreSQL to store its rows, so
    # Python builds the next batch while PostgreSQL stores the last.
    with pipeline():
        for batch in batches:
            batch.write(at=now, by=by, reason=reason, zone=chosen_in)
    for batch in batches:
        batch.take_over()
    for batch in batches:
        batch.mirror_ends(at=now, by=by, reason=reason)
    jobs = [job_id for batch in batches for job_id in batch.job_ids]
    return Job.objects.filter(IsOneOf("pk", jobs)).order_by("pk")


class _Batch:
    """Up to 1,000 items of one type; `schedule_many` calls the methods in this order."""

    def __init__(
        self, model: type[Schedulable], items: dict[int, Schedulable], run_at: datetime
    ) -> None:
        self.model, self.items, self.run_at = model, items, run_at
        self.publish = transition_of(Kind.PUBLISH)
        self.here = model._base_manager.filter(IsOneOf("pk", items))
        # By the item's id: its row, the end it keeps, the job that ends it.
        self.rows: dict[int, ItemRow] = {}
        self.ends: dict[int, datetime | None] = {}
        self.end_jobs: dict[int, store.OpenJob] = {}
        # The jobs that publish them, and the items without one.
        self.publishes: dict[int, store.OpenJob] = {}
        self.without: list[Schedulable] = []
        self.new: list[store.NewJob] = []

    # All queries are sent before an answer is read: PostgreSQL runs the next while Python reads.

    def ask_for_items(self) -> None:
        """Send the queries that lock the items, and that find those which are not ready."""
        rows = self.here.select_for_update().order_by("pk").values_list("pk", *ItemRow._fields)
        self.items_answer = send(rows)
        condition = self.publish.ready(self.model)
        unready = self.here.exclude(condition).values_list("pk")
        self.unready_answer = send(unready) if condition else None

    def ask_for_jobs(self) -> None:
        """Send the query that locks their open jobs."""
        self.jobs_answer = send(store.open_jobs_of_many(self.model, self.items))

    def read_items(self) -> None:
        with self.items_answer as rows:
            for pk, *values in rows.fetchall():
                self.rows[pk] = row = ItemRow(*values)
                self.ends[pk] = kept_end(row)

    def refusals(self, expected: Mapping[Schedulable, Expected]) -> dict[Schedulable, DomainError]:
        """Return the items that `schedule` would refuse, and why."""
        unready: dict[int, Schedulable] = {}
        if self.unready_answer:
            with self.unready_answer as rows:
                ids = [pk for [pk] in rows.fetchall()]
            unready = self.model._base_manager.in_bulk(ids)
        refusals: dict[Schedulable, DomainError] = {}
        for pk, item in self.items.items():
            try:
                if pk not in self.rows:
                    raise ItemNotFound
                require_unchanged(expected.get(item), self.rows[pk])
                require_transition(self.rows[pk].status, Status.SCHEDULED)
                if pk in unready:
                    self.publish.require_ready(unready[pk])
                require_end_after(self.run_at, self.ends[pk])
            except DomainError as refusal:
                refusals[item] = refusal
        return refusals

    def read_jobs(self) -> None:
        with self.jobs_answer as rows:
            for job in store.read_open_jobs(rows, self.model):
                if job.kind == self.publish.name:
                    self.publishes[job.object_id] = job
                elif job.kind == self.publish.ended_by:
                    self.end_jobs[job.object_id] = job
        self.without = [item for pk, item in self.items.items() if pk not in self.publishes]

    def missing(self) -> Iterator[store.Planned]:
        return (store.Planned(item, self.publish, self.run_at) for item in self.without)

    @property
    def job_ids(self) -> list[int]:
        return [*(job.pk for job in self.publishes.values()), *(job.pk for job in self.new)]

    def write(self, *, at: datetime, by: Actor, reason: Why, zone: ZoneInfo | None) -> None:
        """Send the statements that change the items and their jobs; wait for no answer."""
        if any(row.unpublish_at != self.ends[pk] for pk, row in self.rows.items()):
            self.here.filter(status=Status.UNPUBLISHED).update(unpublish_at=None)
        self.here.update(status=Status.SCHEDULED, publish_at=self.run_at, version=F("version") + 1)
        moved = [job for job in self.publishes.values() if job.run_at != self.run_at]
        if moved:
            store.move_jobs(moved, run_at=self.run_at, at=at, by=by, reason=reason, zone=zone)
        if self.new:
            local_time = in_zone(self.run_at, zone)
            store.store_jobs(self.new, at=at, by=by, reason=reason, local_time=local_time)

    def take_over(self) -> None:
        for pk, row in self.rows.items():
            self.items[pk].take_over(
                status=Status.SCHEDULED,
                publish_at=self.run_at,
                unpublish_at=self.ends[pk],
                published_at=row.published_at,
                version=row.version + 1,
            )

    def mirror_ends(self, *, at: datetime, by: Actor, reason: Why) -> None:
        """Update the jobs that end the items: few, as an end that stays has its job already."""
        for pk, item in self.items.items():
            end, wanted = self.end_jobs.get(pk), self.ends[pk]
            if wanted != (end.run_at if end else None):
                locked = store.Locked(item, item, list(Job.objects.of(item).open()), at)
                store.mirror_times(locked, at=at, by=by, reason=reason)
