"""What import-linter does not see: names of modules in strings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import scheduling

ROOT = Path(scheduling.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if "migrations" not in path.parts
}


def strings_in(path: Path) -> Iterator[str]:
    """Return the string constants of a file that are no docstring."""
    tree = ast.parse(path.read_text())
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or node in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.value


def modules_named(text: str) -> set[str]:
    """Return the modules of the engine that a text names, itself or by something in them."""
    dotted = re.findall(r"\bscheduling(?:\.\w+)+", text)
    parts = [name.split(".") for name in dotted]
    ways = {".".join(part[:end]) for part in parts for end in range(2, len(part) + 1)}
    return ways & MODULES


class TestAString:
    def test_names_no_module_of_the_engine_but_its_tasks(self) -> None:
        named = {
            (str(path.relative_to(ROOT)), module)
            for path in ROOT.rglob("*.py")
            if "migrations" not in path.parts
            for text in strings_in(path)
            for module in modules_named(text)
        }

        assert {module for _, module in named} == {"scheduling.tasks"}, named
        assert {path for path, _ in named} == {"models/task_names.py"}

    def test_of_the_queue_names_no_table_of_the_engine(self) -> None:
        texts = [text for path in (ROOT / "queue").rglob("*.py") for text in strings_in(path)]
        texts += [path.read_text() for path in (ROOT / "queue").rglob("*.sql")]

        assert any("django_q_ormq" in text for text in texts)
        assert not [text for text in texts if "scheduling_" in text]

    def test_that_goes_round_the_layers_is_found(self) -> None:
        assert modules_named("call scheduling.worker.heartbeat.beat") == {
            "scheduling.worker",
            "scheduling.worker.heartbeat",
        }
