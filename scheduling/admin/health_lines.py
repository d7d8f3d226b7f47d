"""The health of the publisher in sentences."""

from collections.abc import Sequence
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling import __version__
from scheduling.admin.display import shown_moment
from scheduling.models import clock
from scheduling.queries.health import NO_WORKER, STILL, STUCK, Publisher
from scheduling.queries.workers import RunningWorker

# Editors read of what happens to their items; of other faults what `doctor` says, translated. Since
# when, not for how long: a text that changes is read aloud again.
FOR_EDITORS = {
    NO_WORKER: gettext_noop(
        "Nothing will be published: no worker is connected. Start manage.py qcluster."
    ),
    STILL: gettext_noop(
        "The queue has stopped moving: no worker has finished anything since %(time)s."
    ),
    STUCK: gettext_noop("A job that was due at %(time)s has been taken up by no worker."),
}


def health_lines(state: Publisher) -> tuple[bool, list[str]]:
    """Return whether the publisher is well, and a sentence for each problem, or one if it is."""
    lines = []
    if state.paused:
        text = _("Nothing will be published: publishing is paused. %(why)s")
        lines.append(text % {"why": state.paused.reason})
    lines += fault_lines(state)
    if lines:
        return False, lines
    return True, [_("A worker is connected, and every job is taken up in time.")]


def version_lines(running: Sequence[RunningWorker]) -> list[str]:
    """Return a sentence while workers are of another version than this process, or of several."""
    versions = {worker.version for worker in running}
    if versions <= {__version__}:
        return []
    named = ", ".join(it or _("before 0.2.0") for it in sorted(versions))
    text = _("Workers of another version run: %(versions)s. These pages are of %(here)s.")
    return [text % {"versions": named, "here": __version__}]


def fault_lines(state: Publisher) -> list[str]:
    """Return a sentence for each fault of the publisher; a pause is none, nor what it holds."""
    now = state.now or clock.database_now()
    return [
        _(FOR_EDITORS.get(fault, fault)) % {"time": shown_moment(now - timedelta(seconds=seconds))}
        for fault, seconds in state.faults()
        if not (fault == STUCK and state.paused)
    ]
