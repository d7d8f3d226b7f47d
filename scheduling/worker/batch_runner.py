"""
Run every due job set-based: one statement a batch, however many rows.

A batch takes the jobs it can run without calling the item: its type has no `before_publish`, a
query says that it may go live, and no other transaction has locked its row. All others are left
to `run_job`, one by one, where an error concerns that job alone. A batch never waits for an item
and never selects a job twice, so no item can delay the others.

Why one SQL statement: a single due item goes live in one round trip, its commit included; and in a
burst the ORM took longer to write out and read back the rows than PostgreSQL to change them
(docs/adr/0010).
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from math import inf
from time import monotonic, sleep, time_ns
from typing import Any, NamedTuple, NoReturn

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connection, transaction
from django.db.models import CharField, Field, JSONField, Q, TextField
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_noop
from psycopg.errors import OperatorIntervention
from psycopg.types.datetime import TimestamptzLoader

from scheduling import tracing
from scheduling.errors import Reason
from scheduling.models import (
    TRANSITIONS,
    IsOneOf,
    Job,
    Schedulable,
    Transition,
    mirrored,
    schedulable_models,
    transition_of,
    unmirrored,
)
from scheduling.models.publish_log import WORKER, Change, log_changes
from scheduling.models.sql import ALONG_THE_INDEX, along_the_index
from scheduling.operations import reconcile
from scheduling.queue.outages import is_outage
from scheduling.queue.sql_files import read_statements
from scheduling.worker import heartbeat

logger = logging.getLogger(__name__)

BATCH = 1000
# A pre-warmed worker runs nothing else while it waits.
LONGEST_WAIT_SECONDS = 0.1

ASKS_FOR_ELSE = Reason(
    "item_asks_for_else", gettext_noop("The item asks for something else by now.")
)

SQL = read_statements(__name__)


class DueJob(NamedTuple):
    """A job that was due, and whether it has run."""

    id: int
    content_type_id: int
    object_id: int
    run_at: datetime
    next_attempt_at: datetime
    request_id: str
    traceparent: str
    at: datetime
    is_done: bool


class Batch(NamedTuple):
    """The due jobs of one batch, and how many succeeded, the ends that followed included."""

    due: list[DueJob]
    succeeded: int


class Scope(NamedTuple):
    """The jobs that a statement takes: of one kind, of items whose end has or has not passed."""

    transition: Transition
    ended: bool = False


class Prepared(NamedTuple):
    """A statement, built once a run: building it takes as long as running it for one item."""

    scope: Scope
    statement: str
    params: dict[str, Any]
    # Of the models, by content type id.
    names: dict[int, str]


def run_due_jobs(*, at: float | None = None) -> int:
    """
    Run every due job of every kind; none while publishing is paused.

    Safe to run in many workers at once: each takes only rows that no other has locked.

    :param at: prepare the statement, then wait until this moment of `time.monotonic()`, but at
        most `LONGEST_WAIT_SECONDS`.
    :returns: how many jobs succeeded.
    :raises django.db.Error: of which `is_outage`; what was committed stays.
    """
    first, *others = TRANSITIONS.values()
    succeeded = sum(_run_batches(Scope(first), at))
    while _fetch(SQL["any_due"], {"kinds": [it.name for it in others]}):
        ended = [Scope(it, ended=True) for it in TRANSITIONS.values() if it.ended_by]
        scopes = [*ended, *map(Scope, others)]
        round_succeeded = sum(sum(_run_batches(scope)) for scope in scopes)
        succeeded += round_succeeded
        # A job that waited for an earlier one of its item comes in the next round.
        if not round_succeeded or not unmirrored():
            break
        succeeded += sum(_run_batches(Scope(first)))
    return succeeded


def seconds_until_next(*, past: float = 0) -> float:
    """
    Query in how many seconds the next open job is due.

    :param past: also look at the jobs that became due in the last so many seconds.
    """
    rows = _fetch(SQL["next"], {"past": past})
    return float(rows[0][0]) if rows else inf


def _run_batches(scope: Scope, at: float | None = None) -> Iterator[int]:
    """Run batches until no due job is left; yield how many jobs of each succeeded."""
    after: tuple[datetime | str, int] = ("-infinity", 0)
    prepared = _prepare(scope)
    if not prepared.names:
        return  # every type has a hook
    if at is not None:
        sleep(min(max(at - monotonic(), 0), LONGEST_WAIT_SECONDS))
    while True:
        batch = _run_batch(prepared, after)
        yield batch.succeeded
        if len(batch.due) < BATCH:
            return
        # During a backlog no other task shows that the cluster is alive.
        heartbeat.beat_within_a_batch()
        last = batch.due[-1]
        after = (last.next_attempt_at, last.id)


def _run_batch(prepared: Prepared, after: tuple[datetime | str, int]) -> Batch:
    """Run the next batch; when a row of it breaks the statement, run its halves apart."""
    try:
        return _run_in_transaction(prepared, after=after)
    except DatabaseError as error:
        if isinstance(error.__cause__, OperatorIntervention):
            return Batch([], 0)  # publishing was paused while it ran
        if is_outage(error):
            raise
        logger.warning("A batch failed; its halves are run apart.", exc_info=True)
    with transaction.atomic():
        rows = _fetch(claim_of(prepared.scope), _wanted(prepared, after=after))
    succeeded = _run_halves(prepared, [row[0] for row in rows])
    return Batch([DueJob._make([*row[:7], row[4], False]) for row in rows], succeeded)


def _run_halves(prepared: Prepared, ids: Sequence[int]) -> int:
    """Run a failed batch by halves, down to the failing job, which is left to its own run."""
    if len(ids) <= 1:
        return 0
    succeeded = 0
    middle = len(ids) // 2
    for half in (ids[:middle], ids[middle:]):
        try:
            succeeded += _run_in_transaction(prepared, ids=half).succeeded
        except DatabaseError as error:
            if is_outage(error):
                raise
            succeeded += _run_halves(prepared, half)
    return succeeded


def _run_in_transaction(prepared: Prepared, **wanted: Any) -> Batch:
    """Claim and change one batch, all or nothing; with it, the ends of its items if they passed."""
    transition = prepared.scope.transition
    leaves_times = transition.time_field is None and transition.leads_to is not None
    if not (prepared.scope.ended or leaves_times or connection.in_atomic_block):
        return _run(prepared, **wanted)
    with transaction.atomic():
        batch = _run(prepared, **wanted)
        if prepared.scope.ended and batch.succeeded:
            items = [job.object_id for job in batch.due if job.is_done]
            by = transition_of(str(transition.ended_by))
            ended = _run(_prepare(Scope(by)), items=items)
            batch = batch._replace(succeeded=batch.succeeded + ended.succeeded)
        if leaves_times and batch.succeeded:
            _reconcile([job for job in batch.due if job.is_done])
        return batch


def _reconcile(jobs: Sequence[DueJob]) -> None:
    """Cancel the jobs of times that the changed items had in the status before."""
    for type_id in {job.content_type_id for job in jobs}:
        ids = [job.object_id for job in jobs if job.content_type_id == type_id]
        kinds = [it.name for it in mirrored()]
        others = Job.objects.open().filter(
            IsOneOf("object_id", ids), content_type_id=type_id, kind__in=kinds
        )
        for item in {job.object_id: job.find_item() for job in others}.values():
            if item is not None:
                reconcile(item=item, reason=ASKS_FOR_ELSE)


def _run(prepared: Prepared, **wanted: Any) -> Batch:
    scope = prepared.scope
    params = {**prepared.params, **_wanted(prepared, **wanted)}
    began_ns = time_ns()
    due = [DueJob(*row) for row in _fetch(prepared.statement, params)]
    due.sort(key=lambda job: (job.next_attempt_at, job.id))
    outcome = scope.transition.leads_to or scope.transition.name
    names = prepared.names
    changes = [
        Change(
            f"{names[job.content_type_id]}:{job.object_id}",
            *(outcome, job.at, job.run_at, job.id, job.request_id),
        )
        for job in due
        if job.is_done
    ]
    if changes:
        log_changes(WORKER, changes)
    if due:
        links = (job.traceparent for job in due if job.is_done)
        kind = scope.transition.name
        tracing.note_span(
            "batch", began_ns, links=links, kind=kind, due=len(due), done=len(changes)
        )
    return Batch(due, len(changes))


def _wanted(
    prepared: Prepared,
    *,
    after: tuple[datetime | str, int] = ("-infinity", 0),
    ids: Sequence[int] | None = None,
    items: Sequence[int] | None = None,
) -> dict[str, Any]:
    is_mirrored = prepared.scope.transition.time_field is not None
    return {
        "kind": prepared.scope.transition.name,
        "kinds": [it.name for it in unmirrored()] if is_mirrored else list(TRANSITIONS),
        "types": list(prepared.names),
        "after_time": after[0],
        "after_id": after[1],
        "ids": None if ids is None else list(ids),
        "items": None if items is None else list(items),
        "limit": BATCH,
    }


def _models(scope: Scope) -> list[type[Schedulable]]:
    """Return the types that have jobs of the kind, and change without code of their own."""
    transition = scope.transition
    return [
        model
        for model in schedulable_models()
        if transition.is_for(model) and not transition.has_hook(model)
    ]


def _content_type_id(model: type[Schedulable]) -> int:
    return ContentType.objects.get_for_model(model).pk


def _prepare(scope: Scope) -> Prepared:
    items, done = [], []
    params: dict[str, Any] = {}
    names: dict[int, str] = {}
    for n, model in enumerate(_models(scope)):
        try:
            change, values = _change_of_type(scope, model, n)
        except Exception as error:
            if is_outage(error):
                raise
            # Other people's code. Its jobs are left to their own runs, where the error is recorded.
            logger.exception(
                "No batch of %s can be built for %s.", scope.transition.name, model._meta.label
            )
            continue
        items.append(change)
        params |= values
        names[_content_type_id(model)] = str(model._meta.model_name)
        done.append(SQL["changed_jobs"].format(n=n))
    statement = SQL["run_batch"].format(
        claim=claim_of(scope), items=", ".join(items), done=" UNION ALL ".join(done)
    )
    return Prepared(scope, statement, params, names)


def _change_of_type(scope: Scope, model: type[Schedulable], n: int) -> tuple[str, dict[str, Any]]:
    """Return the part of the statement that changes items of a type, and its parameters."""
    quote = connection.ops.quote_name
    ready = model._base_manager.filter(_may_change(scope, model)).values("pk")
    free, values = ready.query.sql_with_params()
    params = {f"{n}_{place}": value for place, value in enumerate(values)}
    params[f"{n}_type"] = _content_type_id(model)
    # With multi-table inheritance the status column is in the table of the topmost model.
    meta = model._meta.get_field("status").model._meta
    change, set_to = _set_clause(scope.transition, model, n)
    params |= {f"{n}_set_{place}": value for place, value in enumerate(set_to)}
    statement = SQL["change_items"].format(
        n=n,
        free=_named(free, f"{n}"),
        params="" if scope.transition.time_field else ", due.params",
        table=quote(meta.db_table),
        key=quote(str(meta.pk.column)),
        change=change,
    )
    return statement, params


def claim_of(scope: Scope) -> str:
    """Return the statement that claims due jobs."""
    is_mirrored = scope.transition.time_field is not None
    if is_mirrored and not unmirrored():
        return SQL["claim"].format(params="", alone="")
    # As in `Job.find_earlier`.
    kinds = "AND before.kind = ANY(%(kinds)s)"
    if is_mirrored:
        kinds += " AND before.state = 'waiting'"
    alone = SQL["only_earliest"].format(kinds=kinds)
    return SQL["claim"].format(params="" if is_mirrored else ", params", alone=alone)


def _set_clause(transition: Transition, model: type[Schedulable], n: int) -> tuple[str, list[Any]]:
    """Return the SET clause of the transition, and its parameters; see `Transition.changes`."""
    compiler = model._base_manager.all().query.get_compiler(connection=connection)
    quote = connection.ops.quote_name
    meta = model._meta.get_field("status").model._meta
    key = f"{quote(meta.db_table)}.{quote(str(meta.pk.column))}"
    parts, params = ["version = version + 1"], []
    changes = transition.changes(at=MOMENT, params=_ParamsOfJob(n, key))
    for name, value in changes.items():
        field = meta.get_field(name)
        assert isinstance(field, Field)  # not a reverse relation
        if hasattr(value, "resolve_expression"):
            sql, values = compiler.compile(value.resolve_expression(compiler.query))
        else:
            sql, values = "%s", [field.get_db_prep_save(value, connection)]
        if isinstance(value, _ParamOfJob):
            sql = value.cast(sql, field)
        parts.append(f"{quote(str(field.column))} = {sql}")
        params += values
    return _named(", ".join(parts), f"{n}_set"), params


MOMENT = RawSQL("(SELECT at FROM moment)", [])


class _ParamOfJob(RawSQL):
    """The text of one parameter of the job that changes a row."""

    def cast(self, sql: str, field: Field) -> str:
        """Return it as a value of a field's column; a text that is too long stays an error."""
        if isinstance(field, JSONField):
            return f"to_jsonb({sql})"
        is_text = isinstance(field, CharField | TextField)
        return sql if is_text else f"({sql})::{field.db_type(connection)}"


