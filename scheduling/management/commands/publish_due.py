"""`manage.py publish_due`."""

import sys
from datetime import UTC
from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.models import clock
from scheduling.models.times import utc
from scheduling.operations import pause as pausing
from scheduling.queries.dry_run import forecast
from scheduling.worker import job_runner


class Command(base.ArmoCommand):
    """Example: manage.py publish_due --dry-run --at 2026-03-01T09:00:00+09:00."""

    help = (
        "Run every due job, without a worker. Exit code 1 when something failed, or when "
        "publishing is paused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would happen, and do nothing"
        )
        parser.add_argument(
            "--at", metavar="<time>", help="with --dry-run: up to 2026-03-01T09:00:00+09:00"
        )
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        base.require_migrated()
        if options["dry_run"]:
            failing = self.preview(options)
        elif options["at"] is not None:
            raise base.wrong_usage("--at goes with --dry-run.")
        else:
            failing = self.run_jobs(options)
        if failing:
            sys.exit(base.REFUSED)

    def preview(self, options: dict[str, Any]) -> int:
        """Print what would happen; return how many jobs would fail."""
        until = (
            clock.database_now()
            if options["at"] is None
            else base.moment(options["at"]).astimezone(UTC)
        )
        rows: list[dict[str, Any]] = [
            {
                "job": seen.job.pk,
                "kind": seen.job.kind,
                "item": seen.job.item_label,
                "run_at": seen.job.run_at,
                "title": seen.job.item_title,
                "problems": [str(problem) for problem in seen.problems],
            }
            for seen in forecast(until)
        ]
        failing = sum(bool(row["problems"]) for row in rows)
        if options["json"]:
            self.print_json(rows)
            return failing
        # While paused, this is what a resume would run.
        if paused := pausing.current():
            self.stdout.write(pausing.sentence(paused))
        for row in rows:
            verb = "would fail" if row["problems"] else f"would {row['kind']}"
            why = " ".join(row["problems"])
            line = f"{utc(row['run_at'])}  {verb}  {row['item']}  {row['title']}  {why}"
            self.stdout.write(line.rstrip())
        self.stdout.write(f"{len(rows) - failing} would be done, {failing} would fail.")
        return failing

    def run_jobs(self, options: dict[str, Any]) -> int:
        outcome = job_runner.run_everything_due()
        if options["json"]:
            self.print_json(outcome._asdict())
        else:
            self.stdout.write(f"{outcome.done} done, {outcome.failed} failed.")
        return outcome.failed
