"""
What keeps an open job from running: who has locked its rows, a dead worker's claim, an empty lane.

Nothing here waits for a lock, or takes one that a worker would have to wait for.
"""

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
from scheduling.models.times import utc
from scheduling.operations import pause as pausing
from scheduling.queue.broker import BEAT_SECONDS
from scheduling.queue.leases import is_alive
from scheduling.queue.messages import find_row

# A statement that would wait longer for a lock fails.
LOCK_WAIT_MS = 200
# Characters of another session's statement that are shown.
LONGEST_STATEMENT = 80
# A cluster that has not been heard of for longer may be gone.
SILENT_AFTER_SECONDS = 3 * BEAT_SECONDS

# The sessions with these transactions, and what they hold.
SESSIONS = """
SELECT DISTINCT a.pid, a.application_name, a.usename, a.client_addr::text, a.xact_start, a.state,
       a.query
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.granted AND a.pid <> pg_backend_pid() AND {condition}
ORDER BY a.xact_start, a.pid
"""
OF_TRANSACTIONS = SESSIONS.format(
    condition="l.locktype = 'transactionid' AND l.transactionid::text = ANY(%s)"
)
# Those that keep others from writing to a table, and most of them from reading it.
OF_TABLE = SESSIONS.format(
    condition="l.locktype = 'relation' AND l.relation = to_regclass(%s)"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND l.mode IN"
    " ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
)
CLAIM = f"""
SELECT message.armo_owner, beat.host, beat.pid, beat.beat_at,
       extract(epoch FROM clock_timestamp() - beat.beat_at)::float8,
       {is_alive("message.armo_owner")}
FROM django_q_ormq AS message LEFT JOIN scheduling_heartbeat AS beat ON beat.owner = armo_owner
WHERE message.id = %s
"""  # noqa: S608 (names of its own)


class Hold(NamedTuple):
    """One thing that holds a job, and what it says of it; the figures are for programs."""

    subject: str
    text: str
    facts: Mapping[str, object] = {}


class Session(NamedTuple):
    """A database session that has locked something."""

    pid: int
    application: str
    user: str
    address: str | None
    since: datetime | None
    state: str
    statement: str

    def __str__(self) -> str:
        """Return who it is, since when, and the first words of its last statement."""
        where = f"from {self.address}" if self.address else "from this host"
        words = " ".join((self.statement or "").split())
        shown = words if len(words) <= LONGEST_STATEMENT else f"{words[:LONGEST_STATEMENT]}…"
        since = f" since {utc(self.since, 'milliseconds')}" if self.since else ""
        name = self.application or "no application name"
        return (
            f"session {self.pid} ({name}, user {self.user}, {where}), in a transaction{since},"
            f" {self.state}; its last statement: {shown}"
        )


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


def is_lock_error(error: Exception) -> bool:
    """Return whether a statement failed because it would have waited for a lock."""
    return isinstance(error.__cause__, errors.LockNotAvailable)


def locked_tables(models: Iterable[type[Model]]) -> list[Hold]:
    """Query which sessions lock the tables of these models as a whole."""
    holds = []
    for model in models:
        table = model._meta.db_table
        for session in _sessions(OF_TABLE, table):
            facts = {"table": table, "pid": session.pid}
            holds.append(Hold("lock", f"Table {table} is locked by {session}.", facts))
    return holds


def holds_of(job: Job, *, now: datetime, paused: Pause | None) -> Iterator[Hold]:
    """Query what keeps an open job from running, now or when its time comes."""
    item = job.find_item()
    rows: list[Model] = [job] if item is None else [item, job]
    yield from locked_tables([*(type(row) for row in rows), OrmQ])
    for row in rows:
        name = f"The row of {job.item_label}" if row is item else f"The row of job {job.pk}"
        for session in _sessions(OF_TRANSACTIONS, _transactions_in(row)):
            facts = {"table": row._meta.db_table, "id": row.pk, "pid": session.pid}
            yield Hold("lock", f"{name} is locked by {session}.", facts)
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
    message = find_row(job.message_id)
    if message is None:
        return
    if not message.is_claimed(now=now):
        yield from empty_lanes([message.lane])
        return
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [message.id])
        owner, host, pid, beat_at, silent, lives = cursor.fetchone()
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


def _transactions_in(row: Model) -> list[str]:
    """
    Query the transactions that may have locked a row, or are changing it, without locking it.

    PostgreSQL notes them in the row itself. An old note stays, so only those count that still run.
    """
    quoted = connection.ops.quote_name
    table, pk = quoted(row._meta.db_table), quoted(str(row._meta.pk.column))
    note = f"SELECT xmax::text FROM {table} WHERE {pk} = %s"  # noqa: S608 (names of the model's)
    with connection.cursor() as cursor:
        cursor.execute(note, [row.pk])
        found = cursor.fetchone()
        xmax = found[0] if found else "0"
        if xmax == "0":
            return []
        try:
            # Several transactions, or a savepoint within one, are noted as a list with a number.
            with transaction.atomic():
                members = "SELECT xid::text FROM pg_get_multixact_members(%s::text::xid)"
                cursor.execute(members, [xmax])
                return [xmax, *(member for [member] in cursor.fetchall())]
        except DatabaseError:
            return [xmax]  # it is the number of a transaction, not of a list


def _sessions(statement: str, wanted: str | Sequence[str]) -> list[Session]:
    if not wanted:
        return []
    with connection.cursor() as cursor:
        params: list[Any] = [wanted]
        cursor.execute(statement, params)
        return [Session(*row) for row in cursor.fetchall()]
