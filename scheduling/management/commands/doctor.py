"""`manage.py doctor`."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from scheduling.management import base
from scheduling.queries.health import examine


class Command(base.ArmoCommand):
    """Example: manage.py doctor --json."""

    help = "Check the system, one line for each check. Exit code 1 when a check fails."

    def add_arguments(self, parser: CommandParser) -> None:
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        checks = []
        for check in examine():
            checks.append(check)
            if not options["json"]:
                mark = "ok  " if check.ok else "FAIL"
                self.stdout.write(f"{mark}  {check.name}: {check.text}")
        all_ok = all(check.ok for check in checks)
        if options["json"]:
            self.print_json({"ok": all_ok, "checks": [check._asdict() for check in checks]})
        if not all_ok:
            sys.exit(base.REFUSED)
