"""
Telling people that something has failed for good, by e-mail.

A mail is sent first and noted afterwards, so that a crash in between sends it twice rather than
never. No job is locked meanwhile: a mail server may take its time. What cannot be sent is tried
again with each sweep, for a day; the job itself is never touched by it.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.text import Truncator
from django_q.models import OrmQ

from scheduling import ledger, queue
from scheduling.models import Job, JobEvent, JobQuerySet, State

logger = logging.getLogger(__name__)

# After that the news is old, and whatever kept the mail from going is somebody else's alarm.
TRIED_FOR = timedelta(days=1)
# More failures than this for the same people go into one mail: a flood is read by nobody.
MOST_SINGLE_MAILS = 10
JOBS_A_MAIL = 100
LONGEST_SUBJECT = 150
LONGEST_REASON = 2000

# Who tells holds this advisory lock, so that two workers do not tell the same.
TELLING_LOCK = 0x41726D6D


class Failure(NamedTuple):
    """A failed job, and the line of its history that says why."""

    job: Job
    event: JobEvent | None


def untold() -> JobQuerySet:
    """Return the failed jobs whose people have still to be told."""
    since = ledger.database_now() - TRIED_FOR
    return Job.objects.filter(state=State.FAILED, told_at=None, finished_at__gt=since)


def tell_again() -> bool:
    """Put a message in for what could not be told so far; return whether there is any."""
    if OrmQ.objects.filter(key=settings.MAIL_LANE).exists() or not untold().exists():
        return False
    queue.put_telling()
    return True


def tell_failures() -> int:
    """
    E-mail whoever scheduled a job that has failed for good, and `FAILURE_EMAILS`.

    Never raises because of a mail.

    :returns: how many mails went out.
    """
    with _alone(), translation.override(settings.LANGUAGE_CODE):
        return sum(_send(to, failures) for to, failures in _mails())


@contextmanager
def _alone() -> Iterator[None]:
    if not settings.QUEUE_LISTEN:
        # Behind a proxy that pools transactions the lock would be nobody's own.
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [TELLING_LOCK])
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [TELLING_LOCK])


def _mails() -> Iterator[tuple[Sequence[str], Sequence[Failure]]]:
    """Yield who is to be told what: a mail a job, unless there are many."""
    by_people: dict[Sequence[str], list[Failure]] = defaultdict(list)
    jobs = untold().select_related("scheduled_by").order_by("finished_at", "pk")
    for job in jobs[: 10 * JOBS_A_MAIL]:
        event = job.events.filter(what=JobEvent.What.FAILED).order_by("-pk").first()
        by_people[_people(job)].append(Failure(job, event))
    for people, failures in by_people.items():
        size = 1 if len(failures) <= MOST_SINGLE_MAILS else JOBS_A_MAIL
        for start in range(0, len(failures), size):
            yield people, failures[start : start + size]


def _people(job: Job) -> Sequence[str]:
    """Return the addresses to write to, each once."""
    by = job.scheduled_by
    own = [by.email] if by is not None and by.is_active and by.email else []
    return tuple(dict.fromkeys([*own, *settings.FAILURE_EMAILS]))


def _send(to: Sequence[str], failures: Sequence[Failure]) -> bool:
    """Send one mail and note it, or why it could not be sent; return whether it went out."""
    if not to:
        _note(failures, told=[])
        return False
    context = {"failures": [_facts(failure) for failure in failures]}
    subject = render_to_string("scheduling/mail/failed_subject.txt", context)
    message = EmailMessage(
        # One line: a title with line breaks must not begin a header of its own.
        subject=Truncator(" ".join(subject.split())).chars(LONGEST_SUBJECT),
        body=render_to_string("scheduling/mail/failed.txt", context),
        to=list(to),
    )
    try:
        message.send()
    except Exception as error:  # whatever a mail backend raises
        logger.exception("The e-mail about %s could not be sent.", failures[0].job)
        _note(failures, mail_error=f"{type(error).__name__}: {error}".replace("\0", ""))
        return False
    logger.info("Told %d about %s.", len(to), ", ".join(str(job) for job, _ in failures))
    _note(failures, told=list(to))
    return True


def _facts(failure: Failure) -> dict[str, object]:
    """Return what a mail says of a failed job."""
    job, event = failure
    reason = event.reason if event else ""
    detail = (event.detail if event else None) or {}
    return {
        "job": job,
        "title": " ".join(job.item_title.split()),
        "kind": job.get_kind_display(),
        "item": job.item_label,
        "due_local": timezone.localtime(job.run_at).strftime("%Y-%m-%d %H:%M:%S %Z"),
        "due_utc": f"{job.run_at:%Y-%m-%dT%H:%M:%SZ}",
        "reason": Truncator(translation.gettext(reason) if reason else "").chars(LONGEST_REASON),
        "error": detail.get("error", ""),
        "link": settings.SITE_URL + reverse("admin:scheduling_job_change", args=[job.pk]),
    }


def _note(failures: Sequence[Failure], **facts: object) -> None:
    """Write into each job's history who was told, or why nobody could be."""
    now = ledger.database_now()
    for job, event in failures:
        if event is not None:
            # Of several tries the last counts.
            detail = {**(event.detail or {}), **facts}
            if "told" in facts:
                detail.pop("mail_error", None)
            JobEvent.objects.filter(pk=event.pk).update(detail=detail)
        if "told" in facts:
            # By a condition: it may have been run again, or pruned, meanwhile.
            Job.objects.filter(pk=job.pk, finished_at=job.finished_at).update(told_at=now)
