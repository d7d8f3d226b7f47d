"""How long an answer may be kept: never past the next change that is scheduled."""

from dataclasses import dataclass
from datetime import datetime
from math import floor
from time import monotonic
from typing import Any, Self

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, QuerySet

from scheduling.models import ClockTimestamp, Job, Schedulable, Transition, mirrored, unmirrored

# What nobody has scheduled, an item that is published by hand, is seen after that many seconds.
LONGEST_SECONDS = 60


def seconds_until_next_change(
    model: type[Schedulable], item: Schedulable | None = None
) -> float | None:
    """
    Query how soon an item of that type, or this one, is due to go live or to be taken down.

    :returns: seconds by the database's clock, negative when something is overdue; None when
        nothing is scheduled.
    """
    return min((left.total_seconds() for left in next_changes(model, item)), default=None)


def next_changes(model: type[Schedulable], item: Schedulable | None = None) -> QuerySet[Any, Any]:
    """
    Return the query of the time left until the next change of each kind.

    An end counts from when it is scheduled, as the index has it: what is not live yet starts
    before it ends, so that the nearer of the two is the same.
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
    """Return the query of the time left of jobs whose times are on no item."""
    content_type = ContentType.objects.get_for_model(model)
    jobs = Job.objects.open().filter(content_type=content_type, kind__in=kinds)
    if item is not None:
        jobs = jobs.filter(object_id=item.pk)
    left = jobs.values_list(F("run_at") - ClockTimestamp(), flat=True)
    return left.order_by("run_at", "pk")[:1]


def last_end_of_a_job() -> datetime | None:
    """Query when a job was last over: nothing has gone live or been taken down by one since."""
    ended = Job.objects.filter(finished_at__isnull=False).order_by("-finished_at", "-pk")
    return ended.values_list("finished_at", flat=True).first()


@dataclass(frozen=True)
class Freshness:
    """
    How long the rows that are read from now on may be kept.

    Ask *before* reading them. A change between the two is then among the rows, or its moment has
    passed when the answer goes out, whose age is then 0; asked afterwards, the rows would be old
    and the next change an hour away. A change that is scheduled, moved or made by hand later is
    seen when the age is over.
    """

    # Until the next change, at that moment of `monotonic()`.
    seconds: float | None
    asked_at: float

    @classmethod
    def ask(cls, model: type[Schedulable], item: Schedulable | None = None) -> Self:
        """Query the next change of items of that type, or of this one."""
        # The time the question takes counts too: the clock is read before.
        asked_at = monotonic()
        return cls(seconds_until_next_change(model, item), asked_at)

    def max_age(self, longest: int = LONGEST_SECONDS) -> int:
        """Return for how many whole seconds an answer that goes out now may be kept."""
        if self.seconds is None:
            return longest
        left = self.seconds - (monotonic() - self.asked_at)
        return max(0, min(floor(left), longest))
