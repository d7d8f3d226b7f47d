"""Why items have failed, for the people who write them."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.contrib.contenttypes.models import ContentType

from scheduling.models import TRANSITIONS, IsOneOf, JobEvent, Schedulable

# What `JobEvent` needs; a traceback is long.
DETAIL = ("class", "reasons")


class Problem(NamedTuple):
    """Why an item has failed: a code for programs, a sentence in the active language, and when."""

    code: str
    detail: str
    at: datetime


def problems_of(items: Iterable[Schedulable]) -> dict[Schedulable, Problem]:
    """Query why those of the items that have failed did so: one query for each of their types."""
    failed: dict[type[Schedulable], dict[int, Schedulable]] = {}
    for item in items:
        if any(it.on_failure == item.status for it in TRANSITIONS.values()):
            failed.setdefault(type(item), {})[item.pk] = item
    return {
        rows[pk]: problem for model, rows in failed.items() for pk, problem in _ask(model, rows)
    }


def _ask(model: type[Schedulable], rows: dict[int, Schedulable]) -> Iterable[tuple[int, Problem]]:
    kinds = [it.name for it in TRANSITIONS.values() if it.on_failure is not None]
    events = JobEvent.objects.filter(
        IsOneOf("job__object_id", rows),
        job__content_type=ContentType.objects.get_for_model(model),
        job__kind__in=kinds,
        what=JobEvent.What.FAILED,
    )
    newest = events.order_by("job__object_id", "-pk").distinct("job__object_id")
    columns = ("job__object_id", "at", "reason", *(f"detail__{name}" for name in DETAIL))
    for pk, at, reason, *values in newest.values_list(*columns):
        detail = {name: value for name, value in zip(DETAIL, values, strict=True) if value}
        event = JobEvent(at=at, reason=reason, detail=detail)
        yield pk, Problem(event.code or "failed", event.why_for_editors, at)
