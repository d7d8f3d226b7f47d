"""Which rules of time zones decide, and what `doctor` says of the others."""

import shutil
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
import tzdata

from scheduling.queries import health, zone_rules

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def old_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a host whose Seoul is an hour off, and which knows no other zone."""
    (tmp_path / "Asia").mkdir()
    here = files("tzdata") / "zoneinfo" / "Asia" / "Taipei"
    shutil.copy(str(here), tmp_path / "Asia" / "Seoul")
    (tmp_path / "tzdata.zi").write_text("# version 1987a\n")
    monkeypatch.setenv("PYTHONTZPATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: None)


@pytest.mark.django_db
class TestRules:
    def test_of_the_package_decide(self) -> None:
        assert zone_rules.counting() == ("tzdata", tzdata.IANA_VERSION)

    def test_of_the_host_are_compared_with_them(self, old_host: None) -> None:
        rules = zone_rules.rules(NOW)

        assert (rules.host_version, rules.host_differs) == ("1987a", ["Asia/Seoul"])
        assert "This host's rules (1987a) differ in Asia/Seoul." in rules.sentence()
        assert rules.sentence().endswith("They decide nothing.")

    def test_of_the_server_are_compared_with_them(self) -> None:
        times = [NOW, NOW + timedelta(days=200)]

        offsets = zone_rules.offsets_of_server(["Asia/Seoul", "Europe/Berlin", "Mars/X"], times)

        assert offsets == {"Asia/Seoul": [32400, 32400], "Europe/Berlin": [3600, 7200]}

    def test_that_have_only_another_abbreviation_do_not_differ(self) -> None:
        assert not {"CET", "EET", "UTC"} & set(zone_rules.rules(NOW).server_differs)

    def test_are_a_note_of_doctor_and_no_failure(self, old_host: None) -> None:
        [check] = [it for it in health.examine() if it.name == "time zone rules"]

        assert check.ok
        assert check.facts["version"] == tzdata.IANA_VERSION
        assert f"tzdata {tzdata.IANA_VERSION} decides." in check.text
