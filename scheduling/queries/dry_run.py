"""Preview what would happen if every job up to a time ran now."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
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
    jobs = Job.objects.open().filter(next_attempt_at__lte=until)
    rows = jobs.order_by("next_attempt_at", "pk").iterator(chunk_size=BATCH)
    while batch := list(islice(rows, BATCH)):
        yield from _forecast_batch(batch)


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
