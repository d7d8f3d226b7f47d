"""
Telling people that something has failed for good, by e-mail.

A mail is sent first and noted afterwards, so that a crash in between sends it twice rather than
never. No job is locked meanwhile: a mail server may take its time. What cannot be sent is tried
again with each sweep, for a day; the job itself is never touched by it.
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
from scheduling.models.task_names import TELL_FAILURES
from scheduling.queue import messages
from scheduling.queue.payload import build_payload

logger = logging.getLogger(__name__)

# More failures than this for the same people go into one mail: a flood is read by nobody.
MOST_SINGLE_MAILS = 10
JOBS_A_MAIL = 100
LONGEST_SUBJECT = 150
LONGEST_REASON = 2000
# Then no further mail is begun: a task of this lane may take 60 s, and one mail takes a while.
SENDING_SECONDS = 30.0

# Who tells holds this advisory lock, so that two workers do not tell the same.
MAIL_LOCK = 0x41726D6D


class Failure(NamedTuple):
    """A failed job, and the line of its history that says why."""

    job: Job
    event: JobEvent | None

    @property
    def detail(self) -> Mapping[str, Any]:
        """Return what that line carries beside its reason."""
        return (self.event.detail if self.event else None) or {}


def enqueue() -> None:
    """Enqueue the task that mails failures, in the caller's transaction."""
    lane = conf.MAIL_LANE
    payload = build_payload(TELL_FAILURES, lane=lane, name="tell failures", save=False)
    messages.insert_messages([messages.Message(lane=lane, payload=payload)])


def enqueue_unsent() -> bool:
    """Put a message in for what could not be told so far; return whether there is any."""
    if not Job.objects.not_notified().exists() or OrmQ.objects.filter(key=conf.MAIL_LANE).exists():
        return False
    enqueue()
    return True


def send_failure_mails() -> int:
    """
    E-mail whoever scheduled a job that has failed for good, and `FAILURE_EMAILS`.

    Never raises because of a mail.

    :returns: how many mails went out.
    """
    deadline = monotonic() + SENDING_SECONDS
    went = 0
    with translation.override(settings.LANGUAGE_CODE), _Server() as server:
        for to, failures in _mails():
            if monotonic() > deadline:
                if went:
                    # What is left need not wait for the next sweep.
                    enqueue()
                break
            went += _tell(server, to, failures)
    return went


def _tell(server: "_Server", to: Sequence[str], failures: Sequence[Failure]) -> bool:
    """Send one mail, unless somebody else has meanwhile; return whether it went out."""
    with _alone():
        asked = Job.objects.not_notified().filter(pk__in=[job.pk for job, _ in failures])
        still = set(asked.values_list("pk", "finished_at"))
        left = [it for it in failures if (it.job.pk, it.job.finished_at) in still]
        return bool(left) and _send(server, to, left)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep others from telling the same, for one mail: they wait only as long."""
    if not conf.QUEUE_LISTEN:
        # Behind a proxy that pools transactions a session's lock would be nobody's own. This one is
        # the transaction's, which stays open while the mail is sent, but locks no row until then.
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

    One that cannot be reached is waited for once, not once a mail.
    """

    backend: BaseEmailBackend | None = None
    unreachable: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.hang_up()

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
            # Whatever state it is in now: the next mail gets one that is fresh.
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        backend, self.backend = self.backend, None
        if backend is not None:
            with suppress(Exception):
                backend.close()


def _mails() -> Sequence[tuple[Sequence[str], Sequence[Failure]]]:
    """Query who is to be told what: a mail a job, unless there are many."""
    by_people: dict[Sequence[str], list[Failure]] = defaultdict(list)
    jobs = Job.objects.not_notified().select_related("scheduled_by").order_by("finished_at", "pk")
    for job in jobs[: 10 * JOBS_A_MAIL]:
        event = job.events.filter(what=JobEvent.What.FAILED).order_by("-pk").first()
        by_people[_people(job)].append(Failure(job, event))
    mails = []
    for people, failures in by_people.items():
        size = 1 if len(failures) <= MOST_SINGLE_MAILS else JOBS_A_MAIL
        mails += [
            (people, failures[start : start + size]) for start in range(0, len(failures), size)
        ]
    # What could not be sent before comes last: it must not take the others' time again and again.
    return sorted(mails, key=lambda mail: any("mail_error" in it.detail for it in mail[1]))


