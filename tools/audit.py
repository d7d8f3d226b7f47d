"""
Look for weaknesses: `make audit`. In this code by bandit, in what it needs by pip-audit.

pip-audit asks PyPI. Where it cannot reach it, it counts all packages as skipped and ends as if
nothing were wrong; this says so instead.
"""

import json
import subprocess
import sys
from typing import Any

CODE = ("armo", "content", "scheduling", "bench", "tools", "manage.py", "gunicorn.conf.py")
# What is of medium severity and above: the rest is what ruff's rules S look for.
BANDIT = ("bandit", "--quiet", "--configfile", "pyproject.toml", "-ll", "--recursive", *CODE)
# It prints this for each other check that passes on the line of a `nosec`.
OF_NO_USE = "but no failed test"
PIP_AUDIT = ("pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "--timeout", "5")
OUT_OF_REACH = "pip-audit does not reach its source: nothing is known of the packages."


def report(answer: str, error: str) -> tuple[int, list[str]]:
    """
    Return the exit code and the lines for what pip-audit printed.

    :param answer: its standard output; no JSON if it failed.
    :param error: the last line of its standard error.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 0, [f"{OUT_OF_REACH} {error}".strip()]
    weak = [
        f"{package['name']} {package['version']}: {found['id']}, mended in"
        f" {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if packages and len(skipped) == len(packages):
        return 0, [OUT_OF_REACH]
    lines = [*weak, *(f"{name}: not known to its source" for name in skipped)]
    return int(bool(weak)), lines or [f"No weakness is known of {len(packages)} packages."]


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python module."""
    return subprocess.run(  # noqa: S603 (the two commands above)
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )


def main() -> int:
    """Audit the code, and what the files of requirements name; return 1 if something is weak."""
    bandit = run(*BANDIT)
    print(bandit.stdout, *(it for it in bandit.stderr.splitlines() if OF_NO_USE not in it), sep="")
    # It names all of requirements.txt, too.
    audit = run(*PIP_AUDIT, "--requirement", "requirements-dev.txt")
    code, lines = report(audit.stdout, (audit.stderr.strip().splitlines() or [""])[-1])
    print(*lines, sep="\n")
    return int(bool(bandit.returncode) or code)


if __name__ == "__main__":
    sys.exit(main())
