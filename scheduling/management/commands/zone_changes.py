"""`manage.py zone_changes`."""

import sys
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.models.times import utc
from scheduling.operations.zone_changes import OUTCOMES, REFUSED, follow_changes
from scheduling.queries.zone_rules import counting


class Command(base.ArmoCommand):
    """Example: manage.py zone_changes --move --dry-run."""

    help = (
        "List the open jobs whose time was chosen in a time zone with other rules by now, so that "
        "its clocks will show another time. With --move they are moved to the moment of the chosen "
        "one. Exit code 1 when one cannot be moved."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--move", action="store_true", help="move them; else only list them")
        parser.add_argument("--dry-run", action="store_true", help="only list them")
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"] or not options["move"]
        answers = []
        for answer in follow_changes(by=None, dry_run=dry_run):
            answers.append(answer)
            if not options["json"]:
                self.stdout.write(
                    f"{answer.job}  {answer.kind} {answer.item}  {answer.local_time},"
                    f" now at {utc(answer.run_at, 'seconds')}  {answer.text}"
                )
        counts = Counter(answer.outcome for answer in answers)
        source, version = counting()
        if options["json"]:
            summary = {outcome: counts[outcome] for outcome in OUTCOMES}
            jobs = [answer._asdict() for answer in answers]
            facts = {"dry_run": dry_run, "rules": version, "summary": summary, "jobs": jobs}
            self.print_json(facts)
        else:
            verb = "would move" if dry_run else "moved"
            moved = len(answers) - counts[REFUSED]
            self.stdout.write(f"{source} {version}: {moved} {verb}, {counts[REFUSED]} cannot move.")
        if counts[REFUSED]:
            sys.exit(base.REFUSED)
