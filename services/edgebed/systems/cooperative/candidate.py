"""What a node knows of each node that could execute its task: the observation `candidate/v1`.

The paper's observation (`observation.py`) is tied to one network by its one-hot and its order of nodes. This one is not: it
describes a candidate j for a task at i by numbers that mean the same in every network, so one small network that scores
candidates serves every node, network and N. Everything with a dimension is divided by one of the same kind: times by the
task's deadline, sizes and cycles by the mean task, capacities by the network's mean.

The static part belongs to the pair (i, j) and follows from what the network publishes; the dynamic part belongs to the task.
Their columns are STATIC and DYNAMIC, in this order. A node knows its own queue, its own links and one bit of every node;
whose seconds of work it knows beyond that depends on whom it asks (`Ask`). Columns of what was not told are 0, and `told`
says so.

One function makes the numbers (`CandidateObservation.dynamic`), from quantities that a simulator, a node and a log have
alike: the simulator reads them from the kernel's state, a node from its core, `candidate_log` from the instants that a log
records.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import MAXIMUM_NODES
from edgebed.systems.cooperative.policy import PolicyContext

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bits = NDArray[np.bool_]

VERSION = "candidate/v1"

STATIC = (
    "own",  # 1 for the node itself
    "meanTransmission",  # Tt of a mean task from i to j, in deadlines
    "meanExecution",  # Tc of a mean task at j, in deadlines
    "executionHazard",  # alpha_j over a deadline
    "linkHazard",  # beta_ij over a deadline
    "arrivals",  # lambda_j
    "load",  # seconds of work that arrive at j per second, r / (1 + r)
    "networkLoad",  # the same for the whole network
    "capacity",  # F_j over the network's mean, halved
    "fasterCapacity",  # share of the network's capacity that belongs to nodes faster than j
    "patience",  # how many tasks may wait at j while its bit says available, halved
    "slot",  # length of a slot, in deadlines
    "arrivalsPerSlot",  # tasks that the whole network expects in a slot, per node
)
"""Columns of the static part."""

DYNAMIC = (
    "transmission",  # Tt, in deadlines
    "execution",  # Tc, in deadlines
    "sendingBacklog",  # own sending queue to j with the transfer in progress, in deadlines
    "slack",  # 1 - completion in deadlines if nothing unknown is in the way
    "hazard",  # Tt beta + Tc alpha
    "available",  # j's bit
    "availableShare",  # share of nodes whose bit says available
    "size",  # of the task, over the mean
    "cycles",  # of the task, over the mean
    "told",  # 1 if j's seconds of work are known
    "backlog",  # these, in deadlines, 0 if not told
    "toldSlack",  # 1 - completion in deadlines with them, 0 if not told
    "choices",  # share of nodes that are available and have slack
)
"""Columns of the dynamic part."""

STATIC_SCALE = np.array([1, 8, 2, 4, 20, 2, 2, 4, 1, 1, 1, 4, 2], dtype=np.float64)
DYNAMIC_SCALE = np.array([8, 2, 4, 1, 10, 1, 1, 1, 1, 1, 1, 1, 1], dtype=np.float32)
"""What columns are multiplied by, so that those of a network like the paper's are all about as large."""

FAR = 3.0
"""Numbers are cut here: beyond three deadlines a candidate is as bad as it can be."""


@dataclass(frozen=True)
class CandidateSpecification:
    """Which observation a model was trained with; there is nothing in it that depends on a network."""

    version: str = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            remedy = (
                f"this version of edgebed knows {VERSION!r}; train the model again, or use the version that made it"
            )
            raise ModelError("observation.version", self.version, remedy)

    @property
    def static_size(self) -> int:
        """S."""
        return len(STATIC)

    @property
    def dynamic_size(self) -> int:
        """D."""
        return len(DYNAMIC)

    @property
    def digest(self) -> str:
        """SHA-256 of version and columns; equal iff the numbers mean the same."""
        columns = {"version": self.version, "static": STATIC, "dynamic": DYNAMIC}
        return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Ask:
    """Whose seconds of work a decision knows beside the node's own: nobody's, everyone's, or those of `count` nodes."""

    count: int
    """0 for none; MAXIMUM_NODES for all."""

    @classmethod
    def of(cls, value: object) -> "Ask":
        """From the specification: `none`, `all`, or a number of nodes. Raises ModelError."""
        if value == "none":
            return cls(0)
        if value == "all":
            return cls(MAXIMUM_NODES)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAXIMUM_NODES:
            return cls(value)
        raise ModelError("ask", value, f"give none, all, or how many nodes to ask, 1 to {MAXIMUM_NODES}")

    @property
    def everyone(self) -> bool:
        """Whether all are asked."""
        return self.count >= MAXIMUM_NODES


@dataclass(frozen=True, eq=False)
class Known:
    """What is known when some tasks of one network are decided; R rows, a column per candidate node."""

    source: Integers
    """(R,) the deciding node."""
    size_bits: Floats
    """(R,)"""
    cycles: Floats
    """(R,)"""
    deadline_s: Floats
    """(R,) relative to the slot's start."""
    sending_backlog_s: Floats
    """(R, N) seconds of work in the own sending queue to each node, with the residual of the transfer; 0 to itself."""
    available: Bits
    """(R, N) every node's bit."""
    backlog_s: Floats
    """(R, N) seconds of work in each node's execution queue; means something where `told`."""
    told: Bits | None
    """(R, N) whose `backlog_s` is known; True for the node itself. None: everyone's."""


