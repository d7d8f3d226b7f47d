"""Explain why an item is (not) live: item, job, attempts, queue row and worker, in that order."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from scheduling import conf
from scheduling.models import TRANSITIONS, Job, JobEvent, Pause, Schedulable, Status, clock
from scheduling.models.times import distance, utc
from scheduling.operations import pause as pausing
from scheduling.operations import zone_changes
from scheduling.queries import workers
from scheduling.queries.holds import Hold, described_pause, empty_lanes, holds_of, queue_row_of

What = JobEvent.What
# Events that end an attempt.
ATTEMPTS = (What.ATTEMPT_FAILED, What.FAILED, What.SUCCEEDED)


class Finding(NamedTuple):
    """One fact; `ok` is False when it keeps the item from the requested change."""

    subject: str
    text: str
    ok: bool = True


def explain(item: Schedulable) -> Iterator[Finding]:
    """Query the item, its jobs, their history and queue rows, and the worker."""
    now = clock.database_now()
    yield Finding("item", f"{item.label} “{item}” is {item.status}.", item.status != Status.FAILED)
    yield from _times(item, now)
    for problem in item.publish_problems():
        yield Finding("item", f"It could not go live: {problem}", ok=False)
    jobs = list(Job.objects.of(item).select_related("scheduled_by").order_by("-pk")[:5])
    if not jobs:
        yield Finding("job", _without_job(item), item.status != Status.SCHEDULED)
    paused = pausing.current()
    open_jobs = [job for job in jobs if job.is_open]
    held = holds_of(open_jobs, now=now, paused=paused)
    for job in jobs:
        yield from _job(job, now, paused, held.get(job.pk, []))
    if paused:
        is_held = any(job.next_attempt_at <= now for job in open_jobs)
        yield Finding("pause", described_pause(paused), ok=not is_held)
    if open_jobs:
        yield from _workers(open_jobs)


def _times(item: Schedulable, now: datetime) -> Iterator[Finding]:
    for name in ("publish_at", "published_at", "unpublish_at"):
        at = getattr(item, name)
        if at is not None:
            yield Finding("item", f"{name} is {_utc(at)}, {distance(at, now)}.")


def _without_job(item: Schedulable) -> str:
    if item.status == Status.SCHEDULED:
        return "It is scheduled but has no job; the next sweep gives it one."
    if item.is_published:
        return "None: it was saved as published, by an import or by hand."
    return "None: nobody has scheduled it."


def _job(job: Job, now: datetime, paused: Pause | None, held: Iterable[Hold]) -> Iterator[Finding]:
    who = job.by_whom("a command or an import")
    text = f"{job.pk}: {job.kind} at {_utc(job.run_at)}, asked for by {who}, is {job.state}"
    if job.lateness_ms is not None:
        text += f", {job.lateness_ms:.1f} ms late"
    late = job.is_overdue(now=now)
    yield Finding("job", text + (", overdue." if late else "."), job.state != "failed" and not late)
    if job.local_time:
        yield _chosen(job)
    for event in job.events.select_related("by").order_by("pk"):
        yield Finding("attempts" if event.what in ATTEMPTS else "history", _event(event))
    if job.is_open:
        if job.attempts:
            yield Finding("attempts", f"{job.attempts} begun; next at {_utc(job.next_attempt_at)}.")
        is_due = job.run_at <= now
        for hold in held:
            # The others are said of all jobs together, or above.
            if hold.subject not in ("pause", "worker", "retry"):
                ok = hold.subject == "attempt" or (hold.subject == "lock" and not is_due)
                yield Finding(hold.subject, hold.text, ok)
        yield _message(job, now, paused)


def _chosen(job: Job) -> Finding:
    text = f"{job.pk}: its time was chosen as {job.local_time}"
    if job.is_open and zone_changes.has_shifted(job):
        text += ", which comes at another moment by now. See manage.py zone_changes"
        return Finding("time zone", f"{text}.", ok=False)
    return Finding("time zone", f"{text}.")


def _event(event: JobEvent) -> str:
    text = f"{_utc(event.at)} {event.what}"
    if who := event.by_whom(""):
        text += f" by {who}"
    if event.old_run_at:
        text += f" from {_utc(event.old_run_at)}"
    if event.new_run_at:
        text += f" to {_utc(event.new_run_at)}"
    if event.request_id:
        text += f" (request {event.request_id})"
    return f"{text}: {why}" if (why := event.why) else f"{text}."


def _message(job: Job, now: datetime, paused: Pause | None) -> Finding:
    message = queue_row_of(job)
    if message is None:
        text = f"Job {job.pk} has none; the next sweep, within {conf.SWEEP_EVERY} s, puts one in."
        return Finding("message", text, ok=False)
    if message.is_claimed(now=now):
        text = f"{message.id} is claimed by a worker; released at {_utc(message.lock)}."
    elif message.lock > now and message.waiting_since:
        text = (
            f"{message.id} has waited since {_utc(message.waiting_since)}, as the job or its item"
            f" was locked; a worker tries again at {_utc(message.lock)}."
        )
    elif message.lock > now:
        text = f"{message.id} wakes a worker of lane {message.lane} at {_utc(message.lock)}."
    elif paused:
        text = f"{message.id} is due since {_utc(message.lock)} and held by the pause."
        return Finding("message", text, ok=False)
    else:
        text = f"{message.id} is due since {_utc(message.lock)} and no worker has taken it yet."
        return Finding("message", text, ok=False)
    return Finding("message", text)


def _workers(jobs: Iterable[Job]) -> Iterator[Finding]:
    connected = workers.count_clusters()
    if not connected:
        yield Finding("worker", "None is connected. Start manage.py qcluster.", False)
        return
    yield Finding("worker", f"Connected, with {connected} clusters, one a lane.")
    for hold in empty_lanes(job.lane for job in jobs if job.kind in TRANSITIONS):
        yield Finding("worker", hold.text, ok=False)


def _utc(at: datetime) -> str:
    return utc(at, "milliseconds")
