"""
E-mail people about failed jobs.

A mail is sent first and recorded afterwards, so that a crash in between sends it twice rather than
never. Mail servers can be slow, so no job is locked meanwhile. A mail that cannot be sent is tried
again with each sweep, for a day; its job stays as it is.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.text import Truncator
from django_q.models import OrmQ

from scheduling import conf
from scheduling.models import Job, JobEvent, clock
from scheduling.models.task_names import MAIL_FAILURES
from scheduling.models.times import utc
from scheduling.queue import messages
from scheduling.queue.payload import build_payload

logger = logging.getLogger(__name__)

# More failures than this for the same people share mails, so that nobody is flooded.
MOST_SINGLE_MAILS = 10
JOBS_A_MAIL = 100
LONGEST_SUBJECT = 150
LONGEST_REASON = 2000
# After this no further mail is begun: a task of this lane may take 60 s.
SENDING_SECONDS = 30.0

# The advisory lock of whoever sends, so that two workers do not send the same mail.
MAIL_LOCK = 0x41726D6D


class Failure(NamedTuple):
    """A failed job, and the event of its failure."""

    job: Job
    event: JobEvent | None

    @property
    def detail(self) -> Mapping[str, Any]:
        """Return class and traceback of the error, as far as they are known."""
        return (self.event.detail if self.event else None) or {}


def enqueue() -> None:
    """Enqueue the task that mails failures, in the caller's transaction."""
    lane = conf.MAIL_LANE
    payload = build_payload(MAIL_FAILURES, lane=lane, name="failure mails", save=False)
    messages.insert_messages([messages.Message(lane=lane, payload=payload)])


def enqueue_unsent() -> None:
    """Enqueue the task if there are failures without a mail, and it is not enqueued already."""
    is_enqueued = OrmQ.objects.filter(key=conf.MAIL_LANE).exists
    if Job.objects.not_notified().exists() and not is_enqueued():
        enqueue()


def send_failure_mails() -> int:
    """
    E-mail whoever scheduled a failed job, and `FAILURE_EMAILS`.

    A mail that cannot be sent raises nothing.

    :returns: how many mails were sent.
    """
    deadline = monotonic() + SENDING_SECONDS
    sent = 0
    with translation.override(settings.LANGUAGE_CODE), _Server() as server:
        for to, failures in _mails():
            if monotonic() > deadline:
                if sent:
                    # The others need not wait for the next sweep.
                    enqueue()
                break
            sent += _send_once(server, to, failures)
    return sent


def _send_once(server: "_Server", to: Sequence[str], failures: Sequence[Failure]) -> bool:
    """Send one mail, unless another worker has sent it meanwhile; return whether it was sent."""
    with _mail_lock():
        asked = Job.objects.not_notified().filter(pk__in=[job.pk for job, _ in failures])
        still = set(asked.values_list("pk", "finished_at"))
        left = [it for it in failures if (it.job.pk, it.job.finished_at) in still]
        return bool(left) and _send(server, to, left)


@contextmanager
def _mail_lock() -> Iterator[None]:
    if not conf.QUEUE_LISTEN:
        # Behind a pooler in transaction mode a session has no owner, so the lock belongs to the
        # transaction. It stays open while the mail is sent, but locks no row until then.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MAIL_LOCK])
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MAIL_LOCK])
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MAIL_LOCK])


