"""
What django-q2 calls in a worker.

Delivery is at least once, and a message may be older than the code: ids and plain values in,
everything else is read anew.
"""

import logging
from functools import partial
from time import monotonic

from django.conf import settings
from django.db import DatabaseError
from django_q.conf import Conf

from scheduling import attempts, broker, drain, ledger, queue, telling
from scheduling import sweep as sweeping

logger = logging.getLogger(__name__)

# So long at most a worker stays at work that comes piece by piece.
STAY_SECONDS = 1.0


def run_job(job_id: int) -> None:
    """
    Do everything that is due; then, if this job is still open and due, do it alone.

    In the `slow` lane the job alone: its workers may be busy for long.
    """
    if Conf.CLUSTER_NAME == settings.PUBLISH_LANE:
        try:
            attempts.patiently(drain.drain)
        except DatabaseError:
            # What the drain could not do must not keep this job from its own attempt.
            logger.exception("The drain broke off.")
        if attempts.hand_over(job_id):
            return
    attempts.run_alone(job_id)


def stand_by(at: float) -> int:
    """
    Do everything that is due at a moment, just then.

    The broker calls a worker a little before; what is due is still the database's to say. While
    something else is due at once after it, the worker stays for that.

    :param at: by `time.monotonic()`, which is one clock for all processes of a host.
    """
    done, stay_until = 0, monotonic() + STAY_SECONDS
    while True:
        done += attempts.patiently(partial(drain.drain, at=at))
        # What has become due since it began, or is to come in no time at all, if it began a moment
        # too early, it has not met.
        left = drain.seconds_until_next(past=monotonic() - at)
        if left > broker.LEAD_SECONDS or monotonic() > stay_until:
            return done
        at = monotonic() + max(left, 0)


def catch_up() -> int:
    """Do everything that is due; return how many jobs succeeded."""
    return attempts.patiently(drain.drain)


def sweep(everything: bool = True) -> dict[str, int]:
    """Mend what has come apart, and do what is overdue; see `scheduling.sweep`."""
    return sweeping.sweep(everything=everything)._asdict()


def tell_failures() -> int:
    """E-mail the people concerned about what has failed for good; return how many mails went."""
    return telling.tell_failures()


def give_up(job_id: int, why: str) -> None:
    """Count an attempt for a job whose message was handed out again and again, to no end."""
    attempts.give_up(job_id, why)


def bury(message_id: int, why: str) -> None:
    """Take a message that nobody can do anything with out of the queue, into the failed tasks."""
    queue.bury(message_id, why, at=ledger.database_now())


def beat() -> None:
    """Do nothing: that this comes through shows that the cluster moves; see `scheduling.pulse`."""
