"""What a node is told before it works: the bodies of its control API, checked at the door."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from edgebed.experiment.document import Count, Document, Positive, Seconds, refused
from edgebed.experiment.parts import ApplicationKind, RulesChoice
from edgebed.experiment.quantities import Quantity
from edgebed.systems.cooperative.distributions import Distribution
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel

Index = Annotated[int, Field(ge=0, lt=1000)]
Slot = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Version = Annotated[int, Field(ge=0, lt=2**63)]
Address = Annotated[str, Field(pattern=r"^http://[^/\s]+:\d+$", max_length=300)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Decision = Annotated[tuple[Slot, Index, Index], Field(strict=False)]


class TaskModel(Document):
    """From what the tasks of the experiment are drawn; some policies make sample workloads of their own."""

    slots: Count
    """Slots of an episode."""
    size_bits: Annotated[Distribution, Quantity("bits", above=True)]
    """Input data of a task."""
    cycles_per_bit: Annotated[Distribution, Quantity("cycles/bit", above=True)]
    """Work per bit of input."""
    deadline_seconds: Annotated[Distribution, Quantity("s", above=True)]
    """Relative deadline."""

    def model(self, slot_s: float) -> WorkloadModel:
        """The same as the system's value."""
        return WorkloadModel(slot_s, self.slots, self.size_bits, self.cycles_per_bit, self.deadline_seconds)


class Application(Document):
    """What a task does on this node."""

    kind: ApplicationKind = "synthetic"
    """Its name."""


class Configuration(Document):
    """Everything that stays the same over the episodes of one network."""

    version: Version = 1
    """Of this configuration; the node answers it when the configuration is in use."""
    run: Annotated[str, Field(max_length=200)] = ""
    """Of which run of an experiment, as metrics name it."""
    node: Index
    """Which node of the network this one is."""
    network: dict[str, Any]
    """The network, with the keys of a network file."""
    rules: RulesChoice = RulesChoice()
    """What the paper leaves open."""
    slot_seconds: Seconds
    """Length of a slot."""
    mask_coefficient: Positive = 0.25
    """A node is unavailable when as many tasks wait as coefficient times a quarter of its cores."""
    network_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """For policies that prepare something from sample workloads."""
    workload: TaskModel
    """From what tasks are drawn."""
    application: Application = Application()
    """What a task does here."""
    addresses: Annotated[tuple[Address, ...], Field(strict=False, min_length=1, max_length=1000)]
    """Of node 0, 1, and so on; http://host:port."""
    log: Address | None = None
    """Where task records go; they are counted only when this is missing."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            nodes = Network.from_document(self.network).nodes
        except ModelError as error:
            raise refused(f"{error.field} {error.value!r:.60} is not allowed", error.remedy, "network") from error
        if len(self.addresses) != nodes:
            raise refused(f"{len(self.addresses)} addresses", f"give one for each of the {nodes} nodes", "addresses")
        if self.node >= nodes:
            raise refused(f"{self.node} is not allowed", f"the network has nodes 0 to {nodes - 1}", "node")
        return self

    def context(self) -> PolicyContext:
        """What policies are built for."""
        return PolicyContext(
            Network.from_document(self.network),
            self.workload.model(self.slot_seconds),
            self.rule_values(),
            self.mask_coefficient,
            self.network_seed,
        )

    def rule_values(self) -> Rules:
        """The rules as the system's value."""
        return Rules(**{name: getattr(self.rules, name) for name in RulesChoice.model_fields})


class Model(Document):
    """A trained model in the artefact store."""

    name: Name
    """Of the artefact."""
    file: Name = "actor.safetensors"
    """Of the model within it."""
    sha256: Digest
    """Of that file: a model with other content is refused."""
    observation: Digest | None = None
    """Of the observation specification: a model that sees other things is refused."""


class SchedulerChoice(Document):
    """How the node decides from now on."""

    version: Version
    """Written into every record; the node answers it when the scheduler is in use."""
    kind: Name
    """Name of an installed policy, or `fixed`."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The policy's own."""
    model: Model | None = None
    """Of an actor."""
    decisions: Annotated[tuple[Decision, ...] | None, Field(strict=False)] = None
    """For `fixed`: slot, source and destination of every task."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "fixed") != (self.decisions is not None):
            raise refused("decisions", "give decisions with kind fixed, and only there", "decisions")
        return self


class EpisodeStart(Document):
    """An episode begins."""

    run: Name
    """The run that it belongs to."""
    episode: Annotated[int, Field(ge=0, lt=2**32)]
    """Its number in the run."""
    starts_at_unix_ns: Annotated[int, Field(gt=0, lt=2**63)]
    """When slot 0 begins."""
    slots: Count
    """Slots in which tasks arrive."""
    decision_key: Annotated[str, Field(pattern=r"^\d{1,20}$")]
    """What the uniforms of its decisions are made of, a whole number below 2^64 as text."""


class EpisodeEnd(Document):
    """An episode is over."""

    run: Name
    """The run that it belongs to."""
    episode: Annotated[int, Field(ge=0, lt=2**32)]
    """Its number in the run."""
