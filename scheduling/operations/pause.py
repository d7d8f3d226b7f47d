"""
Pausing and resuming publishing: for the whole site, at once, with a reason.

While there is a row in `scheduling_pause` no job is begun: batches claim none, an attempt returns
its queue row, and the broker leaves the rows of jobs alone. Other tasks run as ever, attempts that
have begun are finished, and what a person does by hand is done. Whatever would begin one all the
same, such as a worker of a version before pauses, PostgreSQL refuses (docs/adr/0040).
"""

import logging
from functools import partial

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext, gettext_noop

from scheduling import conf, tracing
from scheduling.errors import DomainError
from scheduling.models import Pause, PauseEvent
from scheduling.models.times import utc
from scheduling.operations.expected import Expected, require_unchanged
from scheduling.operations.rules import Actor
from scheduling.queue.messages import CHANNEL

logger = logging.getLogger(__name__)

What = PauseEvent.What

SENTENCE = gettext_noop("Publishing is paused since %(at)s: %(reason)s")


class AlreadyPaused(DomainError):
    """Publishing is paused already."""

    code = "already_paused"


class NotPaused(DomainError):
    """Publishing is not paused."""

    code = "not_paused"


class PublishingPaused(DomainError):
    """Publishing is paused."""

    code = "publishing_paused"

    def __init__(self, pause: Pause) -> None:
        self.pause = pause
        paused = sentence(pause, gettext(SENTENCE))
        super().__init__(gettext("%(sentence)s Resume it first.") % {"sentence": paused})


@tracing.traced
@transaction.atomic
def pause(*, by: Actor, reason: str = "") -> Pause:
    """
    Begin no job until `resume`; attempts that have begun are finished.

    :raises AlreadyPaused: the pause stays as it is, with its reason.
    """
    new = Pause(by_id=by.pk if by else None, reason=reason)
    try:
        with transaction.atomic():
            # Of two who pause at the same time, the second waits here for the first.
            new.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyPaused from error
    event = PauseEvent(what=What.PAUSED, at=new.paused_at, by_id=new.by_id, reason=reason)
    event.save(force_insert=True)
    _announce("Publishing is paused by %s: %s", event, by)
    return new


@tracing.traced
@transaction.atomic
def resume(*, by: Actor, reason: str = "", expected: Expected | None = None) -> None:
    """
    Run jobs again: those that were held at once, the oldest first.

    :param expected: the pause that the person saw; None if it may be any.
    :raises NotPaused:
    :raises ChangedMeanwhile: it is another pause.
    """
    held = Pause.objects.select_for_update().first()
    if held is None:
        raise NotPaused
    require_unchanged(expected, held)
    held.delete()
    event = PauseEvent(what=What.RESUMED, by_id=by.pk if by else None, reason=reason)
    event.save(force_insert=True)
    # Each broker looks at once for the rows that it has left alone.
    lanes = conf.lanes()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify(%s, lane) FROM unnest(%s::text[]) AS lane", [CHANNEL, lanes]
        )
    _announce("Publishing is resumed by %s: %s", event, by)


def current() -> Pause | None:
    """Query the current pause; None while publishing is not paused."""
    return Pause.objects.first()


def require_running() -> None:
    """Query whether publishing is paused; raise `PublishingPaused` if it is."""
    if held := current():
        raise PublishingPaused(held)


def sentence(pause: Pause, text: str = SENTENCE) -> str:
    """Return since when publishing is paused, and why, in one line; not by whom."""
    reason = " ".join(pause.reason.split()).rstrip(".")
    filled = text % {"at": utc(pause.paused_at, "milliseconds"), "reason": reason}
    return f"{filled.rstrip(': ')}."


def _announce(line: str, event: PauseEvent, by: Actor) -> None:
    who = by.get_username() if by else "a command"
    reason = " ".join(event.reason.split()) or "no reason given"
    facts = {"what": str(event.what), "at": event.at, "by": who, "reason": event.reason}
    transaction.on_commit(partial(logger.warning, line, who, reason, extra=facts))
