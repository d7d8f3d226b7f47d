"""`manage.py pause`."""

from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.operations import pause as pausing


class Command(base.ArmoCommand):
    """Example: manage.py pause --reason "Wrong front page, see the desk"."""

    help = (
        "Pause publishing: nothing scheduled goes live, or is taken down, until manage.py resume. "
        "Changes by hand still work. Exit code 1 when it is paused already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reason", required=True, help="kept in the history; monitors show it, so no secrets"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["reason"].strip():
            raise base.wrong_usage("Say why.")
        pause = pausing.pause(by=None, reason=options["reason"])
        self.stdout.write(pausing.sentence(pause))
