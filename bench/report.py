"""Rows of the table that a run prints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure: its workload, name, value, unit and target."""

    workload: str
    what: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def cells(self) -> list[str]:
        """Return the row for people."""
        target = ""
        if self.most is not None:
            target = f"<= {plain(self.most)}"
        elif self.least is not None:
            target = f">= {plain(self.least)}"
        verdict = {None: "", True: "yes", False: "**no**"}[self.is_reached]
        figure = f"{plain(self.value)} {self.unit}".strip()
        return [self.workload, self.what, figure, target, verdict, self.note]


def plain(value: float) -> str:
    """Return a number rounded to its significant digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


HEADER = ["workload", "what", "measured", "to reach", "reached", ""]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADER, ["---", "---", "---:", "---:", "---", "---"], *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells).rstrip() + " |" for cells in lines)


def as_json(rows: Sequence[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """Return everything, for programs."""
    return {**facts, "rows": [{**asdict(row), "reached": row.is_reached} for row in rows]}
