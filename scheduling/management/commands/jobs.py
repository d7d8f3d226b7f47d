"""`manage.py jobs`."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from scheduling import tracing
from scheduling.management import base
from scheduling.models import Job, JobEvent, JobQuerySet, State, clock, references
from scheduling.models.fields import name_for_programs
from scheduling.models.times import utc

MAX_LIMIT = 1_000_000


class Command(base.ArmoCommand):
    """Example: manage.py jobs --state waiting --limit 20."""

    help = "List jobs: open ones first, in the order of time, then finished ones, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", choices=State.values)
        base.add_kind(parser)
        parser.add_argument("--item", metavar="<item>", help="story:42, or content.story:42")
        parser.add_argument(
            "--overdue", action="store_true", help="only what should have run OVERDUE_AFTER s ago"
        )
        parser.add_argument(
            "--request", metavar="ID", help="only what that request has scheduled or changed"
        )
        parser.add_argument("--limit", type=int, default=50, help="default: 50")
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["limit"] <= MAX_LIMIT:
            raise base.wrong_usage(f"--limit must be 1 to {MAX_LIMIT}.")
        jobs = self.find(options).select_related("scheduled_by")
        limit = options["limit"]
        found = list(jobs.open().order_by("next_attempt_at", "pk")[:limit])
        found += jobs.finished().order_by("-pk")[: limit - len(found)]
        rows = [self.describe(job) for job in found]
        if options["json"]:
            self.print_json(rows)
        elif rows:
            columns = ("id", "state", "kind", "item", "run_at", "lateness_ms", "attempts", "title")
            for line in base.table([{name: text(row[name]) for name in columns} for row in rows]):
                self.stdout.write(line)
        else:
            self.stderr.write("No jobs.")

    def find(self, options: dict[str, Any]) -> JobQuerySet:
        asked = {name: options[name] for name in ("state", "kind") if options[name]}
        jobs = Job.objects.filter(**asked)
        if options["item"] is not None:
            jobs = jobs.of_named(options["item"])
            if not jobs.exists():
                references.find_item(options["item"])  # it has to exist, unless it has been deleted
        if options["request"] is not None:
            # An empty one has what commands do, which no request has asked for.
            if not tracing.SANE.fullmatch(options["request"]):
                raise base.wrong_usage("--request must be 1 to 128 visible ASCII characters.")
            # No index: this is asked rarely, and every event would have to write it.
            events = JobEvent.objects.filter(request_id=options["request"])
            jobs = jobs.filter(pk__in=events.values("job"))
        if options["overdue"]:
            jobs = jobs.overdue(now=clock.database_now())
        return jobs

    def describe(self, job: Job) -> dict[str, Any]:
        return {
            "id": job.pk,
            "state": job.state,
            "kind": job.kind,
            "item": job.item_label,
            "title": job.item_title,
            "run_at": job.run_at,
            "local_time": job.local_time,
            "next_attempt_at": job.next_attempt_at if job.is_open else None,
            "finished_at": job.finished_at,
            "lateness_ms": job.lateness_ms,
            "attempts": job.attempts,
            "scheduled_by": name_for_programs(job, "scheduled_by"),
            "params": job.params,
            "reason": job.why,
            "request_id": job.request_id,
            "created_at": job.created_at,
        }


def text(value: object) -> str:
    """Return a value as text for a column."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, datetime):
        return utc(value)
    return str(value)
