"""`manage.py keepalives`."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from scheduling import keepalives
from scheduling.management import base
from scheduling.queries.health import vanished_hosts

CHANGED = (
    "The role {role} {what} in the database {database}. New sessions have that: have the pooler"
    " reconnect (PgBouncer: RECONNECT)."
)


class Command(base.ArmoCommand):
    """Example, behind a pooler: manage.py keepalives --set."""

    help = (
        "Say after how long PostgreSQL ends the sessions of a host that has vanished. Direct "
        "connections set that themselves; behind a pooler --set stores VANISHED_AFTER for the "
        "database's role, and DATABASE_SCHEMA. Exit code 1 when it takes more than a minute."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--set", action="store_true", help="store the settings for the role")
        change.add_argument("--reset", action="store_true", help="take them from the role again")
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["set"] or options["reset"]:
            self._change(keepalives.of_role() if options["set"] else {}, as_json=options["json"])
            return
        check = vanished_hosts()
        if options["json"]:
            self.print_json({"ok": check.ok, "text": check.text, **check.facts})
        else:
            self.stdout.write(check.text)
        if not check.ok:
            sys.exit(base.REFUSED)

    def _change(self, settings: dict[str, str], *, as_json: bool) -> None:
        role, database = keepalives.set_in_role(settings)
        if as_json:
            self.print_json({"role": role, "database": database, "settings": settings})
            return
        had = ", ".join(f"{name} = {setting}" for name, setting in settings.items())
        what = f"has {had}" if settings else "has no keepalives of its own any more"
        self.stdout.write(CHANGED.format(role=role, what=what, database=database))
