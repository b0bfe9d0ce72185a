"""What is compared: a policy as it is, or a learned one and how it is learned.

The hyperparameters carry the names of the algorithms' own settings; `settings()` hands them over. Defaults are the
paper's (Lin et al. 2024, section V.A, Algorithms 1 and 2) where it gives them.

Two kinds of actor can be learned. The paper's belongs to one network: `sac-cql` offline, `ppo` online. The candidate actor
(docs/generalist.md) belongs to none: `training` over many networks in the simulator, `outcomes` offline, `candidate-ppo`
online; `start` names one that exists.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edgebed.experiment.document import (
    Attribution,
    Count,
    Document,
    FilePath,
    Fraction,
    NotNegative,
    Positive,
    refused,
)
from edgebed.experiment.errors import shown
from edgebed.experiment.quantities import Quantity
from edgebed.systems.cooperative.distributions import Constant, Distribution
from edgebed.systems.cooperative.variation import Variation

MethodName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9._+-]*[a-zA-Z0-9+])?$", max_length=63)]
PolicyName = Annotated[str, Field(min_length=1, max_length=63)]
Hidden = Annotated[int, Field(ge=1, le=4096)]
AskChoice = Annotated[str, Field(pattern="^(none|all)$")] | Annotated[int, Field(ge=1, le=1_000)]

# The default as it is written: a schema would have the distribution's attributes, which the API server refuses.
Factor = Annotated[Distribution, Quantity("", low=0.01, high=100), Field(json_schema_extra={"default": 1})]
_UNVARIED = Constant(1.0)

CANDIDATE = ("outcomes", "worth", "candidate-ppo")
"""Algorithms of the candidate actor."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "outcomes": {"learningRate": 1e-3, "temperature": 0.2, "hidden": 48},
    "candidate-ppo": {"epochs": 3, "entropy": 0.003, "hidden": 48},
}
"""Of an algorithm where they are not those of its class."""


def _with_defaults(value: object) -> object:
    """A mapping with the defaults of the algorithm that it names."""
    if not isinstance(value, Mapping) or not isinstance(value.get("algorithm"), str):
        return value
    return {**_DEFAULTS.get(value["algorithm"], {}), **value}


def _refuse_unused(part: Document, algorithm: str, *names: str) -> None:
    """Raises for fields that an algorithm does not have."""
    for name in names:
        field = type(part).model_fields[name]
        if getattr(part, name) != field.default:
            raise refused(f"is not used by {algorithm}", "take it out", field.alias or name)


class PolicyChoice(Document):
    """A policy by its name, with parameters of its own: `ratc`, or `{kind: rda, coefficient: 0.5}`."""

    model_config = ConfigDict(extra="allow")

    kind: PolicyName
    """Name of an installed policy."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What is handed to the policy beside its context."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, Mapping):
            return {str(key): item for key, item in value.items()}
        raise refused(f"{shown(value)} is not allowed", "give the name of a policy, or {kind: name, ...parameters}")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        name = {
            key: value for key, value in mapping["properties"]["kind"].items() if key not in ("title", "description")
        }
        return {"anyOf": [name, mapping], "x-values": "a name, or {kind: name, ...parameters}"}

    @model_serializer
    def _shortest(self) -> object:
        return {"kind": self.kind, **self.parameters} if self.parameters else self.kind


class Collect(Document):
    """Where the log for offline learning comes from."""

    policy: PolicyChoice
    """The policy that plays while the tasks are logged."""
    episodes: Count
    """Episodes in the log."""


class DomainRandomisation(Document):
    """Varies the networks that are learned on, so that what is learned holds beyond the experiment's setup.

    Each field is a factor, drawn once for a network and the same for all of its nodes and links.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Chance that a network is varied; the others stay as they are."""
    arrival_probability: Factor = _UNVARIED
    """Of spec.network.arrivalProbability; no probability goes beyond 1."""
    core_frequency: Factor = _UNVARIED
    """Of spec.network.coreFrequencyGHz; 2 makes every node twice as fast, or every task half as much work."""
    execution_failure_rate: Factor = _UNVARIED
    """Of spec.network.executionFailureRate."""
    link_rate: Factor = _UNVARIED
    """Of spec.network.linkRateMBps."""
    link_failure_rate: Factor = _UNVARIED
    """Of spec.network.linkFailureRate."""
    slot_length: Factor = _UNVARIED
    """Of spec.workload.slotSeconds; shorter slots bring more tasks per second."""

    @model_validator(mode="after")
    def _varies(self) -> Self:
        factors = [name for name in type(self).model_fields if name != "share"]
        if all(getattr(self, name) == _UNVARIED for name in factors):
            names = ", ".join(type(self).model_fields[name].alias or name for name in factors)
            raise refused("varies nothing", f"give a factor to one of {names}, or take it out")
        return self

    def document(self) -> dict[str, Any]:
        """As it is written."""
        return self.model_dump(mode="json", by_alias=True)

    def variation(self) -> Variation:
        """For the networks and tasks that are drawn."""
        return Variation(**{name: getattr(self, name) for name in type(self).model_fields})


class TrainingNetworks(Document):
    """The networks that a candidate actor learns on; never one that it is evaluated on."""

    source: Annotated[FilePath, Field(alias="from")] = "specification"
    """`specification` to draw them from spec.network, or a JSON file with a list of networks."""
    per_update: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Networks in each update, of equally many nodes."""
    nodes: Annotated[tuple[Annotated[int, Field(ge=2, le=200)], ...], Field(strict=False, max_length=100)] = ()
    """Nodes of the networks that are drawn, in turn from update to update; those of spec.network if not given."""
    domain_randomisation: DomainRandomisation | None = None
    """How they are varied; not at all if not given."""


