"""
What is scheduled, and the ledger of it.

`Schedulable` is the base of every type of content; a `Job` is one timed change of one item, a
`JobEvent` one line of its history. The Job row is the schedule: `status` and the times of an item
mirror it for readers. The rules here are of one row; what spans rows is in `operations`.
"""

from scheduling.models.calendar_link import CalendarLink
from scheduling.models.expressions import ClockNow, ClockTimestamp, IsOneOf
from scheduling.models.item import (
    ALLOWED,
    VISIBLE,
    Schedulable,
    SchedulableQuerySet,
    Status,
    schedulable_models,
)
from scheduling.models.job import (
    OPEN_STATES,
    WISHES,
    Job,
    JobEvent,
    JobQuerySet,
    Kind,
    State,
    lane_of,
    longest_attempt,
    overdue_limit,
)
from scheduling.models.pause import Pause, PauseEvent
from scheduling.models.worker import Heartbeat

__all__ = [
    "ALLOWED",
    "OPEN_STATES",
    "VISIBLE",
    "WISHES",
    "CalendarLink",
    "ClockNow",
    "ClockTimestamp",
    "Heartbeat",
    "IsOneOf",
    "Job",
    "JobEvent",
    "JobQuerySet",
    "Kind",
    "Pause",
    "PauseEvent",
    "Schedulable",
    "SchedulableQuerySet",
    "State",
    "Status",
    "lane_of",
    "longest_attempt",
    "overdue_limit",
    "schedulable_models",
]
