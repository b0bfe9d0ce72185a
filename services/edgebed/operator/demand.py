"""What an experiment needs of a cluster, from its document alone.

    need = demand("o2o-testbed", spec)         # raises UserError with everything that is wrong with it
    need.nodes, need.trainer, need.episodes

The document is the specification without what says how a cluster goes about it (`SCHEDULE`): two experiments that differ in
nothing else are the same run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebed.controller.steps import planned_episodes
from edgebed.experiment.errors import Problem, UserError, shown
from edgebed.experiment.files import canonical
from edgebed.experiment.parts import DrawnNetwork
from edgebed.experiment.shipped import GENERALIST
from edgebed.experiment.specification import API_VERSION, SCHEDULE, Experiment
from edgebed.experiment.sweep import expand
from edgebed.experiment.validation import validate

START_DEADLINE_S = 600


@dataclass(frozen=True)
class Demand:
    """What has to be there for an experiment."""

    document: dict[str, Any]
    """The experiment, as a controller and `edgebed run` read it."""
    simulated: bool
    """Whether a Job runs it, rather than a testbed."""
    nodes: int
    """Edge nodes; those of the largest network."""
    trainer: bool
    """Whether a method learns."""
    methods: tuple[str, ...]
    """Names, in the order of the specification."""
    online: Mapping[str, int]
    """Online episodes of each method that learns online, over all networks and training seeds."""
    episodes: int
    """Episodes that are played in all."""
    stages: int
    """Stages that a simulated run tells of: logs collected, trainings and evaluations."""

    @property
    def digest(self) -> str:
        """Equal for documents that are the same run."""
        return document_digest(self.document)


def document_of(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment as a run reads it."""
    kept = {key: value for key, value in spec.items() if key not in SCHEDULE}
    return {"apiVersion": API_VERSION, "kind": "Experiment", "metadata": {"name": name}, "spec": kept}


def document_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document."""
    return hashlib.sha256(canonical(document)).hexdigest()


def demand(name: str, spec: Mapping[str, Any]) -> Demand:
    """What the experiment of this name and specification needs. Raises UserError with everything that is wrong."""
    return demand_of(document_of(name, spec))


def demand_of(document: dict[str, Any]) -> Demand:
    """The same from a document."""
    experiment = validate(document)
    points = [point for _, point in expand(experiment)]
    problems = [problem for point in points[:1] for problem in _files(point)]
    if problems:
        raise UserError(problems)
    spec = experiment.spec
    units = len(points) * spec.replicates
    online = {method.name: method.online.episodes for method in spec.methods if method.online is not None}
    return Demand(
        document=document,
        simulated=spec.backend == "simulator",
        nodes=max(point.spec.network.nodes for point in points if isinstance(point.spec.network, DrawnNetwork)),
        trainer=any(method.learned for method in spec.methods),
        methods=tuple(method.name for method in spec.methods),
        online={name: count * units * spec.training_seeds for name, count in online.items()},
        episodes=planned_episodes(experiment),
        stages=_stages(experiment) * units,
    )


def _stages(experiment: Experiment) -> int:
    """Stages on one network; what is the same is done once."""
    methods, seeds = experiment.spec.methods, experiment.spec.training_seeds
    collected = {m.collect.model_dump_json() for m in methods if m.collect is not None}
    offline = {m.model_dump_json(include={"collect", "offline"}) for m in methods if m.offline is not None}
    contents = {m.model_dump_json(exclude={"name"}): m for m in methods}
    policies = [m for m in contents.values() if not m.learned]
    learned = [m for m in contents.values() if m.learned]
    trained = {m.training.model_dump_json() for m in methods if m.training is not None}
    tuned = sum(m.online is not None for m in learned)
    return len(collected) + len(policies) + seeds * (len(offline) + len(trained) + tuned + len(learned))


def _files(experiment: Experiment) -> list[Problem]:
    """A cluster has no folder beside the specification."""
    spec = experiment.spec
    named = {
        "spec.network.file": getattr(spec.network, "file", None),
        "spec.workload.file": getattr(spec.workload, "file", None),
        "spec.workload.application.costs": getattr(spec.workload.application, "costs", None),
    }
    for position, method in enumerate(spec.methods):
        if method.policy is not None:
            named[f"spec.methods[{position}].policy.model"] = method.policy.parameters.get("model")
        if method.training is not None and method.training.networks.source != "specification":
            named[f"spec.methods[{position}].training.networks.from"] = method.training.networks.source
        if method.start != GENERALIST:
            named[f"spec.methods[{position}].start"] = method.start
    remedy = "write out what it says, or run the experiment on a machine with edgebed run"
    return [
        Problem(path, f"{shown(file)} is a file, and a cluster has none beside the object", remedy)
        for path, file in named.items()
        if isinstance(file, str)
    ]
