"""
E-mail people about failed jobs: whoever scheduled it what they can do, operators the error.

A mail is sent first and recorded afterwards, so that a crash in between sends it twice rather than
never. Mail servers can be slow, so no job is locked meanwhile. A mail that cannot be sent is tried
again with each sweep, for a day; its job stays as it is.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext
from django_q.models import OrmQ

from scheduling import conf
from scheduling.access.permissions import has_right, has_right_to, may_change, visible_to
from scheduling.models import TRANSITIONS, Job, JobEvent, Schedulable, clock
from scheduling.models.item import NotPublishable
from scheduling.models.task_names import MAIL_FAILURES
from scheduling.models.times import utc
from scheduling.models.transitions import is_by_now
from scheduling.pooling import has_session
from scheduling.queue import messages
from scheduling.queue.payload import build_payload
from scheduling.schemas import own_key

logger = logging.getLogger(__name__)

# More failures than this for the same people share mails, so that nobody is flooded.
MOST_SINGLE_MAILS = 10
JOBS_A_MAIL = 100
LONGEST_SUBJECT = 150
LONGEST_REASON = 2000
LONGEST_TRACEBACK = 2000
# After this no further mail is begun: a task of this lane may take 60 s.
SENDING_SECONDS = 30.0

# The advisory lock of whoever sends, so that two workers do not send the same mail.
MAIL_LOCK = own_key(0x41726D6D)


class Failure(NamedTuple):
    """A failed job, and the event of its failure."""

    job: Job
    event: JobEvent | None

    @property
    def detail(self) -> dict[str, Any]:
        """Return class and traceback of the error, and who was notified, as far as is known."""
        return (self.event.detail if self.event else None) or {}

    def done_with(self) -> set[str]:
        """Return the addresses that were notified, or are none, in lower case."""
        names = ("told", "malformed")
        return {it.casefold() for name in names for it in self.detail.get(name, ())}


# Who had scheduled it, or None for operators; and the addresses.
Readers = tuple[AbstractBaseUser | None, Sequence[str]]


class Mail(NamedTuple):
    """One mail about some failures."""

    # Who had scheduled them; None if it is for operators.
    editor: AbstractBaseUser | None
    to: Sequence[str]
    failures: Sequence[Failure]


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
        for mail in _mails():
            if monotonic() > deadline:
                if sent:
                    # The others need not wait for the next sweep.
                    enqueue()
                break
            sent += _send_once(server, mail)
    return sent


def _send_once(server: "_Server", mail: Mail) -> bool:
    """Send one mail, unless another worker has sent it meanwhile; return whether it was sent."""
    with _mail_lock():
        asked = Job.objects.not_notified().filter(pk__in=[job.pk for job, _ in mail.failures])
        still = set(asked.values_list("pk", "finished_at"))
        left = [it for it in mail.failures if (it.job.pk, it.job.finished_at) in still]
        for failure in left:
            if failure.event is not None:
                # Perhaps another worker has notified these people.
                failure.event.refresh_from_db(fields=["detail"])
        to = {it.casefold() for it in mail.to}
        left = [it for it in left if not mail.to or not to <= it.done_with()]
        return bool(left) and _send(server, mail._replace(failures=left))


@contextmanager
def _mail_lock() -> Iterator[None]:
    if not has_session(connection):
        # The session is others' too, so the lock belongs to the transaction. It stays open while
        # the mail is sent, but locks no row until then.
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


def _mails() -> Sequence[Mail]:
    """Query which mails to send: one for each job and kind of reader, unless there are many."""
    by_people: dict[Readers, list[Failure]] = defaultdict(list)
    jobs = Job.objects.not_notified().select_related("scheduled_by").order_by("finished_at", "pk")
    for job in jobs[: 10 * JOBS_A_MAIL]:
        event = job.events.filter(what=JobEvent.What.FAILED).order_by("-pk").first()
        failure = Failure(job, event)
        done_with = failure.done_with()
        found = [
            (editor, left)
            for editor, people in _people(job).items()
            if (left := tuple(it for it in people if it.casefold() not in done_with))
        ]
        for key in found or [(None, ())]:  # also if nobody is to be notified, which is recorded
            by_people[key].append(failure)
    mails = []
    for (editor, to), failures in by_people.items():
        size = 1 if len(failures) <= MOST_SINGLE_MAILS else JOBS_A_MAIL
        starts = range(0, len(failures), size)
        mails += [Mail(editor, to, failures[start : start + size]) for start in starts]
    # A mail that has failed before comes last, so that it does not delay the others.
    return sorted(mails, key=lambda mail: any("mail_error" in it.detail for it in mail.failures))


def _people(job: Job) -> dict[AbstractBaseUser | None, Sequence[str]]:
    """Return the addresses of whoever scheduled it, and under None those of operators."""
    # The standard allows case to matter; in practice Kim@ and kim@ are one person.
    operators = {it.strip().casefold(): it.strip() for it in conf.FAILURE_EMAILS if it.strip()}
    people: dict[AbstractBaseUser | None, Sequence[str]] = {None: tuple(operators.values())}
    by = job.scheduled_by
    own = by.email.strip() if by is not None and by.is_active else ""
    # An operator gets theirs alone, which says more.
    return people if not own or own.casefold() in operators else {by: (own,), **people}


def _send(server: _Server, mail: Mail) -> bool:
    """Send one mail and record it, or why it could not be sent; return whether it was sent."""
    notified: list[str] = []
    malformed: list[str] = []
    errors: list[Exception] = []
    # No recipient is no error.
    groups: list[Sequence[str]] = [mail.to] if mail.to else []
    for people in groups:
        try:
            with conf.locale_of(_reader(mail, people)):
                message = _message(mail, people)
            server.send(message)
            notified += people
        except Exception as error:  # noqa: BLE001 (whatever a mail backend raises)
            if isinstance(error, ValueError) and len(people) > 1:
                # One address is malformed; the others still get the mail, each on its own.
                groups += [[person] for person in people]
                continue
            errors.append(error)
            if isinstance(error, ValueError):
                malformed += people
    facts: dict[str, list[str]] = {"told": notified, "malformed": malformed}
    about = ", ".join(job.label for job, _ in mail.failures)
    if notified:
        logger.info("E-mailed %d people about %s.", len(notified), about)
    text = " ".join(f"{type(error).__name__}: {error}" for error in errors).replace("\0", "")
    if errors:
        logger.error("The e-mail about %s could not be sent: %s", about, text)
    _record(mail.failures, facts, text)
    return bool(notified)


def _reader(mail: Mail, to: Sequence[str]) -> AbstractBaseUser | None:
    """Return whose locale it is written in; None, the site's, if it is not for one person alone."""
    by = mail.editor or mail.failures[0].job.scheduled_by
    own = getattr(by, "email", "").strip().casefold()
    return by if by is not None and [it.casefold() for it in to] == [own] else None


