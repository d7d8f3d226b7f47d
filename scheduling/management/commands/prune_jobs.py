"""`manage.py prune_jobs`."""

import re
from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from scheduling.management import base
from scheduling.operations import prune as pruning

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
# Shorter ages would delete jobs that somebody may be looking at.
SHORTEST = timedelta(hours=1)
LONGEST = timedelta(days=36_500)


class Command(base.ArmoCommand):
    """Example: manage.py prune_jobs --older-than 90d --dry-run."""

    help = (
        "Delete jobs that finished long ago, with their history, old tasks of django-q2, and "
        "sessions that have expired. A failed job that can still be run again is kept. Publishing "
        "goes on meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", required=True, metavar="<age>", help="such as 90d, 12h or 2w"
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        older_than = age(options["older_than"])
        found = pruning.count(older_than)
        counts = found._asdict()
        if not options["dry_run"]:
            counts = self.prune(older_than, found)
        if options["json"]:
            self.print_json({"dry_run": options["dry_run"], **counts})
            return
        rows = ", ".join(f"{number} {table}" for table, number in counts.items())
        self.stdout.write(f"{'Would be deleted' if options['dry_run'] else 'Deleted'}: {rows}.")

    def prune(self, older_than: timedelta, found: pruning.Pruned) -> dict[str, int]:
        """Delete, with a progress bar on a terminal; return how many rows of each table."""
        counts: Counter[str] = Counter()
        # disable=None: only on a terminal.
        with tqdm(total=sum(found), unit="row", disable=None) as bar:
            for batch in pruning.prune(older_than):
                counts.update(batch._asdict())
                bar.update(sum(batch))
        return dict(counts)


def age(text: str) -> timedelta:
    """
    Return the length of time of a text such as 90d, 12h or 2w.

    :raises CommandError: it is not such a text, or too short or too long.
    """
    match = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    if match is None:
        typed = " ".join(text.split())[:60]
        raise base.wrong_usage(f"{typed} is no age such as 90d, 12h or 2w.")
    older_than = timedelta(**{UNITS[match[2]]: int(match[1])})
    if not SHORTEST <= older_than <= LONGEST:
        raise base.wrong_usage(f"{text} is too short or too long: 1h to {LONGEST.days}d.")
    return older_than
