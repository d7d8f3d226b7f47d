"""What Armo's commands share: exit codes, one-line errors, and how items and times are named."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from scheduling.errors import DomainError
from scheduling.models import TRANSITIONS, Schedulable, references
from scheduling.models.times import utc
from scheduling.queue.outages import first_line

REFUSED = 1
WRONG_USAGE = 2


class OneLineParser(CommandParser):
    """A parser that says what is wrong in one line; `--help` says the rest."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        if self.called_from_command_line:
            self.exit(WRONG_USAGE, f"{self.prog}: {message}\n")
        raise CommandError(message, returncode=WRONG_USAGE)


class OneLineCommand(BaseCommand):
    """A command whose refusal of a wrong command line is one line."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Build the parser, with Django's own flags."""
        kwargs.setdefault("epilog", self.__doc__)
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django makes the parser itself; only its way of refusing is changed.
        parser.__class__ = OneLineParser
        return parser


class ArmoCommand(OneLineCommand):
    """
    A command that ends with 0 when done, 1 when refused or failed, 2 on wrong usage.

    Whatever an operation refuses becomes one line on standard error.
    """

    # A refusal must be told even when some unrelated check of the project fails.
    requires_system_checks: tuple[str, ...] = ()

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; turn a refusal into its line and exit code."""
        for name, value in options.items():
            if isinstance(value, str) and not _is_text(value):
                raise CommandError(f"{name} is not text in UTF-8.", returncode=WRONG_USAGE)
        try:
            return super().execute(*args, **options)
        except (references.MalformedItem, references.UnknownModel) as refusal:
            raise CommandError(str(refusal), returncode=WRONG_USAGE) from refusal
        except DomainError as refusal:
            raise CommandError(str(refusal), returncode=REFUSED) from refusal
        except OperationalError as error:
            reason = first_line(error)
            raise CommandError(f"The database refuses: {reason}", returncode=REFUSED) from error

    def print_json(self, value: Any) -> None:
        """Print a value for programs: one JSON document, times in UTC."""
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _is_text(value: str) -> bool:
    """Whether it can be stored: bytes of the command line that are no UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: object) -> str:
    return utc(value) if isinstance(value, datetime) else str(value)


def item(name: str) -> Schedulable:
    """Return the item called so; see `references.find_item`."""
    return references.find_item(name)


def moment(text: str) -> datetime:
    """
    Return the aware time written as ISO 8601 with an offset.

    :raises CommandError: it is no such time, or has no offset; wrong usage.
    """
    try:
        at = parse_datetime(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}.", returncode=WRONG_USAGE) from error
    if at is None:
        raise CommandError(
            _("%(text)s is not a time such as 2026-03-01T09:00:00+09:00.") % {"text": text},
            returncode=WRONG_USAGE,
        )
    if at.tzinfo is None:
        raise CommandError(
            _("%(text)s has no offset; write 2026-03-01T09:00:00+09:00, or Z for UTC.")
            % {"text": text},
            returncode=WRONG_USAGE,
        )
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise CommandError(f"{text}: {error}.", returncode=WRONG_USAGE) from error


def add_item(parser: CommandParser) -> None:
    """Take an item."""
    parser.add_argument("item", metavar="<item>", help="story:42, or content.story:42")


def add_kind(parser: CommandParser, **options: Any) -> None:
    """Take a kind of job."""
    parser.add_argument("--kind", choices=list(TRANSITIONS), **options)


def add_json(parser: CommandParser) -> None:
    """Take `--json`."""
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return rows as aligned lines under their column names."""
    if not rows:
        return []
    columns = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    lines = [dict(zip(columns, columns, strict=True)), *rows]
    return [
        "  ".join(line[name].ljust(widths[name]) for name in columns).rstrip() for line in lines
    ]
