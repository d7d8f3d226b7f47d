"""The log line of every change that readers see."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import NamedTuple

from django.db import transaction

from scheduling.models.times import utc

logger = logging.getLogger("armo.publish")

WORKER = "publish-worker"
BY_HAND = "publish-now"

MILLISECOND = timedelta(milliseconds=1)

LINE = "[%s] %s → %s @%s"

# An attribute of a record: another of the same batch follows at once, so a handler may flush later.
MORE = "more_follow"


class Change(NamedTuple):
    """One item that went live, or was taken down."""

    label: str
    status: str
    at: datetime
    run_at: datetime
    job_id: int
    request_id: str = ""


def log_changes(tag: str, changes: Sequence[Change]) -> None:
    """Log a line for each change, after the caller's transaction has committed."""
    transaction.on_commit(partial(_log, tag, changes))


def _log(tag: str, changes: Sequence[Change]) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    # Not `logger.info`: in a burst it takes a quarter of the time, to find out for each line what
    # all lines have in common, and for a system call each.
    shared = vars(
        logger.makeRecord(logger.name, logging.INFO, __file__, 0, LINE, (), None, _log.__name__)
    )
    last = len(changes) - 1
    for place, (label, status, at, run_at, job_id, request_id) in enumerate(changes):
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__ = {
            **shared,
            "args": (tag, label, status, _utc(at)),
            "item": label,
            "status": str(status),
            "at": _iso(at),
            "run_at": _iso(run_at),
            "lateness_ms": (at - run_at) / MILLISECOND,
            "job": job_id,
            MORE: place < last,
        }
        if request_id:
            record.request_id = request_id
        logger.handle(record)


# Cached, since most items of a batch have the same times.


@lru_cache(maxsize=128)
def _iso(at: datetime) -> str:
    return at.isoformat()


@lru_cache(maxsize=128)
def _utc(at: datetime) -> str:
    return utc(at, "milliseconds")
