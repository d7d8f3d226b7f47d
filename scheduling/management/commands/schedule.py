"""`manage.py schedule`."""

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from scheduling import operations
from scheduling.management import base
from scheduling.models import Kind


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"not JSON: {error}") from error


class Command(base.ArmoCommand):
    """Example: manage.py schedule story:42 --at 2026-03-01T09:00:00+09:00 --reason "Embargo"."""

    help = "Schedule the publish, or the end, of an item at a time; or move it to that time."

    def add_arguments(self, parser: CommandParser) -> None:
        base.add_item(parser)
        parser.add_argument(
            "--at", required=True, metavar="<time>", help="2026-03-01T09:00:00+09:00, or Z for UTC"
        )
        base.add_kind(parser, default=Kind.PUBLISH, help="default: publish")
        parser.add_argument(
            "--params", type=_json, metavar="<json>", help="""what the kind needs: '{"x": "y"}'"""
        )
        parser.add_argument(
            "--zone",
            default="",
            metavar="<name>",
            help="that the time was chosen in, with its offset or in UTC: Asia/Seoul",
        )
        parser.add_argument("--reason", default="", help="kept in the job's history")

    def handle(self, *args: Any, **options: Any) -> None:
        job = operations.schedule(
            item=base.item(options["item"]),
            run_at=base.moment(options["at"]),
            by=None,
            kind=options["kind"],
            params=options["params"],
            zone=options["zone"],
            reason=options["reason"],
        )
        self.stdout.write(str(job.pk))
