"""
The tasks that django-q2 runs in workers.

Delivery is at least once, and a queue row may be older than the code: tasks take ids and plain
values, and read everything else from the database.
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

# How long a pre-warmed worker stays, while jobs keep becoming due.
STAY_SECONDS = 1.0


def run_job(job_id: int) -> None:
    """
    Run all due jobs; then this one alone, if it is still open and due.

    In the `slow` lane run only this one: its workers may be busy for long.
    """
    if Conf.CLUSTER_NAME == conf.PUBLISH_LANE:
        try:
            retry_while_disconnected(batch_runner.run_due_jobs)
        except DatabaseError:
            # A failed batch must not keep this job from its own attempt.
            logger.exception("The batch of due jobs failed.")
        if job_runner.move_to_own_lane(job_id):
            return
    job_runner.run_alone(job_id)


def stand_by(at: float) -> int:
    """
    Wait until a time, then run all due jobs: the pre-warmed worker, called a little earlier.

    What is due is decided by the database's clock. The worker stays while more jobs become due.

    :param at: by `time.monotonic()`, which is the same for all processes of a host.
    """
    done, stay_until = 0, monotonic() + STAY_SECONDS
    while True:
        done += retry_while_disconnected(partial(batch_runner.run_due_jobs, at=at))
        # Jobs that became due since the batch began, or are about to, were not in it.
        left = batch_runner.seconds_until_next(past=monotonic() - at)
        if left > broker.LEAD_SECONDS or monotonic() > stay_until:
            return done
        at = monotonic() + max(left, 0)


def catch_up() -> int:
    """Run all due jobs; return how many succeeded."""
    return retry_while_disconnected(batch_runner.run_due_jobs)


def sweep(everything: bool = True) -> dict[str, int]:
    """Repair lost jobs and queue rows, and run overdue jobs; see `scheduling.worker.reconciler`."""
    return reconciler.sweep(everything=everything)._asdict()


def tell_failures() -> int:
    """Mail the failures that have not been mailed; return how many mails were sent."""
    return failure_mail.send_failure_mails()


def give_up(job_id: int, why: str) -> None:
    """Charge an attempt to a job whose queue row was delivered too often."""
    job_runner.charge_attempt(job_id, why)


def bury(message_id: int, why: str) -> None:
    """Delete a queue row that cannot be run, and record it in the failed tasks."""
    messages.move_to_failed_tasks(message_id, why, at=clock.database_now())


def beat() -> None:
    """Do nothing: when this task is finished, the cluster is known to work."""


def __getattr__(name: str) -> Callable[[int], None]:
    """Return `run_job` for `run_<kind>`, which the queue rows of further kinds name."""
    if name.startswith("run_"):
        return run_job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
