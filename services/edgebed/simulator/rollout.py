"""Rollouts: a policy per network, many episodes at once, one task log per network.

    played = play(network, workload, rules, policy, mask_coefficient=0.25)

The policy meets one `View` per network and slot with the tasks of all episodes (decision order simultaneous), or one
per network, slot and node (sequential, and always for a centralised policy).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.simulator.batch import Batch, BatchView
from edgebed.systems.cooperative import kernel, tables
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, policy_errors
from edgebed.systems.cooperative.rules import DecisionOrder, Rules
from edgebed.systems.cooperative.workload import Workload

EPISODES_AT_ONCE = 256
"""Fewer leave more to Python's overhead per slot, more leave the cache."""

STATE_BYTES = 2**28
"""A batch's queues and events take no more: at a thousand nodes those of one episode are 32 MB."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """What E episodes of one network left behind."""

    log: TaskLog
    messages: NDArray[np.int32]
    """(R,) nodes other than itself that the deciding node asked for each task."""


def rollout(
    networks: Sequence[Network],
    workloads: Sequence[Workload],
    rules: Rules,
    policies: Sequence[Policy],
    mask_coefficient: float,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Rollout]:
    """Play every network's workload with its policy; all networks have as many nodes, all workloads as many slots.

    `progress` is called after every slot with the slot's number. Raises ModelError for shapes that do not fit and for
    a policy that decides for a node that does not exist.
    """
    batch = Batch(networks, workloads, rules)
    sizes = [w.episodes for w in workloads]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    messages = np.zeros(len(batch.state.records), dtype=np.int32)
    groups = [
        _Group(batch, network, policy, int(bounds[k]), int(bounds[k + 1]), mask_coefficient, messages)
        for k, (network, policy) in enumerate(zip(networks, policies, strict=True))
    ]
    sequential = rules.decision_order is DecisionOrder.SEQUENTIAL
    for slot in range(batch.slots):
        kernel.advance(batch.state, slot)
        for group in groups:
            group.decide(slot, sequential=sequential or group.policy.centralised)
        if progress is not None:
            progress(slot)
    batch.finish()
    return [
        Rollout(batch.log(group.begin, group.end), messages[batch.part(group.begin, group.end)]) for group in groups
    ]


def play(
    network: Network,
    workload: Workload,
    rules: Rules,
    policy: Policy,
    mask_coefficient: float,
    *,
    progress: Callable[[int], None] | None = None,
) -> Rollout:
    """One network's workload with one policy, in batches that stay in the processor's cache.

    `progress` is called with the number of episodes done.
    """
    parts: list[Rollout] = []
    links = network.nodes + network.nodes**2
    at_once = max(1, min(EPISODES_AT_ONCE, STATE_BYTES // (links * (kernel.SERVER.itemsize + kernel.EVENT.itemsize))))
    for begin in range(0, workload.episodes, at_once):
        part = workload.select(slice(begin, begin + at_once))
        done = rollout([network], [part], rules, [policy], mask_coefficient)[0]
        parts.append(Rollout(done.log.shifted(begin), done.messages))
        if progress is not None:
            progress(begin + part.episodes)
    if len(parts) == 1:
        return parts[0]
    return Rollout(TaskLog.join([part.log for part in parts]), np.concatenate([part.messages for part in parts]))


class _Group:
    """The episodes of one network in a batch, and the policy that decides in them."""

    def __init__(
        self,
        batch: Batch,
        network: Network,
        policy: Policy,
        begin: int,
        end: int,
        mask_coefficient: float,
        messages: NDArray[np.int32],
    ) -> None:
        self.batch, self.network, self.policy, self.begin, self.end = batch, network, policy, begin, end
        self.messages = messages
        self.limit = mask_coefficient * network.cores / 4
        n = network.nodes
        most = (end - begin) * n
        self.rows, self.episodes, self.source = (np.empty(most, dtype=np.int64) for _ in range(3))
        self.floats = np.empty((3, most))
        self.waiting = np.empty((end - begin, n), dtype=np.int64)
        self.backlog = np.empty((end - begin, n))

    def decide(self, slot: int, *, sequential: bool) -> None:
        """Decide the tasks of one slot, all at once or node by node."""
        tables_of = (self.rows, self.episodes, self.source, self.floats)
        count = tables.slot_rows(self.batch.state, slot, self.begin, self.end, *tables_of)
        # Copies, because a policy may keep its view.
        rows, episodes, source = (table[:count].copy() for table in tables_of[:3])
        floats = self.floats[:, :count].copy()
        if not sequential:
            self._decide(slot, rows, episodes, source, floats)
            return
        for node in range(self.network.nodes):
            mine = source == node
            self._decide(slot, rows[mine], episodes[mine], source[mine], floats[:, mine])

    def _decide(
        self, slot: int, rows: Integers, episodes: Integers, source: Integers, floats: NDArray[np.float64]
    ) -> None:
        count = len(rows)
        if count == 0:
            return
        batch, network = self.batch, self.network
        state = batch.state
        view = BatchView(
            batch,
            rows,
            episodes,
            self.limit,
            {
                "network": network,
                "rules": batch.rules,
                "slot": slot,
                "slot_s": state.slot_s,
                "source": source,
                "size_bits": floats[0],
                "cycles": floats[1],
                "deadline_s": floats[2],
                "decision_key": batch.decision_key[episodes],
            },
        )
        answers = None
        nodes = self._asked(view)
        if nodes is not None:
            if nodes is view.everyone:
                answers = self._everyone(slot, nodes, episodes)
                self.messages[rows] = network.nodes - 1
            else:
                answers = view.answers(nodes)
                self.messages[rows] = (nodes != source[:, None]).sum(axis=1)
        with policy_errors(self.policy):
            destination = np.asarray(self.policy.decide(view, answers))
        self._check("decide", destination, (len(rows),))
        destination = destination.astype(np.int64, copy=False)
        with policy_errors(self.policy):
            probability = self.policy.probability(view, answers, destination)
        if probability is not None:
            self.batch.probability[rows] = probability
        kernel.assign(state, slot, rows, episodes, destination)

    def _asked(self, view: BatchView) -> Integers | None:
        """Which nodes the policy asks, checked: the compiled code that answers believes what it is given."""
        with policy_errors(self.policy):
            asked = self.policy.ask(view)
        if asked is None or asked is view.everyone:
            return asked
        nodes = np.asarray(asked)
        self._check("ask", nodes, (view.rows, nodes.shape[-1] if nodes.ndim else 0))
        return nodes.astype(np.int64, copy=False)

    def _check(self, step: str, nodes: NDArray[Any], shape: tuple[int, ...]) -> None:
        field, n = f"policy {type(self.policy).__name__}.{step}", self.network.nodes
        if nodes.shape != shape:
            expected = f"({shape[0]},)" if len(shape) == 1 else f"({shape[0]}, k)"
            raise ModelError(field, nodes.shape, f"it must return node indices of shape {expected}, a row per task")
        if nodes.dtype.kind not in "iu":
            raise ModelError(
                field, str(nodes.dtype), "it must return whole numbers, for example with .astype(np.int64)"
            )
        if nodes.size and not (nodes.min() >= 0 and nodes.max() < n):
            wrong = nodes[(nodes < 0) | (nodes >= n)][0]
            raise ModelError(field, int(wrong), f"it must return nodes 0 to {n - 1}")

    def _everyone(self, slot: int, nodes: Integers, episodes: Integers) -> Answers:
        """All nodes' answers: each node's queue is walked once per episode, not once per row."""
        kernel.execution_queues(self.batch.state, slot, self.begin, self.end, self.waiting, self.backlog)
        at = episodes - self.begin
        waiting = self.waiting[at]
        return Answers(nodes, waiting, self.backlog[at], waiting < self.limit)