class CandidateObservation:
    """The numbers of `candidate/v1` for the nodes of one network."""

    def __init__(self, context: PolicyContext) -> None:
        network, workload = context.network, context.workload
        if network.nodes < 2:
            raise ModelError("network", f"{network.nodes} node", "there is nothing to choose with fewer than 2 nodes")
        self.network = network
        self.nodes = network.nodes
        self.slot_s = workload.slot_s
        scale = context.rules.failure_rate_scale(workload.slot_s)
        self.alpha = network.execution_failure_rate * scale
        self.beta = network.link_failure_rate * scale
        self.mean_size_bits = workload.size_bits.mean
        self.mean_cycles = workload.size_bits.mean * workload.cycles_per_bit.mean
        self.mean_deadline_s = workload.deadline_s.mean
        self.patience = np.ceil(context.mask_coefficient * network.cores / 4)
        self._rate = network.link_rate_bits_per_s.copy()
        np.fill_diagonal(self._rate, np.inf)  # to itself, nothing takes time

    def of_source(self, source: int) -> tuple[Floats, Floats, Floats, Floats]:
        """(N,) each, of the candidates of one node: link rate, infinite to itself, capacity, alpha and beta per second."""
        return self._rate[source], self.network.capacity_hz, self.alpha, self.beta[source]

    def static(self, source: int) -> Array:
        """(N, S) the static part of every candidate for tasks of one node."""
        network, d = self.network, self.mean_deadline_s
        capacity, n = network.capacity_hz, self.nodes
        out = np.empty((n, len(STATIC)))
        out[:, 0] = np.arange(n) == source
        out[:, 1] = self.mean_size_bits / self._rate[source] / d
        out[:, 2] = self.mean_cycles / capacity / d
        out[:, 3] = self.alpha * d
        out[:, 4] = np.where(out[:, 0] == 1, 0.0, self.beta[source] * d)
        out[:, 5:] = self._of_nodes
        out *= STATIC_SCALE
        return np.minimum(out, FAR).astype(np.float32)

    @property
    def load(self) -> float:
        """Seconds of work that arrive in the network per second, over the nodes that could do it."""
        network = self.network
        arriving = network.arrival_probability.sum() * self.mean_cycles / self.slot_s
        return float(arriving / network.capacity_hz.sum())

    @cached_property
    def _of_nodes(self) -> Floats:
        """(N, S - 5) what does not depend on who decides."""
        network, slot = self.network, self.slot_s
        capacity, arrivals = network.capacity_hz, network.arrival_probability
        work = arrivals * self.mean_cycles / slot
        load, total = work / capacity, work.sum() / capacity.sum()
        order = np.sort(capacity)
        above = np.concatenate(
            [np.cumsum(order[::-1])[::-1], [0.0]]
        )  # capacity of the k-th slowest and all faster ones
        columns = [
            arrivals,
            load / (1 + load),
            np.full(self.nodes, total / (1 + total)),
            np.minimum(capacity / capacity.mean(), 2 * FAR) / 2,
            above[np.searchsorted(order, capacity, side="right")] / capacity.sum(),
            np.minimum(self.patience, 4.0) / 2,
            np.full(self.nodes, min(slot / self.mean_deadline_s, 1.0)),
            np.full(self.nodes, arrivals.mean()),
        ]
        return np.stack(columns, axis=1)

    def dynamic(self, known: Known) -> Array:
        """(R, N, D) the dynamic part."""
        source, d = known.source, known.deadline_s[:, None]
        own = np.arange(self.nodes) == source[:, None]
        told = np.ones_like(own) if known.told is None else known.told | own
        transmission = known.size_bits[:, None] / self._rate[source] / d
        execution = known.cycles[:, None] / self.network.capacity_hz / d
        hazard = (transmission * self.beta[source] + execution * self.alpha) * d
        sending = known.sending_backlog_s / d
        backlog = np.where(told, known.backlog_s / d, 0.0)
        ready = sending + transmission
        finish = np.maximum(ready, backlog) + execution
        slack = 1.0 - np.where(own, finish, ready + execution)
        available = known.available
        out = np.empty((*own.shape, len(DYNAMIC)), dtype=np.float32)
        out[:, :, 0] = transmission
        out[:, :, 1] = execution
        out[:, :, 2] = sending
        out[:, :, 3] = slack
        out[:, :, 4] = hazard
        out[:, :, 5] = available
        out[:, :, 6] = available.mean(axis=1)[:, None]
        out[:, :, 7] = (known.size_bits / self.mean_size_bits)[:, None]
        out[:, :, 8] = (known.cycles / self.mean_cycles)[:, None]
        out[:, :, 9] = told
        out[:, :, 10] = backlog
        out[:, :, 11] = np.where(told, 1.0 - finish, 0.0)
        out[:, :, 12] = (available & (slack >= 0)).mean(axis=1)[:, None]
        out *= DYNAMIC_SCALE
        return np.clip(out, -FAR, FAR, out=out)
