"""`manage.py rerun`."""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from armo.errors import DomainError
from scheduling import operations
from scheduling.items import MAX_DIGITS
from scheduling.management import base
from scheduling.models import Job, JobEvent, State

PAGE = 1000

# What may become of a job, in the order of the summary.
RERUN, ALREADY, REFUSED, FAILED = "rerun", "already", "refused", "failed"


class Answer(NamedTuple):
    """What became of one job."""

    job: int
    outcome: str
    text: str
    item: str | None = None
    kind: str | None = None
    code: str | None = None  # of a refusal

    def line(self) -> str:
        """Return it for people."""
        named = f"{self.job}  {self.kind} {self.item}" if self.item else str(self.job)
        mark = f"{self.outcome}: " if self.outcome in (REFUSED, FAILED) else ""
        return f"{named}  {mark}{' '.join(self.text.split())}"


class Command(base.ArmoCommand):
    """Example: manage.py rerun --all-failed --since 2026-03-01T09:00:00+09:00 --dry-run."""

    help = (
        "Run failed jobs again: the same jobs, due at once. May be repeated: a job that runs again "
        "already is left alone. Exit code 1 when one was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take which jobs, and why."""
        parser.add_argument("ids", nargs="*", metavar="<job id>", help="see manage.py jobs")
        parser.add_argument("--all-failed", action="store_true", help="all that have failed")
        parser.add_argument(
            "--since",
            metavar="<time>",
            help="with --all-failed: that failed since this time, ISO 8601 with offset",
        )
        base.add_kind(parser, help="with --all-failed: of this kind only")
        parser.add_argument("--reason", default="", help="kept in the job's history")
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would happen, and do nothing"
        )
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run them again, each in a transaction of its own."""
        counts: Counter[str] = Counter()
        answers = []
        for job_id in self.find(options):
            answer = self.answer(job_id, options)
            counts[answer.outcome] += 1
            if options["json"]:
                answers.append(answer._asdict())
            else:
                self.stdout.write(answer.line())
        self.summarize(counts, answers, options)
        if counts[REFUSED] or counts[FAILED]:
            sys.exit(base.REFUSED)

    def summarize(
        self, counts: Counter[str], answers: list[dict[str, Any]], options: dict[str, Any]
    ) -> None:
        """Print how many became what."""
        if options["json"]:
            summary = {outcome: counts[outcome] for outcome in (RERUN, ALREADY, REFUSED, FAILED)}
            self.print_json(
                {"dry_run": options["dry_run"], "summary": summary, "jobs": answers},
            )
            return
        verb = "would run again" if options["dry_run"] else "run again"
        self.stdout.write(
            f"{counts[RERUN]} {verb}, {counts[ALREADY]} did already,"
            f" {counts[REFUSED]} refused, {counts[FAILED]} failed."
        )

    def find(self, options: dict[str, Any]) -> Iterator[int]:
        """
        Return the ids of the jobs that were asked for.

        :raises CommandError: it is not clear which; wrong usage.
        """
        if bool(options["ids"]) == options["all_failed"]:
            raise wrong("Name the jobs by their ids, or say --all-failed.")
        if options["ids"]:
            for name in ("since", "kind"):
                if options[name] is not None:
                    raise wrong(f"--{name} goes with --all-failed.")
            return iter(dict.fromkeys(map(number, options["ids"])))
        jobs = Job.objects.filter(state=State.FAILED)
        if options["since"] is not None:
            jobs = jobs.filter(finished_at__gte=base.moment(options["since"]))
        if options["kind"]:
            jobs = jobs.filter(kind=options["kind"])
        return in_pages(jobs.order_by("pk").values_list("pk", flat=True))

    def answer(self, job_id: int, options: dict[str, Any]) -> Answer:
        """Run one job again, or see whether it would; return what became of it."""
        job = Job.objects.filter(pk=job_id).first()
        if job is None:
            refusal = operations.JobNotFound()
            return Answer(job_id, REFUSED, str(refusal), code=refusal.code)
        of_job = {"item": job.item_label, "kind": job.kind}
        try:
            if options["dry_run"]:
                operations.check_rerun(job=job)
                return Answer(job_id, RERUN, "would run again", **of_job)
            operations.rerun(job=job, by=None, reason=options["reason"])
            return Answer(job_id, RERUN, "runs again", **of_job)
        except operations.InvalidTransition as refusal:
            if text := since_a_rerun(job):
                return Answer(job_id, ALREADY, text, **of_job)
            return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
        except DomainError as refusal:
            return Answer(job_id, REFUSED, str(refusal), **of_job, code=refusal.code)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 (a type's own checks; the other jobs go on)
            return Answer(job_id, FAILED, f"{type(error).__name__}: {error}", **of_job)


def since_a_rerun(job: Job) -> str:
    """Query what a rerun has made of a job, which has not failed; nothing without a rerun."""
    if not job.events.filter(what=JobEvent.What.RERUN).exists():
        return ""
    if job.is_open:
        return "runs again already"
    return "has succeeded since" if job.state == State.SUCCEEDED else ""


def number(text: str) -> int:
    """Return the id of a job."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise wrong(f"{' '.join(text.split())[:60]} is no job id.")
    return int(text)


def in_pages(ids: Any) -> Iterator[int]:
    """Query the ids page by page: what one page leaves, the next does not meet again."""
    last = 0
    while page := list(ids.filter(pk__gt=last)[:PAGE]):
        yield from page
        last = page[-1]


def wrong(message: str) -> CommandError:
    """Return the refusal of a command line."""
    return CommandError(message, returncode=base.WRONG_USAGE)
