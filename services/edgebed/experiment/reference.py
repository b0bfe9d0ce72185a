"""The reference page of the experiment file, made from the model: `python -m edgebed.experiment.reference [FILE]`.

Whatever the page says about a field is what the model enforces, because it is the same object.
"""

import sys
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edgebed.experiment.errors import alternatives
from edgebed.experiment.quantities import Quantity, Unit, to_document
from edgebed.experiment.specification import Experiment
from edgebed.systems.cooperative.distributions import Distribution

_INTRODUCTION = """# The experiment file

<!-- Made by `python -m edgebed.experiment.reference docs/specification.md`; change the model instead. -->

Every field of an experiment, from the model that checks it. Unknown fields are refused. A *distribution* is a number,
`{uniform: [low, high]}` or `{choice: [a, b, ...]}`. File paths are relative to the experiment file. `edgebed validate
FILE` says everything that is wrong with a file at once; in a cluster that knows experiments, `kubectl explain
experiment.spec` says the same as this page.
"""

_TITLES = {
    "DrawnNetwork": "spec.network, drawn",
    "NetworkFile": "spec.network, from a file",
    "DrawnWorkload": "spec.workload, drawn",
    "MeasuredWorkload": "spec.workload, with measured costs",
    "WorkloadFile": "spec.workload, from a file",
    "RulesChoice": "spec.rules",
    "Method": "spec.methods[]",
    "PolicyChoice": "A policy",
    "Collect": "spec.methods[].collect",
    "Offline": "spec.methods[].offline",
    "Training": "spec.methods[].training",
    "TrainingNetworks": "spec.methods[].training.networks",
    "DomainRandomisation": "spec.methods[].training.networks.domainRandomisation",
    "Online": "spec.methods[].online",
    "Experiment": "The file",
    "Metadata": "metadata",
    "Spec": "spec",
    "Application": "spec.workload.application",
    "MeasuredApplication": "spec.workload.application, with costs",
}


def page() -> str:
    """The page as Markdown."""
    sections: list[str] = [_INTRODUCTION]
    queue: list[type[BaseModel]] = [Experiment]
    for model in queue:  # grows while it is read: parts are explained after what they are part of
        sections.append(_section(model))
        queue += [
            part for field in model.model_fields.values() for part in _parts(field.annotation) if part not in queue
        ]
    return "\n".join(sections)


def _section(model: type[BaseModel]) -> str:
    title = _TITLES.get(model.__name__, f"spec.{model.__name__.lower()}")
    lines = [f"## {title}", "", _cell(model.__doc__), ""]
    lines += ["| field | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        row = (f"`{field.alias or name}`", _type(field), _default(field), _unit(field), _cell(field.description))
        lines.append(f"| {' | '.join(row)} |")
    if model.model_config.get("extra") == "allow":
        lines.append("| … | any | | | Parameters of the policy itself. |")
    rules = {kind for field in model.model_fields.values() if (kind := _enumeration(field.annotation)) is not None}
    for kind in sorted(rules, key=lambda k: list(model.model_fields).index(_snake(k.__name__))):
        lines += ["", f"`{_camel(kind.__name__)}`:", ""]
        lines += [f"- `{member.value}`: {text}" for member, text in zip(kind, member_docs(kind), strict=True)]
    return "\n".join([*lines, ""])


def _parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts(argument)]


def _enumeration(annotation: Any) -> type[StrEnum] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, StrEnum) else None


def _type(field: FieldInfo) -> str:
    quantity = next((item for item in field.metadata if isinstance(item, Quantity)), None)
    if quantity is not None:
        return f"distribution of {quantity.limits}"
    limits = []
    for item in field.metadata:
        for attribute, word in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
            if (bound := getattr(item, attribute, None)) is not None and bound not in (10**9, 2**53):
                limits.append(f"{word} {bound:,}".replace(",", " "))
    name = _name(field.annotation)
    return f"{name}, {' and '.join(limits)}" if limits else name


def _name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _name(get_args(annotation)[0])
    if origin is Literal:
        return alternatives([f"`{value}`" for value in get_args(annotation)])
    if origin in (Union, UnionType):
        return alternatives([_name(option) for option in get_args(annotation) if option is not NoneType])
    if origin is tuple:
        return f"list of {_name(get_args(annotation)[0])}"
    if (kind := _enumeration(annotation)) is not None:
        return alternatives([f"`{member.value}`" for member in kind])
    if _parts(annotation):
        title = _TITLES.get(annotation.__name__, f"spec.{annotation.__name__.lower()}")
        anchor = "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")
        return f"[{title}](#{anchor})"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if isinstance(value, Distribution):
        return f"`{to_document(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _unit(field: FieldInfo) -> str:
    for item in field.metadata:
        if isinstance(item, Quantity):
            return item.unit
        if isinstance(item, Unit):
            return item.name
    return ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def member_docs(kind: type[StrEnum]) -> list[str]:
    """The docstrings below the members of an enumeration, which Python itself does not keep."""
    import ast
    import inspect
    import textwrap

    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for before, after in zip(definition.body, [*definition.body[1:], ast.Pass()], strict=True):
        if isinstance(before, ast.Assign) and isinstance(before.targets[0], ast.Name):
            doc = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            texts[before.targets[0].id] = _cell(str(doc))
    return [texts.get(member.name, "") or f"per {member.value}." for member in kind]


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        print(page())
