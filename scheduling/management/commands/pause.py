"""`manage.py pause`."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from scheduling.management import base
from scheduling.operations import pause as pausing


class Command(base.ArmoCommand):
    """Example: manage.py pause --reason "Wrong front page, see the desk"."""

    help = (
        "Pause publishing: nothing scheduled goes live, or is taken down, until manage.py resume. "
        "What is done by hand is done. Exit code 1 when it is paused already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the reason."""
        parser.add_argument(
            "--reason", required=True, help="kept in the history; monitors show it, so no secrets"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Pause, and say so."""
        if not options["reason"].strip():
            raise CommandError("Say why.", returncode=base.WRONG_USAGE)
        pause = pausing.pause(by=None, reason=options["reason"])
        self.stdout.write(pausing.sentence(pause))
