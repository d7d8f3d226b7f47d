"""What an import did, or would do, counted."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext

from content.importing.files import Found
from content.importing.reasons import reason
from content.importing.results import Outcome, Result
from scheduling.errors import Reason, Why
from scheduling.models import Status

# The summary has all of these, in this order, also those that are zero.
STATUSES = (Status.PUBLISHED, Status.SCHEDULED, Status.DRAFT, Status.UNPUBLISHED, Status.FAILED)

_PLACE = re.compile(r"%\((\w+)\)[sd]")


@dataclass
class Count:
    """
    How many files had the same outcome for the same reason.

    :param reason: the first one; see `text`.
    """

    outcome: Outcome
    status: str
    reason: Why
    files: int = 0
    differing: set[str] = field(default_factory=set)  # parameters

    @property
    def code(self) -> str:
        """Return the code of the reason; empty if it has none."""
        return code_of(self.reason)

    @property
    def text(self) -> str:
        """Return the reason in the active language, with `…` for what differs between files."""
        if not isinstance(self.reason, Reason) or not self.differing:
            return str(self.reason)
        text = _PLACE.sub(
            lambda found: "…" if found[1] in self.differing else found[0], gettext(self.reason.text)
        )
        return str(Reason(self.reason.code, text, self.reason.params)).replace("….", "…")

    def add(self, reason: Why) -> None:
        """Count one more file."""
        self.files += 1
        if isinstance(reason, Reason) and isinstance(self.reason, Reason):
            first = self.reason.params
            self.differing |= {name for name in first if reason.params.get(name) != first[name]}


def code_of(reason: Why) -> str:
    """Return the code of a reason; empty of a plain text."""
    return reason.code if isinstance(reason, Reason) else ""


def count_outcomes(results: Iterable[Result]) -> dict[str, int]:
    """Count the files by outcome."""
    outcomes = Counter(result.outcome for result in results)
    return {outcome.value: outcomes[outcome] for outcome in Outcome}


def count_statuses(results: Iterable[Result]) -> dict[str, int]:
    """Count the written items by status."""
    written = (Outcome.CREATED, Outcome.UPDATED)
    statuses = Counter(result.status for result in results if result.outcome in written)
    return {status.value: statuses[status] for status in STATUSES}


def count_reasons(results: Sequence[Result]) -> list[Count]:
    """Count the files by outcome, status and reason; the most frequent ones come first."""
    counts: dict[Any, Count] = {}
    for result in results:
        for note in result.notes:
            # Other parameters are the file's own.
            kind: Any = str(note)
            if isinstance(note, Reason):
                kind = (note.code, note.text, note.params.get("problems"))
            key = (result.outcome, result.status, kind)
            count = counts.setdefault(key, Count(result.outcome, result.status, note))
            count.add(note)
    order = list(Outcome)
    return sorted(
        counts.values(), key=lambda it: (-it.files, order.index(it.outcome), it.status, it.code)
    )


def count_kinds(found: Iterable[Found]) -> dict[str, int]:
    """Count the files by suffix, the most frequent first; folders are not counted."""
    counts = Counter(file.path.suffix.lower() for file in found if not file.path.is_dir())
    return dict(counts.most_common())


def find_zones(found: Iterable[Found]) -> list[tuple[str, str]]:
    """Return the time zones in which times without an offset were read, and where each is from."""
    read = (it.pages for it in found if it.pages and it.pages.has_local_times)
    return sorted({(str(pages.zone), pages.zone_source) for pages in read})


def find_problems(found: Iterable[Found]) -> list[tuple[str, Why]]:
    """Return the configurations of which something could not be read, and why."""
    sites = {str(it.pages.site.root): it.pages.site for it in found if it.pages}
    problems: list[tuple[str, Why]] = []
    for root, site in sorted(sites.items()):
        name = os.path.join(root, site.file)
        if site.problem:
            problems.append((name, site.problem))
        if site.unknown_zone:
            problems.append((name, reason("unknown_zone", zone=site.unknown_zone)))
    return problems
