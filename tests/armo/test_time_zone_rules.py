"""Which rules of time zones decide: those of the pinned package, whatever a host has."""

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from django.conf import settings

# Since 2026 Vancouver keeps its summer time all year.
AT_NINE = """
from datetime import UTC, datetime
from armo.accounts import zones
print(datetime(2026, 12, 15, 9, tzinfo=zones.find("America/Vancouver")).astimezone(UTC).hour)
"""
IN_A_CHILD = """
import multiprocessing
from armo import settings
from tests.armo.test_time_zone_rules import say_the_hour
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=say_the_hour)
    child.start()
    child.join()
"""


IN_SQL = re.compile(
    r"AT TIME ZONE|date_trunc|to_char|current_date|\bTrunc[A-Z]|\bExtract[A-Z]|DateFieldListFilter"
    r"|__(date|year|month|day|week|week_day|quarter|hour)(__\w+)?\s*=|\.dates\("
)


def say_the_hour() -> None:
    exec(AT_NINE)


@pytest.fixture
def host_of_last_year(tmp_path: Path) -> Path:
    """Return a folder of rules in which Vancouver still sets its clocks back."""
    (tmp_path / "America").mkdir()
    here = files("tzdata") / "zoneinfo" / "America" / "Los_Angeles"
    shutil.copy(str(here), tmp_path / "America" / "Vancouver")
    return tmp_path


@pytest.mark.slow
class TestTheRulesOfAHost:
    @pytest.mark.parametrize(
        "command",
        [
            ["manage.py", "shell", "-v", "0", "-c", AT_NINE],
            ["-c", f"import armo.wsgi\n{AT_NINE}"],
            ["child.py"],
        ],
        ids=["a command", "the web process", "a spawned child"],
    )
    def test_decide_nothing(
        self, host_of_last_year: Path, command: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "child.py").write_text(IN_A_CHILD)
        if command == ["child.py"]:
            command = [str(tmp_path / "child.py")]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "PYTHONTZPATH": str(host_of_last_year),
                "PYTHONPATH": str(settings.BASE_DIR),
                "DJANGO_SETTINGS_MODULE": "armo.settings",
            },
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.stdout.strip(), done.returncode) == ("16", 0), done.stderr


class TestAStatement:
    def test_computes_no_days_and_no_local_times(self) -> None:
        """PostgreSQL has time zone rules of its own."""
        compares = Path("scheduling/queries/zone_rules.py")
        root = Path(settings.BASE_DIR)
        sources = [
            path.relative_to(root)
            for folder in ("armo", "content", "scheduling")
            for path in (root / folder).rglob("*")
            if path.suffix in (".py", ".sql")
        ]

        found = [path for path in sources if IN_SQL.search((root / path).read_text())]

        assert found == [compares]


class TestTheOldName:
    def test_leads_to_the_time_zones(self) -> None:
        from armo.accounts import zones
        from armo.people import zones as old

        assert old is zones
