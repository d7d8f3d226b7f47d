"""`manage.py import_posts`."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from tqdm import tqdm

from content.importing import IMPORTERS, Outcome, Result, find_posts, is_post
from scheduling.management import base
from scheduling.models import Status, status_label

# The summary has all of these, in this order, also those that are zero.
STATUSES = (Status.PUBLISHED, Status.SCHEDULED, Status.DRAFT, Status.UNPUBLISHED, Status.FAILED)


class Command(base.ArmoCommand):
    """Example: manage.py import_posts my-site/_posts --dry-run."""

    help = (
        "Import Markdown files with YAML or TOML front matter, as Jekyll, Hugo and Zola have: past "
        "dates are published, future dates scheduled, drafts kept. May be run again: only what "
        "changed in the files is brought over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the paths and options."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="<file or folder>")
        parser.add_argument("--type", choices=IMPORTERS, default="story", help="default: story")
        parser.add_argument(
            "--site",
            default="",
            metavar="<name>",
            help="the site that the files belong to; by default it is known by its folder",
        )
        parser.add_argument("--dry-run", action="store_true", help="Do it all, and keep nothing.")
        base.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Import the files, and print their outcomes."""
        for path in options["paths"]:
            if not os.path.exists(path):
                raise CommandError(
                    _("%(path)s: no such file or folder.") % {"path": path},
                    returncode=base.WRONG_USAGE,
                )
            if not path.is_dir() and not is_post(path):
                raise CommandError(
                    _("%(path)s: not a .md or .markdown file.") % {"path": path},
                    returncode=base.WRONG_USAGE,
                )
        found = find_posts(options["paths"])
        importer = IMPORTERS[options["type"]](site=options["site"], dry_run=options["dry_run"])
        results = []
        # disable=None: only on a terminal.
        for result in tqdm(importer.run(found), total=len(found), unit="file", disable=None):
            results.append(result)
            if result.notes and not options["json"]:
                with tqdm.external_write_mode():
                    self.stdout.write(_line(result))

        counts = _count(results)
        if options["json"]:
            files = [
                {**vars(result), "notes": [str(it) for it in result.notes]} for result in results
            ]
            self.print_json({"dry_run": options["dry_run"], "summary": counts, "files": files})
        else:
            self.stdout.write(_summary(counts))
            if options["dry_run"]:
                self.stdout.write(_("Dry run: nothing was kept."))
        if failed := counts["outcomes"][Outcome.FAILED]:
            message = ngettext(
                "%(count)d file was not imported.", "%(count)d files were not imported.", failed
            )
            raise CommandError(message % {"count": failed}, returncode=base.REFUSED)


def _line(result: Result) -> str:
    status = f", {status_label(result.status)}" if result.status else ""
    text = f"{result.file}: {result.outcome.label}{status}: {' '.join(map(str, result.notes))}"
    # A file may contain escape sequences of terminals.
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _count(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Count the files by outcome, and the written items by status."""
    outcomes = Counter(result.outcome for result in results)
    statuses = Counter(
        result.status for result in results if result.outcome in (Outcome.CREATED, Outcome.UPDATED)
    )
    return {
        "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome},
        "statuses": {status.value: statuses[status] for status in STATUSES},
    }


def _summary(counts: dict[str, dict[str, int]]) -> str:
    outcomes = ", ".join(f"{Outcome(name).label} {n}" for name, n in counts["outcomes"].items())
    statuses = ", ".join(f"{status_label(name)} {n}" for name, n in counts["statuses"].items())
    return _("Files: %(outcomes)s. Written: %(statuses)s.") % {
        "outcomes": outcomes,
        "statuses": statuses,
    }
