"""`manage.py explain`."""

from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.queries.explain import explain


class Command(base.ArmoCommand):
    """Example: manage.py explain story:42."""

    help = "Say why an item is, or is not, live: item, job, attempts, message, worker, in order."

    def add_arguments(self, parser: CommandParser) -> None:
        base.add_item(parser)
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(explain(base.item(options["item"])))
        if options["json"]:
            self.print_json([finding._asdict() for finding in findings])
            return
        for finding in findings:
            mark = " " if finding.ok else "!"
            self.stdout.write(f"{mark} {finding.subject:9} {finding.text}")
