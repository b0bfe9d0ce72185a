"""One experiment per value of a swept field; each must be as good as if it had been written by hand."""

from collections.abc import Collection, Mapping
from typing import Any

from edgebed.experiment.errors import Problem, UserError, did_you_mean
from edgebed.experiment.specification import SCHEDULE, Experiment
from edgebed.experiment.validation import validate
from edgebed.experiment.words import fields_at
from edgebed.experiment.yaml_lines import Reading, dotted

NOT_SWEPT = ("sweep", "methods", *SCHEDULE)


def replacing(experiment: Experiment, field: str, value: object) -> Experiment:
    """The experiment with another value at the path `field` below spec; raises UserError when it is not allowed there."""
    document = experiment.to_document()
    _put(document["spec"], field, value)
    return validate(document, folder=experiment.folder)


def expand(experiment: Experiment, policies: Collection[str] | None = None) -> list[tuple[str, Experiment]]:
    """(label, experiment without sweep) for each swept value; [("", experiment)] when nothing is swept.

    Raises UserError that names `spec.sweep.values[i]` for values that the field does not allow.
    """
    sweep = experiment.spec.sweep
    if sweep is None:
        return [("", experiment)]
    steps, problems = _expand(experiment, policies)
    if problems:
        raise UserError(problems)
    return steps


def sweep_problems(experiment: Experiment, reading: Reading, policies: Collection[str] | None) -> list[Problem]:
    """What is wrong with the sweep of an otherwise correct experiment, with lines."""
    problems = _expand(experiment, policies)[1] if experiment.spec.sweep is not None else []
    return [Problem(p.path, p.found, p.remedy, reading.line(_location(p.path))) for p in problems]


def _expand(
    experiment: Experiment, policies: Collection[str] | None
) -> tuple[list[tuple[str, Experiment]], list[Problem]]:
    sweep = experiment.spec.sweep
    assert sweep is not None
    problem = _field_problem(experiment, sweep.field)
    if problem is not None:
        return [], [problem]
    steps: list[tuple[str, Experiment]] = []
    problems: list[Problem] = []
    target = f"spec.{sweep.field}"
    for position, value in enumerate(sweep.values):
        document = experiment.to_document()
        del document["spec"]["sweep"]
        _put(document["spec"], sweep.field, value)
        here = f"spec.sweep.values[{position}]"
        try:
            steps.append((label(value), validate(document, folder=experiment.folder, policies=policies)))
        except UserError as error:
            for found in error.problems:
                inside = found.path == target or found.path.startswith((f"{target}.", f"{target}["))
                path = here + found.path.removeprefix(target) if inside else here
                text = found.found if inside else f"makes {found.path} wrong: {found.found}"
                problems.append(Problem(path, text, found.remedy))
    labels = [name for name, _ in steps]
    for position, name in enumerate(labels):
        if name in labels[:position]:
            problems.append(Problem(f"spec.sweep.values[{position}]", f"{name} is given twice", "remove one of them"))
    return steps, problems


def _field_problem(experiment: Experiment, field: str) -> Problem | None:
    """What is wrong with the path of the swept field."""
    here: Any = experiment.to_document()["spec"]
    parts = field.split(".")
    if parts[0] in NOT_SWEPT:
        return Problem(
            "spec.sweep.field", f"{field!r} cannot be swept", "give a field of network, workload, rules or mask"
        )
    for depth, part in enumerate(parts):
        known = (
            fields_at(Experiment, ("spec", *parts[:depth]))
            if not isinstance(here, Mapping) or part not in here
            else [part]
        )
        if part not in known:
            remedy = did_you_mean(part, [k for k in known if depth or k not in NOT_SWEPT])
            return Problem(
                "spec.sweep.field", f"{field!r} is not a field of spec", remedy or f"{part!r} is not a field"
            )
        here = here.get(part, {}) if isinstance(here, Mapping) else {}
    return None


def _put(spec: dict[str, Any], field: str, value: object) -> None:
    *parents, last = field.split(".")
    for parent in parents:
        spec = spec.setdefault(parent, {})
    spec[last] = value


def label(value: object) -> str:
    """A value for people: 20, `0.2 to 0.6`, `4, 8 or 16`."""
    match value:
        case {"uniform": [low, high]}:
            return f"{_number(low)} to {_number(high)}"
        case {"choice": list(items)}:
            return ", ".join(_number(item) for item in items)
        case bool():
            return str(value).lower()
        case _:
            return _number(value)


def position(value: object) -> float | None:
    """Where a value stands on an axis: a number, or the upper end of a distribution; None for words."""
    match value:
        case {"uniform": [_, high]}:
            return float(high)
        case {"choice": list(items)}:
            return float(max(items))
        case bool():
            return None
        case int() | float():
            return float(value)
        case _:
            return None


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _location(path: str) -> tuple[str | int, ...]:
    """The inverse of `dotted`."""
    parts: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        parts.append(int(part[1:-1]) if part.startswith("[") else part)
    assert dotted(tuple(parts)) == path
    return tuple(parts)
