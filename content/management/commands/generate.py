"""`manage.py generate`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from content.generate import generate
from scheduling.management import base


class Command(base.ArmoCommand):
    """Example: manage.py generate --stories 1000000 --scheduled 200000."""

    help = (
        "For development: make up stories, to try lists, searches and queues at their real size. "
        "Each run adds as many."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the numbers of stories."""
        parser.add_argument("--stories", type=int, default=10_000, help="how many (10000)")
        parser.add_argument(
            "--scheduled", type=int, default=0, help="how many of them are scheduled (none)"
        )
        parser.add_argument("--force", action="store_true", help="also with DEBUG=off")

    def handle(self, *args: Any, stories: int, scheduled: int, force: bool, **options: Any) -> None:
        """Make the stories."""
        if not settings.DEBUG and not force:
            raise CommandError("It fills the site with nonsense, and needs DEBUG=on, or --force.")
        if not 0 <= scheduled <= stories:
            raise CommandError(
                "There cannot be more scheduled stories than stories.", returncode=base.WRONG_USAGE
            )
        for progress in generate(stories=stories, scheduled=scheduled):
            self.stdout.write(f"{progress.what}: {progress.done:,} of {progress.of:,}")
