"""
The rules of time zones: whose count, and where those of the host and of PostgreSQL differ.

Python alone computes days and local times. Armo has it read the pinned package `tzdata` and nothing
else; in another project, as Python does by default, the host's files come first.
"""

import os
import sysconfig
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from django.db import connection

# Rules are compared by the offsets that they give each week, for so long.
COMPARED = timedelta(days=730)
STEP = timedelta(days=7)
# So many zones are named.
MOST_NAMED = 5

# `AT TIME ZONE 'CET'` is the abbreviation, which has no summer time.
OFFSETS = """
    SELECT zone.name, array_agg(
        extract(epoch FROM at AT TIME ZONE zone.name - at AT TIME ZONE 'UTC')::int ORDER BY at
    )
    FROM pg_timezone_names AS zone, unnest(%s::timestamptz[]) AS at
    WHERE zone.name = ANY(%s)
      AND zone.name NOT IN (SELECT abbrev FROM pg_timezone_abbrevs)
    GROUP BY zone.name
"""


class Rules(NamedTuple):
    """Whose rules count, in which version, and the zones in which others differ."""

    source: str
    version: str
    host_version: str
    host_differs: list[str]
    server_differs: list[str]

    def sentence(self) -> str:
        """Return it in English, for `doctor`."""
        others = {
            f"This host's rules ({self.host_version})": self.host_differs,
            "PostgreSQL's": self.server_differs,
        }
        differing = [
            f"{whose} differ in {_named(zones)}." for whose, zones in others.items() if zones
        ]
        decides = f"{self.source} {self.version} decides."
        return " ".join([decides, *differing, *(["They decide nothing."] if differing else [])])


def rules(now: datetime) -> Rules:
    """
    Compare the rules of all zones for the next two years.

    :param now: aware; where the comparison begins.
    """
    times = [now + n * STEP for n in range(COMPARED // STEP)]
    names = sorted(zoneinfo.available_timezones())
    ours = {name: _offsets(zoneinfo.ZoneInfo(name), times) for name in names}
    source, version = counting()
    return Rules(
        source,
        version,
        _version_of(_host_folders()),
        _differing(ours, names, lambda name: _of_host(name, times)),
        _differing(ours, names, offsets_of_server(names, times).get),
    )


def counting() -> tuple[str, str]:
    """Return whose rules count in this process, and their version, as 2026f."""
    folders = [Path(folder) for folder in zoneinfo.TZPATH if Path(folder).is_dir()]
    if folders:
        return str(folders[0]), _version_of(folders)
    try:
        return "tzdata", str(import_module("tzdata").IANA_VERSION)
    except ImportError:
        return "tzdata", "missing"


def _host_folders() -> list[Path]:
    """Return where Python would look for the host's rules by itself."""
    places = (os.environ.get("PYTHONTZPATH"), sysconfig.get_config_var("TZPATH"))
    found = [part for place in places for part in (place or "").split(os.pathsep)]
    return [Path(part) for part in found if part]


def _version_of(folders: Iterable[Path]) -> str:
    """Return the version that a folder of rules gives itself; not every system's does."""
    for folder in folders:
        for name, before in (("+VERSION", ""), ("tzdata.zi", "# version ")):
            try:
                with (folder / name).open(encoding="utf-8") as file:
                    return file.readline().removeprefix(before).strip()
            except OSError:
                continue
    return "version unknown"


def _of_host(name: str, times: Sequence[datetime]) -> list[int] | None:
    for folder in _host_folders():
        try:
            with (folder / name).open("rb") as file:
                return _offsets(zoneinfo.ZoneInfo.from_file(file), times)
        except (OSError, ValueError):
            continue
    return None


def offsets_of_server(names: Sequence[str], times: Sequence[datetime]) -> dict[str, list[int]]:
    """Query the offsets that PostgreSQL knows, in seconds, of the zones that it knows."""
    with connection.cursor() as cursor:
        cursor.execute(OFFSETS, [list(times), list(names)])
        return dict(cursor.fetchall())


def _offsets(zone: tzinfo, times: Sequence[datetime]) -> list[int]:
    """Return the offsets of a zone at some times, in seconds."""
    offsets = (at.astimezone(zone).utcoffset() for at in times)
    return [int(offset.total_seconds()) for offset in offsets if offset is not None]


def _differing(
    ours: dict[str, list[int]], names: Iterable[str], theirs: Callable[[str], list[int] | None]
) -> list[str]:
    """Return the zones of which others have other offsets; one that they lack is none of these."""
    return [name for name in names if (theirs(name) or ours[name]) != ours[name]]


def _named(zones: Sequence[str]) -> str:
    more = len(zones) - MOST_NAMED
    return ", ".join(zones[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
