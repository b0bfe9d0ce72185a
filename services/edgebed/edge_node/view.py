"""What a policy sees when a node decides for one task: a `View` of one row that looks at the core only when read.

Most policies read little, and a decision should cost microseconds; so nothing that takes longer to compute than to look
up is computed ahead. The numbers are those of
the simulator's view: `tests/unit/edge_node/test_view.py` compares the two in every field.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import NodeCore, Task
from edgebed.systems.cooperative.policy import Bits, Floats, Integers, View
from edgebed.systems.cooperative.rules import Rules

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used like `property`
    """As `functools.cached_property`, which takes a lock: 3 us per quantity in Python 3.11, this 0.3."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self._name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, view: "NodeView", owner: type) -> T:
        found = vars(view)[self._name] = self._compute(view)  # found there from now on, before this descriptor
        return found


class NodeSurroundings:
    """What is the same for all decisions of one node in one episode."""

    def __init__(self, core: NodeCore, network: Network, slot_s: float, limit: float, key: int) -> None:
        """`limit` is the number of waiting tasks from which the node is unavailable, `key` the decision key."""
        self.core, self.network, self.slot_s, self.limit = core, network, slot_s, limit
        self.rules: Rules = core.rules
        n = network.nodes
        self.source = np.array([core.index], dtype=np.int64)
        self.key = key
        self.decision_key = np.array([key], dtype=np.uint64)
        self.everyone: Integers = np.arange(n, dtype=np.int64)[None]
        # Plain numbers: an operation on arrays of one or two costs ten times as much as one on floats.
        scale = self.rules.failure_rate_scale(slot_s)
        self.capacity_hz: list[float] = network.capacity_hz.tolist()
        self.rate: list[float] = network.link_rate_bits_per_s[core.index].tolist()
        self.alpha: list[float] = (network.execution_failure_rate * scale).tolist()
        self.beta: list[float] = (network.link_failure_rate[core.index] * scale).tolist()
        self.receiving: list[int] = [0] * n
        """Tasks that wait at each other node for its link to this one, as last heard."""
        self.of_views = {
            "_around": self,
            "network": network,
            "rules": self.rules,
            "slot_s": slot_s,
            "source": self.source,
            "decision_key": self.decision_key,
            "everyone": self.everyone,
        }
        """What all views have alike."""


class NodeView(View):
    """One task to decide at one node; queues as they are at `now_s`, the present."""

    _around: NodeSurroundings
    _task: Task
    _now_s: float

    def __init__(self, around: NodeSurroundings, task: Task, now_s: float) -> None:
        own = vars(self)
        own.update(around.of_views)
        own["_task"], own["_now_s"], own["slot"] = task, now_s, task.slot

    @once
    def size_bits(self) -> Floats:
        """(1,) as in `View`."""
        return np.array([self._task.size_bits])

    @once
    def cycles(self) -> Floats:
        """(1,) as in `View`."""
        return np.array([self._task.cycles])

    @once
    def deadline_s(self) -> Floats:
        """(1,) as in `View`."""
        return np.array([self._task.deadline_s])

    @once
    def waiting(self) -> Integers:
        """(1,) as in `View`."""
        return np.array([self._around.core.waiting])

    @once
    def available(self) -> Bits:
        """(1,) as in `View`."""
        return np.array([self._around.core.waiting < self._around.limit])

    @once
    def receiving(self) -> Integers:
        """(1, N) as in `View`."""
        return np.array([self._around.receiving])

    @once
    def backlog_s(self) -> Floats:
        """(1,) as in `View`."""
        return np.array([self._around.core.backlog_s(self._now_s)])

    @once
    def sending_backlog_s(self) -> Floats:
        """(1, N) as in `View`."""
        return np.array([self._around.core.sending_backlogs_s(self._now_s)])

    def transmission_to(self, nodes: Integers) -> Floats:
        """(1, k) as in `View`."""
        return np.array([self._transmissions(nodes[0].tolist())])

    def execution_at(self, nodes: Integers) -> Floats:
        """(1, k) as in `View`."""
        cycles, capacity = self._task.cycles, self._around.capacity_hz
        return np.array([[cycles / capacity[j] for j in nodes[0].tolist()]])

    def hazard_of(self, nodes: Integers) -> Floats:
        """(1, k) as in `View`."""
        around, cycles, to = self._around, self._task.cycles, nodes[0].tolist()
        alpha, beta, capacity = around.alpha, around.beta, around.capacity_hz
        sending = zip(to, self._transmissions(to), strict=True)
        return np.array([[cycles / capacity[j] * alpha[j] + seconds * beta[j] for j, seconds in sending]])

    def _transmissions(self, nodes: list[int]) -> list[float]:
        size, rate, me = self._task.size_bits, self._around.rate, self._around.core.index
        return [0.0 if j == me else size / rate[j] for j in nodes]

    def sending_backlog_to(self, nodes: Integers) -> Floats:
        """(1, k) as in `View`, without looking at the other links."""
        core, now = self._around.core, self._now_s
        return np.array([[core.sending_backlog_s(j, now) for j in nodes[0].tolist()]])

    def alone(self) -> tuple[tuple[float, float, float], Sequence[float], float]:
        """As in `View`, without arrays."""
        task, around = self._task, self._around
        core = around.core
        uniform = _uniform(_row(around.key, task.slot, core.index), 1)
        return (task.size_bits, task.cycles, task.deadline_s), core.sending_backlogs_s(self._now_s), uniform

    def uniforms(self, draws: int) -> Floats:
        """(1, draws) as in `View`."""
        return np.array([_uniforms(self._around.key, self.slot, self._around.core.index, draws)])


_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _row(key: int, slot: int, node: int) -> int:
    return _mix((key + _GAMMA * (slot * (1 << 20) + node + 1)) & _MASK)


def _uniform(row: int, draw: int) -> float:
    return (_mix((row + draw * _GAMMA) & _MASK) >> 11) * 2.0**-53


def _uniforms(key: int, slot: int, node: int, draws: int) -> Sequence[float]:
    """What `randomness.decision_uniforms` draws for one row, in plain integers: a tenth of the time of arrays of one."""
    row = _row(key, slot, node)
    return [_uniform(row, k) for k in range(1, draws + 1)]
