"""`manage.py resume`."""

from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.operations import pause as pausing


class Command(base.ArmoCommand):
    """Example: manage.py resume --reason "The front page is right again"."""

    help = (
        "Resume publishing: jobs that were held run at once, the oldest first. Exit code 1 when it "
        "is not paused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="kept in the history")

    def handle(self, *args: Any, **options: Any) -> None:
        pausing.resume(by=None, reason=options["reason"])
        self.stdout.write("Publishing is resumed.")
