"""The buttons of an item and of a job: what a person fills in, and the one operation it calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _

from scheduling import operations
from scheduling.admin.columns import Text
from scheduling.admin.forms import EndForm, ReasonForm, StartForm
from scheduling.models import ALLOWED, Job, Kind, Schedulable, State, Status


@dataclass(frozen=True)
class Action:
    """A button on a page: what a person fills in, and the one operation it calls."""

    name: str
    label: Text
    done: Text
    right: str
    operation: Callable[..., Job]
    form: type[ReasonForm]
    # Looks at the row only: an item, or a job. A button that is not offered may still be posted, by
    # a page that is old: the operation then refuses.
    is_offered: Callable[[Any], bool]
    # What is said where a worker has still to do it.
    later: Text = ""

    def says(self, job: Job) -> Text:
        """Return what is said once it is done."""
        return self.later if self.later and job.is_open else self.done


def _may_become(status: Status) -> Callable[[Schedulable], bool]:
    return lambda item: status in ALLOWED[Status(item.status)] and not item.publish_problems()


def _is(*statuses: Status) -> Callable[[Schedulable], bool]:
    return lambda item: item.status in statuses


ACTIONS = (
    Action(
        name="schedule",
        label=_("Schedule"),
        done=_("It is scheduled."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        is_offered=_may_become(Status.SCHEDULED),
    ),
    Action(
        name="move",
        label=_("Move"),
        done=_("It has another time."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        is_offered=_is(Status.SCHEDULED),
    ),
    Action(
        name="publish",
        label=_("Publish now"),
        done=_("It is live."),
        right="publish",
        operation=operations.publish_now,
        form=ReasonForm,
        is_offered=_may_become(Status.PUBLISHED),
        later=_("A worker makes its checks, and it goes live."),
    ),
    Action(
        name="end",
        label=_("Set the end"),
        done=_("It has an end."),
        right="schedule",
        operation=partial(operations.schedule, kind=Kind.UNPUBLISH),
        form=EndForm,
        is_offered=_is(Status.PUBLISHED),
    ),
    Action(
        name="cancel-end",
        label=_("Cancel the end"),
        done=_("It has no end any more."),
        right="schedule",
        operation=partial(operations.unschedule, kind=Kind.UNPUBLISH),
        form=ReasonForm,
        is_offered=lambda item: item.is_published and item.unpublish_at is not None,
    ),
    Action(
        name="cancel",
        label=_("Cancel the schedule"),
        done=_("It is not scheduled any more."),
        right="schedule",
        operation=operations.unschedule,
        form=ReasonForm,
        is_offered=_is(Status.SCHEDULED, Status.FAILED),
    ),
    Action(
        name="unpublish",
        label=_("Take down now"),
        done=_("It is not live any more."),
        right="publish",
        operation=operations.unpublish_now,
        form=ReasonForm,
        is_offered=_is(Status.PUBLISHED),
    ),
)


JOB_ACTIONS = (
    Action(
        name="cancel",
        label=_("Cancel the job"),
        done=_("The job is cancelled."),
        right="schedule",
        operation=operations.cancel,
        form=ReasonForm,
        is_offered=lambda job: job.is_open,
    ),
    Action(
        name="rerun",
        label=_("Run again"),
        done=_("The job runs again."),
        right="rerun",
        operation=operations.rerun,
        form=ReasonForm,
        is_offered=lambda job: job.state == State.FAILED,
    ),
)
