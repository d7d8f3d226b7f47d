"""Compute how long a response may be cached: never beyond the next scheduled change."""

from dataclasses import dataclass
from datetime import datetime
from math import floor
from time import monotonic
from typing import Any, Self

from django.db.models import F, QuerySet

from scheduling.models import ClockTimestamp, Job, Schedulable, Transition, mirrored, unmirrored

# An unscheduled change, such as a publish by hand, is visible after at most this time.
LONGEST_SECONDS = 60


def seconds_until_next_change(
    model: type[Schedulable], item: Schedulable | None = None
) -> float | None:
    """
    Query the time until the next scheduled change of an item of that type, or of this item.

    :returns: seconds by the database's clock, negative when something is overdue; None when
        nothing is scheduled.
    """
    return min((left.total_seconds() for left in next_changes(model, item)), default=None)


def next_changes(model: type[Schedulable], item: Schedulable | None = None) -> QuerySet[Any, Any]:
    """
    Return the query of the time left until the next change of each kind.

    Ends of items that are not live yet count too, as they are in the index: the publish comes
    first, so the minimum is the same.
    """
    changes = [_next_asked(model, item, it) for it in mirrored()]
    if kinds := [it.name for it in unmirrored()]:
        changes.append(_next_job(model, item, kinds))
    first, *others = changes
    return first.union(*others, all=True)


def _next_asked(
    model: type[Schedulable], item: Schedulable | None, transition: Transition
) -> QuerySet[Any, Any]:
    rows, name = model._base_manager.filter(transition.asking()), str(transition.time_field)
    if item is not None:
        rows = rows.filter(pk=item.pk)
    left = rows.values_list(F(name) - ClockTimestamp(), flat=True)
    return left if item is not None else left.order_by(name, "pk")[:1]


def _next_job(
    model: type[Schedulable], item: Schedulable | None, kinds: list[str]
) -> QuerySet[Any, Any]:
    """Return the query of the time left until the next job whose time no item mirrors."""
    jobs = Job.objects.open().of_type(model).filter(kind__in=kinds)
    if item is not None:
        jobs = jobs.filter(object_id=item.pk)
    left = jobs.values_list(F("run_at") - ClockTimestamp(), flat=True)
    return left.order_by("run_at", "pk")[:1]


def last_end_of_a_job() -> datetime | None:
    """Query when the last job finished: no job has changed an item since."""
    ended = Job.objects.filter(finished_at__isnull=False).order_by("-finished_at", "-pk")
    return ended.values_list("finished_at", flat=True).first()


@dataclass(frozen=True)
class Freshness:
    """
    How long rows that are read after `ask` may be cached.

    Call `ask` *before* reading the rows. A change between the two is then either in the rows, or
    due when the response is sent, which gives an age of 0. In the other order the rows could be
    older than a change that is no longer the next. Changes that are scheduled, moved or made by
    hand later are visible when the age has passed.
    """

    # Until the next change, counted from `asked_at`, a moment of `monotonic()`.
    seconds: float | None
    asked_at: float

    @classmethod
    def ask(cls, model: type[Schedulable], item: Schedulable | None = None) -> Self:
        """Query the next change of items of that type, or of this item."""
        # Read first, so that the duration of the query is subtracted too.
        asked_at = monotonic()
        return cls(seconds_until_next_change(model, item), asked_at)

    def max_age(self, longest: int = LONGEST_SECONDS) -> int:
        """Return for how many whole seconds a response that is sent now may be cached."""
        if self.seconds is None:
            return longest
        left = self.seconds - (monotonic() - self.asked_at)
        return max(0, min(floor(left), longest))
