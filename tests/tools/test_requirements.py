"""The files of requirements: what is asked for is what is installed, and nothing else can be."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from django.conf import settings
from packaging.requirements import Requirement

NAMES = ("requirements", "requirements-run", "requirements-dev", "deploy/linters")
# Imports every module of the project with the modules missing that it is given.
IMPORT_ALL = """
import importlib, pkgutil, sys
import django
sys.modules.update(dict.fromkeys(sys.argv[1:]))
django.setup()
for name in ("armo", "content", "scheduling"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name)
"""


def read(name: str) -> str:
    return Path(settings.BASE_DIR, name).read_text()


def pins(text: str) -> set[str]:
    """Return each `name==version` at the beginning of a line."""
    found = re.findall(r"^([\w.-]+)(==\S+)", text, re.MULTILINE)
    return {normalised(name) + version for name, version in found}


def normalised(name: str) -> str:
    """Return the name of a package as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name.lower())


@pytest.mark.parametrize("name", NAMES)
class TestRequirements:
    def test_are_those_of_the_file_they_are_made_from(self, name: str) -> None:
        wanted, made = pins(read(f"{name}.in")), pins(read(f"{name}.txt"))

        assert wanted
        assert wanted <= made, f"make requirements: {wanted - made}"

    def test_have_a_hash_each(self, name: str) -> None:
        blocks = re.split(r"\n(?=\S)", read(f"{name}.txt").strip())
        packages = [block for block in blocks if not block.startswith("#")]

        assert len(packages) == len(pins("\n".join(packages)))
        assert [block for block in packages if "--hash=sha256:" not in block] == []


def test_those_for_work_have_all_that_servers_and_runs_have() -> None:
    needed = pins(read("requirements.txt")) | pins(read("requirements-run.txt"))

    assert needed <= pins(read("requirements-dev.txt"))


class TestExtras:
    def test_can_be_installed_although_many_folders_stand_beside_each_other(self) -> None:
        # setuptools refuses to guess which of them are packages.
        assert tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["packages"] == []

    def test_are_what_tests_run_with(self) -> None:
        extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
        wanted = [Requirement(it) for of_extra in extras.values() for it in of_extra]
        pinned = dict(it.split("==") for it in pins(read("requirements-dev.txt")))

        assert wanted
        assert [it for it in wanted if pinned[it.name] not in it.specifier] == []


@pytest.mark.slow
def test_those_for_servers_are_enough() -> None:
    installed = {pin.partition("==")[0] for pin in pins(read("requirements.txt"))}
    missing = [
        module
        for module, distributions in packages_distributions().items()
        if installed.isdisjoint(normalised(it) for it in distributions)
    ]

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *missing],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "armo.settings",
            "DEBUG": "off",
            "SECRET_KEY": "N3xP7q-of-no-use-elsewhere-k3Yzk3Yz",
            "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nowhere",
            "ALLOWED_HOSTS": "news.example.org",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert "psutil" in missing
    assert done.returncode == 0, done.stderr
    assert "armo.common.postgres.server" in done.stdout
