"""`manage.py explain`."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import OperationalError
from django_q.models import OrmQ

from scheduling.management import base
from scheduling.models import Job, JobEvent
from scheduling.models.references import parse_item
from scheduling.queries.explain import Finding, explain
from scheduling.queries.holds import is_lock_error, locked_tables, never_waiting
from scheduling.queue.outages import first_line


class Command(base.ArmoCommand):
    """Example: manage.py explain story:42."""

    help = "Say why an item is, or is not, live: item, job, attempts, message, worker, in order."

    def add_arguments(self, parser: CommandParser) -> None:
        base.add_item(parser)
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        findings = self._explain(options["item"])
        if options["json"]:
            self.print_json([finding._asdict() for finding in findings])
            return
        for finding in findings:
            mark = " " if finding.ok else "!"
            self.stdout.write(f"{mark} {finding.subject:9} {finding.text}")

    def _explain(self, name: str) -> list[Finding]:
        try:
            with never_waiting():
                return list(explain(base.item(name)))
        except OperationalError as error:
            if not is_lock_error(error):
                raise
            model, _pk = parse_item(name)
            locked = locked_tables([model, Job, JobEvent, OrmQ])
            return [Finding("lock", hold.text, ok=False) for hold in locked] or [
                Finding("lock", first_line(error), ok=False)
            ]