class Training(Document):
    """Learns one policy for every network: a candidate actor on many networks in the simulator, whatever the backend.

    `worth` learns by regression what sending a task to a candidate is worth, to it and to those behind it, and decides by a
    softmax of that. `candidate-ppo` learns the choice itself, by proximal policy optimisation.
    """

    algorithm: Literal["worth", "candidate-ppo"]
    """How."""
    networks: TrainingNetworks = TrainingNetworks()
    """What it learns on."""
    episodes: Count = 960
    """Episodes altogether."""
    episodes_per_update: Count = 4
    """Episodes between two changes of the actor, shared out among the update's networks."""
    ask: AskChoice = "none"
    """Whose seconds of work a decision knows beside all bits: `none`, `all`, or those of so many nodes."""
    learns_to_ask: Annotated[tuple[AskChoice, ...], Field(strict=False, max_length=10)] = ()
    """What `ask` may be changed to later: the actor learns with each in turn; with `ask` alone if not given."""
    crowding: NotNegative = 1.0
    """Weight of what a decision does to the tasks behind it in its execution queue."""
    temperature: Positive = 0.07
    """With `worth`: what it is divided by in the softmax."""
    load_exponent: NotNegative = 0.0
    """With `worth`: power of the network's load, cut at 0.6 and 1, by which the temperature is multiplied."""
    focus: Fraction = 0.0
    """With `worth`: share of the regression's weight that goes by a candidate's probability; the rest is the same for all."""
    learning_rate: Positive = 0.004
    """Step size of Adam; it falls linearly to 0."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """With `candidate-ppo`: largest change of a choice's probability that is rewarded, as a ratio."""
    epochs: Count = 2
    """Passes over the played episodes in one update."""
    minibatches: Count = 4
    """Parts of a pass, each one gradient step."""
    entropy: NotNegative = 0.003
    """With `candidate-ppo`: weight of the policy's entropy."""
    hidden: Hidden = 64
    """Units of each of the two hidden layers."""


class Offline(Document):
    """Learns from the collected log.

    `sac-cql` is Algorithm 1: discrete soft actor-critic with conservative Q-learning. `outcomes` learns what
    becomes of a task at a candidate node, by regression, and decides by a softmax of it.
    """

    algorithm: Literal["sac-cql", "outcomes"]
    """How."""
    updates: Count
    """Gradient steps."""
    batch_slots: Count = 128
    """Slots of the log in one gradient step, each with all its nodes."""
    learning_rate: Positive = 3e-4
    """Step size of Adam, for actor and critics; 0.001 for `outcomes`."""
    discount: Fraction = 0.99
    """Weight of the next slot's value."""
    target_update: Fraction = 0.0005
    """Share of the critic that moves into its target at every step."""
    temperature: NotNegative = 0.05
    """Weight of the policy's entropy; for `outcomes`, what outcomes are divided by in the softmax, 0.2."""
    conservatism: NotNegative = 0.1
    """Weight of the penalty on values of actions that the log does not show."""
    attribution: Attribution | None = None
    """When set, replaces reward.attribution for this algorithm."""
    hidden: Hidden = 64
    """Units of each of the two hidden layers of actor and critics; 48 for `outcomes`."""
    ask: AskChoice = "none"
    """With `outcomes`: whose seconds of work a decision knows beside all bits: `none`, `all`, or those of so many nodes."""

    @model_validator(mode="before")
    @classmethod
    def _its_defaults(cls, value: object) -> object:
        return _with_defaults(value)

    @model_validator(mode="after")
    def _its_fields(self) -> Self:
        if self.algorithm == "outcomes":
            _refuse_unused(self, "outcomes", "discount", "target_update", "conservatism", "attribution")
            if self.temperature == 0:
                raise refused("0 is not allowed", "give a number over 0, such as 0.2", "temperature")
        else:
            _refuse_unused(self, self.algorithm, "ask")
        return self

    def settings(self) -> dict[str, Any]:
        """The algorithm's hyperparameters, in snake_case."""
        return self.model_dump(exclude={"algorithm"})


