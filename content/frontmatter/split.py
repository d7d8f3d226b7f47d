"""From the bytes of a file to its keys and its body."""

import json
import math
import re
import tomllib
from datetime import date, time
from typing import Any

import yaml
from django.utils.translation import gettext as _

from content.frontmatter.values import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_FRONT_MATTER,
    PostError,
    Unquoted,
    Value,
    clean,
    typed,
)

# The C parser is ten times as fast; PyYAML can be built without it.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(data: bytes) -> str:
    """Return the text with lines that end in a line feed."""
    if len(data) > MAX_BYTES:
        raise PostError(_("It is larger than %(limit)d bytes.") % {"limit": MAX_BYTES})
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PostError(_("It is UTF-16. Save it as UTF-8."))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PostError(_("Line %(line)d is not UTF-8.") % {"line": line}) from error
    if "\0" in text:
        raise PostError(_("It has NUL bytes: it is not a text, or it is UTF-16."))
    return text.replace("\r\n", "\n").replace("\r", "\n")


# The closing line of each opening line; YAML may end in three dots.
_FENCES = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.M),
    "+++": re.compile(r"^\+\+\+[ \t]*$", re.M),
}


def split(text: str) -> tuple[dict[str, Value] | None, str, list[str]]:
    """Return the keys (None without front matter), the body, and notes."""
    notes: list[str] = []
    start = len(text) - len(text.lstrip())
    fence, newline, rest = text[start:].partition("\n")
    closing = _FENCES.get(fence.rstrip())
    if closing is None or not newline:
        return None, text.strip("\n").rstrip(), notes
    line = text.count("\n", 0, start) + 1
    end = closing.search(rest)
    if end is None:
        raise PostError(
            _("The front matter that starts in line %(line)d never ends.") % {"line": line}
        )
    source, body = rest[: end.start()], rest[end.end() :]
    if len(source) > MAX_FRONT_MATTER:
        raise PostError(
            _("The front matter is longer than %(limit)d characters.") % {"limit": MAX_FRONT_MATTER}
        )
    # Empty lines in front, so that the parsers' line numbers are those of the file.
    source = "\n" * line + source
    values = read_toml(source) if fence.startswith("+") else read_yaml(source, notes)
    return values, body.strip("\n").rstrip(), notes


def read_values(data: bytes, *, suffix: str) -> dict[str, Value]:
    """
    Return what a file of YAML, TOML or JSON says, such as the configuration of a site.

    :raises PostError:
    """
    text = decode(data)
    match suffix.lower():
        case ".toml":
            values = read_toml(text)
        case ".json":
            values = read_json(text)
        case _:
            values = read_yaml(text, [])
    return {name: typed(value) for name, value in values.items()}


class _Budget:
    """Stops the parsing of front matter that becomes too large or too deep."""

    def __init__(self) -> None:
        self.left = MAX_CHARACTERS

    def spend(self, size: int, *, depth: int) -> None:
        self.left -= 1 + size
        if self.left < 0 or depth > MAX_DEPTH:
            raise PostError(_("The front matter is too large, or nested too deeply."))


def read_toml(source: str) -> dict[str, Value]:
    """Return what TOML says; dates become text."""
    try:
        values = tomllib.loads(source)
    # ValueError: a number of thousands of digits. RecursionError: thousands of brackets.
    except (ValueError, RecursionError) as error:
        raise PostError(
            _("The front matter is not TOML: %(reason)s.") % {"reason": error}
        ) from error
    budget = _Budget()
    return {clean(name): _from_toml(value, budget, 1) for name, value in values.items()}


def _from_toml(value: Any, budget: _Budget, depth: int) -> Value:
    budget.spend(len(value) if isinstance(value, str) else 0, depth=depth)
    match value:
        case dict():
            return {clean(k): _from_toml(v, budget, depth + 1) for k, v in value.items()}
        case list():
            return [_from_toml(part, budget, depth + 1) for part in value]
        case date() | time():  # also a datetime
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return clean(value)
        case _:
            return value  # type: ignore[no-any-return]  # a bool, int or float


def read_json(source: str) -> dict[str, Value]:
    """Return what JSON says."""
    try:
        values = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise PostError(
            _("The front matter is not JSON: %(reason)s.") % {"reason": error}
        ) from error
    if not isinstance(values, dict):
        raise PostError(_("The front matter is not a list of keys and values."))
    budget = _Budget()
    return {clean(name): _from_toml(value, budget, 1) for name, value in values.items()}


def read_yaml(source: str, notes: list[str]) -> dict[str, Value]:
    """Return what YAML says; scalars without quotes stay as written."""
    try:
        _check_depth(source)
        node = yaml.compose(source, Loader=_YamlLoader)
    except yaml.MarkedYAMLError as error:
        raise PostError(
            _("The front matter is not YAML: line %(line)d: %(reason)s.")
            % {
                "line": error.problem_mark.line + 1 if error.problem_mark else 1,
                "reason": ", ".join(filter(None, (error.context, error.problem))),
            }
        ) from error
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise PostError(
            _("The front matter is not YAML: %(reason)s.") % {"reason": reason}
        ) from error
    # Front matter of comments and empty lines is empty.
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise PostError(_("The front matter is not a list of keys and values."))
    names = [str(key.value) for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        notes.append(_("“%(key)s” is there twice; the last one counts.") % {"key": clean(name)})
    values = _from_yaml(node, _Budget(), 0)
    assert isinstance(values, dict)
    return values


def _check_depth(source: str) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=_YamlLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PostError(_("The front matter is too large, or nested too deeply."))


def _from_yaml(node: yaml.Node, budget: _Budget, depth: int) -> Value:
    """Return a node's value; tags such as `!ruby/object` are ignored."""
    budget.spend(len(node.value) if isinstance(node, yaml.ScalarNode) else 0, depth=depth)
    match node:
        case yaml.MappingNode():
            return {
                str(_from_yaml(key, budget, depth + 1)): _from_yaml(value, budget, depth + 1)
                for key, value in node.value
            }
        case yaml.SequenceNode():
            return [_from_yaml(part, budget, depth + 1) for part in node.value]
        case _:
            assert isinstance(node, yaml.ScalarNode)
            text = clean(node.value)
            return text if node.style else Unquoted(text)
