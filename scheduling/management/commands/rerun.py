"""`manage.py rerun`."""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.models import Job
from scheduling.models.references import parse_id
from scheduling.operations.rerun_many import (
    ALREADY,
    FAILED,
    OUTCOMES,
    REFUSED,
    RERUN,
    Answer,
    failed_ids,
    rerun_one,
)


class Command(base.ArmoCommand):
    """Example: manage.py rerun --all-failed --since 2026-03-01T09:00:00+09:00 --dry-run."""

    help = (
        "Run failed jobs again: the same jobs, due at once. Safe to repeat: a job that already "
        "runs again is skipped. Exit code 1 when one was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="<job id>", help="see manage.py jobs")
        parser.add_argument("--all-failed", action="store_true", help="all that have failed")
        parser.add_argument(
            "--since",
            metavar="<time>",
            help="with --all-failed: that failed since this time, 2026-03-01T09:00:00+09:00",
        )
        base.add_kind(parser, help="with --all-failed: of this kind only")
        parser.add_argument("--reason", default="", help="kept in the job's history")
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would happen, and do nothing"
        )
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        counts: Counter[str] = Counter()
        answers = []
        reason, dry_run = options["reason"], options["dry_run"]
        for job_id in self.find(options):
            answer = rerun_one(job_id, by=None, reason=reason, dry_run=dry_run)
            counts[answer.outcome] += 1
            if options["json"]:
                answers.append(answer._asdict())
            else:
                self.stdout.write(line(answer))
        self.summarize(counts, answers, options)
        if counts[REFUSED] or counts[FAILED]:
            sys.exit(base.REFUSED)

    def summarize(
        self, counts: Counter[str], answers: list[dict[str, Any]], options: dict[str, Any]
    ) -> None:
        if options["json"]:
            summary = {outcome: counts[outcome] for outcome in OUTCOMES}
            self.print_json({"dry_run": options["dry_run"], "summary": summary, "jobs": answers})
            return
        verb = "would run again" if options["dry_run"] else "run again"
        self.stdout.write(
            f"{counts[RERUN]} {verb}, {counts[ALREADY]} did already,"
            f" {counts[REFUSED]} refused, {counts[FAILED]} failed."
        )

    def find(self, options: dict[str, Any]) -> Iterator[int]:
        """
        Return the ids of the selected jobs.

        :raises CommandError: the arguments contradict each other.
        """
        if bool(options["ids"]) == options["all_failed"]:
            raise base.wrong_usage("Name the jobs by their ids, or say --all-failed.")
        if options["ids"]:
            for name in ("since", "kind"):
                if options[name] is not None:
                    raise base.wrong_usage(f"--{name} goes with --all-failed.")
            return iter(dict.fromkeys(map(number, options["ids"])))
        jobs = Job.objects.all()
        if options["since"] is not None:
            jobs = jobs.filter(finished_at__gte=base.moment(options["since"]).astimezone(UTC))
        if options["kind"]:
            jobs = jobs.filter(kind=options["kind"])
        return failed_ids(jobs)


def line(answer: Answer) -> str:
    """Return an answer as a line of text."""
    named = f"{answer.job}  {answer.kind} {answer.item}" if answer.item else str(answer.job)
    mark = f"{answer.outcome}: " if answer.outcome in (REFUSED, FAILED) else ""
    return f"{named}  {mark}{' '.join(answer.text.split())}"


def number(text: str) -> int:
    """Return a job's id from an argument."""
    job_id = parse_id(text)
    if job_id is None:
        raise base.wrong_usage(f"{' '.join(text.split())[:60]} is no job id.")
    return job_id
