"""
What django-q2 calls in a worker.

Delivery is at least once, and a message may be older than the code: ids and plain values in,
everything else is read anew.
"""

import logging

from django.db import DatabaseError

from scheduling import attempts, drain
from scheduling import sweep as sweeping

logger = logging.getLogger(__name__)


def run_job(job_id: int) -> None:
    """Do everything that is due; then, if this job is still open and due, do it alone."""
    try:
        drain.drain()
    except DatabaseError:
        # What the drain could not do must not keep this job from its own attempt.
        logger.exception("The drain broke off.")
    attempts.run_alone(job_id)


def catch_up() -> int:
    """Do everything that is due; return how many jobs succeeded."""
    return drain.drain()


def sweep(everything: bool = True) -> dict[str, int]:
    """Mend what has come apart, and do what is overdue; see `scheduling.sweep`."""
    return sweeping.sweep(everything=everything)._asdict()
