"""What is said of the answers of pip-audit."""

import json
from typing import Any

import pytest

from tools.audit import OUT_OF_REACH, report


def answer(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


KNOWN = {"name": "django", "version": "5.2.19", "vulns": []}
SKIPPED = {"name": "attrs", "skip_reason": "Dependency not found on PyPI"}
WEAK = {
    "name": "nh3",
    "version": "0.3.8",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.3.9"]}, {"id": "PYSEC-2", "fix_versions": []}],
}


class TestReport:
    def test_says_that_nothing_is_known(self) -> None:
        assert report(answer(KNOWN, KNOWN), "") == (0, ["No weakness is known of 2 packages."])

    def test_names_what_is_weak(self) -> None:
        code, lines = report(answer(KNOWN, WEAK), "Found 2 known vulnerabilities")

        assert code == 1
        assert lines == [
            "nh3 0.3.8: PYSEC-1, mended in 0.3.9",
            "nh3 0.3.8: PYSEC-2, mended in no version",
        ]

    def test_names_what_its_source_does_not_know(self) -> None:
        assert report(answer(KNOWN, SKIPPED), "") == (0, ["attrs: not known to its source"])

    def test_does_not_take_silence_for_safety(self) -> None:
        said = "No known vulnerabilities found"

        assert report(answer(SKIPPED, SKIPPED), said) == (0, [OUT_OF_REACH])

    @pytest.mark.parametrize("printed", ["", "Traceback", "[]", "{}"])
    def test_says_that_pip_audit_has_failed(self, printed: str) -> None:
        code, [line] = report(printed, "ConnectionError: no route")

        assert (code, line) == (0, f"{OUT_OF_REACH} ConnectionError: no route")
