"""Writes the tables of docs/kubernetes.md that follow from code: `python -m scripts.operator_settings [FILE]`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from edgebed.operator.rbac import RULES
from edgebed.operator.settings import OperatorSettings, Resources, Role, SecretKey, SimulatorRole, TrainerRole

PAGE = Path(__file__).parents[1] / "docs" / "kubernetes.md"
ROLES = {"edgeNode": Role, "taskGenerator": Role, "trainer": TrainerRole, "simulator": SimulatorRole}


def settings_table() -> str:
    """Every field of the settings: path, default, meaning."""
    lines = ["| field | default | meaning |", "|---|---|---|"]
    lines += [_row(name, field) for name, field in _fields(OperatorSettings)]
    lines += [_row(f"ROLE.{name}", field) for name, field in _fields(Role)]
    for role, model in ROLES.items():
        own = [(name, field) for name, field in _fields(model) if name not in dict(_fields(Role))]
        lines += [_row(f"{role}.{name}", field) for name, field in own]
    lines += [_row(f"ROLE.resources.{name}", field) for name, field in _fields(Resources)]
    lines += [_row(f"secrets.VARIABLE.{name}", field) for name, field in _fields(SecretKey)]
    return "\n".join(lines)


def rights_table() -> str:
    """The rules of the operator's Role."""
    lines = ["| group | resources | verbs |", "|---|---|---|"]
    for rule in RULES:
        groups = ", ".join(group or "core" for group in rule["apiGroups"])
        lines.append(f"| {groups} | {', '.join(rule['resources'])} | {', '.join(rule['verbs'])} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with both tables made again."""
    for name, table in (("settings", settings_table()), ("rights", rights_table())):
        pattern = rf"(<!-- {name}: .*?-->\n).*?(<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text, flags=re.S)  # noqa: B023
        assert count == 1, name
    return text


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _row(path: str, field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    if field.is_required():
        shown = "required"
    elif isinstance(default, BaseModel) or default in (None, (), {}):
        shown = "none"
    else:
        shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
    choices = [f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str)]
    meaning = field.description.replace("|", "\\|")
    return f"| `{path}` | {shown} | {meaning}{' One of ' + ', '.join(choices) + '.' if choices else ''} |"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
