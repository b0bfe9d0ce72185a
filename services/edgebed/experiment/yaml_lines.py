"""YAML as the 1.2 core schema reads it, with the line of every value.

PyYAML's own reading follows YAML 1.1, where `3e-4` is text, `no` is a boolean and `1:30` is ninety. Keys that appear
twice, tags and anything infinite are problems, not surprises.
"""

import math
import re
from dataclasses import dataclass, field

import yaml

from edgebed.experiment.errors import Problem, UserError

Path = tuple[str | int, ...]

_NULL = re.compile(r"^(~|null|Null|NULL|)$")
_BOOLEAN = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")
_INTEGER = re.compile(r"^[-+]?[0-9]+$")
_HEXADECIMAL = re.compile(r"^0(x[0-9a-fA-F]+|o[0-7]+)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL = re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_MAXIMUM_NODES = 200_000
"""Values in one file, aliases counted at each use; more is a mistake or an attack."""
_MAXIMUM_DEPTH = 50
_MAXIMUM_DIGITS = 400


class _Loader(yaml.SafeLoader):
    """Composes nodes; resolves no tags, because `_scalar` does."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 the base class declares it so


@dataclass
class Reading:
    """A file's content, the line of each value, and what is wrong with it as YAML."""

    value: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def line(self, path: Path) -> int | None:
        """The line of a value, or of the nearest one around it."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)


def read(text: str, source: str | None = None) -> Reading:
    """The one document in `text`. Raises UserError with the line when it is not YAML."""
    reading = Reading()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
        raise UserError(
            Problem("", f"not valid YAML: {what}", "check indentation, colons and brackets", line), source
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(
            Problem("", f"not valid YAML: {error}", "write plain text with spaces for indentation"), source
        ) from error
    if node is None:
        raise UserError(Problem("", "the file is empty", "start from deploy/experiments/quickstart.yaml"), source)
    reading.value = _value(node, (), reading)
    return reading


def dotted(path: Path) -> str:
    """`spec.methods[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _value(node: yaml.Node, path: Path, reading: Reading) -> object:
    line = node.start_mark.line + 1
    reading.lines.setdefault(path, line)
    reading.nodes += 1
    if len(path) > _MAXIMUM_DEPTH or reading.nodes > _MAXIMUM_NODES:
        raise UserError(
            Problem(
                dotted(path[:3]), "is nested too deeply or too large", "remove aliases that repeat themselves", line
            )
        )
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, position), reading) for position, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, object] = {}
        for key, item in node.value:
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                reading.problems.append(
                    Problem(dotted(path), "has a key that is not a name", "write `name: value`", at)
                )
                continue
            inner = (*path, key.value)
            if key.value in mapping:
                first = reading.lines[inner]
                reading.problems.append(
                    Problem(dotted(inner), f"is given twice, first in line {first}", "keep one of them", at)
                )
                continue
            reading.lines[inner] = at
            mapping[key.value] = _value(item, inner, reading)
        return mapping
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node, path, line, reading)


def _scalar(node: yaml.ScalarNode, path: Path, line: int, reading: Reading) -> object:
    text: str = node.value
    if node.tag not in ("tag:yaml.org,2002:str", "!") and not node.tag.startswith("tag:yaml.org,2002:null"):
        reading.problems.append(Problem(dotted(path), f"has the tag {node.tag}", "write the plain value", line))
        return None
    if node.style is not None:
        return text
    if _NULL.match(text):
        return None
    if _BOOLEAN.match(text):
        return text.lower() == "true"
    if _INTEGER.match(text) and len(text) < _MAXIMUM_DIGITS:
        return int(text)
    if _HEXADECIMAL.match(text) and len(text) < _MAXIMUM_DIGITS:
        return int(text, 0)
    if _FLOAT.match(text) or _INTEGER.match(text):
        number = float(text)
        if math.isfinite(number):
            return number
    elif not _SPECIAL.match(text):
        return text
    reading.problems.append(Problem(dotted(path), f"{text[:40]} is not allowed", "give a finite number", line))
    return None
