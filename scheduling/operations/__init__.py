"""
The operations: one unit of work each, the only writers of an item's status.

Every entry point calls them: the API, the admin, the commands. An operation is one transaction:
lock, check, change, record. It locks the item, then its jobs; workers lock a job first, but never
wait for an item, so that there is no deadlock (docs/adr/0003).
"""

from scheduling.models.item import NotPublishable, WouldBreak
from scheduling.models.transitions import EndNotAfterStart, InvalidTransition, UnknownKind
from scheduling.operations.expected import ChangedMeanwhile, Expected, Seen
from scheduling.operations.item import (
    UNCHANGED,
    cancel,
    cancel_all,
    check_cancel,
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
from scheduling.operations.rules import (
    ItemHasMovedOn,
    JobNotFound,
    NotInFuture,
    OffsetNotOfZone,
    SomeRefused,
    UnknownZone,
)
from scheduling.operations.schedule_many import schedule_many
