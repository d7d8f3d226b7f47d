"""One run of the benchmarks: its environment, size and figures."""

from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Row
from tests.process.server import Server


@dataclass
class Run:
    """One run. With `quick` all is small: it only shows that the benchmarks work."""

    folder: Path
    server: Server
    quick: bool = False
    rows: list[Row] = field(default_factory=list)

    def size(self, number: int, *, quick: int) -> int:
        """Return how many items, or seconds, a workload takes."""
        return quick if self.quick else number

    def add(
        self,
        workload: str,
        what: str,
        value: float,
        unit: str,
        *,
        most: float | None = None,
        least: float | None = None,
        note: str = "",
    ) -> None:
        """Note a figure, and print it at once."""
        row = Row(workload, what, value, unit, most, least, note)
        self.rows.append(row)
        print("  " + " | ".join(cell for cell in row.cells()[1:] if cell), flush=True)

    def value(self, workload: str, what: str) -> float | None:
        """Return a figure of this run, if it was measured already."""
        for row in self.rows:
            if (row.workload, row.what) == (workload, what):
                return row.value
        return None
