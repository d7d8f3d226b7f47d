"""
django-q2's queue table as an alarm clock exact to the millisecond.

A message is a row of `django_q_ormq`; since django-q2 1.4.10 its `lock` means that no cluster may
take it before that time. The stock ORM broker looks every 0.2 s, compares with the clock of its own
process, in no order, and without an index. `TimedBroker` sleeps until just the next message, by the
database's clock, or until a NOTIFY says that an earlier one was put in.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from time import monotonic, sleep
from typing import Any, ClassVar

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connections
from django.db.models import QuerySet
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

logger = logging.getLogger(__name__)

CHANNEL = "armo_queue"

# The broker goes back to django-q2's loop this often: only there the stop flag is read.
LOOP_SECONDS = 1.0
# It asks the database again at least this often, also when nothing was notified.
LONGEST_SLEEP_SECONDS = 10.0
FULL_SWEEP_SECONDS = 3600.0
# A message nearer than this is notified. Twice the longest sleep: a transaction may stay open that
# long after it put a message in, and the broker still hears of it or asks in time.
NOTIFY_WITHIN_SECONDS = 2 * LONGEST_SLEEP_SECONDS

INSERT = """
    WITH wanted AS (
        SELECT payload, coalesce(at, clock_timestamp()) AS at
        FROM unnest(%(payloads)s::text[], %(times)s::timestamptz[])
             WITH ORDINALITY AS w(payload, at, place)
        ORDER BY place
    ), message AS (
        INSERT INTO django_q_ormq (key, payload, lock)
        SELECT %(key)s, payload, at FROM wanted
        RETURNING id, lock
    ), notified AS MATERIALIZED (
        SELECT pg_notify(%(channel)s, %(key)s) FROM message
        HAVING min(lock) <= clock_timestamp() + make_interval(secs => %(notify_within)s)
    )
    SELECT id, (SELECT count(*) FROM notified) FROM message ORDER BY id
"""

# One statement, so that a message is claimed once; in the order of time, so that a backlog is
# worked off oldest first; by the database's clock, so that a worker's wrong clock does no harm. Why
# the clock is asked in a subquery, `scheduling.models.ClockNow` says.
CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id, lock FROM django_q_ormq
        WHERE key = %(key)s AND lock <= (SELECT clock_timestamp())
        ORDER BY lock, id LIMIT %(bulk)s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE django_q_ormq AS message
    SET lock = clock_timestamp() + make_interval(secs => %(retry)s)
    FROM due WHERE message.id = due.id
    RETURNING due.lock, message.id, message.payload
"""

NEXT = """
    SELECT extract(epoch FROM min(lock) - clock_timestamp())::float8
    FROM django_q_ormq WHERE key = %(key)s
"""


def insert_messages(
    *, key: str, payloads: Sequence[str], times: Sequence[datetime | None]
) -> list[int]:
    """
    Put messages into the queue table, in the caller's transaction.

    :param key: the lane; a cluster of that name takes them.
    :param times: aware; None means at once, by the database's clock.
    :returns: the ids of the rows, in the order given.
    """
    with connections[Conf.ORM].cursor() as cursor:
        cursor.execute(
            INSERT,
            {
                "key": key,
                "payloads": list(payloads),
                "times": list(times),
                "channel": CHANNEL,
                "notify_within": NOTIFY_WITHIN_SECONDS,
            },
        )
        return [row[0] for row in cursor.fetchall()]


class Envelope:
    """Stands in for a broker while django-q2 builds a message, and keeps the message."""

    def __init__(self, list_key: str) -> None:
        self.list_key = list_key
        self.payload = ""

    def enqueue(self, payload: str) -> str:
        """Keep the message instead of queueing it."""
        self.payload = payload
        return "sealed"


def seal(func: str, *args: int | str, lane: str, name: str, **options: Any) -> str:
    """
    Return a message that calls `func`, without queueing it.

    :param func: the dotted name of the function; code may have moved when the message arrives.
    :param name: what django-q2's history calls it, at most 100 characters.
    :param options: django-q2's task options.
    """
    envelope = Envelope(lane)
    async_task(
        func,
        *args,
        task_name=name[:100],
        # Retries are ours: a failed message is done with, its job decides what comes next.
        q_options={"broker": envelope, "ack_failure": True, **options},
    )
    return envelope.payload


class TimedBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """
    django-q2's ORM broker, exact to the millisecond.

    One lives in the pusher of each cluster; others only `enqueue`. Its state is of one process and
    starts afresh after a fork.
    """

    # When to ask the database next, by `monotonic()`; 0 is at once.
    ask_at = 0.0
    # When to hand out the next sweep, and the next that looks at everything; the first at once,
    # which is the catch-up after an outage.
    sweep_at = full_sweep_at = 0.0
    # The psycopg connection that listens; Django may have replaced it since.
    listening_on: Any = None
    # Grows while the database cannot be reached, or while a due message is locked by someone.
    pause_seconds = 0.0

    # A message from nowhere: no row, so nothing to acknowledge.
    NO_ROW: ClassVar = None

    @staticmethod
    def get_connection(list_key: str | None = None) -> QuerySet[OrmQ]:
        """Return the queue table's rows; unlike the stock broker, without connecting already."""
        connection = connections[Conf.ORM]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        rows: QuerySet[OrmQ] = OrmQ.objects.using(Conf.ORM)
        return rows

    def enqueue(self, task: str) -> int:
        """Put a message in that is due at once, by the database's clock."""
        [message_id] = insert_messages(
            key=self.list_key or Conf.CLUSTER_NAME, payloads=[task], times=[None]
        )
        return message_id

    def dequeue(self) -> list[tuple[int | None, str]] | None:
        """
        Claim what is due, or sleep until something may be, a second at most.

        A lost connection is not raised: django-q2 would pause for 10 s and start a new pusher.

        :returns: pairs of row and payload, as django-q2's pusher expects them.
        """
        try:
            return self._dequeue()
        except (OperationalError, InterfaceError) as error:
            self._drop_connection()
            self.pause_seconds = min(max(2 * self.pause_seconds, 0.05), LOOP_SECONDS)
            logger.warning(
                "The queue cannot be reached, next try in %.2f s: %s",
                self.pause_seconds,
                str(error).strip().partition("\n")[0],
            )
            sleep(self.pause_seconds)
            return None

    def _dequeue(self) -> list[tuple[int | None, str]] | None:
        self._listen()
        if monotonic() >= self.sweep_at and self.list_key == settings.PUBLISH_LANE:
            return [(self.NO_ROW, payload) for payload in self._next_sweep()]
        if monotonic() >= self.ask_at:
            if claimed := self._claim():
                self.pause_seconds = 0.0
                return claimed
            self.ask_at = monotonic() + self._seconds_until_next()
        self._sleep(min(self.ask_at - monotonic(), LOOP_SECONDS))
        return None

    def _next_sweep(self) -> list[str]:
        """Return a sweep; after an outage also a drain for each other worker, to help catch up."""
        now = monotonic()
        after_outage, everything = self.sweep_at == 0, now >= self.full_sweep_at
        if everything:
            self.full_sweep_at = now + FULL_SWEEP_SECONDS
        self.sweep_at = now + settings.SWEEP_EVERY
        options = {"lane": self.list_key, "save": False}
        sweep = seal("scheduling.tasks.sweep", everything, name="sweep", **options)
        drain = seal("scheduling.tasks.catch_up", name="catch up", **options)
        return [sweep, *[drain] * (Conf.WORKERS - 1 if after_outage else 0)]

    def _claim(self) -> list[tuple[int | None, str]]:
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(CLAIM, {"key": self.list_key, "bulk": Conf.BULK, "retry": Conf.RETRY})
            # RETURNING promises no order.
            return [(message_id, payload) for _, message_id, payload in sorted(cursor.fetchall())]

    def _seconds_until_next(self) -> float:
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(NEXT, {"key": self.list_key})
            [seconds] = cursor.fetchone()
        longest = LONGEST_SLEEP_SECONDS if settings.QUEUE_LISTEN else Conf.POLL
        if seconds is None or seconds > 0:
            self.pause_seconds = 0.0
            return longest if seconds is None else min(seconds, longest)
        # Due, but locked by a transaction that replaces or removes it: do not spin on it.
        self.pause_seconds = min(max(2 * self.pause_seconds, 0.005), 0.25)
        return self.pause_seconds

    def _listen(self) -> None:
        """Make sure that this process's connection is there, listens, and was asked since."""
        connection = connections[Conf.ORM]
        connection.close_if_unusable_or_obsolete()
        connection.ensure_connection()
        if self.listening_on is connection.connection:
            return
        if settings.QUEUE_LISTEN:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
        self.listening_on = connection.connection
        # While it was away, messages may have come, and some that were in work may be lost.
        self.ask_at = self.sweep_at = self.full_sweep_at = 0.0

    def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if not settings.QUEUE_LISTEN:
            sleep(seconds)
            return
        with connections[Conf.ORM].wrap_database_errors:
            for notice in self.listening_on.notifies(timeout=seconds, stop_after=1):
                if notice.payload == self.list_key:
                    self.ask_at = 0.0

    def _drop_connection(self) -> None:
        self.listening_on = None
        try:
            connections[Conf.ORM].close()
        except Error:
            logger.debug("The lost connection could not be closed.", exc_info=True)
