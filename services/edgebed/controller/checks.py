"""An experiment that came over HTTP, before it runs: everything that can be wrong is said now, all at once."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgebed.emulation.applications import check_profiles
from edgebed.experiment.defaults import Defaults, filled
from edgebed.experiment.errors import Problem, UserError, shown
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand, sweep_problems
from edgebed.experiment.validation import check_backend, policy_choices, validate
from edgebed.experiment.yaml_lines import Reading, dotted
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.registry import check_parameters, policy_names


def checked(document: Mapping[str, Any], folder: Path, defaults: Defaults) -> Experiment:
    """The experiment of a document, and everything that would stop it later. Raises UserError with all of it.

    `defaults` are parameters of policies that it will get where it leaves them open.
    """
    names = policy_names()
    given = validate(document, folder=folder, policies=names)
    experiment = filled(given, defaults)
    problems = list(sweep_problems(experiment, Reading(document), names))
    for location, choice in policy_choices(experiment):
        try:
            check_parameters(choice.kind, choice.parameters)
        except ModelError as error:
            problems.append(Problem(dotted(location), f"{error.field}: {shown(error.value)}", error.remedy))
        problems += _outside(dotted(location), choice.parameters.get("model"))
    for part in ("network", "workload"):
        problems += _outside(f"spec.{part}.file", getattr(getattr(experiment.spec, part), "file", None))
    costs = getattr(experiment.spec.workload.application, "costs", None)
    problems += _outside("spec.workload.application.costs", costs)
    if experiment.spec.backend == "simulator":
        remedy = "give processes or kubernetes; the simulator needs no controller: edgebed run FILE"
        problems.append(Problem("spec.backend", "'simulator' is not allowed here", remedy))
    if problems:
        raise UserError(problems)
    check_backend(experiment)
    for _, point in expand(experiment):
        read_inputs(point)
        check_profiles(point)
    return given


def _outside(path: str, file: object) -> list[Problem]:
    """A document that came over the network may name files of its run's folder only."""
    if not isinstance(file, str):
        return []
    parts = PurePosixPath(file)
    if not parts.is_absolute() and ".." not in parts.parts:
        return []
    return [
        Problem(
            path, f"{shown(file)} is not allowed", "give a path below the run's folder, such as inputs/network.json"
        )
    ]
