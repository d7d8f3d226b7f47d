"""Other rules of time zones than those that count, for some tests."""

import shutil
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path


@contextmanager
def rules_in(folder: Path, **zones: str) -> Iterator[None]:
    """
    Have clocks follow the rules of other zones.

    :param zones: as `Europe_Berlin="Africa/Lagos"`: the zone whose rules those of Berlin are.
    """
    for name, other in zones.items():
        place = folder / name.replace("_", "/", 1)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(files("tzdata") / "zoneinfo" / other), place)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=(str(folder),))
    zoneinfo.ZoneInfo.clear_cache()
    try:
        yield
    finally:
        zoneinfo.reset_tzpath(to=before)
        zoneinfo.ZoneInfo.clear_cache()
