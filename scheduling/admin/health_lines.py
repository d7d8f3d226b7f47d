"""The health of the publisher in sentences."""

from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.models.times import duration
from scheduling.queries.health import NO_WORKER, STILL, Publisher

# Editors read of what happens to their items; of other faults what `doctor` says, translated.
FOR_EDITORS = {
    NO_WORKER: gettext_noop(
        "Nothing will be published: no worker is connected. Start manage.py qcluster."
    ),
    STILL: gettext_noop(
        "The queue has stopped moving: no worker has finished anything for %(time)s."
    ),
}


def health_lines(state: Publisher) -> tuple[bool, list[str]]:
    """Return whether the publisher is well, and a sentence for each problem, or one if it is."""
    lines = []
    if state.paused:
        text = _("Nothing will be published: publishing is paused. %(why)s")
        lines.append(text % {"why": state.paused.reason})
    for fault, seconds in state.faults():
        text = _(FOR_EDITORS.get(fault, fault))
        lines.append(text % {"time": duration(timedelta(seconds=seconds))})
    if lines:
        return False, lines
    return True, [_("A worker is connected, and every job is taken up in time.")]
