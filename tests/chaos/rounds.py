"""Rounds: which fault happens when, how a round runs, and the results."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from random import Random
from statistics import median
from typing import Any

from tests.chaos import checker
from tests.chaos.environment import BURST, Load, Stage, describe
from tests.chaos.fault import Fault, Scene, traps_for
from tests.chaos.registry import all_faults
from tests.process.server import at_rest, execute, wait_for, wait_until_time

# What is due this soon after all could go on is still counted as delayed by the fault.
AFTERMATH_SECONDS = 2.0
KINDS = tuple(checker.Findings().counts())
ALL = "**all**"


@dataclass
class Result:
    """What one round has shown."""

    number: int
    fault: str
    moment: str
    about: str = ""
    target_ms: int | None = None
    live_before: int = 0
    down_seconds: float = 0.0
    # From when all could go on, or from when it was due if that is later, until the last of the
    # affected items was live; None when nothing was affected.
    recovery_ms: float | None = None
    others_ms: float | None = None
    # Which it was: what, due when after the fault.
    slowest: str = ""
    seconds: float = 0.0
    findings: checker.Findings = field(default_factory=checker.Findings)

    def line(self) -> str:
        """Return the round in a line."""
        shown = "-" if self.recovery_ms is None else f"{self.recovery_ms:.0f} ms"
        others = "-" if self.others_ms is None else f"{self.others_ms:.0f} ms"
        verdict = "BROKEN" if self.findings else "ok"
        return (
            f"round {self.number:3}  {self.fault:32} {self.moment:11} live before"
            f" {self.live_before:4}  recovery {shown:>9}  others {others:>8}"
            f"  {self.seconds:5.1f} s  {verdict:6}  {self.slowest}"
        )


def plan(seed: int, only: str | None = None) -> Iterator[tuple[int, Fault, Random]]:
    """
    Give for each round its fault and its chance: the same for the same seed, however many follow.

    Every fault comes once before any comes twice; a long one comes every second time. Those that
    cannot be tried here are left out.
    """
    number = 0
    for cycle in count():
        deck = [it for it in all_faults() if only or not (it.is_long and cycle % 2)]
        Random(f"{seed}/{cycle}").shuffle(deck)
        for fault in deck:
            if (only is None or only in fault.name) and not fault.cannot_run():
                yield number, fault, Random(f"{seed}/round {number}")
                number += 1
        if number == 0:
            raise SystemExit(f"There is no fault {only} that can be tried here.")


def play(stage: Stage, number: int, fault: Fault, chance: Random) -> Result:
    """Run one round, and clean up after it."""
    began = time.monotonic()
    moment = chance.choice(fault.moments)
    result = Result(number, fault.name, moment, fault.about, fault.target_ms)
    anew = chance.random() < 0.25 or fault.needs_new_worker
    _report_ends(stage.have_cluster(fault.env, anew=anew), result)
    stage.clear()
    fault.set_up(stage)
    load = stage.put_in(chance, traps=traps_for(fault), burst=fault.burst or BURST)
    scene = Scene(stage, chance, load)
    try:
        _strike_and_look(scene, fault, result)
    except Exception as error:  # noqa: BLE001 (the round is broken, the others still run)
        result.findings.stuck.append(f"the round broke: {type(error).__name__}: {error}")
    _report_ends(fault.clean_up(scene), result)
    if result.findings or fault.spoils_worker:
        _report_ends(stage.end_clusters(), result)
    result.seconds = time.monotonic() - began
    return result


def _strike_and_look(scene: Scene, fault: Fault, result: Result) -> None:
    load = scene.load
    fault.prepare(scene)
    result.fault = fault.name
    wait_until_time(_moment(result.moment, scene.chance, load))
    result.live_before = sum(
        count for (count,) in execute("SELECT count(*) FROM content_story WHERE status='published'")
    )
    struck_at = time.time()
    resumed_at = fault.strike(scene)
    result.down_seconds = max(resumed_at - struck_at, 0)
    last_due = load.first + 4
    wait_for(at_rest, fault.patience_seconds + max(last_due - time.time(), 0))
    checker.check(load, result.findings, max_attempts=fault.max_attempts)
    _measure(result, fault, struck_at, resumed_at)
    for cluster in scene.stage.clusters:
        if not wait_for(cluster.is_whole, 10):
            result.findings.items.append(f"not whole: {describe(cluster.session())}")


def _moment(moment: str, chance: Random, load: Load) -> float:
    if moment == "long before":
        return load.first - 1.5
    if moment == "idle":
        return load.first - chance.uniform(0, 0.5)
    if moment == "between":
        return load.first + chance.uniform(0, 1.5)
    # The burst takes a few tenths of a second.
    return load.burst + chance.uniform(0, 0.25)


def _report_ends(wrong: Sequence[str], result: Result) -> None:
    result.findings.items.extend(wrong)


def _measure(result: Result, fault: Fault, struck_at: float, resumed_at: float) -> None:
    affected: list[tuple[float, checker.Live]] = []
    others = []
    for item in checker.went_live():
        if item.is_trap and not fault.counts_traps:
            continue
        if item.live > struck_at and item.due <= resumed_at + AFTERMATH_SECONDS:
            affected.append((max(item.live - max(resumed_at, item.due), 0), item))
        else:
            others.append(item.live - item.due)
    if affected:
        seconds, item = max(affected, key=lambda entry: entry[0])
        result.recovery_ms = 1000 * seconds
        kind = "trap" if item.is_trap else "story"
        result.slowest = f"{kind} due {item.due - struck_at:+.3f} s"
    if others:
        result.others_ms = 1000 * max(others)


# Results


def table(results: Sequence[Result]) -> list[str]:
    """Return a line a fault, in Markdown."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.fault].append(result)
    lines = [
        "| fault | rounds | lost | double | early | stuck | items | unseen"
        " | recovery p50 ms | recovery max ms | target ms |",
        "| --- |" + " ---: |" * 10,
    ]
    order = {fault.name: place for place, fault in enumerate(all_faults())}
    for name, group in sorted(groups.items(), key=lambda entry: order.get(entry[0], 99)):
        lines.append(_line(name, group))
    return [*lines, _line(ALL, results)]


def _line(name: str, group: Sequence[Result]) -> str:
    broken = [sum(result.findings.counts()[kind] for result in group) for kind in KINDS]
    times = [result.recovery_ms for result in group if result.recovery_ms is not None]
    shown = [f"{median(times):.0f}", f"{max(times):.0f}"] if times else ["-", "-"]
    targets = {result.target_ms for result in group}
    target = str(targets.pop() or "-") if len(targets) == 1 else ""
    if name == ALL:
        shown, target = ["", ""], ""
    cells = [name, str(len(group)), *map(str, broken), *shown, target]
    return "| " + " | ".join(cells) + " |"


def missed_targets(results: Sequence[Result]) -> list[Result]:
    """Return the rounds whose recovery took longer than it should."""
    return [
        result
        for result in results
        if result.target_ms and result.recovery_ms and result.recovery_ms > result.target_ms
    ]


def as_json(results: Sequence[Result], facts: dict[str, Any]) -> dict[str, Any]:
    """Return everything, for programs."""
    return {**facts, "rounds": [asdict(result) for result in results]}
