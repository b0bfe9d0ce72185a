"""The parts of the specification below `spec`: networks, tasks, rules, mask, reward, evaluation, sweep."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgebed.experiment.document import Attribution, Count, Document, FilePath, NotNegative, Positive, Seconds
from edgebed.experiment.quantities import Quantity, Unit
from edgebed.systems.cooperative.distributions import Distribution
from edgebed.systems.cooperative.network import MAXIMUM_NODES
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Horizon

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
ApplicationKind = Literal["synthetic", "cpu", "ffmpeg"]


class Metadata(Document):
    """Who this experiment is, as Kubernetes names things."""

    name: Name
    """Lower-case letters, digits and hyphens, at most 63."""


class DrawnNetwork(Document):
    """Networks drawn once per replicate (paper section V.A)."""

    nodes: Annotated[int, Field(ge=2, le=MAXIMUM_NODES)]
    """Edge nodes, each linked with every other."""
    cores: Annotated[Distribution, Quantity("cores", above=True)]
    """Cores of a node; all of them work on one task."""
    core_frequency_ghz: Annotated[float, Field(gt=0, alias="coreFrequencyGHz"), Unit("GHz")] = 3.0
    """Cycles per nanosecond of one core."""
    arrival_probability: Annotated[Distribution, Quantity("1/slot", high=1)]
    """Chance that a node receives a task in a slot."""
    execution_failure_rate: Annotated[Distribution, Quantity("1/s")]
    """Failures per second of execution at a node (per slot with rules.failureUnit: slot)."""
    link_rate_mbps: Annotated[Distribution, Quantity("MB/s", above=True), Field(alias="linkRateMBps")]
    """Data rate of an ordered pair of nodes, in 10^6 bytes per second."""
    link_failure_rate: Annotated[Distribution, Quantity("1/s")]
    """Failures per second of transmission over a link (per slot with rules.failureUnit: slot)."""


class NetworkFile(Document):
    """Networks given as explicit arrays."""

    file: FilePath
    """A JSON file with one network or a list of them (replicate r takes entry r), relative to this file."""


class Application(Document):
    """What a task does on a real node; the simulator knows its cycles only."""

    kind: Literal["synthetic", "cpu"] = "synthetic"
    """`synthetic` waits, `cpu` computes."""


class MeasuredApplication(Document):
    """What a task does on a real node, with what it costs there."""

    kind: ApplicationKind
    """`synthetic` waits for as long, `cpu` computes for as long, `ffmpeg` converts video, on one core."""
    costs: FilePath
    """A JSON file that `edgebed calibrate ffmpeg --output FILE` writes, relative to this file."""


class _Slots(Document):
    slot_seconds: Seconds
    """Length of a slot."""
    slots: Count
    """Slots of an episode."""


class DrawnWorkload(_Slots):
    """Tasks drawn anew for each episode (paper section V.A)."""

    application: Application = Application()
    """What a task does on a real node."""
    size_kb: Annotated[Distribution, Quantity("KB", above=True), Field(alias="sizeKB")]
    """Input data of a task, in 1024 bytes."""
    cycles_per_bit: Annotated[Distribution, Quantity("cycles/bit", above=True)]
    """Work of a task per bit of its input."""
    deadline_seconds: Annotated[Distribution, Quantity("s", above=True)]
    """Time that a task has from the start of its slot."""


class MeasuredWorkload(_Slots):
    """Tasks drawn anew for each episode, each one of the profiles in a file of measured costs, all equally likely."""

    # what a user may take over from the other forms, and why it has no place here
    out_of_place: ClassVar[tuple[str, ...]] = ("sizeKB", "cyclesPerBit", "file")
    out_of_place_because: ClassVar[str] = "is given beside an application with costs"
    out_of_place_remedy: ClassVar[str] = "take it out: what a task is comes from application.costs"

    application: MeasuredApplication
    """What a task does on a real node; its size is that of the clip, its cycles are processor seconds times core frequency."""
    deadline_seconds: Annotated[Distribution, Quantity("s", above=True)]
    """Time that a task has from the start of its slot."""


class WorkloadFile(_Slots):
    """Tasks given as a trace."""

    application: Application = Application()
    """What a task does on a real node."""
    file: FilePath
    """A Parquet file with a row per task, relative to this file."""


def workload_form(value: object) -> str:
    """Which of the forms a document, or a workload, has."""
    given = value if isinstance(value, dict) else {}
    application = given.get("application")
    if isinstance(value, MeasuredWorkload) or (
        isinstance(application, dict) and ("costs" in application or application.get("kind") == "ffmpeg")
    ):
        return "<measured>"
    return "<file>" if "file" in given or isinstance(value, WorkloadFile) else "<drawn>"


class RulesChoice(Document):
    """What the paper leaves open."""

    drop_policy: Annotated[DropPolicy, Field(strict=False)] = DropPolicy.ESTIMATE_AT_EXECUTION
    """When a task that cannot be in time is given up."""
    failure_time: Annotated[FailureTime, Field(strict=False)] = FailureTime.AT_END
    """How long a failing stage occupies its server."""
    horizon: Annotated[Horizon, Field(strict=False)] = Horizon.DRAIN
    """What happens to unfinished tasks after the last slot."""
    decision_order: Annotated[DecisionOrder, Field(strict=False)] = DecisionOrder.SIMULTANEOUS
    """What the decisions of one slot see of each other."""
    failure_unit: Annotated[FailureUnit, Field(strict=False)] = FailureUnit.SECOND
    """Unit of time of the failure rates."""


class Mask(Document):
    """Which nodes may be chosen for offloading."""

    coefficient: Positive = 0.25
    """A node is unavailable when as many tasks wait as coefficient times a quarter of its cores."""


class Reward(Document):
    """How outcomes become rewards."""

    attribution: Attribution = "completion"
    """To the team in the slot of `completion` or of `arrival`, or to the node that decided: `perTask`, or `crowding` too."""
    crowding: NotNegative = 1.0
    """With attribution `crowding`: weight of what a decision does to the tasks behind it, added to its own outcome."""


class Evaluation(Document):
    """On which episodes the methods are compared; the same ones for all."""

    episodes: Count = 10
    """Episodes per replicate of the final comparison."""
    every: Count = 10
    """Online episodes between two points of the learning curve; a point waits for the update in progress."""
    curve_episodes: Count = 10
    """Episodes per replicate of each point of the learning curve."""


class Sweep(Document):
    """The whole experiment, once per value of one field."""

    field: Annotated[str, Field(pattern=r"^[a-zA-Z]+(\.[a-zA-Z]+)*$", max_length=100)]
    """Path of the field below spec, such as workload.sizeKB."""
    values: Annotated[tuple[Any, ...], Field(strict=False, min_length=1, max_length=100)]
    """What takes its place; anything that the field allows."""
    label: Annotated[str, Field(max_length=100)] | None = None
    """Name of the axis in figures; the field's path if not given."""
