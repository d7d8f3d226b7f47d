"""`manage.py doctor`."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from scheduling.management import base
from scheduling.models.times import utc
from scheduling.queries import health, publish_logs
from scheduling.queries.lost_changes import BATCH, SETTLED, Comparison, LostChange
from scheduling.queries.publish_logs import Incomplete, Logged, Unreadable

STDIN = "-"


class Command(base.ArmoCommand):
    """Examples: manage.py doctor --json; manage.py doctor --log worker.log worker.log.1.gz."""

    help = (
        "Check the system, one line for each check. With --log, name what was published or taken"
        " down by the logs and is not known to the database, as after a failover or a restore."
        " Exit code 1 when a check fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--log",
            nargs="+",
            metavar="<file>",
            help="logs of workers and web processes, text or JSON, gzipped or not; - is the input",
        )
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["log"]:
            is_ok = self._compare(options["log"], as_json=options["json"])
        else:
            is_ok = self._examine(as_json=options["json"])
        if not is_ok:
            sys.exit(base.REFUSED)

    def _examine(self, *, as_json: bool) -> bool:
        checks = []
        for check in health.examine():
            checks.append(check)
            if not as_json:
                self._print(check.name, check.text, ok=check.ok)
        all_ok = all(check.ok for check in checks)
        if as_json:
            self.print_json({"ok": all_ok, "checks": [check._asdict() for check in checks]})
        return all_ok

    def _print(self, name: str, text: str, *, ok: bool) -> None:
        self.stdout.write(f"{'ok  ' if ok else 'FAIL'}  {name}: {text}")

    def _compare(self, names: Sequence[str], *, as_json: bool) -> bool:
        """Compare logs with the ledger; return whether it knows all that they have."""
        for check in (health.database(), health.migrations()):
            if not check.ok:
                raise base.refused(f"{check.name}: {check.text}")
        comparison, unreadable, incomplete = Comparison(), 0, list[Incomplete]()
        entries = _read_all(names)
        while batch := list(islice(entries, BATCH)):
            comparison.add([it for it in batch if isinstance(it, Logged)])
            unreadable += sum(isinstance(it, Unreadable) for it in batch)
            incomplete += [it for it in batch if isinstance(it, Incomplete)]
        is_ok = not comparison.lost and not incomplete
        facts = {
            "ok": is_ok,
            "compared": comparison.known + comparison.pruned + len(comparison.lost),
            "pruned": comparison.pruned,
            "ledger_begins": comparison.begins and utc(comparison.begins),
            "unreadable": unreadable,
            "incomplete": [it.file for it in incomplete],
        }
        if as_json:
            self._print_as_json(facts, comparison)
            return is_ok
        left = 0
        for lost in comparison.examine():
            left += lost.found not in SETTLED
            self._print(lost.logged.item, _sentence(lost), ok=False)
        for it in incomplete:
            self._print(it.file, f"It ends early, or is damaged, after line {it.line}.", ok=False)
        self._print("publish log", _summary(facts, len(comparison.lost), left), ok=is_ok)
        return is_ok

    def _print_as_json(self, facts: dict[str, Any], comparison: Comparison) -> None:
        """Print one document, an entry at a time: there may be very many."""
        head = json.dumps(facts, ensure_ascii=False, indent=2).removesuffix("\n}")
        self.stdout.write_json(f'{head},\n  "lost": [', ending="")
        for number, lost in enumerate(comparison.examine()):
            logged = lost.logged
            entry = {
                "item": logged.item,
                "status": logged.status,
                "at": utc(logged.at),
                "file": logged.file,
                "line": logged.line,
                "found": lost.found,
                "advice": lost.advice,
            }
            text = json.dumps(entry, ensure_ascii=False)
            self.stdout.write_json(f"{',' if number else ''}\n    {text}", ending="")
        self.stdout.write_json("\n  ]\n}")


def _sentence(lost: LostChange) -> str:
    logged = lost.logged
    at = utc(logged.at, "milliseconds")
    where = f"{logged.file}, line {logged.line}"
    return f"{logged.status} at {at} ({where}) is not known to the database. {lost.advice}"


def _summary(facts: dict[str, Any], lost: int, left: int) -> str:
    texts = [f"{facts['compared']} changes in the log."]
    if not facts["compared"]:
        texts.append("Is it a worker's, with LOG_LEVEL at INFO?")
    elif lost:
        texts.append(f"Not known to the database: {lost}; of these to be seen to: {left}.")
    else:
        texts.append("The database knows them.")
    if facts["pruned"]:
        begins = facts["ledger_begins"]
        texts.append(f"From before {begins}, until when jobs were pruned: {facts['pruned']}.")
    if facts["unreadable"]:
        texts.append(f"Lines that cannot be read: {facts['unreadable']}.")
    return " ".join(texts)


def _read_all(names: Sequence[str]) -> Iterator[Logged | Unreadable | Incomplete]:
    """Read the files one after the other, with a progress bar on a terminal."""
    for name in names:
        if name != STDIN and not (os.access(name, os.R_OK) and not os.path.isdir(name)):
            raise base.wrong_usage(f"{' '.join(name.split())} is no file that can be read.")
    # disable=None: only on a terminal.
    with tqdm(unit=" changes", disable=None) as bar:
        for name in names:
            with nullcontext(sys.stdin.buffer) if name == STDIN else open(name, "rb") as file:
                for entry in publish_logs.read(file, name):
                    bar.update()
                    yield entry
