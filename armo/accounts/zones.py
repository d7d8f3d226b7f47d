"""Time zones that people may choose."""

from collections import defaultdict
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# Names of the tz database outside these are old aliases, or not places.
# Source: https://data.iana.org/time-zones/tz-link.html
CONTINENTS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


def find(name: str) -> ZoneInfo | None:
    """Return the time zone of that name; None if there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def require_known(name: str) -> None:
    """
    Check that there is such a time zone.

    :raises ValidationError:
    """
    if name not in names():
        raise ValidationError(_("There is no such time zone."), code="unknown_time_zone")


@cache
def names() -> frozenset[str]:
    """Return the names a person may choose from."""
    places = {name for name in available_timezones() if name.partition("/")[0] in CONTINENTS}
    return frozenset({"UTC", *places})


def choices(now: datetime) -> list[tuple[str, list[tuple[str, str]]]]:
    """
    Return the time zones by continent, each with its offset from UTC.

    :param now: aware; the time of the offset, which many zones change twice a year.
    """
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in sorted(names()):
        continent, _slash, _place = name.partition("/")
        offset = now.astimezone(ZoneInfo(name)).isoformat()[-6:]
        groups[continent].append((name, f"{name.replace('_', ' ')} (UTC{offset})"))
    return sorted(groups.items(), key=lambda group: (group[0] != "UTC", group[0]))
