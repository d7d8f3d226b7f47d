"""Running failed jobs again, many at once: each by itself, with what became of it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db import InterfaceError, OperationalError

from scheduling import operations
from scheduling.errors import DomainError
from scheduling.models import Job, JobEvent, JobQuerySet, State
from scheduling.operations.rules import Actor

PAGE = 1000

# What may become of a job, in the order of a summary.
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
    Run one job again, in a transaction of its own, or see whether it would; say what became of it.

    A job that runs again already is left alone: this may be repeated.

    :raises django.db.OperationalError: the database could not be reached; not an answer of the job.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        refusal = operations.JobNotFound()
        return Answer(job_id, REFUSED, str(refusal), code=refusal.code)
    of_job = {"item": job.item_label, "kind": job.kind}
    try:
        if dry_run:
            operations.check_rerun(job=job)
            return Answer(job_id, RERUN, "would run again", **of_job)
        operations.rerun(job=job, by=by, reason=reason)
        return Answer(job_id, RERUN, "runs again", **of_job)
    except operations.InvalidTransition as refusal:
        if text := _since_a_rerun(job):
            return Answer(job_id, ALREADY, text, **of_job)
        return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
    except DomainError as refusal:
        return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 (a type's own checks; the other jobs go on)
        return Answer(job_id, FAILED, f"{type(error).__name__}: {error}", **of_job)


def failed_ids(jobs: JobQuerySet) -> Iterator[int]:
    """Query the failed among them page by page: what one page leaves, the next does not meet."""
    ids = jobs.filter(state=State.FAILED).order_by("pk").values_list("pk", flat=True)
    last = 0
    while page := list(ids.filter(pk__gt=last)[:PAGE]):
        yield from page
        last = page[-1]


def summary(answers: Iterable[Answer]) -> dict[str, int]:
    """Return how many became what."""
    counts = Counter(answer.outcome for answer in answers)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _since_a_rerun(job: Job) -> str:
    """Query what a rerun has made of a job, which has not failed; nothing without a rerun."""
    if not job.events.filter(what=JobEvent.What.RERUN).exists():
        return ""
    if job.is_open:
        return "runs again already"
    return "has succeeded since" if job.state == State.SUCCEEDED else ""
