"""Preview what would happen if every job up to a time ran now."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils.translation import gettext_noop

from scheduling.errors import Reason, Why
from scheduling.models import TRANSITIONS, Job
from scheduling.models.job import items_of
from scheduling.models.transitions import UnknownKind

BATCH = 1000

GONE = Reason("item_gone", gettext_noop("The item is gone."))


class Forecast(NamedTuple):
    """An open job, and the problems it would fail with; none when it would succeed."""

    job: Job
    problems: list[Why]


def forecast(until: datetime) -> Iterator[Forecast]:
    """
    Query the problems of each open job up to a time, the oldest first.

    :param until: aware.
    """
    jobs = Job.objects.open().filter(next_attempt_at__lte=until).order_by("next_attempt_at", "pk")
    # Page by page: a cursor of the server's would belong to a session, which behind a pooler is
    # another client's by the next page.
    rows = jobs
    while batch := list(rows[:BATCH]):
        yield from _forecast_batch(batch)
        last = batch[-1]
        rows = jobs.filter(next_attempt_at__gte=last.next_attempt_at).exclude(
            next_attempt_at=last.next_attempt_at, pk__lte=last.pk
        )


def _forecast_batch(batch: Sequence[Job]) -> Iterator[Forecast]:
    items = items_of(batch)
    for job in batch:
        item = items.get((job.content_type_id, job.object_id))
        if item is None:
            yield Forecast(job, [GONE])
        elif (transition := TRANSITIONS.get(job.kind)) is None:
            yield Forecast(job, UnknownKind().reasons())
        else:
            yield Forecast(job, transition.problems(item))
