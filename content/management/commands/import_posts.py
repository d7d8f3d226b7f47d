"""`manage.py import_posts`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from tqdm import tqdm

from armo.accounts import zones
from content.frontmatter import Shortcodes
from content.importing import IMPORTERS, Outcome, Result, find_posts, is_post, report
from scheduling.management import base
from scheduling.models import status_label

MAX_SITE = 200  # characters


class Command(base.ArmoCommand):
    """Example: manage.py import_posts my-site/_posts --dry-run."""

    help = (
        "Import the posts of a Jekyll, Hugo, Zola or Astro site, as its own tool reads them: past "
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
        parser.add_argument(
            "--zone",
            metavar="<time zone>",
            help="of times without an offset; default: that of the site's configuration, or UTC",
        )
        parser.add_argument(
            "--shortcodes",
            choices=[it.value for it in Shortcodes],
            default=Shortcodes.DRAFT.value,
            help="posts with code that only their own tool can run: kept as drafts (the default), "
            "published with the code as it is, or published without it",
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
                    _("%(path)s: not a file of Markdown or HTML.") % {"path": path},
                    returncode=base.WRONG_USAGE,
                )
        if len(options["site"]) > MAX_SITE:
            raise CommandError(
                _("The name of a site has at most %(limit)d characters.") % {"limit": MAX_SITE},
                returncode=base.WRONG_USAGE,
            )
        found = find_posts(
            options["paths"],
            zone=_find_zone(options["zone"]),
            shortcodes=Shortcodes(options["shortcodes"]),
        )
        if not found:
            raise CommandError(_("There is no post."), returncode=base.REFUSED)
        importer = IMPORTERS[options["type"]](site=options["site"], dry_run=options["dry_run"])
        # disable=None: only on a terminal.
        results = list(tqdm(importer.run(found), total=len(found), unit="file", disable=None))
        counts = {
            "outcomes": report.count_outcomes(results),
            "statuses": report.count_statuses(results),
        }
        read_as, problems = report.find_zones(found), report.find_problems(found)
        if options["json"]:
            self.print_json(
                {
                    "dry_run": options["dry_run"],
                    "kinds": report.count_kinds(found),
                    "zones": [{"zone": zone, "source": source} for zone, source in read_as],
                    "problems": [{"file": name, "text": str(why)} for name, why in problems],
                    "summary": {
                        **counts,
                        "reasons": [_count_as_json(it) for it in report.count_reasons(results)],
                    },
                    "sites": [
                        {
                            "name": site.name,
                            "title": site.title,
                            "folder": site.folder,
                            "is_new": site in importer.places.new,
                        }
                        for site in importer.places.sites
                    ],
                    "files": [_result_as_json(result) for result in results],
                }
            )
        else:
            for site in importer.places.sites:
                is_new = site in importer.places.new
                text = _("Site: %(site)s, new.") if is_new else _("Site: %(site)s.")
                name = " ".join(filter(None, (site.name or site.title, site.folder)))
                self.stdout.write(text % {"site": name})
            for zone, source in read_as:
                text = _("Times without an offset were read as %(zone)s (%(source)s).")
                self.stdout.write(text % {"zone": zone, "source": source})
            for name, problem in problems:
                self.stdout.write(f"{name}: {problem}")
            kinds = report.count_kinds(found)
            if kinds.keys() - {".md"}:
                shown = ", ".join(f"{kind} {n}" for kind, n in kinds.items())
                self.stdout.write(_("Kinds of files: %(kinds)s.") % {"kinds": shown})
            self._print_plan(results, counts, every_file=options["dry_run"])
        if failed := counts["outcomes"][Outcome.FAILED]:
            message = ngettext(
                "%(count)d file was not imported.", "%(count)d files were not imported.", failed
            )
            raise CommandError(message % {"count": failed}, returncode=base.REFUSED)

    def _print_plan(
        self, results: Sequence[Result], counts: dict[str, dict[str, int]], *, every_file: bool
    ) -> None:
        """Print the counts, and a line for each file, or for those with something to know."""
        self.stdout.write(_summary(counts))
        for count in report.count_reasons(results):
            outcome = _outcome(count.outcome, count.status)
            self.stdout.write(f"{count.files:>7,}  {outcome}: {count.text}")
        lines = [_line(result) for result in results if every_file or result.notes]
        if lines:
            self.stdout.write()
        for line in lines:
            self.stdout.write(line)
        if every_file:
            self.stdout.write(_("Dry run: nothing was kept."))


def _find_zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    zone = zones.find(name)
    if zone is None:
        raise CommandError(_("There is no such time zone."), returncode=base.WRONG_USAGE)
    return zone


def _line(result: Result) -> str:
    text = f"{result.file}: {_outcome(result.outcome, result.status)}"
    if result.publish_at:
        text += f" {timezone.localtime(result.publish_at):%Y-%m-%d %H:%M:%S %Z}"
    if result.slug:
        text += f" /{result.slug}/"
    return ": ".join(filter(None, (text, " ".join(map(str, result.notes)))))


def _outcome(outcome: Outcome, status: str) -> str:
    return ", ".join(filter(None, (str(outcome.label), status and str(status_label(status)))))


def _count_as_json(count: report.Count) -> dict[str, Any]:
    return {
        "outcome": count.outcome.value,
        "status": count.status,
        "code": count.code,
        "text": count.text,
        "files": count.files,
    }


def _result_as_json(result: Result) -> dict[str, Any]:
    return {
        **vars(result),
        "notes": [str(note) for note in result.notes],
        "codes": [report.code_of(note) for note in result.notes],
    }


def _summary(counts: dict[str, dict[str, int]]) -> str:
    outcomes = ", ".join(f"{Outcome(name).label} {n}" for name, n in counts["outcomes"].items())
    statuses = ", ".join(f"{status_label(name)} {n}" for name, n in counts["statuses"].items())
    return _("Files: %(outcomes)s. Written: %(statuses)s.") % {
        "outcomes": outcomes,
        "statuses": statuses,
    }
