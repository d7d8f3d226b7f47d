"""
What keeps an open job from running: who has locked its rows, a dead worker's claim, an empty lane.

Nothing here waits for a lock, or takes one that a worker would have to wait for.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django_q.models import OrmQ
from psycopg import errors

from scheduling import conf
from scheduling.models import TRANSITIONS, Heartbeat, Job, Pause, clock
from scheduling.models.job import ATTEMPT_LOCK, items_of, longest_attempt
from scheduling.models.times import duration, utc
from scheduling.operations import pause as pausing
from scheduling.queue.broker import BEAT_SECONDS
from scheduling.queue.leases import is_alive
from scheduling.queue.messages import Row, find_row

# A statement that would wait longer for a lock fails.
LOCK_WAIT_MS = 200
# Characters of another session's statement that are shown.
LONGEST_STATEMENT = 80
# Of so many different notes in rows it is asked whether they are lists of transactions.
MOST_NOTES = 20
# A cluster that has not been heard of for longer may be gone.
SILENT_AFTER_SECONDS = 3 * BEAT_SECONDS

# Who holds what: a row in which a transaction has noted itself, a table as a whole (the modes keep
# others from writing to it, and most of them from reading it), the attempts of a job. One query for
# all that is asked for: PostgreSQL stops every other session for a moment to answer it.
LOCKS = """
SELECT DISTINCT l.locktype,
       CASE l.locktype WHEN 'relation' THEN l.relation::text WHEN 'advisory' THEN l.objid::text
            ELSE l.transactionid::text END,
       a.pid, a.application_name, a.usename, coalesce(a.client_hostname, host(a.client_addr)),
       a.xact_start, a.state_change, a.state, a.query
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.granted AND a.pid <> pg_backend_pid()
  AND (l.database IS NULL
       OR l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND (l.locktype = 'transactionid' AND l.transactionid::text = ANY(%(transactions)s::text[])
       OR l.locktype = 'relation' AND l.relation = ANY(%(tables)s::oid[])
          AND l.mode IN
              ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       OR l.locktype = 'advisory' AND l.classid = %(attempt)s AND l.objsubid = 2
          AND l.objid = ANY(%(attempts)s::oid[]))
ORDER BY a.xact_start, a.pid
"""
# What PostgreSQL shows in place of a statement to a role that may not see it.
NOT_SHOWN = "<insufficient privilege>"
# The last beat is that of any lane: one that is busy with hooks is silent for as long.
BEATS = """(
    SELECT owner, host, pid, max(beat_at) OVER (PARTITION BY host, pid) AS beat_at
    FROM scheduling_heartbeat
)"""
CLAIM = f"""
SELECT message.armo_owner, beat.host, beat.pid, beat.beat_at,
       extract(epoch FROM clock_timestamp() - beat.beat_at)::float8,
       {is_alive("message.armo_owner")}
FROM django_q_ormq AS message LEFT JOIN {BEATS} AS beat ON beat.owner = armo_owner
WHERE message.id = %s
"""  # noqa: S608 (names of its own)  # nosec B608
HOSTS = f"""
SELECT message.id, beat.host, beat.pid, beat.beat_at,
       extract(epoch FROM clock_timestamp() - beat.beat_at)::float8
FROM django_q_ormq AS message JOIN {BEATS} AS beat ON beat.owner = armo_owner
WHERE message.id = ANY(%s)
"""  # noqa: S608 (names of its own)  # nosec B608


class Hold(NamedTuple):
    """One thing that holds a job, and what it says of it; the figures are for programs."""

    subject: str
    text: str
    facts: Mapping[str, object] = {}


class Session(NamedTuple):
    """A database session that holds a lock; of other roles' sessions some facts may be hidden."""

    pid: int
    application: str
    user: str
    address: str | None
    transaction_since: datetime | None
    state_since: datetime | None
    state: str | None
    statement: str | None

    @property
    def is_shown(self) -> bool:
        """Return whether this role may see what the session does."""
        return self.statement != NOT_SHOWN

    @property
    def since(self) -> datetime | None:
        """Return when its transaction began, or what it does now."""
        return self.transaction_since or self.state_since

    def described(self, now: datetime) -> str:
        """Return who it is, for how long, and the first words of its last statement."""
        who = f"session {self.pid} ({self.application or 'no application name'}, user {self.user}"
        if not self.is_shown:
            return (
                f"{who}); this role may not see from where, since when and by which statement: it"
                " is no member of pg_read_all_stats"
            )
        where = self.address or "the database's host"
        words = " ".join((self.statement or "").split())
        shown = words if len(words) <= LONGEST_STATEMENT else f"{words[:LONGEST_STATEMENT]}…"
        what = "in a transaction since" if self.transaction_since else "as it is since"
        age = ""
        if self.since:
            age = f", {what} {utc(self.since, 'milliseconds')} ({duration(now - self.since)})"
        return f"{who}, from {where}){age}, {self.state}; its last statement: {shown}"

    def facts(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "pid": self.pid,
            "application": self.application,
            "user": self.user,
            "address": self.address,
            "since": self.since,
            "state": self.state,
        }


class Locks(NamedTuple):
    """Which sessions hold what, by transaction, by table's number, and by job."""

    transactions: Mapping[str, Sequence[Session]] = {}
    tables: Mapping[str, Sequence[Session]] = {}
    attempts: Mapping[str, Sequence[Session]] = {}


@contextmanager
def never_waiting() -> Iterator[None]:
    """
    Make a statement that would wait for a lock fail soon, until the block ends.

    :raises django.db.OperationalError: see `is_lock_error`.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        yield


def queue_row_of(job: Job) -> Row | None:
    """Query the queue row that wakes a worker for a job."""
    return find_row(job.message_id)


def is_lock_error(error: Exception) -> bool:
    """Return whether a statement failed because it would have waited for a lock."""
    return isinstance(error.__cause__, errors.LockNotAvailable)


def locked_tables(models: Iterable[type[Model]]) -> list[Hold]:
    """Query which sessions lock the tables of these models as a whole."""
    numbers = _numbers_of_tables(models)
    return list(_table_holds(_find_locks(tables=numbers), numbers, clock.database_now()))


def _table_holds(locks: Locks, numbers: Mapping[str, str], now: datetime) -> Iterator[Hold]:
    for number, table in numbers.items():
        for session in locks.tables.get(number, ()):
            text = f"Table {table} is locked by {session.described(now)}."
            yield Hold("lock", text, {"table": table, **session.facts()})


def locks_of(jobs: Sequence[Job], *, now: datetime) -> dict[int, list[Hold]]:
    """
    Query which sessions lock jobs, their items, or their tables, by the jobs' ids.

    However many jobs there are, the locks of the database are read once.
    """
    items = items_of(jobs, without_text=True)
    item_of = {job.pk: items.get((job.content_type_id, job.object_id)) for job in jobs}
    messages = {job.pk: OrmQ(pk=job.message_id) for job in jobs if job.message_id}
    rows: list[Model] = [*jobs, *items.values(), *messages.values()]
    noted = _transactions_in(rows)
    numbers = _numbers_of_tables([Job, *{type(item) for item in items.values()}, OrmQ])
    keys = {job.pk: f"{job.pk % 2**31}" for job in jobs}
    members = [one for transactions in noted.values() for one in transactions]
    locks = _find_locks(transactions=members, tables=numbers, attempts=keys.values())
    hosts = _hosts_of([job for job in jobs if locks.attempts.get(keys[job.pk])])
    found: dict[int, list[Hold]] = {}
    for job in jobs:
        item = item_of[job.pk]
        holds = list(_table_holds(locks, numbers, now))
        named: list[tuple[str, Model | None]] = [
            (f"The row of {job.item_label}", item),
            (f"The row of job {job.pk}", job),
            (f"The queue row of job {job.pk}", messages.get(job.pk)),
        ]
        for name, row in named:
            if row is None:
                continue
            place = {"table": row._meta.db_table, "id": row.pk}
            by = {
                session.pid: session
                for transaction in noted.get((row._meta.db_table, row.pk), ())
                for session in locks.transactions.get(transaction, ())
            }
            for session in by.values():
                text = f"{name} is locked by {session.described(now)}."
                holds.append(Hold("lock", text, {**place, **session.facts()}))
        for session in locks.attempts.get(keys[job.pk], ()):
            holds.append(_attempt_hold(job, session, hosts.get(job.message_id), now))
        found[job.pk] = holds
    return found


def _attempt_hold(job: Job, session: Session, claim: "_Claim | None", now: datetime) -> Hold:
    """Return who holds the lock of a job's attempts: a worker that makes one, or who should not."""
    since = job.attempt_begun_at
    who = f"the worker on {claim.host} (process {claim.pid})" if claim else "a worker"
    facts = {"job": job.pk, **session.facts(), "host": claim.host if claim else None}
    if since is None:
        text = f"The attempts of job {job.pk} are locked by {session.described(now)}."
        return Hold("lock", text, facts)
    facts["since"] = since
    text = (
        f"An attempt of job {job.pk} has run since {utc(since, 'milliseconds')}"
        f" ({duration(now - since)}), by {who}"
    )
    by = f"its lock is held by {session.described(now)}"
    if claim and claim.silent_seconds > SILENT_AFTER_SECONDS:
        heard = utc(claim.beat_at, "milliseconds")
        text += f", not heard of since {heard}: its host may be gone"
    elif now - since <= longest_attempt():
        return Hold("attempt", f"{text}; {by}.", facts)
    return Hold("lock", f"{text}; {by}.", facts)


class _Claim(NamedTuple):
    """The worker that has claimed a queue row."""

    host: str
    pid: int
    beat_at: datetime
    silent_seconds: float


def _hosts_of(jobs: Sequence[Job]) -> dict[int | None, _Claim]:
    """Query who has claimed the queue rows of jobs, by the rows' ids."""
    with connection.cursor() as cursor:
        cursor.execute(HOSTS, [[job.message_id for job in jobs]])
        return {message_id: _Claim(*claim) for message_id, *claim in cursor.fetchall()}


def holds_of(jobs: Sequence[Job], *, now: datetime, paused: Pause | None) -> dict[int, list[Hold]]:
    """Query what keeps open jobs from running, now or when their time comes, by their ids."""
    locks = locks_of(jobs, now=now)
    return {job.pk: [*locks[job.pk], *_other_holds(job, now, paused)] for job in jobs}


def _other_holds(job: Job, now: datetime, paused: Pause | None) -> Iterator[Hold]:
    if job.kind not in TRANSITIONS:
        text = (
            f"Job {job.pk} is of kind “{job.kind}”, which no code here knows: it waits for workers"
            " of a version that does."
        )
        yield Hold("kind", text, {"kind": job.kind})
    if job.next_attempt_at > now:
        if job.attempts:
            at = utc(job.next_attempt_at, "milliseconds")
            yield Hold("retry", f"Its next attempt is at {at}.", {"at": job.next_attempt_at})
        return
    if paused:
        yield Hold("pause", described_pause(paused), {"since": paused.paused_at})
    if job.kind in TRANSITIONS and (earlier := job.find_earlier()):
        text = f"{job.pk} waits for job {earlier.pk} ({earlier.kind}), which comes before it."
        yield Hold("order", text, {"job": earlier.pk})
    yield from _claim(job, now)


def described_pause(paused: Pause) -> str:
    """Return since when publishing is paused, by whom, and why."""
    return f"{pausing.sentence(paused)} It was paused by {paused.who}."


def _claim(job: Job, now: datetime) -> Iterator[Hold]:
    """Query whether the job's queue row is claimed by a worker that is gone, or has no worker."""
    message = queue_row_of(job)
    if message is None:
        return
    if not message.is_claimed(now=now):
        yield from empty_lanes([message.lane])
        return
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [message.id])
        claim = cursor.fetchone()
    if claim is None:
        return  # its task has finished just now
    owner, host, pid, beat_at, silent, lives = claim
    released = f"It is released at {utc(message.lock, 'milliseconds')}"
    who = f"the worker on {host} (process {pid})" if host else "a worker"
    facts = {"owner": owner, "host": host, "pid": pid, "released_at": message.lock}
    if owner is not None and not lives:
        text = (
            f"It is claimed by {who}, which is gone. {released}, or by the next worker that looks."
        )
        yield Hold("claim", text, facts)
    elif silent is not None and silent > SILENT_AFTER_SECONDS:
        heard = utc(beat_at, "milliseconds")
        text = (
            f"It is claimed by {who}, not heard of since {heard}: its host may be gone. {released}"
        )
        yield Hold("claim", f"{text}, or when PostgreSQL has noticed.", facts)