class _Server:
    """
    The mail server: one connection for many mails.

    If it cannot be reached, every mail fails at once with the first error.
    """

    backend: BaseEmailBackend | None = None
    unreachable: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def send(self, message: EmailMessage) -> None:
        """Send a mail, or raise whatever a mail backend raises."""
        if self.unreachable is not None:
            raise self.unreachable
        if self.backend is None:
            try:
                backend = get_connection()
                backend.open()
            except Exception as error:
                self.unreachable = error
                raise
            self.backend = backend
        message.connection = self.backend
        try:
            message.send()
        except Exception:
            # The connection may be in any state: the next mail gets a new one.
            self.close()
            raise

    def close(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            with suppress(Exception):
                backend.close()


def _mails() -> Sequence[tuple[Sequence[str], Sequence[Failure]]]:
    """Query which mails to send: one for each job, unless there are many."""
    by_people: dict[Sequence[str], list[Failure]] = defaultdict(list)
    jobs = Job.objects.not_notified().select_related("scheduled_by").order_by("finished_at", "pk")
    for job in jobs[: 10 * JOBS_A_MAIL]:
        event = job.events.filter(what=JobEvent.What.FAILED).order_by("-pk").first()
        by_people[_people(job)].append(Failure(job, event))
    mails = []
    for people, failures in by_people.items():
        size = 1 if len(failures) <= MOST_SINGLE_MAILS else JOBS_A_MAIL
        starts = range(0, len(failures), size)
        mails += [(people, failures[start : start + size]) for start in starts]
    # A mail that has failed before comes last, so that it does not delay the others.
    return sorted(mails, key=lambda mail: any("mail_error" in it.detail for it in mail[1]))


def _people(job: Job) -> Sequence[str]:
    by = job.scheduled_by
    own = [by.email] if by is not None and by.is_active else []
    people: dict[str, str] = {}
    for address in map(str.strip, [*own, *conf.FAILURE_EMAILS]):
        # The standard allows case to matter; in practice Kim@ and kim@ are one person.
        people.setdefault(address.casefold(), address)
    people.pop("", None)
    return tuple(people.values())


def _send(server: _Server, to: Sequence[str], failures: Sequence[Failure]) -> bool:
    """Send one mail and record it, or why it could not be sent; return whether it was sent."""
    notified: list[str] = []
    errors: list[Exception] = []
    # No recipient is no error.
    groups: list[Sequence[str]] = [to] if to else []
    for people in groups:
        try:
            with _locale_of(people, failures[0].job):
                message = _message(people, failures)
            server.send(message)
            notified += people
        except Exception as error:  # noqa: BLE001 (whatever a mail backend raises)
            if isinstance(error, ValueError) and len(people) > 1:
                # One address is malformed; the others still get the mail, each on its own.
                groups += [[person] for person in people]
            else:
                errors.append(error)
    facts: dict[str, object] = {"told": notified} if notified or not to else {}
    about = ", ".join(str(job) for job, _ in failures)
    if notified:
        logger.info("E-mailed %d people about %s.", len(notified), about)
    if errors:
        text = " ".join(f"{type(error).__name__}: {error}" for error in errors)
        facts["mail_error"] = text.replace("\0", "")
        logger.error("The e-mail about %s could not be sent: %s", about, text)
    _record(failures, facts)
    return bool(notified)


def _locale_of(to: Sequence[str], job: Job) -> AbstractContextManager[str]:
    """Activate the locale of whoever scheduled it if only they get the mail, else the site's."""
    by = job.scheduled_by
    return conf.locale_of(by if by and [by.email.strip()] == list(to) else None)


def _message(to: Sequence[str], failures: Sequence[Failure]) -> EmailMessage:
    context = {"failures": [_facts(failure) for failure in failures]}
    subject = render_to_string("scheduling/mail/failed_subject.txt", context)
    return EmailMessage(
        # One line: a title with line breaks must not add a header.
        subject=Truncator(" ".join(subject.split())).chars(LONGEST_SUBJECT),
        body=render_to_string("scheduling/mail/failed.txt", context),
        to=list(to),
    )


def _facts(failure: Failure) -> dict[str, object]:
    job, event = failure
    return {
        "job": job,
        "title": " ".join(job.item_title.split()),
        "kind": job.get_kind_display(),
        "item": job.item_label,
        "due_local": timezone.localtime(job.run_at).strftime("%Y-%m-%d %H:%M:%S %Z"),
        "due_utc": utc(job.run_at, "seconds"),
        "reason": Truncator(event.why if event else "").chars(LONGEST_REASON),
        "error": failure.detail.get("error", ""),
        "link": _link_to(job),
    }


def _link_to(job: Job) -> str:
    """Return the URL of the job's admin page; empty in a project without an admin."""
    with suppress(NoReverseMatch):
        return conf.SITE_URL + reverse("admin:scheduling_job_change", args=[job.pk])
    return ""


def _record(failures: Sequence[Failure], facts: Mapping[str, object]) -> None:
    """Write into each job's history who was notified, or why the mail could not be sent."""
    now = clock.database_now()
    for failure in failures:
        job, event = failure
        if event is not None:
            # The error of an earlier try is replaced.
            detail = {key: value for key, value in failure.detail.items() if key != "mail_error"}
            JobEvent.objects.filter(pk=event.pk).update(detail={**detail, **facts})
        if "told" in facts:
            # Compared again: the job may have been rerun, or pruned, meanwhile.
            Job.objects.filter(pk=job.pk, finished_at=job.finished_at).update(told_at=now)
