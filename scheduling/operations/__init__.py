"""
The operations: one unit of work each, the only writers of an item's status.

Every entry point comes through here: the API, the admin, the commands. An operation is one
transaction: lock, check, change, record. Locks are taken item first, then its jobs; the workers
lock a job first but never wait for an item, so the two cannot block each other for good
(docs/adr/0003).
"""

from scheduling.models.transitions import (
    EndNotAfterStart,
    InvalidTransition,
    NotPublishable,
    UnknownKind,
)
from scheduling.operations.expected import ChangedMeanwhile, Expected, Seen
from scheduling.operations.item import (
    UNCHANGED,
    cancel,
    cancel_all,
    check_publish_now,
    check_rerun,
    check_schedule,
    check_unpublish_now,
    check_unschedule,
    lock_for_change,
    move,
    publish_now,
    reconcile,
    rerun,
    schedule,
    unpublish_now,
    unschedule,
)
from scheduling.operations.rules import ItemHasMovedOn, JobNotFound, NotInFuture, SomeRefused
from scheduling.operations.schedule_many import schedule_many
