"""
Print which group of modules imports which, and fail when the picture is not a simple one.

Run by `make contracts`. Every import counts: those inside functions and those for types alone too.
"""

import sys
from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGES = ("armo", "content", "scheduling")
# The lowest layer of the engine: what every group may use, so that an arrow to it says nothing.
GROUND = ("conf", "errors", "keepalives", "pooling", "schemas", "tracing")
MOST_ARROWS = 35
# One group with `apps`: what Django reads from a site's settings, by name.
SET_UP = ("broker", "checks")

Arrows = dict[str, set[str]]


def group_of_the_engine(module: str) -> str | None:
    """Return the part of `scheduling` that a module belongs to; None for none that counts."""
    package, _, rest = module.partition(".")
    group = rest.partition(".")[0]
    if package != "scheduling" or group in ("", "migrations", *GROUND):
        return None
    return "apps" if group in SET_UP else group


def group_of_the_project(module: str) -> str | None:
    """Return which of the five parts of the project a module belongs to."""
    if ".migrations" in module:
        return None
    first, second = [*module.split("."), ""][:2]
    return f"armo.{second}" if first == "armo" and second in ("common", "accounts") else first


def arrows(graph: grimp.ImportGraph, group_of: Callable[[str], str | None]) -> Arrows:
    """Return which groups each group imports."""
    found: Arrows = {}
    for module in sorted(graph.modules):
        group = group_of(module)
        if group is None:
            continue
        imported = {group_of(other) for other in graph.find_modules_directly_imported_by(module)}
        found.setdefault(group, set()).update(it for it in imported if it not in (None, group))
    return found


def lines(title: str, found: Arrows, order: Iterable[str]) -> list[str]:
    """Return the table: a line for each group, the most imported first."""
    rows = [f"  {group:<14} -> {', '.join(sorted(found[group])) or '-'}" for group in order]
    count = sum(map(len, found.values()))
    return [f"{title}: {len(found)} groups, {count} arrows, at most {MOST_ARROWS}", *rows, ""]


def problem(found: Arrows) -> str:
    """Return what is wrong with a picture, or nothing."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return f"a circle: {' -> '.join(reversed(error.args[1]))}"
    count = sum(map(len, found.values()))
    return f"{count} arrows, more than {MOST_ARROWS}" if count > MOST_ARROWS else ""


def main() -> int:
    """Print both pictures; return 1 when one has a circle or too many arrows."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    broken = False
    for title, group_of in (
        (f"scheduling (without {' and '.join(GROUND)}, which all may use)", group_of_the_engine),
        ("the project", group_of_the_project),
    ):
        found = arrows(graph, group_of)
        wrong = problem(found)
        order = sorted(found) if wrong else reversed([*TopologicalSorter(found).static_order()])
        print("\n".join(lines(title, found, order)))
        if wrong:
            print(f"{title} has {wrong}", file=sys.stderr)
            broken = True
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