class Online(Document):
    """Learns on the running system, from the actor that the method begins with if there is one.

    `ppo` is Algorithm 2: proximal policy optimisation of the paper's actor. `candidate-ppo` is that of the candidate
    actor, with every candidate judged.
    """

    algorithm: Literal["ppo", "candidate-ppo"]
    """How."""
    episodes: Count
    """Online episodes altogether."""
    episodes_per_update: Count = 1
    """Episodes that are played before the actor is changed."""
    learning_rate: Positive = 3e-4
    """Step size of Adam, for actor and critic."""
    discount: Fraction = 0.99
    """Weight of the next slot's value."""
    gae_lambda: Fraction = 0.95
    """Weight of longer returns in the advantage."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Largest change of an action's probability that is rewarded, as a ratio."""
    epochs: Count = 4
    """Passes over the played episodes in one update; 3 for `candidate-ppo`."""
    minibatches: Count = 8
    """Parts of a pass, each one gradient step."""
    entropy: NotNegative = 0.0
    """Weight of the policy's entropy; 0.003 for `candidate-ppo`."""
    fresh_critic: bool = False
    """Begin with a new critic instead of the offline one."""
    attribution: Attribution | None = None
    """When set, replaces reward.attribution for this algorithm."""
    learning_rate_falls: bool = False
    """Let the step size fall linearly to 0 over the online episodes."""
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 8
    """Passes over the first episodes in which only the critic learns, so that tuning does not begin with a dip."""
    hidden: Hidden = 64
    """Units of each of the two hidden layers; taken from the actor that it begins with; 48 for a new candidate actor."""
    crowding: NotNegative = 1.0
    """With `candidate-ppo`: weight of what a decision does to the tasks behind it in its execution queue."""

    @model_validator(mode="before")
    @classmethod
    def _its_defaults(cls, value: object) -> object:
        return _with_defaults(value)

    @model_validator(mode="after")
    def _its_fields(self) -> Self:
        if self.algorithm == "candidate-ppo":
            no = ("discount", "gae_lambda", "fresh_critic", "attribution", "warmup_epochs")
            _refuse_unused(self, "candidate-ppo", *no)
        else:
            _refuse_unused(self, self.algorithm, "crowding")
        return self

    def settings(self) -> dict[str, Any]:
        """The algorithm's hyperparameters, in snake_case."""
        return self.model_dump(exclude={"algorithm"})


class Method(Document):
    """Either `policy`, or what an actor begins with (`collect` and `offline`, `training`, or `start`), `online`, or both."""

    name: MethodName
    """How the method is called in results and figures."""
    policy: PolicyChoice | None = None
    """A policy that is used as it is."""
    collect: Collect | None = None
    """The log that offline learning starts from."""
    offline: Offline | None = None
    """Learn from the log."""
    training: Training | None = None
    """Learn one policy for every network, in the simulator."""
    start: FilePath | None = None
    """Begin with a candidate actor that exists: `generalist`, the one that comes along, or a file."""
    online: Online | None = None
    """Learn, or go on learning, while playing."""

    @property
    def learned(self) -> bool:
        """Whether something must be trained before the method can be evaluated."""
        return self.policy is None

    @model_validator(mode="before")
    @classmethod
    def _one_actor(cls, value: object) -> object:
        """Online learning goes on with the offline actor, so its layers are the default."""
        if not isinstance(value, Mapping):
            return value
        first, online = value.get("offline") or value.get("training"), value.get("online")
        if not (isinstance(first, Mapping) and isinstance(online, Mapping)):
            return value
        if "hidden" not in first or "hidden" in online:
            return value
        return {**value, "online": {**online, "hidden": first["hidden"]}}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        parts = [p for p in ("collect", "offline", "training", "start", "online") if getattr(self, p) is not None]
        if self.policy is not None and parts:
            raise refused("is not allowed beside policy", "give either policy, or how to learn one", parts[0])
        if self.policy is None and not set(parts) - {"collect", "start"}:
            if self.start is not None:
                raise refused("is not followed by online", "give online too, or policy: generalist instead", "start")
            remedy = "give policy, or collect and offline, or training, or online"
            raise refused("has neither a policy nor a way to learn one", remedy)
        begins = [p for p in ("offline", "training", "start") if p in parts]
        if len(begins) > 1:
            raise refused(f"is not allowed beside {begins[0]}", "an actor begins with one of them", begins[1])
        if self.offline is not None and self.collect is None:
            raise refused("is missing", "offline needs {policy: ..., episodes: ...} to learn from", "collect")
        if self.collect is not None and self.offline is None:
            raise refused("is not used", "give offline too, or remove collect", "collect")
        if self.online is not None and begins:
            first: Offline | Training | None = self.offline or self.training
            candidate = first is None or first.algorithm in CANDIDATE
            if candidate != (self.online.algorithm in CANDIDATE):
                right = "candidate-ppo" if candidate else "ppo"
                found = f"{self.online.algorithm!r} does not go on with the actor of {begins[0]}"
                raise refused(found, f"give {right}", "online", "algorithm")
            if first is not None and first.hidden != self.online.hidden:
                found = f"{self.online.hidden} differs from {begins[0]}.hidden"
                raise refused(found, "give both the same layers: it is one actor", "online", "hidden")
        return self
