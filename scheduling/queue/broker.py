"""
A broker that claims each row of django-q2's queue table at its time, to the millisecond.

Since django-q2 1.4.10 the `lock` of a queue row means that no cluster may claim it before that
time. The stock ORM broker polls every 0.2 s, compares with its own process's clock, in no order,
and without an index. `TimedBroker` sleeps until the next row is due by the database's clock, or
until a NOTIFY announces an earlier one.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from time import monotonic, sleep
from typing import Any, ClassVar, Protocol

from django.db import Error, connections, transaction
from django.db.models import QuerySet
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from psycopg.errors import LockNotAvailable

from scheduling import conf
from scheduling.pooling import has_session
from scheduling.queue import messages
from scheduling.queue.leases import LATE_SECONDS, LEASE_SECONDS, OWNER_LOCK, end, is_alive, renew
from scheduling.queue.messages import CHANNEL, LONGEST_SLEEP_SECONDS, Message, insert_messages
from scheduling.queue.outages import REMIND_SECONDS, first_line, is_outage, retry_while_disconnected
from scheduling.queue.payload import build_payload, sign_anew
from scheduling.queue.sql_files import read_statements

logger = logging.getLogger(__name__)

# How long a statement waits for a lock: of a whole table of the queue, as others are passed over.
# Less than the time after which the sentinel takes the connection for half open.
LOCK_WAIT_SECONDS = 8.0
# How long connecting may take, to several hosts or with names that are not resolved.
CONNECTING_SECONDS = 60.0
# How often the broker returns to django-q2's loop: only there is the stop flag read.
LOOP_SECONDS = 1.0
# The longest pause between two tries to reach the database.
LONGEST_PAUSE_SECONDS = 0.25
# How long before the next row is due a worker is pre-warmed: the way of a task through three
# processes to a worker is then behind it when the time comes.
LEAD_SECONDS = 0.03
# How long after its time the row is left to that worker's batch, which deletes it. If no worker was
# free, the broker then claims the row as any other.
GRACE_SECONDS = 0.02
FULL_SWEEP_SECONDS = 3600.0
SECOND_SWEEP_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 2.0
# While paused: a resume is notified, but notifications are read only while the broker sleeps.
LOOK_IN_A_PAUSE_SECONDS = 1.0
# How often an empty task passes through all processes of the cluster, to show that they work.
BEAT_SECONDS = 4.0

SQL = read_statements(__name__)
ABANDONED = SQL["abandoned"].format(is_alive=is_alive("armo_owner", may_be_late="%(may_be_late)s"))
RELEASE = SQL["release"].format(abandoned=ABANDONED)
POOLED = (
    "A pooler stands before PostgreSQL, so LISTEN would hear nothing: the queue is polled every"
    " %.1f s. Set QUEUE_LISTEN=off to say so, or give the worker a direct DATABASE_URL."
)


class TaskNames(Protocol):
    """The dotted names of the tasks that the broker itself sends; a module, as a rule."""

    RUN_JOB: str
    PREWARM: str
    CATCH_UP: str
    SWEEP: str
    CHARGE_ATTEMPT: str
    MOVE_TO_FAILED_TASKS: str
    BEAT: str


@dataclass(frozen=True)
class Statements:
    """
    The broker's statements, completed by conditions about jobs, which the queue does not know.

    :param is_paused: the condition that no row of a job may be claimed.
    :param are_lost: the condition that some job has no queue row.
    :param needed_at: of a row, when its job has to run; NULL if the job is finished, or has another
        row.
    """

    is_paused: str
    are_lost: str
    needed_at: str

    @cached_property
    def claim(self) -> str:
        """Return the statement that claims queue rows."""
        return SQL["claim"].format(is_paused=self.is_paused)

    @cached_property
    def acknowledge(self) -> str:
        """Return the statement that ends a claim."""
        return messages.SQL["acknowledge"].format(needed_at=self.needed_at, **messages.WAITING)

    @cached_property
    def look(self) -> str:
        """Return the query for all that a broker needs to know before it sleeps."""
        return SQL["look"].format(
            abandoned=ABANDONED, is_paused=self.is_paused, are_lost=self.are_lost
        )


class TimedBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """
    django-q2's ORM broker, exact to the millisecond; a subclass names its tasks.

    The pusher of each cluster has one; others only `enqueue` and `acknowledge`. Its state belongs
    to one process, and starts anew after a fork.
    """

    tasks: ClassVar[TaskNames]
    statements: ClassVar[Statements]

    # Since when the database owes an answer, by `monotonic()`, in memory that the sentinel reads; 0
    # when it owes none. While it connects that is later, by the time that this may take.
    asking_since: ClassVar[Any] = None
    # The number of this process's cluster, stored with its claims. A claim without an owner ends
    # only when its time is over.
    owner: ClassVar[int | None] = None
    # Owners that have ended, even if the database has not noticed yet.
    dead_owners: ClassVar[Sequence[int]] = ()

    # When to query next, by `monotonic()`; 0 is at once. And whether a row is expected to be due
    # then, or it is only time to look again.
    ask_at = 0.0
    is_expecting = True
    # Whether publishing was paused at the last look.
    is_paused = False
    # For which time a worker was pre-warmed last, by `monotonic()`.
    prewarmed_for = 0.0
    # When to send the next sweep, and the next full one; at the start both at once, which is the
    # catch-up after an outage.
    sweep_at = full_sweep_at = 0.0
    beat_at = look_again_at = 0.0
    # When to look for claims of dead clusters next, and the growing pause until then.
    release_at = release_pause = 0.0
    # The latest `lock` among its claims that were delivered, and whether the table may have a claim
    # whose answer was lost.
    handed_out: datetime | None = None
    is_in_doubt = False
    # Claims whose answer was lost with the connection: nobody runs them.
    unseen: frozenset[int] = frozenset()
    # The psycopg connection that listens; Django may have replaced it.
    listening_on: Any = None
    # Whether it shares sessions with others, behind a pooler: then it polls, and its owner has a
    # lease in place of a session's lock, which this process renews.
    is_pooled = False
    has_lease: ClassVar[bool] = False
    # When it renewed that last, and since when it has had a connection and renewed it in time, by
    # `monotonic()`. Before, others may have failed to renew theirs.
    renewed_at: ClassVar[float] = 0.0
    steady_since: ClassVar[float] = 0.0
    # Grows while the database cannot be reached, or while a due row is locked.
    pause_seconds = 0.0
    # When to log again, by `monotonic()`, that the database cannot be reached.
    remind_at = 0.0

    # Rows of finished tasks that were locked; a later acknowledgement deletes them.
    left_locked: ClassVar[frozenset[int]] = frozenset()

    # For a task that has no queue row, and so nothing to acknowledge.
    NO_ROW: ClassVar = None

    @staticmethod
    def get_connection(list_key: str | None = None) -> QuerySet[OrmQ]:
        """Return the queue rows as a query; unlike the stock broker, do not connect yet."""
        connection = connections[Conf.ORM]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        rows: QuerySet[OrmQ] = OrmQ.objects.using(Conf.ORM)
        return rows

    def enqueue(self, task: str) -> int:
        """Insert a queue row for the payload of a task; return its id."""
        [message_id] = insert_messages([Message(self.list_key or Conf.CLUSTER_NAME, task)])
        return message_id

    def delete(self, task_id: int) -> None:
        """
        Delete the row of a finished task, and those that were locked when theirs finished.

        The row of a job that could not run, because it was locked, is put back: the job has one row
        at any time, and no process inserts a second.
        """
        self._delete({task_id, *self.left_locked})

    def delete_left(self) -> None:
        """Delete the rows of finished tasks that were locked then, if there are any."""
        if self.left_locked:
            self._delete(self.left_locked)

    def _delete(self, ids: Collection[int]) -> None:
        self.get_connection()
        with connections[Conf.ORM].cursor() as cursor:
            params = {"ids": list(ids), **messages.PAUSES}
            cursor.execute(self.statements.acknowledge, params)
            TimedBroker.left_locked = frozenset(row[0] for row in cursor.fetchall())

    def acknowledge(self, task_id: int) -> None:
        """
        Delete the row of a finished task, as soon as the database can be reached.

        An error here would end django-q2's monitor, and lose the results that wait for it.
        """
        retry_while_disconnected(
            partial(self.delete, task_id),
            seconds=Conf.RETRY,
            using=Conf.ORM,
            disconnect=self._drop_connection,
        )

    def dequeue(self) -> list[tuple[int | None, str]] | None:
        """
        Claim due rows, or sleep until one is due, for at most a second.

        A lost connection is not raised: django-q2 would pause for 10 s and start a new pusher.

        :returns: pairs of row id and payload, as django-q2's pusher expects.
        """
        try:
            with self._asking():
                return self._dequeue()
        except Error as error:
            if not is_outage(error):
                raise
            if isinstance(error.__cause__, LockNotAvailable):
                # The connection is as good as before, and so is its owner's lock.
                logger.warning("A table of the queue is locked as a whole: %s", first_line(error))
                sleep(LONGEST_PAUSE_SECONDS)
                return None
            self._drop_connection()
            before = self.pause_seconds
            self.pause_seconds = min(max(2 * before, 0.05), LONGEST_PAUSE_SECONDS)
            # Not four lines a second for as long as it lasts.
            is_new = before < LONGEST_PAUSE_SECONDS or monotonic() >= self.remind_at
            if is_new:
                self.remind_at = monotonic() + REMIND_SECONDS
            logger.log(
                logging.WARNING if is_new else logging.DEBUG,
                "The queue cannot be reached, next tries every %.2f s: %s",
                self.pause_seconds,
                first_line(error),
            )
            sleep(self.pause_seconds)
            return None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if self.asking_since is None:
            yield
            return
        connecting = CONNECTING_SECONDS if self.listening_on is None else 0
        self.asking_since.value = monotonic() + connecting
        try:
            yield
        finally:
            self.asking_since.value = 0

    def _execute(self, cursor: Any, statement: str, params: dict[str, Any]) -> None:
        """Execute a statement that waits no longer than `LOCK_WAIT_SECONDS` for a lock."""
        if self.asking_since is not None:
            self.asking_since.value = monotonic()
        # Behind a pooler the session is others' too, and a setting the transaction's.
        wait_no_longer = f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'"
        if not self.is_pooled:
            cursor.execute(statement, params)
        elif connections[Conf.ORM].settings_dict["OPTIONS"].get("server_side_binding"):
            with transaction.atomic(using=Conf.ORM):
                cursor.execute(wait_no_longer)
                cursor.execute(statement, params)
        else:
            # In one string they are one transaction.
            cursor.execute(f"{wait_no_longer};\n{statement}", params)
            while cursor.nextset():
                pass  # the setting, which has no rows

    def _dequeue(self) -> list[tuple[int | None, str]] | None:
        self._listen()
        if monotonic() >= self.sweep_at and self.list_key == conf.PUBLISH_LANE:
            return [(self.NO_ROW, payload) for payload in self._next_sweep()]
        if monotonic() >= self.beat_at and self.owner is not None:
            self.beat_at = monotonic() + BEAT_SECONDS
            return [(self.NO_ROW, self._build(self.tasks.BEAT, name="beat"))]
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
            logger.warning("Jobs without a queue row were found; the sweep enqueues them again.")
            return [(self.NO_ROW, self._build(self.tasks.SWEEP, False, name="sweep"))]
        if self._may_prewarm() and monotonic() >= self.ask_at - LEAD_SECONDS:
            self.prewarmed_for = self.ask_at
            self.ask_at += GRACE_SECONDS
            task = self._build(self.tasks.PREWARM, self.prewarmed_for, name="pre-warm")
            return [(self.NO_ROW, task)]
        wake_at = self.ask_at - LEAD_SECONDS if self._may_prewarm() else self.ask_at
        self._sleep(min(wake_at, self.release_at, monotonic() + LOOP_SECONDS) - monotonic())
        return None

    def _may_prewarm(self) -> bool:
        """Return whether the next row is still to come, and no worker was pre-warmed for it."""
        is_new = abs(self.ask_at - self.prewarmed_for) > GRACE_SECONDS + 0.005
        is_publisher = self.list_key == conf.PUBLISH_LANE and self.owner is not None
        return is_publisher and self.is_expecting and is_new and self.ask_at > monotonic()

    def _build(self, func: str, *args: float | str, name: str) -> str:
        return build_payload(func, *args, name=name, lane=self.list_key, save=False)

    def _next_sweep(self) -> list[str]:
        """Return a sweep; after an outage also a batch for each other worker, to help catch up."""
        now = monotonic()
        after_outage, everything = self.sweep_at == 0, now >= self.full_sweep_at
        if everything:
            self.full_sweep_at = now + FULL_SWEEP_SECONDS
        self.sweep_at = now + conf.SWEEP_EVERY
        if after_outage:
            # Again soon: what the outage interrupted may end only after this sweep.
            self.sweep_at = min(self.sweep_at, now + SECOND_SWEEP_SECONDS)
        sweep = self._build(self.tasks.SWEEP, everything, name="sweep")
        batch = self._build(self.tasks.CATCH_UP, name="catch up")
        return [sweep, *[batch] * (Conf.WORKERS - 1 if after_outage else 0)]

    def claim(self) -> list[tuple[int | None, str]]:
        """Claim due rows, and return what to deliver for them."""
        self.is_in_doubt = True
        with connections[Conf.ORM].cursor() as cursor:
            self._execute(
                cursor,
                self.statements.claim,
                {
                    "key": self.list_key,
                    "bulk": Conf.BULK,
                    "retry": Conf.RETRY,
                    "owner": self.owner,
                    "is_paused": self.is_paused,
                },
            )
            # RETURNING has no order.
            claimed = sorted(cursor.fetchall())
        self.is_in_doubt = False
        self.unseen -= {message_id for _, message_id, *_ in claimed}
        self.handed_out = max((row[-1] for row in claimed), default=self.handed_out)
        return [
            self._deliverable(message_id, payload, deliveries, job_id)
            for _, message_id, payload, deliveries, job_id, _ in claimed
        ]

    def _deliverable(
        self, message_id: int, payload: str, deliveries: int, job_id: int | None
    ) -> tuple[int | None, str]:
        """
        Return what to deliver for a claimed row.

        django-q2 would delete a row that it cannot decode, and deliver one that kills its worker
        for ever.
        """
        if deliveries > Conf.MAX_ATTEMPTS:
            why = f"It was handed out {deliveries - 1} times and never came to an end."
            if job_id is not None:
                charge = self.tasks.CHARGE_ATTEMPT
                return message_id, self._build(charge, job_id, why, name="charge attempt")
        elif (readable := sign_anew(payload)) is not None:
            return message_id, readable
        elif job_id is not None:
            # SECRET_KEY has changed, or the row was damaged; which job it wakes is known.
            logger.warning("Message %d cannot be decoded; job %d is run.", message_id, job_id)
            run_job, lane = self.tasks.RUN_JOB, self.list_key
            return message_id, build_payload(run_job, job_id, lane=lane, name=f"job {job_id}")
        else:
            why = "It cannot be decoded: SECRET_KEY or code has changed, or it was damaged."
        logger.error("Message %d is moved to the failed tasks. %s", message_id, why)
        move = self.tasks.MOVE_TO_FAILED_TASKS
        return self.NO_ROW, self._build(move, message_id, why, name="move to failed tasks")

    def look(self, *, claimed_nothing: bool) -> bool:
        """
        Plan when to query next, and release the claims of dead clusters.

        :param claimed_nothing: the last claim found nothing, so that any due row is locked.
        :returns: whether jobs without a queue row were found; the sweep finds them all.
        """
        # Often at first: the database may take a moment to notice that the last cluster has ended.
        self.release_pause = min(max(2 * self.release_pause, 0.1), LONGEST_SLEEP_SECONDS)
        self.release_at = monotonic() + self.release_pause
        with connections[Conf.ORM].cursor() as cursor:
            self._execute(cursor, self.statements.look, self._own())
            seconds, self.is_paused, are_abandoned, are_lost = cursor.fetchone()
        if self.is_paused:
            self.release_at = min(self.release_at, monotonic() + LOOK_IN_A_PAUSE_SECONDS)
        self._plan_next(seconds, claimed_nothing)
        if are_abandoned:
            self._release()
        if are_lost:
            # Not again until that sweep is likely to have run.
            self.look_again_at = monotonic() + LOOK_AGAIN_SECONDS
        return bool(are_lost)

    def _own(self) -> dict[str, Any]:
        return {
            "key": self.list_key,
            "owner": self.owner,
            "dead": list(self.dead_owners),
            "unseen": list(self.unseen),
            "may_be_late": self._may_others_be_late(),
            "releases": self.owner is not None,
            "finds": self.list_key == conf.PUBLISH_LANE and monotonic() >= self.look_again_at,
        }

    def _may_others_be_late(self) -> bool:
        """Return whether those who live may have failed to renew their leases, as this one did."""
        is_late = self.is_pooled and monotonic() > self.renewed_at + LATE_SECONDS
        return is_late or monotonic() < self.steady_since + LEASE_SECONDS

    @staticmethod
    def renew_lease(owner: int) -> None:
        """Renew the lease of this process, and note if that took too long."""
        renew(owner)
        now = monotonic()
        if now > TimedBroker.renewed_at + LATE_SECONDS:
            TimedBroker.steady_since = now
        TimedBroker.renewed_at = now

    def _plan_next(self, seconds: float | None, claimed_nothing: bool) -> None:
        """Plan when to query next; the next row is due in so many seconds."""
        longest = Conf.POLL if self.is_pooled else LONGEST_SLEEP_SECONDS
        self.is_expecting = seconds is not None and seconds <= longest
        if seconds is None or seconds > 0:
            self.pause_seconds = 0.0
            self.ask_at = monotonic() + min(longest if seconds is None else seconds, longest)
        elif claimed_nothing:
            # Due, but locked by a transaction that moves or deletes it: do not spin.
            self.pause_seconds = min(max(2 * self.pause_seconds, 0.005), 0.25)
            self.ask_at = monotonic() + self.pause_seconds
        else:
            self.ask_at = 0.0

    def _release(self) -> None:
        """Release rows that a dead cluster had claimed, so that they are delivered again."""
        with connections[Conf.ORM].cursor() as cursor:
            self._execute(cursor, RELEASE, self._own())
            released = {message_id for (message_id,) in cursor.fetchall()}
        if of_dead := released - self.unseen:
            logger.warning("%d messages of a dead worker are run again.", len(of_dead))
        self.unseen -= released
        if released:
            self._ask_at_once()

    def _ask_at_once(self) -> None:
        self.ask_at, self.is_expecting = 0.0, True

    def _listen(self) -> None:
        """Connect and listen, if the connection was lost, and query at once after that."""
        connection = connections[Conf.ORM]
        connection.close_if_unusable_or_obsolete()
        connection.ensure_connection()
        # The next statement finds out whether the connection is lost, and is repeated; Django's
        # check before each would only delay due rows.
        connection.health_check_done = True  # type: ignore[attr-defined]  # Django's own flag
        if self.listening_on is connection.connection:
            return
        self._note_pooling(not has_session(connection))
        if self.owner is not None and self.is_pooled:
            # Before the first claim: one whose owner has no lease is taken for a dead owner's.
            self.renew_lease(self.owner)
            end(self.dead_owners)
            TimedBroker.has_lease = True
        with connection.cursor() as cursor:
            if not self.is_pooled:
                cursor.execute(f"LISTEN {CHANNEL}; SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
                if self.owner is not None:
                    # Shared: the database may not have ended the last connection yet.
                    cursor.execute(
                        "SELECT pg_try_advisory_lock_shared(%s, %s)", [OWNER_LOCK, self.owner]
                    )
            if self.owner is not None and self.is_in_doubt:
                own = {"key": self.list_key, "owner": self.owner, "handed_out": self.handed_out}
                self._execute(cursor, SQL["unseen"], own)
                self.unseen |= {message_id for (message_id,) in cursor.fetchall()}
                self.is_in_doubt = False
        TimedBroker.steady_since = monotonic()
        self.listening_on = connection.connection
        # Meanwhile rows may have been inserted, and tasks may have been lost, heartbeats too.
        self._ask_at_once()
        self.sweep_at = self.full_sweep_at = self.beat_at = 0.0
        self.release_at = self.release_pause = 0.0

    def _note_pooling(self, is_pooled: bool) -> None:
        if is_pooled and not self.is_pooled and self.list_key == conf.PUBLISH_LANE:
            if conf.QUEUE_LISTEN:
                logger.warning(POOLED, Conf.POLL)
            else:
                logger.info("QUEUE_LISTEN is off: the queue is polled every %.1f s.", Conf.POLL)
        self.is_pooled = is_pooled

    def on_sleep(self) -> None:
        """Do nothing: tests override it, to learn that the broker is about to sleep."""

    def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self.on_sleep()
        if self.is_pooled:
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
