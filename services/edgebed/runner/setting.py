"""One replicate of an experiment as the values that simulating and learning need."""

import hashlib
import inspect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgebed.experiment.inputs import Inputs, Tasks, file_content
from edgebed.experiment.methods import PolicyChoice
from edgebed.experiment.shipped import GENERALIST, shipped_model
from edgebed.experiment.specification import Experiment
from edgebed.simulator.rollout import Rollout, play
from edgebed.systems.cooperative.conversion import Attribution, convert
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.models import Model, read_model
from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import Workload, WorkloadModel
from edgebed.systems.registry import build_policy, find_policy
from edgebed.systems.transitions import Transitions

ACTOR = "actor.safetensors"
"""Name of the model in a stage of learning."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What is the same for all methods of one replicate."""

    network: Network
    network_seed: int
    network_model: NetworkModel
    """Whose largest values scale the observation."""
    workload_model: WorkloadModel
    source: Tasks
    """Draws episodes, from distributions or from a trace."""
    folder: Path
    """What the paths of models are relative to."""
    files: dict[str, str]
    """Digests of the files that the experiment reads."""
    rules: Rules
    mask_coefficient: float
    crowding: float = 1.0
    """Coefficient of the reward attribution of that name."""
    experiment_seed: int = 0
    """What is the same for all replicates follows from it."""

    @classmethod
    def of(cls, experiment: Experiment, replicate: int, inputs: Inputs) -> "Setting":
        """The setting of one replicate; `inputs` are those of the experiment."""
        return cls(
            network=inputs.networks[replicate],
            network_seed=experiment.network_seed(replicate),
            network_model=inputs.network_models[replicate],
            workload_model=inputs.workload_model,
            source=inputs.tasks,
            folder=experiment.folder,
            files=inputs.files,
            rules=experiment.rules(),
            mask_coefficient=experiment.spec.mask.coefficient,
            crowding=experiment.spec.reward.crowding,
            experiment_seed=experiment.spec.seed,
        )

    @cached_property
    def observation(self) -> ObservationSpecification:
        """What the actors of this replicate see."""
        return ObservationSpecification.paper(self.network_model, self.workload_model)

    @cached_property
    def context(self) -> PolicyContext:
        """What its policies are built for."""
        return PolicyContext(self.network, self.workload_model, self.rules, self.mask_coefficient, self.network_seed)

    def policy(self, choice: PolicyChoice) -> Policy:
        """A policy by its name in the specification; the model of an actor is read, and refused if it sees other things."""
        model = self.model(choice)
        parameters = choice.parameters if model is None else {**choice.parameters, "model": model}
        return build_policy(choice.kind, self.context, parameters)

    def model(self, choice: PolicyChoice) -> Model | None:
        """The model that a policy needs: that of the actor's file, or the one that comes along; None for a heuristic."""
        if choice.kind == GENERALIST:
            return read_actor(shipped_model())
        if choice.kind == "actor" and isinstance(choice.parameters.get("model"), str):
            actor = read_actor(self.folder / choice.parameters["model"])
            actor.require(self.observation)
            return actor
        return None

    def identity(self, choice: PolicyChoice) -> dict[str, Any]:
        """What determines a policy's decisions, as JSON: its name and parameters, and the code of another package's.

        So results of a policy that its author has changed since are not taken for those of the new one.
        """
        identity: dict[str, Any] = {"policy": choice.model_dump(mode="json", by_alias=True)}
        if choice.kind == GENERALIST:
            identity["model"] = hashlib.sha256(shipped_model().read_bytes()).hexdigest()
        kind = find_policy(choice.kind)
        if kind.__module__.partition(".")[0] != "edgebed":
            source = inspect.getsourcefile(kind)
            content = Path(source).read_bytes() if source else b""
            identity |= {"module": kind.__module__, "code": hashlib.sha256(content).hexdigest()}
        return identity

    def tasks(self, stream: Stream, episodes: range, *index: int) -> Workload:
        """Some episodes of one of this replicate's streams."""
        return self.source.draw(self.network, self.network_seed, stream, episodes, *index)

    def play(self, policy: Policy, tasks: Workload) -> Rollout:
        """The tasks under the policy."""
        return play(self.network, tasks, self.rules, policy, self.mask_coefficient)

    def play_on(self, network: Network, policy: Policy, tasks: Workload) -> Rollout:
        """The tasks under a policy on another network, with this replicate's rules."""
        return play(network, tasks, self.rules, policy, self.mask_coefficient)

    def transitions(self, log: TaskLog, attribution: Attribution) -> Transitions:
        """What the log is to a learner."""
        return convert(
            log,
            self.network,
            self.observation,
            self.rules,
            slot_s=self.workload_model.slot_s,
            slots=self.workload_model.slots,
            mask_coefficient=self.mask_coefficient,
            attribution=attribution,
            eta=self.crowding,
        )

    def fingerprint(self) -> dict[str, Any]:
        """What determines this replicate's luck and rules, as JSON: part of the identity of every stage."""
        return {
            "network": self.network.to_document(),
            "networkSeed": self.network_seed,
            "observation": self.observation.digest,
            "workload": repr(self.workload_model),
            "files": self.files,
            "rules": repr(self.rules),
            "maskCoefficient": self.mask_coefficient,
        }


def read_actor(path: Path) -> Model:
    """The actor of a file, of either kind. Raises UserError when there is none, ModelError when it is damaged."""
    try:
        return read_model(file_content(path, "model"))
    except ModelError as error:
        raise ModelError(f"{path}: {error.field}", error.value, error.remedy) from error