def silent_after_seconds(lane: str) -> float:
    """Return for how long a lane may be silent: a task of its own may take that long."""
    longest = {conf.SLOW_LANE: conf.HOOK_TIMEOUT + 30.0, conf.MAIL_LANE: 60.0}
    return SILENT_AFTER_SECONDS + longest.get(lane, 0.0)


def empty_lanes(lanes: Iterable[str]) -> Iterator[Hold]:
    """Query which lanes have no worker that finishes anything."""
    for lane in dict.fromkeys(lanes):
        newest = Heartbeat.objects.filter(lane=lane).order_by("-beat_at").first()
        if newest is None:
            text = f"No worker of lane {lane} runs. Start manage.py qcluster."
            yield Hold("worker", text, {"lane": lane})
            continue
        silent = (clock.database_now() - newest.beat_at).total_seconds()
        if silent > silent_after_seconds(lane):
            at = utc(newest.beat_at, "milliseconds")
            text = f"No worker of lane {lane} has finished anything since {at}."
            text += " Start manage.py qcluster."
            yield Hold("worker", text, {"lane": lane, "since": newest.beat_at})


def _transactions_in(rows: Sequence[Model]) -> dict[tuple[str, int], list[str]]:
    """
    Query the transactions that may have locked rows, or are changing them, without locking them.

    PostgreSQL notes them in the row itself. An old note stays, so only those count that still run.

    :returns: by table and id; only of rows with a note.
    """
    quoted = connection.ops.quote_name
    notes: dict[tuple[str, int], str] = {}
    for model in {type(row): None for row in rows}:
        table, pk = quoted(model._meta.db_table), quoted(str(model._meta.pk.column))
        statement = f"SELECT {pk}, xmax::text FROM {table} WHERE {pk} = ANY(%s) AND xmax <> 0"  # noqa: S608 (names of the model's)  # nosec B608
        with connection.cursor() as cursor:
            cursor.execute(statement, [[row.pk for row in rows if type(row) is model]])
            notes |= {(model._meta.db_table, pk): xmax for pk, xmax in cursor.fetchall()}
    members = {xmax: _members_of(xmax) for xmax in list(dict.fromkeys(notes.values()))[:MOST_NOTES]}
    return {place: members.get(xmax, [xmax]) for place, xmax in notes.items()}


