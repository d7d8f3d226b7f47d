"""The TypeScript client as a package that others install: its licence, version and files."""

import json
from typing import Any

import pytest

import scheduling
from tests.process.worker import PROJECT

CLIENT = PROJECT / "clients" / "typescript"


@pytest.fixture
def package() -> dict[str, Any]:
    """Give what package.json says."""
    described: dict[str, Any] = json.loads((CLIENT / "package.json").read_text())
    return described


class TestThePackage:
    def test_has_the_version_of_the_site(self, package: dict[str, Any]) -> None:
        assert package["version"] == scheduling.__version__

    def test_has_the_licence_beside_it(self, package: dict[str, Any]) -> None:
        # npm packs the LICENSE of its own folder, and no link to another.
        assert package["license"] == "BSD-3-Clause"
        assert not (CLIENT / "LICENSE").is_symlink()
        assert (CLIENT / "LICENSE").read_text() == (PROJECT / "LICENSE").read_text()

    def test_names_what_it_packs_and_where_its_types_are(self, package: dict[str, Any]) -> None:
        [entry] = package["exports"].values()

        assert package["types"] == entry["types"]
        for path in entry.values():
            assert path.removeprefix("./").split("/")[0] in package["files"]
