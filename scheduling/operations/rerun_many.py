"""Running many failed jobs again: each in its own transaction, with an answer for each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.utils.translation import gettext

from scheduling import operations
from scheduling.errors import DomainError
from scheduling.models import Job, JobEvent, JobQuerySet, State
from scheduling.operations.rules import Actor
from scheduling.queue.outages import is_outage

PAGE = 1000

# What may become of a job, in the order of the summary.
RERUN, ALREADY, REFUSED, FAILED = "rerun", "already", "refused", "failed"
OUTCOMES = (RERUN, ALREADY, REFUSED, FAILED)


class Answer(NamedTuple):
    """What became of one job."""

    job: int
    outcome: str
    text: str
    item: str | None = None
    kind: str | None = None
    code: str | None = None  # of a refusal


def rerun_one(job_id: int, *, by: Actor, reason: str = "", dry_run: bool = False) -> Answer:
    """
    Run one job again, or check whether that is possible; return what became of it.

    A job that was rerun before is left alone, so this may be repeated.

    :raises django.db.Error: of which `is_outage`.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        refusal = operations.JobNotFound()
        return Answer(job_id, REFUSED, str(refusal), code=refusal.code)
    of_job = {"item": job.item_label, "kind": job.kind}
    try:
        if dry_run:
            operations.check_rerun(job=job)
            return Answer(job_id, RERUN, gettext("would run again"), **of_job)
        operations.rerun(job=job, by=by, reason=reason)
        return Answer(job_id, RERUN, gettext("runs again"), **of_job)
    except operations.InvalidTransition as refusal:
        if text := _since_a_rerun(job):
            return Answer(job_id, ALREADY, text, **of_job)
        return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
    except DomainError as refusal:
        return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
    except Exception as error:
        if is_outage(error):
            raise
        # A type's own checks; the other jobs go on.
        return Answer(job_id, FAILED, f"{type(error).__name__}: {error}", **of_job)


def failed_ids(jobs: JobQuerySet) -> Iterator[int]:
    """Query the ids of the failed jobs, page by page; each comes once, whatever becomes of it."""
    ids = jobs.filter(state=State.FAILED).order_by("pk").values_list("pk", flat=True)
    last = 0
    while page := list(ids.filter(pk__gt=last)[:PAGE]):
        yield from page
        last = page[-1]


def summary(answers: Iterable[Answer]) -> dict[str, int]:
    """Count the answers by outcome."""
    counts = Counter(answer.outcome for answer in answers)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _since_a_rerun(job: Job) -> str:
    """Query what has become of a rerun of a job that has not failed; empty if there was none."""
    if not job.events.filter(what=JobEvent.What.RERUN).exists():
        return ""
    if job.is_open:
        return gettext("runs again already")
    return gettext("has succeeded since") if job.state == State.SUCCEEDED else ""
