"""
Open jobs whose time was chosen in a time zone that has other rules by now.

`run_at` was computed by the rules of that day: when these change, clocks there show another time at
that moment than the one that was chosen.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count
from django.utils.translation import gettext_noop

from scheduling.errors import DomainError, Reason
from scheduling.models import Job, JobQuerySet, clock
from scheduling.models.times import LocalTime, utc
from scheduling.operations.expected import Seen
from scheduling.operations.item import move
from scheduling.operations.rules import Actor

# Rows read at once, of jobs and of local times.
PAGE, TEXTS = 1000, 20_000

# What becomes of a job, in the order of the summary.
SHIFTS, MOVED, REFUSED = "shifts", "moved", "refused"
OUTCOMES = (SHIFTS, MOVED, REFUSED)


class Change(NamedTuple):
    """A local time that comes at another moment by now, and the moments at which it comes."""

    local_time: str
    zone: str
    run_at: datetime
    moments: list[datetime]
    # How many open jobs have it.
    jobs: int

    def problem(self, now: datetime) -> str:
        """Return in English why its jobs cannot be moved; empty if they can."""
        if len(self.moments) > 1:
            return "clocks there show it twice now"
        if not self.moments:
            return "clocks there skip it now, or there is no such zone any more"
        if self.run_at <= now:
            return "it is due already"
        return "" if self.moments[0] > now else "that moment has passed"


class Answer(NamedTuple):
    """What becomes of one job."""

    job: int
    kind: str
    item: str
    title: str
    local_time: str
    run_at: datetime
    # None if there is none, or more than one.
    new_run_at: datetime | None
    outcome: str
    text: str


def has_shifted(job: Job) -> bool:
    """Return whether the local time that was chosen for a job comes at another moment by now."""
    chosen = LocalTime.read(job.local_time) if job.local_time else None
    # A job that was moved by an older version of the code has the local time of before.
    return chosen is not None and chosen.at == job.run_at and chosen.has_shifted()


def find_changes() -> Iterator[Change]:
    """Query the local times of open jobs, and return those that come at another moment by now."""
    zoned = Job.objects.open().exclude(local_time="").order_by("local_time")
    texts = zoned.values_list("local_time", flat=True).distinct()
    last = ""
    while page := list(texts.filter(local_time__gt=last)[:TEXTS]):
        shifted = {text: it for text in page if (it := LocalTime.read(text)).has_shifted()}
        counted = zoned.filter(local_time__in=shifted).values_list("local_time", "run_at")
        for text, run_at, number in counted.annotate(number=Count("pk")).order_by("local_time"):
            chosen = shifted[text]
            # A job that was moved by an older version of the code has the text of before.
            if run_at == chosen.at:
                yield Change(text, chosen.zone, chosen.at, chosen.meanings(), number)
        last = page[-1]


def jobs_of(change: Change) -> JobQuerySet:
    """Return the query of its open jobs."""
    return Job.objects.open().filter(local_time=change.local_time, run_at=change.run_at)


def follow_changes(*, by: Actor, dry_run: bool = False) -> Iterator[Answer]:
    """
    Move the jobs to the moments at which clocks show their local times now, each by itself.

    A start that would come after its end, or an end before its start, is tried again when the other
    has been moved.

    :param dry_run: only say what would become of them.
    """
    todo: Iterable[tuple[Job, Change]] = _each()
    while True:
        moved, refused = 0, []
        for job, change in todo:
            answer = _follow(job, change, by=by, dry_run=dry_run)
            if answer.outcome == REFUSED:
                refused.append((job, change, answer))
            else:
                moved += 1
                yield answer
        if not (moved and refused):
            yield from (answer for _job, _change, answer in refused)
            return
        todo = [(job, change) for job, change, _answer in refused]


def _each() -> Iterator[tuple[Job, Change]]:
    """Query the jobs of all changes, page by page."""
    for change in find_changes():
        # Sorted once: a million may have one local time.
        ids = list(jobs_of(change).order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), PAGE):
            page = jobs_of(change).filter(pk__in=ids[start : start + PAGE]).order_by("pk")
            yield from ((job, change) for job in page)


def _follow(job: Job, change: Change, *, by: Actor, dry_run: bool) -> Answer:
    now = clock.database_now()
    new = change.moments[0] if len(change.moments) == 1 else None

    def answer(outcome: str, text: str) -> Answer:
        about = (job.pk, job.kind, job.item_label, job.item_title, change.local_time, change.run_at)
        return Answer(*about, new, outcome, text)

    if problem := change.problem(now):
        return answer(REFUSED, f"not moved: {problem}")
    assert new is not None
    if dry_run:
        return answer(SHIFTS, f"would move to {utc(new, 'seconds')}")
    reason = Reason(
        "zone_rules_changed",
        gettext_noop("The clocks of %(zone)s have other rules by now."),
        {"zone": change.zone},
    )
    try:
        seen = Seen.job(run_at=change.run_at, local_time=change.local_time)
        move(job=job, run_at=new, by=by, zone=change.zone, reason=reason, expected=seen)
    except DomainError as refusal:
        return answer(REFUSED, f"not moved: {refusal}")
    return answer(MOVED, f"moved to {utc(new, 'seconds')}")
