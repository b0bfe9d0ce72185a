"""An experiment before it runs: everything that can be wrong is said now, and what will be done can be listed.

A mistake that shows only after hours of learning is the dearest one, so policies are looked up with their parameters,
and files that the experiment names are read.
"""

from pathlib import Path
from typing import Any

from edgebed.experiment.errors import Problem, UserError, shown
from edgebed.experiment.methods import Method
from edgebed.experiment.parts import MeasuredWorkload, NetworkFile, WorkloadFile
from edgebed.experiment.reading import load
from edgebed.experiment.shipped import GENERALIST, shipped_model
from edgebed.experiment.specification import Experiment
from edgebed.experiment.sweep import expand, replacing
from edgebed.experiment.validation import policy_choices
from edgebed.experiment.yaml_lines import dotted
from edgebed.systems.cooperative.candidate import Ask
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.registry import check_parameters, policy_names


def load_experiment(file: Path, backend: str | None) -> Experiment:
    """The experiment of a file, checked against the installed policies, with another backend if one is given.

    Raises UserError with every problem, EnvironmentFault when the file cannot be read.
    """
    experiment = load(file, policies=policy_names())
    problems = []
    for location, choice in policy_choices(experiment):
        try:
            check_parameters(choice.kind, choice.parameters)
        except ModelError as error:
            found = error.value if error.value == "missing" else f"{shown(error.value)} is not allowed"
            problems.append(Problem(dotted(location), f"{error.field}: {found}", error.remedy))
    if problems:
        raise UserError(problems, str(file))
    return experiment if backend is None else replacing(experiment, "backend", backend)


def plan(experiment: Experiment) -> dict[str, Any]:
    """What running it would do, as JSON. Reads the files that it names, and raises UserError when they are wrong."""
    steps = expand(experiment)
    for _, step in steps:
        if isinstance(step.spec.network, NetworkFile) or isinstance(
            step.spec.workload, MeasuredWorkload | WorkloadFile
        ):
            # imports the reader of traces, which a drawn experiment does not need
            from edgebed.experiment.inputs import read_inputs

            read_inputs(step)
        if experiment.spec.backend != "simulator":
            from edgebed.emulation.applications import check_profiles

            check_profiles(step)
    for _, choice in policy_choices(experiment):
        if choice.kind == "actor" and isinstance(choice.parameters.get("model"), str):
            from edgebed.experiment.inputs import file_content
            from edgebed.systems.cooperative.models import read_model

            read_model(file_content(experiment.folder / choice.parameters["model"], "model"))
        if choice.kind in ("actor", "generalist") and choice.parameters.get("ask") is not None:
            Ask.of(choice.parameters["ask"])
    _check_beginnings(experiment)
    spec = experiment.spec
    learned = sum(method.learned for method in spec.methods)
    return {
        "name": experiment.name,
        "backend": spec.backend,
        "sweep": [label for label, _ in steps] if spec.sweep else [],
        "networks": spec.replicates,
        "trainingSeeds": spec.training_seeds,
        "methods": [method.name for method in spec.methods],
        "stages": {method.name: _stages(method, spec.evaluation.episodes) for method in spec.methods},
        "trainings": len(steps) * spec.replicates * spec.training_seeds * learned,
        "evaluationEpisodes": spec.evaluation.episodes,
    }


def describe(planned: dict[str, Any]) -> list[str]:
    """The same for people, a line each."""
    lines = []
    for name, words in (
        ("name", "name"),
        ("backend", "backend"),
        ("sweep", "swept values"),
        ("networks", "networks"),
        ("trainingSeeds", "training seeds"),
        ("trainings", "trainings in all"),
    ):
        value = planned[name]
        if value != []:
            lines.append(f"  {words:<18}{', '.join(value) if isinstance(value, list) else value}")
    lines.append("  methods, on each network:")
    width = max(len(name) for name in planned["stages"])
    lines += [f"    {name:<{width}}  {', '.join(stages)}" for name, stages in planned["stages"].items()]
    return lines


def _check_beginnings(experiment: Experiment) -> None:
    """Reads the models that methods start with and the networks that they are trained on."""
    from edgebed.experiment.inputs import file_content, parse_json, read_inputs, read_network_list
    from edgebed.systems.cooperative.candidate_actor import CandidateWeights
    from edgebed.systems.cooperative.models import read_model

    for position, method in enumerate(experiment.spec.methods):
        field = f"spec.methods[{position}]"
        if method.start is not None:
            path = shipped_model() if method.start == GENERALIST else experiment.folder / method.start
            if not isinstance(read_model(file_content(path, f"{field}.start")), CandidateWeights):
                remedy = "give generalist, or the file of a candidate actor"
                raise UserError(Problem(f"{field}.start", f"{path} is an actor of one network", remedy))
        if method.training is not None and method.training.networks.source != "specification":
            path = experiment.folder / method.training.networks.source
            content = file_content(path, f"{field}.training.networks.from")
            evaluated = read_inputs(experiment).networks
            for number, network in enumerate(read_network_list(parse_json(content, str(path)), str(path))):
                if any(network.same(other) for other in evaluated):
                    found = f"network {number} of {path} is also one of the evaluation"
                    raise UserError(Problem(f"{field}.training.networks", found, "give other networks to one of them"))


def _stages(method: Method, evaluation: int) -> list[str]:
    stages = []
    if method.collect is not None:
        stages.append(f"collect {_count(method.collect.episodes, 'episode')} of {method.collect.policy.kind}")
    if method.offline is not None:
        stages.append(f"{method.offline.algorithm} for {_count(method.offline.updates, 'update')}")
    if method.training is not None:
        stages.append(f"{method.training.algorithm} for {_count(method.training.episodes, 'episode')} on many networks")
    if method.start is not None:
        stages.append(f"start with {method.start}")
    if method.online is not None:
        stages.append(f"{method.online.algorithm} for {_count(method.online.episodes, 'episode')}")
    what = f" of {method.policy.kind}" if method.policy is not None else ""
    return [*stages, f"evaluate {_count(evaluation, 'episode')}{what}"]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
