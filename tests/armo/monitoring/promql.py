"""
Just enough of PromQL, and of promtool's tests, for the rules in docs/monitoring/.

Where promtool is installed it judges the same files. This differs in one thing that no rule here
depends on: `increase` and `rate` do not extrapolate to the ends of their range.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
# The samples of one moment in seconds, by name and labels.
Scrape = tuple[float, Mapping[tuple[str, Labels], float]]

LOOK_BACK_SECONDS = 300
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_:][\w:]*)|(?P<number>\d+(?:\.\d+)?)(?!\w)|(?P<span>\d+[smhd])"
    r'|(?P<text>"[^"]*")|(?P<sign>==|!=|>=|<=|=~|!~|[-+/*(){}\[\],=<>]))'
)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "count": len,
}


def seconds(text: str) -> int:
    """Return the length of a span such as `5m`."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def evaluate(expression: str, scrapes: Sequence[Scrape], at: float) -> Vector:
    """Return the value of an expression at a moment."""
    reader = _Reader(expression, scrapes, at)
    value = reader.conjunction()
    assert reader.word() is None, f"not understood: {reader.words[reader.place :]}"
    return value


def firing(
    rules: Sequence[Mapping[str, Any]], scrapes: Sequence[Scrape], *, at: float
) -> dict[str, list[dict[str, str]]]:
    """Return the labels of the alerts that fire at a moment, by name; judged at each scrape."""
    found: dict[str, list[dict[str, str]]] = {}
    for rule in rules:
        since: dict[Labels, float] = {}
        for moment, _ in scrapes:
            if moment <= at:
                now = evaluate(rule["expr"], scrapes, moment)
                since = {labels: since.get(labels, moment) for labels in now}
        held = seconds(rule.get("for", "0s"))
        labels = [dict(it) for it, begun in since.items() if at - begun >= held]
        if labels:
            found[rule["alert"]] = labels
    return found


class _Reader:
    """Reads an expression from left to right, and works it out on the way."""

    def __init__(self, text: str, scrapes: Sequence[Scrape], at: float) -> None:
        self.words = [found[0].strip() for found in TOKEN.finditer(text)]
        assert "".join(self.words) == re.sub(r"\s", "", text), f"not understood: {text}"
        self.place, self.scrapes, self.at = 0, scrapes, at

    def word(self) -> str | None:
        """Return the next word without taking it."""
        return self.words[self.place] if self.place < len(self.words) else None

    def take(self, *wanted: str) -> str:
        """Take the next word, which must be one of those wanted, if any are."""
        word = self.word()
        assert word is not None, "the expression ends too early"
        assert not wanted or word in wanted, f"{word} instead of {' or '.join(wanted)}"
        self.place += 1
        return word

    def conjunction(self) -> Vector:
        left = self.comparison()
        while self.word() == "and":
            self.take()
            right = self.comparison()
            left = {labels: value for labels, value in left.items() if labels in right}
        return left

    def comparison(self) -> Vector:
        left = self.quotient()
        if self.word() in COMPARISONS:
            holds, limit = COMPARISONS[self.take()], float(self.take())
            left = {labels: value for labels, value in left.items() if holds(value, limit)}
        return left

    def quotient(self) -> Vector:
        left = self.operand()
        if self.word() == "/":
            self.take()
            right = self.operand()
            both = left.keys() & right.keys()
            left = {it: left[it] / right[it] if right[it] else math.nan for it in both}
        return left

    def operand(self) -> Vector:
        name = self.take()
        if name in AGGREGATES:
            return self.aggregate(AGGREGATES[name])
        if self.word() != "(":
            selected = self.select(name)
            return {labels: values[-1] for labels, values in selected.items()}
        self.take("(")
        if name == "histogram_quantile":
            part = float(self.take())
            self.take(",")
            value = _quantile(part, self.conjunction())
        elif name == "abs":
            value = {labels: abs(it) for labels, it in self.conjunction().items()}
        else:
            assert name in ("increase", "rate"), f"{name} is not known here"
            value = self.increase(self.take(), per_second=name == "rate")
        self.take(")")
        return value

    def aggregate(self, function: Callable[[Sequence[float]], float]) -> Vector:
        kept: list[str] = []
        if self.word() == "by":
            self.take()
            self.take("(")
            while self.word() != ")":
                kept.append(self.take())
                if self.word() == ",":
                    self.take()
            self.take(")")
        self.take("(")
        groups: dict[Labels, list[float]] = defaultdict(list)
        for labels, value in self.conjunction().items():
            groups[frozenset(it for it in labels if it[0] in kept)].append(value)
        self.take(")")
        return {labels: function(values) for labels, values in groups.items()}

    def increase(self, name: str, *, per_second: bool) -> Vector:
        found = self.select(name, is_range=True)
        return {
            labels: sum(max(new - old, 0) if new >= old else new for old, new in pairwise(values))
            / (self.span if per_second else 1)
            for labels, values in found.items()
            if len(values) > 1
        }

    def select(self, name: str, *, is_range: bool = False) -> dict[Labels, list[float]]:
        """Return the values of each series that a selector names, the oldest first."""
        wanted: list[tuple[str, str, str]] = []
        if self.word() == "{":
            self.take()
            while self.word() != "}":
                wanted.append((self.take(), self.take("=", "!=", "=~", "!~"), self.take()[1:-1]))
                if self.word() == ",":
                    self.take()
            self.take("}")
        self.span = LOOK_BACK_SECONDS
        if is_range:
            self.take("[")
            self.span = seconds(self.take())
            self.take("]")
        found: dict[Labels, list[float]] = defaultdict(list)
        past = [scrape for scrape in self.scrapes if self.at - self.span <= scrape[0] <= self.at]
        # A series that the newest scrape does not have any more is stale.
        for _, samples in past if is_range else past[-1:]:
            for (series, labels), value in samples.items():
                if series == name and all(_matches(dict(labels), *it) for it in wanted):
                    found[labels].append(value)
        return found


def _matches(labels: Mapping[str, str], name: str, sign: str, text: str) -> bool:
    value = labels.get(name, "")
    same = re.fullmatch(text, value) is not None if "~" in sign else value == text
    return same != sign.startswith("!")


def _quantile(part: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, value in buckets.items():
        limit = float(dict(labels)["le"])
        groups[frozenset(it for it in labels if it[0] != "le")].append((limit, value))
    return {labels: _quantile_of(part, sorted(them)) for labels, them in groups.items()}


def _quantile_of(part: float, buckets: Sequence[tuple[float, float]]) -> float:
    wanted = part * buckets[-1][1]
    if not wanted:
        return math.nan
    below = start = 0.0
    for limit, total in buckets:
        if total >= wanted:
            if math.isinf(limit):
                break
            return start + (limit - start) * (wanted - below) / (total - below)
        below, start = total, limit
    return start


def series_of(text: str) -> tuple[str, Labels]:
    """Return name and labels of a series as promtool's tests write it."""
    name, _, rest = text.partition("{")
    return name, frozenset(re.findall(r'(\w+)="([^"]*)"', rest))


def values_of(text: str) -> list[float | None]:
    """Return the values of a series as promtool's tests write them, as `0+1x5 _ 3`."""
    values: list[float | None] = []
    for part in text.split():
        found = re.fullmatch(r"(-?[\d.]+)([+-][\d.]+)x(\d+)", part)
        if found:
            start, step, times = float(found[1]), float(found[2]), int(found[3])
            values += [start + step * n for n in range(times + 1)]
        else:
            values.append(None if part == "_" else float(part))
    return values
