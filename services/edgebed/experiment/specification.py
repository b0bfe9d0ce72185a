"""The experiment as a value: what is compared, on which networks and tasks, under which rules, from which seed.

This model is the only definition. The JSON Schema, the reference page and the messages about wrong files are made from
it; `network_model`, `workload_model` and `rules` turn it into the values of the offloading system.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PrivateAttr, Tag, field_validator

from edgebed.experiment.document import Document, refused
from edgebed.experiment.methods import Method
from edgebed.experiment.parts import (
    DrawnNetwork,
    DrawnWorkload,
    Evaluation,
    Mask,
    MeasuredWorkload,
    Metadata,
    NetworkFile,
    Reward,
    RulesChoice,
    Sweep,
    WorkloadFile,
    workload_form,
)
from edgebed.experiment.quantities import Unit, scaled
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel

API_VERSION = "edgebed.dev/v1alpha1"
Backend = Literal["simulator", "processes", "kubernetes"]
OnNodeLoss = Literal["fail", "continue"]
OnModelRefused = Literal["fail", "keepOld"]
ScheduleSeconds = Annotated[int, Field(ge=1, le=2**31 - 1), Unit("s")]
SCHEDULE = ("suspend", "ttlSecondsAfterFinished", "startDeadlineSeconds", "activeDeadlineSeconds")
"""What says how a cluster goes about an experiment, not what the experiment is: two that differ in nothing else are one."""


def _network_form(value: object) -> str:
    """Which of its two forms a network has."""
    return "<file>" if (isinstance(value, dict) and "file" in value) or hasattr(value, "file") else "<drawn>"


class Spec(Document):
    """What the experiment is."""

    description: Annotated[str, Field(max_length=1_000)] | None = None
    """A sentence for the report."""
    system: Literal["cooperative"] = "cooperative"
    """The offloading system."""
    backend: Backend = "simulator"
    """Where the experiment runs."""
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 1
    """Everything random follows from it; replicate r has network seed seed + r."""
    replicates: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Independent networks."""
    training_seeds: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Independent training runs of each learned method on each network."""
    network: Annotated[
        Annotated[DrawnNetwork, Tag("<drawn>")] | Annotated[NetworkFile, Tag("<file>")], Discriminator(_network_form)
    ]
    """Distributions to draw networks from, or a file."""
    workload: Annotated[
        Annotated[DrawnWorkload, Tag("<drawn>")]
        | Annotated[MeasuredWorkload, Tag("<measured>")]
        | Annotated[WorkloadFile, Tag("<file>")],
        Discriminator(workload_form),
    ]
    """Distributions to draw tasks from, an application with measured costs, or a file."""
    rules: RulesChoice = RulesChoice()
    """What the paper leaves open."""
    mask: Mask = Mask()
    """Which nodes may be chosen."""
    reward: Reward = Reward()
    """How outcomes become rewards."""
    methods: Annotated[tuple[Method, ...], Field(strict=False, min_length=1, max_length=100)]
    """What is compared."""
    evaluation: Evaluation = Evaluation()
    """On which episodes."""
    on_node_loss: OnNodeLoss = "fail"
    """When a real node goes away: stop the experiment, or go on with its tasks failed; the simulator loses no node."""
    on_model_refused: OnModelRefused = "fail"
    """When nodes refuse a damaged or foreign model in online learning: stop, or go on with the one before; else stop always."""
    sweep: Sweep | None = None
    """Repeat all of it for several values of one field."""
    suspend: bool = False
    """In a cluster: stop, and keep what is done; set back to false, it goes on. No effect elsewhere."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1), Unit("s")] | None = None
    """In a cluster: delete it so long after its end; kept if not given. No effect elsewhere."""
    start_deadline_seconds: ScheduleSeconds = 600
    """In a cluster: it has failed if its nodes are not ready after so long. No effect elsewhere."""
    active_deadline_seconds: ScheduleSeconds | None = None
    """In a cluster: it has failed if it has not ended so long after its start; no limit without it. No effect elsewhere."""

    @field_validator("methods")
    @classmethod
    def _names_differ(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        first: dict[str, int] = {}
        for position, method in enumerate(methods):
            if first.setdefault(method.name, position) != position:
                found = f"{method.name!r} is already the name of methods[{first[method.name]}]"
                raise refused(found, "give every method a name of its own", position, "name")
        return methods


class Experiment(Document):
    """One experiment. Build it with `edgebed.experiment.reading.load`, which explains what is wrong with a file."""

    api_version: Literal["edgebed.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["Experiment"]
    """Always Experiment."""
    metadata: Metadata
    """The name."""
    spec: Spec
    """What the experiment is."""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name

    @property
    def folder(self) -> Path:
        """What the file paths of the specification are relative to."""
        return self._folder

    def located(self, folder: Path) -> Self:
        """The same experiment with file paths relative to `folder`."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    def network_seed(self, replicate: int) -> int:
        """What network and luck of a replicate follow from."""
        return self.spec.seed + replicate

    def to_document(self) -> dict[str, Any]:
        """The experiment as plain values, as they would be written in YAML, with defaults, except those of SCHEDULE."""
        document: dict[str, Any] = json.loads(self.model_dump_json(by_alias=True, exclude_none=True))
        spec = document["spec"]
        for name, field in Spec.model_fields.items():
            if field.alias in SCHEDULE and getattr(self.spec, name) == field.default:
                spec.pop(field.alias, None)
        return document

    def without_schedule(self) -> Self:
        """The same experiment with the fields of SCHEDULE at their defaults: what makes two runs the same run."""
        fields = {name: field.default for name, field in Spec.model_fields.items() if field.alias in SCHEDULE}
        return self.model_copy(update={"spec": self.spec.model_copy(update=fields)})

    @property
    def digest(self) -> str:
        """SHA-256 of the document without SCHEDULE; does not cover the content of files it names."""
        document = self.without_schedule().to_document()
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def rules(self) -> Rules:
        """The rules as the system's value."""
        return Rules(**{name: getattr(self.spec.rules, name) for name in RulesChoice.model_fields})

    def network_model(self) -> NetworkModel | None:
        """What networks are drawn from; None when they are read from a file."""
        network = self.spec.network
        if isinstance(network, NetworkFile):
            return None
        return NetworkModel(
            nodes=network.nodes,
            cores=network.cores,
            core_frequency_hz=network.core_frequency_ghz * 1e9,
            arrival_probability=network.arrival_probability,
            execution_failure_rate=network.execution_failure_rate,
            link_rate_bits_per_s=scaled(network.link_rate_mbps, BITS_PER_MB),
            link_failure_rate=network.link_failure_rate,
        )

    def workload_model(self) -> WorkloadModel | None:
        """The distributions that tasks are drawn from; None when they come from a file of costs or from a trace."""
        workload = self.spec.workload
        if not isinstance(workload, DrawnWorkload):
            return None
        return WorkloadModel(
            slot_s=workload.slot_seconds,
            slots=workload.slots,
            size_bits=scaled(workload.size_kb, BITS_PER_KB),
            cycles_per_bit=workload.cycles_per_bit,
            deadline_s=workload.deadline_seconds,
        )


def schema() -> dict[str, Any]:
    """The JSON Schema of an experiment file (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Experiment.model_json_schema(by_alias=True)}