def _message(mail: Mail, to: Sequence[str]) -> EmailMessage:
    name = "failed" if mail.editor is None else "failed_for_editors"
    context = {"failures": [_facts(failure, mail.editor) for failure in mail.failures]}
    subject = render_to_string("scheduling/mail/failed_subject.txt", context)
    return EmailMessage(
        # One line: a title with line breaks must not add a header.
        subject=Truncator(" ".join(subject.split())).chars(LONGEST_SUBJECT),
        body=render_to_string(f"scheduling/mail/{name}.txt", context),
        to=list(to),
    )


def _facts(failure: Failure, editor: AbstractBaseUser | None) -> dict[str, object]:
    job, event = failure
    item = job.find_item()
    facts: dict[str, object] = {
        "job": job,
        "title": " ".join(job.item_title.split()),
        "kind": job.get_kind_display(),
        "item": job.item_label,
        "due_local": timezone.localtime(job.run_at).strftime("%Y-%m-%d %H:%M:%S %Z"),
        "due_utc": utc(job.run_at, "seconds"),
        "item_link": "",
    }
    if item is not None and (editor is None or _may_open(editor, item)):
        facts["item_link"] = _link_to(item)
    if editor is None:
        detail = failure.detail
        return facts | {
            "reason": Truncator(event.why if event else "").chars(LONGEST_REASON),
            "error": detail.get("error", ""),
            # Its end says what was raised, and where.
            "traceback": str(detail.get("traceback", ""))[-LONGEST_TRACEBACK:].strip(),
            "link": _link_to(job),
        }
    # Without these rights the page of the job is closed to them, or has no button.
    reruns = (
        getattr(editor, "is_staff", False)
        and has_right(editor, "view", Job)
        and has_right_to(editor, "rerun", job)
    )
    return facts | {
        "type": "" if item is None else capfirst(str(item._meta.verbose_name)),
        "reason": Truncator(event.why_for_editors if event else "").chars(LONGEST_REASON),
        "advice": _advise(job, event, item, editor),
        "link": _link_to(job) if reruns and item is not None else "",
    }