class _ParamsOfJob(Mapping[str, RawSQL]):
    """The parameters of the job that changes a row, each as an SQL expression of its text."""

    def __init__(self, n: int, key: str) -> None:
        self.n, self.key = n, key

    def __iter__(self) -> NoReturn:
        raise TypeError("A batch does not know which parameters each of its jobs has.")

    __len__ = __iter__

    def __contains__(self, name: object) -> NoReturn:
        raise TypeError("A batch does not know which parameters each of its jobs has.")

    def get(self, name: str, default: Any = None) -> Any:
        """Return the parameter, or the default where the job does not have it."""
        if default is None:
            return self[name]
        return _ParamOfJob(f"coalesce({self[name].sql}, %s)", [name, str(default)])

    def __getitem__(self, name: str) -> RawSQL:
        text = f"(SELECT params ->> %s FROM free_{self.n} AS free WHERE free.id = {self.key})"  # noqa: S608  # nosec B608
        return _ParamOfJob(text, [name])


def _may_change(scope: Scope, model: type[Schedulable]) -> Q:
    """Return the condition on the item of a claimed job: it can be changed, and is ready."""
    transition, now = scope.transition, RawSQL("moment.at", [])
    may = Q(pk=RawSQL("due.object_id", [])) & transition.runnable(RawSQL("due.run_at", []))
    if transition.ended_by:
        end = str(transition_of(transition.ended_by).time_field)
        has_ended = Q(**{f"{end}__lte": now})
        may &= has_ended if scope.ended else Q(**{end: None}) | ~has_ended
    return may & transition.ready(model)


def _named(sql: str, prefix: str) -> str:
    """Name the positional parameters of one part, so that parts can be joined."""
    numbers = count()

    def name(found: re.Match[str]) -> str:
        return found[0] if found[0] == "%%" else f"%({prefix}_{next(numbers)})s"

    return re.sub("%%|%s", name, sql)


def _fetch(statement: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement along the index, in one round trip where it can; return its rows."""
    if connection.settings_dict["OPTIONS"].get("server_side_binding"):
        # Then PostgreSQL takes no two statements in one string that has parameters.
        with transaction.atomic(), along_the_index():
            return _rows(statement, params)
    return _rows(ALONG_THE_INDEX + statement, params)


def _rows(statement: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        # Django's timestamp loader is written in Python and takes longer than all else here;
        # psycopg's own, in C, returns the same values.
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.execute(statement, params)
        while cursor.nextset():
            pass  # the settings, which have no rows
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
