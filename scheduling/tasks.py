"""
What django-q2 calls in a worker.

Delivery is at least once, and a message may be older than the code: ids and plain values in,
everything else is read anew.
"""

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic

from django.db import DatabaseError
from django_q.conf import Conf

from scheduling import conf
from scheduling.models import clock
from scheduling.queue import broker, messages
from scheduling.queue.outages import retry_while_disconnected
from scheduling.worker import batch_runner, failure_mail, job_runner, reconciler

logger = logging.getLogger(__name__)

# So long at most a worker stays at work that comes piece by piece.
STAY_SECONDS = 1.0


def run_job(job_id: int) -> None:
    """
    Do everything that is due; then, if this job is still open and due, do it alone.

    In the `slow` lane the job alone: its workers may be busy for long.
    """
    if Conf.CLUSTER_NAME == conf.PUBLISH_LANE:
        try:
            retry_while_disconnected(batch_runner.run_due_jobs)
        except DatabaseError:
            # What the drain could not do must not keep this job from its own attempt.
            logger.exception("The drain broke off.")
        if job_runner.move_to_own_lane(job_id):
            return
    job_runner.run_alone(job_id)


def stand_by(at: float) -> int:
    """
    Do everything that is due at a moment, just then.

    The broker calls a worker a little before; what is due is still the database's to say. While
    something else is due at once after it, the worker stays for that.

    :param at: by `time.monotonic()`, which is one clock for all processes of a host.
    """
    done, stay_until = 0, monotonic() + STAY_SECONDS
    while True:
        done += retry_while_disconnected(partial(batch_runner.run_due_jobs, at=at))
        # What has become due since it began, or is to come in no time at all, if it began a moment
        # too early, it has not met.
        left = batch_runner.seconds_until_next(past=monotonic() - at)
        if left > broker.LEAD_SECONDS or monotonic() > stay_until:
            return done
        at = monotonic() + max(left, 0)


def catch_up() -> int:
    """Do everything that is due; return how many jobs succeeded."""
    return retry_while_disconnected(batch_runner.run_due_jobs)


def sweep(everything: bool = True) -> dict[str, int]:
    """Mend what has come apart, and do what is overdue; see `scheduling.worker.reconciler`."""
    return reconciler.sweep(everything=everything)._asdict()


def tell_failures() -> int:
    """E-mail the people concerned about what has failed for good; return how many mails went."""
    return failure_mail.send_failure_mails()


def give_up(job_id: int, why: str) -> None:
    """Count an attempt for a job whose message was handed out again and again, to no end."""
    job_runner.charge_attempt(job_id, why)


def bury(message_id: int, why: str) -> None:
    """Take a message that nobody can do anything with out of the queue, into the failed tasks."""
    messages.move_to_failed_tasks(message_id, why, at=clock.database_now())


def beat() -> None:
    """Do nothing: that this comes through shows that the cluster moves."""


def __getattr__(name: str) -> Callable[[int], None]:
    """Return what the queue rows of further kinds of job name, `run_<kind>`: the job says which."""
    if name.startswith("run_"):
        return run_job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