def _members_of(xmax: str) -> list[str]:
    """Query the transactions of a note: itself, or those of the list whose number it is."""
    try:
        # Several transactions, or a savepoint within one, are noted as a list with a number.
        with transaction.atomic(), connection.cursor() as cursor:
            members = "SELECT xid::text FROM pg_get_multixact_members(%s::text::xid)"
            cursor.execute(members, [xmax])
            return [xmax, *(member for [member] in cursor.fetchall())]
    except DatabaseError:
        return [xmax]  # it is the number of a transaction, not of a list


def _numbers_of_tables(models: Iterable[type[Model]]) -> dict[str, str]:
    """Query the numbers of the models' tables; return the names by number."""
    names = list(dict.fromkeys(model._meta.db_table for model in models))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass(quote_ident(name))::oid::text, name"
            " FROM unnest(%s::text[]) AS name",
            [names],
        )
        return {number: name for number, name in cursor.fetchall() if number is not None}


def _find_locks(
    *, transactions: Iterable[str] = (), tables: Iterable[str] = (), attempts: Iterable[str] = ()
) -> Locks:
    """Query which sessions hold these transactions, tables (by number) and attempts (by key)."""
    with connection.cursor() as cursor:
        params: dict[str, Any] = {
            "transactions": list(transactions),
            "tables": [int(number) for number in tables],
            "attempts": [int(key) for key in attempts],
            "attempt": ATTEMPT_LOCK,
        }
        cursor.execute(LOCKS, params)
        found: dict[str, dict[str, list[Session]]] = defaultdict(lambda: defaultdict(list))
        for kind, key, *session in cursor.fetchall():
            found[kind][key].append(Session(*session))
    return Locks(found["transactionid"], found["relation"], found["advisory"])
