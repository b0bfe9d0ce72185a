"""values.yaml as data: keys, defaults, and the comments above the keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "edgebed"
VALUES = CHART / "values.yaml"
_SCHEMA = "schema:"


@dataclass(frozen=True)
class Value:
    """A key of values.yaml."""

    path: tuple[str, ...]
    meaning: str
    """From its comment; empty only for a part that its name explains."""
    default: Any
    schema: Mapping[str, Any] = field(default_factory=dict)
    """What the comment says of allowed values, as JSON Schema."""
    parts: tuple["Value", ...] = ()
    """Keys in it that have a meaning of their own."""

    @property
    def name(self) -> str:
        """As `--set` wants it."""
        return ".".join(self.path)


def read(path: Path = VALUES) -> tuple[Value, ...]:
    """The top-level keys of a file. Raises ValueError for one that no comment explains."""
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return _parts(node, yaml.safe_load(text), (), text.splitlines())


def _parts(node: yaml.MappingNode, content: Any, path: tuple[str, ...], lines: list[str]) -> tuple[Value, ...]:
    return tuple(_value(key, value, content[key.value], (*path, str(key.value)), lines) for key, value in node.value)


def _value(key: yaml.Node, node: yaml.Node, content: Any, path: tuple[str, ...], lines: list[str]) -> Value:
    meaning, schema = _comment(key.start_mark.line, key.start_mark.column, lines)
    parts: tuple[Value, ...] = ()
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        commented = [_comment(one.start_mark.line, one.start_mark.column, lines)[0] for one, _ in node.value]
        if any(commented):
            parts = _parts(node, content, path, lines)
    if not meaning and not schema and not parts:
        raise ValueError(f"{'.'.join(path)}: no comment explains it; write one above it")
    return Value(path, meaning, content, schema, parts)


def _comment(line: int, column: int, lines: list[str]) -> tuple[str, dict[str, Any]]:
    """The text directly above a key, in its column, and the schema in it."""
    found: list[str] = []
    head = " " * column + "#"
    while line > 0 and lines[line - 1].startswith(head):
        line -= 1
        found.insert(0, lines[line][len(head) :].strip())
    text, _, schema = " ".join(found).partition(_SCHEMA)
    return text.strip(), yaml.safe_load(schema) if schema else {}
