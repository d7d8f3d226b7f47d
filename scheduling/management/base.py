"""What the commands share: exit codes, one-line errors, and arguments for items and times."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import Error, ProgrammingError
from django.utils.translation import gettext as _
from psycopg.errors import InsufficientPrivilege

from scheduling.errors import DomainError
from scheduling.models import TRANSITIONS, Schedulable, references
from scheduling.models.times import parse_moment, utc
from scheduling.queries import health
from scheduling.queue.outages import first_line, is_outage

REFUSED = 1
WRONG_USAGE = 2

# They join signs of some scripts and of emoji, and do nothing else.
JOINERS = "\u200c\u200d"


def one_line(text: str) -> str:
    r"""
    Return text as a terminal can show it in one line.

    What a terminal would act on (controls, escapes, ends of lines, marks that turn the direction)
    is shown as in Python, `\x1b`.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in JOINERS else ascii(sign)[1:-1] for sign in text
    )


class LineOutput(OutputWrapper):
    """Writes each text as one line, whatever a title or a reason has in it."""

    def write(  # type: ignore[override]  # as in its base
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        super().write(one_line(str(msg).removesuffix("\n")), style_func, ending)

    def write_json(self, text: str, ending: str | None = None) -> None:
        """Write a piece of JSON; its lines are its own."""
        signs = (it if it.isprintable() or it in f"\n{JOINERS}" else _in_json(it) for it in text)
        super().write("".join(signs), ending=ending)


def _in_json(sign: str) -> str:
    return json.dumps(sign)[1:-1]


class OneLineParser(CommandParser):
    """A parser that reports a usage error in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        if self.called_from_command_line:
            self.exit(WRONG_USAGE, f"{self.prog}: {message}\n")
        raise CommandError(message, returncode=WRONG_USAGE)


class OneLineCommand(BaseCommand):
    """A command that reports a usage error in one line, and shows its docstring in `--help`."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", self.__doc__)
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django's method has no parameter for the class.
        parser.__class__ = OneLineParser
        return parser


class ArmoCommand(OneLineCommand):
    """
    A command that exits with 0 on success, 1 on a refusal or failure, 2 on a usage error.

    The error of an operation becomes one line on standard error.
    """

    # Otherwise an unrelated failing check of the project would hide the command's own error.
    requires_system_checks: tuple[str, ...] = ()

    @property
    def stdout(self) -> LineOutput:
        """Return where it writes."""
        return self._stdout

    @stdout.setter
    def stdout(self, output: OutputWrapper) -> None:
        self._stdout = LineOutput(output._out, output.ending)  # type: ignore[arg-type]  # wrong in the stubs

    @property
    def stderr(self) -> LineOutput:
        """Return where it writes errors."""
        return self._stderr

    @stderr.setter
    def stderr(self, output: OutputWrapper) -> None:
        self._stderr = LineOutput(output._out, output.ending)  # type: ignore[arg-type]  # wrong in the stubs

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name, value in options.items():
            if isinstance(value, str) and not _is_text(value):
                raise CommandError(f"{name} is not text in UTF-8.", returncode=WRONG_USAGE)
        try:
            answer = super().execute(*args, **options)
            self.stdout.flush()
            return answer
        except (references.MalformedItem, references.UnknownModel) as refusal:
            raise CommandError(str(refusal), returncode=WRONG_USAGE) from refusal
        except DomainError as refusal:
            raise CommandError(str(refusal), returncode=REFUSED) from refusal
        except BrokenPipeError:
            # Who reads the output has read enough, as `head` does. Python flushes once more when
            # it exits, and would complain.
            if self.stdout._out is sys.stdout:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(REFUSED)
        except Error as error:
            if not (is_outage(error) or _is_denied(error)):
                if isinstance(error, ProgrammingError):
                    require_migrated()  # a table or column may be missing
                raise
            raise _refused_by_database(error) from error

    def print_json(self, value: Any) -> None:
        """Print a value as one JSON document, with times in UTC."""
        self.stdout.write_json(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def require_migrated() -> None:
    """
    Query whether the database has all migrations of this code.

    :raises CommandError: it lacks some, which the message names, or they may not be read.
    """
    try:
        check = health.migrations()
    except ProgrammingError as error:
        if _is_denied(error):
            raise _refused_by_database(error) from error
        raise
    if not check.ok:
        raise CommandError(check.text, returncode=REFUSED)


def _is_denied(error: Error) -> bool:
    """Return whether the role of DATABASE_URL lacks a right."""
    return isinstance(error.__cause__, InsufficientPrivilege)


def _refused_by_database(error: Error) -> CommandError:
    return CommandError(f"The database refuses: {first_line(error)}", returncode=REFUSED)


def _is_text(value: str) -> bool:
    """Return whether the text can be stored: surrogates, from bytes that are no UTF-8, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: object) -> str:
    return utc(value) if isinstance(value, datetime) else str(value)


def item(name: str) -> Schedulable:
    """Query the item by its name; see `references.find_item`."""
    return references.find_item(name)


def moment(text: str) -> datetime:
    """
    Return the time of an RFC 3339 text; see `parse_moment`.

    :raises CommandError: it is not such a text.
    """
    try:
        return parse_moment(text)
    except ValueError as error:
        message = {
            "no_offset": _(
                "%(text)s has no offset; write 2026-03-01T09:00:00+09:00, or Z for UTC."
            ),
            "out_of_range": _("%(text)s: that year is out of range."),
        }.get(str(error), _("%(text)s is not a time such as 2026-03-01T09:00:00+09:00."))
        typed = " ".join(text.split())[:60]
        raise wrong_usage(message % {"text": typed}) from error


def wrong_usage(message: str) -> CommandError:
    """Return the error of a command line that cannot be meant."""
    return CommandError(message, returncode=WRONG_USAGE)


def refused(message: str) -> CommandError:
    """Return the error of a command that cannot be carried out."""
    return CommandError(message, returncode=REFUSED)


def add_item(parser: CommandParser) -> None:
    """Add the argument that names an item."""
    parser.add_argument("item", metavar="<item>", help="story:42, or content.story:42")


def add_kind(parser: CommandParser, **options: Any) -> None:
    """Add `--kind`, a kind of job."""
    parser.add_argument("--kind", choices=list(TRANSITIONS), **options)


def add_json(parser: CommandParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return rows as aligned lines below their column names."""
    if not rows:
        return []
    columns = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    lines = [dict(zip(columns, columns, strict=True)), *rows]
    return ["  ".join(row[name].ljust(widths[name]) for name in columns).rstrip() for row in lines]
