"""The log line of every change that readers see."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from django.db import transaction

logger = logging.getLogger("armo.publish")

WORKER = "publish-worker"
BY_HAND = "publish-now"


class Change(NamedTuple):
    """One item that went live, or was taken down."""

    label: str
    status: str
    at: datetime
    run_at: datetime
    job_id: int


def announce(tag: str, changes: Sequence[Change]) -> None:
    """Log a line a change, once the caller's transaction is committed and the change is true."""
    transaction.on_commit(partial(_log, tag, changes))


def _log(tag: str, changes: Sequence[Change]) -> None:
    for change in changes:
        logger.info(
            "[%s] %s → %s @%s",
            tag,
            change.label,
            change.status,
            to_the_millisecond(change.at),
            extra={
                "item": change.label,
                "status": str(change.status),
                "at": change.at.isoformat(),
                "run_at": change.run_at.isoformat(),
                "lateness_ms": (change.at - change.run_at).total_seconds() * 1000,
                "job": change.job_id,
            },
        )


def to_the_millisecond(at: datetime) -> str:
    """Return the time in UTC as `2025-09-23T10:30:00.123Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
