"""
django-q2's queue table as an alarm clock exact to the millisecond.

A message is a row of `django_q_ormq`; since django-q2 1.4.10 its `lock` means that no cluster may
take it before that time. The stock ORM broker looks every 0.2 s, compares with the clock of its own
process, in no order, and without an index. `TimedBroker` sleeps until just the next message, by the
database's clock, or until a NOTIFY says that an earlier one was put in.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from time import monotonic, sleep
from typing import Any, ClassVar

from django.db import Error, connections
from django.db.models import QuerySet
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from scheduling import conf
from scheduling.queue.messages import CHANNEL, LONGEST_SLEEP_SECONDS, Message, insert_messages
from scheduling.queue.outages import DISCONNECTED, first_line, retry_while_disconnected
from scheduling.queue.payload import build_payload, read_payload
from scheduling.queue.sql_files import read_statements

logger = logging.getLogger(__name__)

# The broker goes back to django-q2's loop this often: only there the stop flag is read.
LOOP_SECONDS = 1.0
# So long before the next message is due, a worker is called to stand ready for that moment: what
# lies between a claim and its task, in three processes, then takes place before it and not after.
LEAD_SECONDS = 0.03
# The message itself is left to that worker's drain for so long, which takes it away. If it comes to
# nothing, because all workers are busy, the message is claimed as any other.
GRACE_SECONDS = 0.02
FULL_SWEEP_SECONDS = 3600.0
SECOND_SWEEP_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 2.0
# It hears of a resume while it sleeps; other people's tasks may keep it from that.
LOOK_IN_A_PAUSE_SECONDS = 1.0
# A task that does nothing goes through every process this often, to show that all of them move.
BEAT_SECONDS = 4.0

# First key of the advisory locks that owners hold; the second is the owner's number.
OWNER_LOCK = 0x41726D6F

SQL = read_statements(__name__)
RELEASE = SQL["release"].format(abandoned=SQL["abandoned"])


@dataclass(frozen=True)
class TaskNames:
    """Dotted names of the functions that the broker has workers call."""

    run_job: str
    stand_by: str
    catch_up: str
    sweep: str
    give_up: str
    bury: str
    beat: str


@dataclass(frozen=True)
class Statements:
    """
    The broker's statements, completed by SQL of whoever owns the jobs.

    :param is_paused: a condition: the messages of jobs stay where they are.
    :param are_lost: a condition: some job has no message.
    """

    is_paused: str
    are_lost: str

    @cached_property
    def claim(self) -> str:
        """Return the statement that claims due rows."""
        return SQL["claim"].format(is_paused=self.is_paused)

    @cached_property
    def look(self) -> str:
        """Return the query about all that a broker needs to know before it sleeps."""
        return SQL["look"].format(
            abandoned=SQL["abandoned"], is_paused=self.is_paused, are_lost=self.are_lost
        )


class TimedBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """
    django-q2's ORM broker, exact to the millisecond; a subclass says which tasks it hands out.

    One lives in the pusher of each cluster; others only `enqueue` and `acknowledge`. Its state is
    of one process and starts afresh after a fork.
    """

    tasks: ClassVar[TaskNames]
    statements: ClassVar[Statements]

    # Of this process's cluster: the number its claims carry; None claims for nobody, and such a
    # message comes back only by its clock.
    owner: ClassVar[int | None] = None
    # Owners that have certainly ended, even if the database has not noticed yet.
    dead_owners: ClassVar[Sequence[int]] = ()

    # When to ask the database next, by `monotonic()`; 0 is at once. And whether a message is likely
    # to be due then, or it is only time to look round.
    ask_at = 0.0
    is_expecting = True
    # Whether publishing was paused at the last look: its messages are not due then.
    is_paused = False
    # For which moment a worker was called last.
    called_for = 0.0
    # When to hand out the next sweep, and the next that looks at everything; the first at once,
    # which is the catch-up after an outage.
    sweep_at = full_sweep_at = 0.0
    beat_at = look_again_at = 0.0
    # When to look for claims of the dead next, and the pause until then, which grows.
    release_at = release_pause = 0.0
    # Up to which `lock` its claims were handed out, and whether a later one may be in the table.
    handed_out: datetime | None = None
    is_in_doubt = False
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
        [message_id] = insert_messages([Message(self.list_key or Conf.CLUSTER_NAME, task)])
        return message_id

    def acknowledge(self, task_id: int) -> None:
        """
        Delete a message that is done with, as soon as the database can be reached.

        An error here would end django-q2's monitor, and with it results that wait behind this one.
        """
        retry_while_disconnected(
            partial(self.delete, task_id),
            seconds=Conf.RETRY,
            using=Conf.ORM,
            disconnect=self._drop_connection,
        )

    def dequeue(self) -> list[tuple[int | None, str]] | None:
        """
        Claim what is due, or sleep until something may be, a second at most.

        A lost connection is not raised: django-q2 would pause for 10 s and start a new pusher.

        :returns: pairs of row and payload, as django-q2's pusher expects them.
        """
        try:
            return self._dequeue()
        except DISCONNECTED as error:
            self._drop_connection()
            self.pause_seconds = min(max(2 * self.pause_seconds, 0.05), LOOP_SECONDS)
            logger.warning(
                "The queue cannot be reached, next try in %.2f s: %s",
                self.pause_seconds,
                first_line(error),
            )
            sleep(self.pause_seconds)
            return None

    def _dequeue(self) -> list[tuple[int | None, str]] | None:
        self._listen()
        if monotonic() >= self.sweep_at and self.list_key == conf.PUBLISH_LANE:
            return [(self.NO_ROW, payload) for payload in self._next_sweep()]
        if monotonic() >= self.beat_at and self.owner is not None:
            self.beat_at = monotonic() + BEAT_SECONDS
            return [(self.NO_ROW, self._seal(self.tasks.beat, name="beat"))]
        are_lost = False
        next_look = self.release_at if self.is_expecting else min(self.ask_at, self.release_at)
        if monotonic() >= next_look:
            are_lost = self.look(claimed_nothing=False)
        if self.is_expecting and monotonic() >= self.ask_at:
            if claimed := self.claim():
                self.pause_seconds = 0.0
                return claimed
            are_lost = self.look(claimed_nothing=True)
        if are_lost:
            logger.warning("Messages are missing; the sweep puts them in again.")
            return [(self.NO_ROW, self._seal(self.tasks.sweep, False, name="sweep"))]
        if self._may_call() and monotonic() >= self.ask_at - LEAD_SECONDS:
            self.called_for = self.ask_at
            self.ask_at += GRACE_SECONDS
            call = self._seal(self.tasks.stand_by, self.called_for, name="stand by")
            return [(self.NO_ROW, call)]
        wake_at = self.ask_at - LEAD_SECONDS if self._may_call() else self.ask_at
        self._sleep(min(wake_at, self.release_at, monotonic() + LOOP_SECONDS) - monotonic())
        return None

    def _may_call(self) -> bool:
        """Whether a worker could still stand ready for the next message, and none was called."""
        is_new = abs(self.ask_at - self.called_for) > GRACE_SECONDS + 0.005
        is_publisher = self.list_key == conf.PUBLISH_LANE and self.owner is not None
        return is_publisher and self.is_expecting and is_new and self.ask_at > monotonic()

    def _seal(self, func: str, *args: float | str, name: str) -> str:
        return build_payload(func, *args, name=name, lane=self.list_key, save=False)

    def _next_sweep(self) -> list[str]:
        """Return a sweep; after an outage also a drain for each other worker, to help catch up."""
        now = monotonic()
        after_outage, everything = self.sweep_at == 0, now >= self.full_sweep_at
        if everything:
            self.full_sweep_at = now + FULL_SWEEP_SECONDS
        self.sweep_at = now + conf.SWEEP_EVERY
        if after_outage:
            # What the outage caught in the middle may have come to an end only after this one.
            self.sweep_at = min(self.sweep_at, now + SECOND_SWEEP_SECONDS)
        sweep = self._seal(self.tasks.sweep, everything, name="sweep")
        drain = self._seal(self.tasks.catch_up, name="catch up")
        return [sweep, *[drain] * (Conf.WORKERS - 1 if after_outage else 0)]

    def claim(self) -> list[tuple[int | None, str]]:
        """Claim what is due, and return what to hand out for it."""
        self.is_in_doubt = True
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(
                self.statements.claim,
                {
                    "key": self.list_key,
                    "bulk": Conf.BULK,
                    "retry": Conf.RETRY,
                    "owner": self.owner if conf.QUEUE_LISTEN else None,
                    "is_paused": self.is_paused,
                },
            )
            # RETURNING promises no order.
            claimed = sorted(cursor.fetchall())
        self.is_in_doubt = False
        self.handed_out = max((row[-1] for row in claimed), default=self.handed_out)
        return [
            self._deliverable(message_id, payload, deliveries, job_id)
            for _, message_id, payload, deliveries, job_id, _ in claimed
        ]

    def _deliverable(
        self, message_id: int, payload: str, deliveries: int, job_id: int | None
    ) -> tuple[int | None, str]:
        """
        Return what to hand out for a claimed message.

        django-q2 would delete what it cannot decode, and hand out what kills its worker for ever.
        """
        if deliveries > Conf.MAX_ATTEMPTS:
            why = f"It was handed out {deliveries - 1} times and never came to an end."
            if job_id is not None:
                return message_id, self._seal(self.tasks.give_up, job_id, why, name="rest")
        elif read_payload(payload) is not None:
            return message_id, payload
        elif job_id is not None:
            # SECRET_KEY has changed, or the row was damaged; the job is the truth.
            logger.warning("Message %d cannot be decoded; job %d is run.", message_id, job_id)
            return message_id, build_payload(
                self.tasks.run_job, job_id, lane=self.list_key, name=f"job {job_id}"
            )
        else:
            why = "It cannot be decoded: SECRET_KEY or code has changed, or it was damaged."
        logger.error("Message %d is given up. %s", message_id, why)
        return self.NO_ROW, self._seal(self.tasks.bury, message_id, why, name="bury")

    def look(self, *, claimed_nothing: bool) -> bool:
        """
        Look round: when to ask for messages next, whose claims to give back.

        :param claimed_nothing: just now, so that what is due already is in other hands.
        :returns: whether messages are lost; the regular sweep finds what this does not.
        """
        # Often at first: the database may take a moment to notice that the last cluster is gone.
        self.release_pause = min(max(2 * self.release_pause, 0.1), LONGEST_SLEEP_SECONDS)
        self.release_at = monotonic() + self.release_pause
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(self.statements.look, self._own())
            seconds, self.is_paused, are_abandoned, are_lost = cursor.fetchone()
        if self.is_paused:
            self.release_at = min(self.release_at, monotonic() + LOOK_IN_A_PAUSE_SECONDS)
        self._plan_next(seconds, claimed_nothing)
        if are_abandoned:
            self._release()
        if are_lost:
            # That sweep takes a moment; another meanwhile would find the same.
            self.look_again_at = monotonic() + LOOK_AGAIN_SECONDS
        return bool(are_lost)

    def _own(self) -> dict[str, Any]:
        """Return what tells this broker's lane and claims from others'."""
        return {
            "key": self.list_key,
            "owner": self.owner,
            "dead": list(self.dead_owners),
            "lock": OWNER_LOCK,
            # Behind a proxy that pools transactions a lock is nobody's own: claims end by clock.
            "releases": self.owner is not None and conf.QUEUE_LISTEN,
            "finds": self.list_key == conf.PUBLISH_LANE and monotonic() >= self.look_again_at,
        }

    def _plan_next(self, seconds: float | None, claimed_nothing: bool) -> None:
        """Plan when to ask next, from when the next message is due."""
        longest = LONGEST_SLEEP_SECONDS if conf.QUEUE_LISTEN else Conf.POLL
        self.is_expecting = seconds is not None and seconds <= longest
        if seconds is None or seconds > 0:
            self.pause_seconds = 0.0
            self.ask_at = monotonic() + min(longest if seconds is None else seconds, longest)
        elif claimed_nothing:
            # Due, but locked by a transaction that replaces or removes it: do not spin on it.
            self.pause_seconds = min(max(2 * self.pause_seconds, 0.005), 0.25)
            self.ask_at = monotonic() + self.pause_seconds
        else:
            self.ask_at = 0.0

    def _release(self) -> None:
        """Have messages that a dead cluster had claimed handed out again."""
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(RELEASE, self._own())
            if cursor.rowcount:
                logger.warning("%d messages of a dead worker are run again.", cursor.rowcount)
                self._ask_at_once()

    def _ask_at_once(self) -> None:
        self.ask_at, self.is_expecting = 0.0, True

    def _listen(self) -> None:
        """Make sure that this process's connection is there, listens, and was asked since."""
        connection = connections[Conf.ORM]
        connection.close_if_unusable_or_obsolete()
        connection.ensure_connection()
        # A lost one is noticed by the next statement, which is asked again; a question before each,
        # whether it is there, would only make what is due wait for it.
        connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own flag
        if self.listening_on is connection.connection:
            return
        if conf.QUEUE_LISTEN:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
                if self.owner is not None:
                    # Shared: the connection before this one may not be quite gone.
                    cursor.execute(
                        "SELECT pg_try_advisory_lock_shared(%s, %s)", [OWNER_LOCK, self.owner]
                    )
                    if self.is_in_doubt:
                        cursor.execute(
                            SQL["release_unseen"], {**self._own(), "handed_out": self.handed_out}
                        )
                        self.is_in_doubt = False
        self.listening_on = connection.connection
        # While it was away, messages may have come, and some that were in work may be lost.
        self._ask_at_once()
        self.sweep_at = self.full_sweep_at = 0.0
        self.release_at = self.release_pause = 0.0

    def on_sleep(self) -> None:
        """Do nothing; a test learns by it that the broker is about to sleep."""

    def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self.on_sleep()
        if not conf.QUEUE_LISTEN:
            sleep(seconds)
            return
        with connections[Conf.ORM].wrap_database_errors:
            for notice in self.listening_on.notifies(timeout=seconds, stop_after=1):
                if notice.payload == self.list_key:
                    self._ask_at_once()

    def _drop_connection(self) -> None:
        self.listening_on = None
        try:
            connections[Conf.ORM].close()
        except Error:
            logger.debug("The lost connection could not be closed.", exc_info=True)
