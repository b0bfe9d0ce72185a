"""How a policy decides, in two pure steps: which nodes to ask, then where to send given the answers.

Both steps work on arrays with one row per task, so one implementation serves a node that decides for one task and a
simulator that decides for thousands. A policy sees a `View`: what a node may know by itself. What it cannot know it
asks for in the first step, and every question is a message that the testbed sends and counts.

    class Nearest(Policy):
        def ask(self, view):
            return None                                    # or an array of node indices, shape (rows, k)
        def decide(self, view, answers):
            return np.argmin(view.transmission_s, axis=1)  # (rows,) node indices
"""

import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.randomness import decision_uniforms
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the asked nodes answered, shape (rows, k) like the question."""

    nodes: Integers
    """Which node each answer is from."""
    waiting: Integers
    """Tasks waiting in its execution queue."""
    backlog_s: Floats
    """Seconds of work in its execution queue, with what is left of the task in service."""
    available: Bits
    """Its mask bit: waiting < coefficient * cores / 4."""


@dataclass(frozen=True, eq=False)
class View:
    """What the deciding nodes know of themselves, of their links and of the network's published parameters.

    One row per task to decide; all rows are of one network. Arrays of shape (rows, N) have a column per candidate node.
    """

    network: Network
    rules: Rules
    slot: int
    slot_s: float
    source: Integers
    """(rows,) the deciding node."""
    size_bits: Floats
    """(rows,)"""
    cycles: Floats
    """(rows,)"""
    deadline_s: Floats
    """(rows,) relative to the start of the slot."""
    waiting: Integers
    """(rows,) tasks waiting in the node's own execution queue."""
    backlog_s: Floats
    """(rows,) seconds of work in the own execution queue, with the residual of the task in service."""
    sending_backlog_s: Floats
    """(rows, N) seconds of work in the own sending queue to each node, with the residual of the transfer; 0 to itself."""
    receiving: Integers
    """(rows, N) tasks announced by each node to this one that wait on the other side; 0 from itself."""
    available: Bits
    """(rows,) the own mask bit, as this node would answer it."""
    decision_key: NDArray[np.uint64]
    """(rows,)"""

    @property
    def rows(self) -> int:
        """Number of tasks to decide."""
        return len(self.source)

    @property
    def nodes(self) -> int:
        """N."""
        return self.network.nodes

    def uniforms(self, draws: int) -> Floats:
        """The same `draws` uniforms on [0, 1) at every call, shape (rows, draws), of their own for each decision."""
        return decision_uniforms(self.decision_key, self.slot, self.source, draws)

    def transmission_to(self, nodes: Integers) -> Floats:
        """Tt to each of the given nodes, shape (rows, k) like `nodes`; 0 to itself (eq. 2)."""
        source = self.source[:, None]
        return np.where(
            nodes == source, 0.0, self.size_bits[:, None] / self.network.link_rate_bits_per_s[source, nodes]
        )

    def execution_at(self, nodes: Integers) -> Floats:
        """Tc at each of the given nodes, shape (rows, k) (eq. 1)."""
        return self.cycles[:, None] / self.network.capacity_hz[nodes]

    def hazard_of(self, nodes: Integers) -> Floats:
        """Tt beta + Tc alpha at each of the given nodes, shape (rows, k): the smaller, the more reliable."""
        scale = self.rules.failure_rate_scale(self.slot_s)
        alpha = self.network.execution_failure_rate[nodes] * scale
        beta = self.network.link_failure_rate[self.source[:, None], nodes] * scale
        return self.execution_at(nodes) * alpha + self.transmission_to(nodes) * beta

    def reliability_of(self, nodes: Integers) -> Floats:
        """Chance that neither stage fails at each of the given nodes, shape (rows, k) (eqs 4 and 5)."""
        return np.exp(-self.hazard_of(nodes))

    def sending_backlog_to(self, nodes: Integers) -> Floats:
        """Seconds of work in the own sending queue to each of the given nodes, shape (rows, k); 0 to itself."""
        return np.take_along_axis(self.sending_backlog_s, nodes, axis=1)

    def alone(self) -> tuple[tuple[float, float, float], Sequence[float], float]:
        """Of a view of one row, as plain numbers, which a node has at hand: (size in bits, cycles, deadline in seconds), the
        seconds of work in the sending queue to each node, and the first of `uniforms`.
        """
        task = (float(self.size_bits[0]), float(self.cycles[0]), float(self.deadline_s[0]))
        return task, self.sending_backlog_s[0].tolist(), float(self.uniforms(1)[0, 0])

    @cached_property
    def everyone(self) -> Integers:
        """(rows, N) every node in every row: ask this to ask all."""
        return np.broadcast_to(np.arange(self.nodes), (self.rows, self.nodes))

    @cached_property
    def transmission_s(self) -> Floats:
        """(rows, N) Tt to every node."""
        return self.transmission_to(self.everyone)

    @cached_property
    def execution_s(self) -> Floats:
        """(rows, N) Tc at every node."""
        return self.execution_at(self.everyone)


@dataclass(frozen=True)
class PolicyContext:
    """What a policy is built for: published before an episode, the same for every node."""

    network: Network
    workload: WorkloadModel
    rules: Rules
    mask_coefficient: float
    network_seed: int
    """For policies that prepare something from sample workloads of their own."""


class Policy(ABC):
    """Where to execute each task. Built once per network from a `PolicyContext` and the parameters of the YAML file."""

    centralised = False
    """One mind for all nodes: knows the whole state, and within a slot its own earlier decisions. Simulator only."""

    def __init__(self, context: PolicyContext) -> None:
        self.context = context

    def ask(self, view: View) -> Integers | None:
        """Which nodes to ask, shape (rows, k), or None. Asking oneself is free."""
        return None

    @abstractmethod
    def decide(self, view: View, answers: Answers | None) -> Integers:
        """The destination of each task, shape (rows,); `answers` is None when nobody was asked."""

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats | None:
        """With which chance `decide` takes the destination it took, shape (rows,), or None when it cannot say."""
        return None


@contextmanager
def policy_errors(policy: Policy) -> Iterator[None]:
    """Whatever a policy's own code raises, as a ModelError that names the policy and the place in its code."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # the code of any author
        frames = traceback.extract_tb(error.__traceback__)
        home = sys.modules[type(policy).__module__].__file__
        own = [frame for frame in frames if frame.filename == home] or list(frames)
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        field = f"policy {type(policy).__name__} ({place})"
        raise ModelError(field, f"{type(error).__name__}: {error}", "mend the policy there") from error
