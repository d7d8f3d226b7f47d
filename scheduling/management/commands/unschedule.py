"""`manage.py unschedule`."""

from typing import Any

from django.core.management.base import CommandParser

from scheduling import operations
from scheduling.management import base
from scheduling.models import Kind


class Command(base.ArmoCommand):
    """Example: manage.py unschedule story:42 --reason "Not confirmed"."""

    help = "Cancel what is scheduled for an item; a cancelled publish takes its end with it."

    def add_arguments(self, parser: CommandParser) -> None:
        base.add_item(parser)
        base.add_kind(parser, default=Kind.PUBLISH, help="default: publish")
        parser.add_argument("--reason", default="", help="kept in the job's history")

    def handle(self, *args: Any, **options: Any) -> None:
        job = operations.unschedule(
            item=base.item(options["item"]), by=None, kind=options["kind"], reason=options["reason"]
        )
        self.stdout.write(str(job.pk))
