"""The files of requirements: what is asked for is what is installed, and nothing else can be."""

import re
from pathlib import Path

import pytest
from django.conf import settings

NAMES = ("requirements", "requirements-dev")


def read(name: str) -> str:
    return Path(settings.BASE_DIR, name).read_text()


def pins(text: str) -> set[str]:
    """Return each `name==version` at the beginning of a line, the name as PyPI compares it."""
    found = re.findall(r"^([\w.-]+)(==\S+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name.lower()) + version for name, version in found}


@pytest.mark.parametrize("name", NAMES)
class TestRequirements:
    def test_are_those_of_the_file_they_are_made_from(self, name: str) -> None:
        wanted, made = pins(read(f"{name}.in")), pins(read(f"{name}.txt"))

        assert len(wanted) > 10
        assert wanted <= made, f"make requirements: {wanted - made}"

    def test_have_a_hash_each(self, name: str) -> None:
        blocks = re.split(r"\n(?=\S)", read(f"{name}.txt").strip())
        packages = [block for block in blocks if not block.startswith("#")]

        assert len(packages) == len(pins("\n".join(packages)))
        assert [block for block in packages if "--hash=sha256:" not in block] == []


def test_those_for_work_have_all_that_servers_have() -> None:
    assert pins(read("requirements.txt")) <= pins(read("requirements-dev.txt"))