def _may_open(editor: AbstractBaseUser, item: Schedulable) -> bool:
    """Query whether the person may open the item's page."""
    model = type(item)
    may_view = has_right(editor, "view", model) or has_right(editor, "change", model)
    rows = visible_to(editor, model._base_manager.filter(pk=item.pk))
    return bool(getattr(editor, "is_staff", False) and may_view and rows.exists())


def _advise(
    job: Job, event: JobEvent | None, item: Schedulable | None, editor: AbstractBaseUser
) -> str:
    """Return what the person can do about a failure, with their rights."""
    if item is None:
        return gettext("It has been deleted since: nothing is left to do.")
    may_schedule = has_right(editor, "schedule", type(item)) or has_right(
        editor, "publish", type(item)
    )
    transition = TRANSITIONS.get(job.kind)
    if transition is None or transition.on_failure is None:
        if may_schedule:
            return gettext(
                "It is as it was before. Do it by hand, or give it a new time, once the cause is"
                " mended:"
            )
        return gettext("It is as it was before. Ask an editor to do it by hand:")
    if item.status != transition.on_failure:
        return str(is_by_now(item))
    if event is not None and event.code == NotPublishable.code:
        if may_schedule and may_change(editor, item):
            return gettext(
                "Open it, fill in what is missing, and save. Then publish it, or schedule it anew:"
            )
        return gettext(
            "Ask an editor to fill in what is missing, and to publish it or schedule it anew:"
        )
    if may_schedule:
        return gettext("Once the cause is mended, open it, and publish it or schedule it anew:")
    return gettext("Once the cause is mended, ask an editor to publish it or to schedule it anew:")


def _link_to(row: Job | Schedulable) -> str:
    """Return the URL of a row's admin page; empty in a project without one."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    with suppress(NoReverseMatch):
        return conf.SITE_URL + reverse(name, args=[row.pk])
    return ""


def _record(failures: Sequence[Failure], facts: Mapping[str, Sequence[str]], error: str) -> None:
    """
    Write into each job's history who was notified, or why the mail could not be sent.

    :param facts: the addresses that were notified, and those that are none.
    """
    now = clock.database_now()
    for failure in failures:
        job, event = failure
        detail = dict(failure.detail)
        for name, people in facts.items():
            if people or name == "told":
                detail[name] = [*detail.get(name, ()), *people]
        if error:
            detail["mail_error"] = error
        is_over = event is None or _is_over(Failure(job, JobEvent(detail=detail)))
        if is_over and not detail.get("malformed"):
            # The error of an earlier try.
            detail.pop("mail_error", None)
        if event is not None:
            event.detail = detail
            JobEvent.objects.filter(pk=event.pk).update(detail=detail)
        if is_over:
            # Compared again: the job may have been rerun, or pruned, meanwhile.
            Job.objects.filter(pk=job.pk, finished_at=job.finished_at).update(told_at=now)


def _is_over(failure: Failure) -> bool:
    """Return whether everybody who is to be notified was, but for addresses that are none."""
    wanted = {it.casefold() for people in _people(failure.job).values() for it in people}
    return wanted <= failure.done_with()
