"""The health of the publisher in sentences."""

from datetime import timedelta

from django.utils.translation import gettext as _

from scheduling.models.times import duration
from scheduling.queries.health import STILL_AFTER_SECONDS, Publisher


def health_lines(state: Publisher) -> tuple[bool, list[str]]:
    """Return whether the publisher is well, and a sentence for each problem, or one if it is."""
    lines = []
    beat = state.seconds_since_beat
    if state.paused:
        text = _("Nothing will be published: publishing is paused. %(why)s")
        lines.append(text % {"why": state.paused.reason})
    if not state.connections:
        text = _("Nothing will be published: no worker is connected. Start manage.py qcluster.")
        lines.append(text)
    elif beat is None:
        lines.append(_("A worker is connected, but nothing has been finished yet."))
    elif beat > STILL_AFTER_SECONDS:
        text = _("The queue has stopped moving: no worker has finished anything for %(time)s.")
        lines.append(text % {"time": _seconds(beat)})
    if state.stuck_seconds is not None:
        text = _("The oldest job that no worker has taken up has been due for %(time)s.")
        lines.append(text % {"time": _seconds(state.stuck_seconds)})
    if lines:
        return False, lines
    return True, [_("A worker is connected, and every job is taken up in time.")]


def _seconds(number: float) -> str:
    return duration(timedelta(seconds=number))
