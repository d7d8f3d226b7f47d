"""From the bytes of a file to its keys and its body."""

import json
import math
import re
import tomllib
from datetime import date, time
from typing import Any

import yaml

from content.frontmatter.reasons import reason
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
from content.text import compose
from scheduling.errors import Reason

# The C parser is ten times as fast; PyYAML can be built without it.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# A few NUL bytes are left out; with more it is no text.
MAX_NUL_BYTES = 20


def decode(data: bytes) -> tuple[str, list[Reason]]:
    """Return the text with lines that end in a line feed, in NFC, and notes."""
    notes: list[Reason] = []
    if len(data) > MAX_BYTES:
        raise PostError(reason("too_large", limit=MAX_BYTES))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PostError(reason("utf16"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PostError(reason("not_utf8", line=line)) from error
    if count := text.count("\0"):
        if count > MAX_NUL_BYTES or count * 20 > len(text):
            raise PostError(reason("nul_bytes"))
        notes.append(reason("nul_removed", count=count))
        text = text.replace("\0", "")
    return compose(text.replace("\r\n", "\n").replace("\r", "\n")), notes


# The closing line of each opening line, and what stands between; YAML may end in three dots. A
# language may be named, as gray-matter (Astro, Gatsby) takes it.
_CLOSING = {
    "-": re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.M),
    "+": re.compile(r"^\+\+\+[ \t]*$", re.M),
    ";": re.compile(r"^;;;[ \t]*$", re.M),
}
_OPENING = re.compile(r"(---|\+\+\+|;;;)[ \t]*(yaml|yml|toml|json)?[ \t]*", re.IGNORECASE)
_LANGUAGES = {"-": "yaml", "+": "toml", ";": "json"}


def split(text: str, notes: list[Reason]) -> tuple[dict[str, Value] | None, str]:
    """Return the keys (None without front matter) and the body."""
    start = len(text) - len(text.lstrip())
    first, newline, rest = text[start:].partition("\n")
    if re.match(r'\{\s*(?:"|\})', text[start : start + 100]):
        return _split_json(text[start:])
    opening = _OPENING.fullmatch(first)
    if opening is None or not newline:
        return None, text.strip("\n").rstrip()
    fence = opening[1][0]
    line = text.count("\n", 0, start) + 1
    end = _CLOSING[fence].search(rest)
    if end is None:
        raise PostError(reason("front_matter_open", line=line))
    source, body = rest[: end.start()], rest[end.end() :]
    if len(source) > MAX_FRONT_MATTER:
        raise PostError(reason("front_matter_long", limit=MAX_FRONT_MATTER))
    # Empty lines in front, so that the parsers' line numbers are those of the file.
    source = "\n" * line + source
    match (opening[2] or _LANGUAGES[fence]).lower():
        case "toml":
            values = read_toml(source)
        case "json":
            # Between `;;;` the braces may be left out.
            values = read_json(source if source.strip()[:1] == "{" else f"{{{source}}}")
        case _:
            values = read_yaml(source, notes)
    return values, body.strip("\n").rstrip()


def _split_json(text: str) -> tuple[dict[str, Value], str]:
    """Split where the object ends that the text begins with, as Hugo does."""
    try:
        _value, end = json.JSONDecoder().raw_decode(text[: MAX_FRONT_MATTER + 1])
    except (ValueError, RecursionError) as error:
        raise PostError(reason("not_json", reason=error)) from error
    return read_json(text[:end]), text[end:].strip("\n").rstrip()


def read_keys(data: bytes) -> dict[str, Value]:
    """
    Return the keys of a file, without the body, which may end anywhere.

    :raises PostError:
    """
    values, _body = split(data.decode("utf-8-sig", "ignore").replace("\r\n", "\n"), [])
    return {name: typed(value) for name, value in (values or {}).items()}


def read_values(data: bytes, *, suffix: str) -> dict[str, Value]:
    """
    Return what a file of YAML, TOML or JSON says, such as the configuration of a site.

    :raises PostError:
    """
    text, _notes = decode(data)
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
            raise PostError(reason("front_matter_deep"))


def read_toml(source: str) -> dict[str, Value]:
    """Return what TOML says; dates become text."""
    try:
        values = tomllib.loads(source)
    # ValueError: a number of thousands of digits. RecursionError: thousands of brackets.
    except (ValueError, RecursionError) as error:
        raise PostError(reason("not_toml", reason=error)) from error
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
        raise PostError(reason("not_json", reason=error)) from error
    if not isinstance(values, dict):
        raise PostError(reason("front_matter_scalar"))
    budget = _Budget()
    return {clean(name): _from_toml(value, budget, 1) for name, value in values.items()}


def read_yaml(source: str, notes: list[Reason]) -> dict[str, Value]:
    """Return what YAML says; scalars without quotes stay as written."""
    try:
        _check_depth(source)
        node = yaml.compose(source, Loader=_YamlLoader)
    except yaml.MarkedYAMLError as error:
        raise PostError(
            reason(
                "not_yaml_line",
                line=error.problem_mark.line + 1 if error.problem_mark else 1,
                reason=", ".join(filter(None, (error.context, error.problem))),
            )
        ) from error
    except yaml.YAMLError as error:
        first_line = str(error).partition("\n")[0]
        raise PostError(reason("not_yaml", reason=first_line)) from error
    # Front matter of comments and empty lines is empty.
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise PostError(reason("front_matter_scalar"))
    names = [str(key.value) for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        notes.append(reason("repeated_key", key=clean(name)))
    values = _from_yaml(node, _Budget(), 0)
    assert isinstance(values, dict)
    return values


def _check_depth(source: str) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=_YamlLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PostError(reason("front_matter_deep"))


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
