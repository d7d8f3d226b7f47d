"""The buttons on the pages of items and jobs: a form each, and the operation that it calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from scheduling import operations
from scheduling.admin.display import Text, shown_moment
from scheduling.admin.forms import ButtonForm, EndForm, StartForm
from scheduling.admin.seen import OF_JOB, TEXT, TIMES
from scheduling.errors import DomainError
from scheduling.models import ALLOWED, Job, Kind, Schedulable, State, Status


@dataclass(frozen=True)
class Action:
    """A button: its form, and the operation that it calls."""

    name: str
    label: Text
    # The message afterwards; `%(time)s` is the time of the job.
    done: Text
    right: str
    operation: Callable[..., Job]
    # The fields of the row that the operation has to find as the page has shown them.
    expects: tuple[str, ...]
    # Looks at the row only: an item, or a job. An old page may post a button that is not offered
    # any more: the operation then refuses.
    is_offered: Callable[[Any], bool]
    form: type[ButtonForm] = ButtonForm
    # The message if a worker has yet to do it.
    later: Text = ""

    def message(self, job: Job) -> str:
        text = self.later if self.later and job.is_open else self.done
        return str(text) % {"time": shown_moment(job.run_at)}


def _may_become(status: Status) -> Callable[[Schedulable], bool]:
    return lambda item: status in ALLOWED.get(item.status, ()) and not item.publish_problems()


def _is(*statuses: Status) -> Callable[[Schedulable], bool]:
    return lambda item: item.status in statuses


ACTIONS = (
    Action(
        name="schedule",
        label=_("Schedule"),
        done=_("Scheduled for %(time)s."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        expects=TIMES,
        is_offered=_may_become(Status.SCHEDULED),
    ),
    Action(
        name="move",
        label=_("Move"),
        done=_("Moved to %(time)s."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        expects=TIMES,
        is_offered=_is(Status.SCHEDULED),
    ),
    Action(
        name="publish",
        label=_("Publish now"),
        done=_("It is live."),
        right="publish",
        operation=operations.publish_now,
        expects=TEXT,
        is_offered=_may_become(Status.PUBLISHED),
        later=_("It goes live as soon as a worker has run its checks."),
    ),
    Action(
        name="end",
        label=_("Set the end"),
        done=_("The end is set to %(time)s."),
        right="schedule",
        operation=partial(operations.schedule, kind=Kind.UNPUBLISH),
        form=EndForm,
        expects=TIMES,
        is_offered=_is(Status.PUBLISHED),
    ),
    Action(
        name="cancel-end",
        label=_("Cancel the end"),
        done=_("The end is cancelled."),
        right="schedule",
        operation=partial(operations.unschedule, kind=Kind.UNPUBLISH),
        expects=TIMES,
        is_offered=lambda item: item.is_published and item.unpublish_at is not None,
    ),
    Action(
        name="cancel",
        label=_("Cancel the schedule"),
        done=_("The schedule is cancelled."),
        right="schedule",
        operation=operations.unschedule,
        expects=TEXT,
        is_offered=_is(Status.SCHEDULED, Status.FAILED),
    ),
    Action(
        name="unpublish",
        label=_("Take down now"),
        done=_("It is not live any more."),
        right="publish",
        operation=operations.unpublish_now,
        expects=TEXT,
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
        expects=OF_JOB,
        is_offered=lambda job: job.is_open,
    ),
    Action(
        name="rerun",
        label=_("Run again"),
        done=_("The job runs again."),
        right="rerun",
        operation=operations.rerun,
        expects=OF_JOB,
        is_offered=lambda job: job.state == State.FAILED,
    ),
)

TITLES_SHOWN = 5


def posted(
    view: Callable[..., HttpResponse], back: Callable[..., str]
) -> Callable[..., HttpResponse]:
    """
    Return a view that takes a button's POST, and redirects a GET to the page with the button.

    Someone who was signed out when they pressed it comes by GET: signing in leads them here.

    :param back: makes the URL of the page that has the button, from the row's primary key.
    """

    def view_or_back(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return redirect(back(**{name: kwargs[name] for name in ("pk",) if name in kwargs}))
        return require_POST(view)(request, **kwargs)

    return view_or_back


def carry_out(request: HttpRequest, form: ButtonForm, action: Action, **row: Any) -> bool:
    """
    Call a button's operation with the values of its form, and show its message.

    :param row: the item or the job, under the name of the operation's parameter.
    :returns: whether it is done; if not, the form says why.
    """
    if not form.is_valid():
        return False
    [shown] = row.values()
    expected = form.expected(shown, action.expects)
    try:
        job = action.operation(by=request.user, expected=expected, **row, **form.arguments())
    except operations.ChangedMeanwhile as changed:
        form.show_changed(changed.row)
        return False
    except DomainError as refusal:
        form.add_error(None, str(refusal))
        return False
    messages.success(request, action.message(job))
    return True


def report(request: HttpRequest, label: Text, done: str, refused: dict[str, list[str]]) -> None:
    """Show for how many rows an action was done, and which it was refused for, and why."""
    if done:
        messages.success(request, f"{label}: {done}")
    for reason, titles in refused.items():
        shown = ", ".join(f"“{title}”" for title in titles[:TITLES_SHOWN])
        more = len(titles) - TITLES_SHOWN
        if more > 0:
            shown += ngettext(" and %(count)d more", " and %(count)d more", more) % {"count": more}
        messages.error(request, f"{label}: {shown}: {reason}")
