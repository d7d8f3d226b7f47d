"""
What is scheduled, and the ledger of it.

`Schedulable` is the base of every type of content; a `Job` is one timed change of one item, a
`JobEvent` one line of its history. The Job row is the schedule: `status` and the times of an item
mirror it for readers. The rules here are of one row; what spans rows is in `operations`.
"""

from scheduling.models.calendar_link import CalendarLink
from scheduling.models.event_counts import EventCount, EventCountMark
from scheduling.models.expressions import ClockNow, ClockTimestamp, IsOneOf, SpanOf
from scheduling.models.item import (
    ALLOWED,
    GUARDED,
    VISIBLE,
    Schedulable,
    SchedulableQuerySet,
    Status,
    register_status,
    schedulable_models,
    status_choices,
    status_label,
)
from scheduling.models.job import (
    OPEN_STATES,
    Job,
    JobEvent,
    JobQuerySet,
    State,
    lane_of,
    longest_attempt,
    overdue_limit,
    rerunnable,
)
from scheduling.models.ledger import LedgerStart
from scheduling.models.pause import Pause, PauseEvent
from scheduling.models.preview_link import PreviewLink
from scheduling.models.transitions import (
    TRANSITIONS,
    Kind,
    Transition,
    kind_choices,
    mirrored,
    register,
    transition_of,
    unmirrored,
)
from scheduling.models.worker import Heartbeat, Lease