def _people(job: Job) -> Sequence[str]:
    """Return the addresses to write to, each once."""
    by = job.scheduled_by
    own = [by.email] if by is not None and by.is_active else []
    people: dict[str, str] = {}
    for address in map(str.strip, [*own, *conf.FAILURE_EMAILS]):
        # Whatever the standard says, Kim@ and kim@ are one person.
        people.setdefault(address.casefold(), address)
    people.pop("", None)
    return tuple(people.values())


def _send(server: _Server, to: Sequence[str], failures: Sequence[Failure]) -> bool:
    """Send one mail and note it, or why it could not be sent; return whether it went out."""
    told: list[str] = []
    errors: list[Exception] = []
    # Nobody to tell is no error.
    groups: list[Sequence[str]] = [to] if to else []
    for people in groups:
        try:
            with _locale_of(people, failures[0].job):
                message = _message(people, failures)
            server.send(message)
            told += people
        except Exception as error:  # noqa: BLE001 (whatever a mail backend raises)
            if isinstance(error, ValueError) and len(people) > 1:
                # One of them is no address at all; the others are to hear of it all the same.
                groups += [[person] for person in people]
            else:
                errors.append(error)
    facts: dict[str, object] = {"told": told} if told or not to else {}
    about = ", ".join(str(job) for job, _ in failures)
    if told:
        logger.info("Told %d about %s.", len(told), about)
    if errors:
        text = " ".join(f"{type(error).__name__}: {error}" for error in errors)
        facts["mail_error"] = text.replace("\0", "")
        logger.error("The e-mail about %s could not be sent: %s", about, text)
    _note(failures, facts)
    return bool(told)


def _locale_of(to: Sequence[str], job: Job) -> AbstractContextManager[str]:
    """Activate the locale of whoever scheduled it if only they get the mail, else the site's."""
    by = job.scheduled_by
    return conf.locale_of(by if by and [by.email.strip()] == list(to) else None)


def _message(to: Sequence[str], failures: Sequence[Failure]) -> EmailMessage:
    context = {"failures": [_facts(failure) for failure in failures]}
    subject = render_to_string("scheduling/mail/failed_subject.txt", context)
    return EmailMessage(
        # One line: a title with line breaks must not begin a header of its own.
        subject=Truncator(" ".join(subject.split())).chars(LONGEST_SUBJECT),
        body=render_to_string("scheduling/mail/failed.txt", context),
        to=list(to),
    )


def _facts(failure: Failure) -> dict[str, object]:
    """Return what a mail says of a failed job."""
    job, event = failure
    reason = event.reason if event else ""
    return {
        "job": job,
        "title": " ".join(job.item_title.split()),
        "kind": job.get_kind_display(),
        "item": job.item_label,
        "due_local": timezone.localtime(job.run_at).strftime("%Y-%m-%d %H:%M:%S %Z"),
        "due_utc": f"{job.run_at:%Y-%m-%dT%H:%M:%SZ}",
        "reason": Truncator(translation.gettext(reason) if reason else "").chars(LONGEST_REASON),
        "error": failure.detail.get("error", ""),
        "link": _link_to(job),
    }


def _link_to(job: Job) -> str:
    """Return the address of the job's page; nothing in a project without an admin."""
    with suppress(NoReverseMatch):
        return conf.SITE_URL + reverse("admin:scheduling_job_change", args=[job.pk])
    return ""


def _note(failures: Sequence[Failure], facts: Mapping[str, object]) -> None:
    """Write into each job's history who was told, or why somebody could not be."""
    now = clock.database_now()
    for failure in failures:
        job, event = failure
        if event is not None:
            # Of several tries the last counts.
            detail = {key: value for key, value in failure.detail.items() if key != "mail_error"}
            JobEvent.objects.filter(pk=event.pk).update(detail={**detail, **facts})
        if "told" in facts:
            # By a condition: it may have been run again, or pruned, meanwhile.
            Job.objects.filter(pk=job.pk, finished_at=job.finished_at).update(told_at=now)
