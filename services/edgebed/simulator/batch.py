"""A batch: the kernel's state for some networks and workloads, and the policies' views on it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative import kernel, tables
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import Answers, Integers, View
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime, Horizon, Rules
from edgebed.systems.cooperative.workload import Workload


class Batch:
    """The kernel's state for some networks and workloads."""

    def __init__(self, networks: Sequence[Network], workloads: Sequence[Workload], rules: Rules) -> None:
        if len(networks) != len(workloads) or not networks:
            raise ModelError("workloads", len(workloads), f"give one for each of the {len(networks)} networks")
        n, slots, slot_s = networks[0].nodes, workloads[0].slots, workloads[0].slot_s
        for network, workload in zip(networks, workloads, strict=True):
            if (network.nodes, workload.nodes, workload.slots, workload.slot_s) != (n, n, slots, slot_s):
                raise ModelError(
                    "workload", f"{workload.nodes} nodes", f"networks and workloads must agree on {n} nodes"
                )
        self.rules, self.slots = rules, slots
        self.decision_key = np.concatenate([workload.decision_key for workload in workloads])
        episodes = len(self.decision_key)
        records = sum(int(workload.arrives.sum()) for workload in workloads)
        tasks = np.empty(records, dtype=kernel.RECORD)
        first = np.zeros((episodes, slots + 1), dtype=np.int64)
        self.episode, self.slot, self.source = (np.empty(records, dtype=np.int32) for _ in range(3))
        self.probability = np.full(records, np.nan)
        at = episode = 0
        for w in workloads:
            arrays = (w.arrives, w.size_bits, w.cycles, w.deadline_s, w.u_transmission, w.u_execution)
            columns = (self.episode, self.slot, self.source)
            at = tables.load(arrays, slot_s, at, episode, tasks, first, *columns)
            episode += w.episodes
        scale = rules.failure_rate_scale(slot_s)
        servers = n + n * n
        # One completion per server. Under abortAtDeadline also one expiry per task, and the void completions of a
        # transfer and of an execution that were stopped stay in the heap until their time.
        events = servers + (3 * n * slots if rules.drop_policy is DropPolicy.ABORT_AT_DEADLINE else 0)
        self.state = kernel.State(
            drop_policy=rules.drop_policy.code,
            at_instant=rules.failure_time is FailureTime.AT_INSTANT,
            slot_s=slot_s,
            capacity=np.stack([network.capacity_hz for network in networks]),
            alpha=np.stack([network.execution_failure_rate * scale for network in networks]),
            rate=np.stack([network.link_rate_bits_per_s for network in networks]),
            beta=np.stack([network.link_failure_rate * scale for network in networks]),
            network=np.repeat(np.arange(len(networks), dtype=np.int32), [w.episodes for w in workloads]),
            first=first,
            records=tasks,
            servers=np.full((episodes, servers), -1, dtype=kernel.SERVER),
            events=np.empty((episodes, events), dtype=kernel.EVENT),
            event_count=np.zeros(episodes, dtype=np.int32),
        )
        self.state.servers["waiting"] = 0

    def finish(self) -> None:
        """Play what the horizon leaves after the last slot."""
        drains = self.rules.horizon is Horizon.DRAIN
        kernel.finish(self.state, np.inf if drains else self.slots * self.state.slot_s)

    def part(self, begin: int, end: int) -> slice:
        """Which records belong to episodes begin to end."""
        first = self.state.first
        return slice(int(first[begin, 0]), int(first[end - 1, -1])) if end > begin else slice(0, 0)

    def log(self, begin: int, end: int) -> TaskLog:
        """The log of episodes begin to end, numbered from 0."""
        s = self.state
        part = self.part(begin, end)
        episode = self.episode[part] - np.int32(begin)
        starts = s.first[begin:end, 0] - part.start
        task = np.arange(part.stop - part.start, dtype=np.int32) - starts[episode].astype(np.int32)
        count = len(episode)
        destination, status = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int8)
        floats = np.empty((len(tables.FLOATS), count))
        tables.unload(s.records[part], destination, status, floats)
        return TaskLog(
            episode=episode,
            task=task,
            slot=self.slot[part],
            source=self.source[part],
            destination=destination,
            status=status,
            probability=self.probability[part],
            **dict(zip(tables.FLOATS, floats, strict=True)),
        )


class BatchView(View):
    """A view on the kernel's state that looks at queues only when read, because most policies read few."""

    _batch: Batch
    _rows: Integers
    _episodes: Integers
    _limit: NDArray[np.float64]

    def __init__(
        self,
        batch: Batch,
        rows: Integers,
        episodes: Integers,
        limit: NDArray[np.float64],
        fields: dict[str, Any],
    ) -> None:
        hidden = {"_batch": batch, "_rows": rows, "_episodes": episodes, "_limit": limit}
        vars(self).update(hidden, **fields)

    @cached_property
    def _own(self) -> Answers:
        return self.answers(self.source[:, None])

    @cached_property
    def waiting(self) -> NDArray[np.int64]:
        """(rows,) as in `View`."""
        return self._own.waiting[:, 0]

    @cached_property
    def backlog_s(self) -> NDArray[np.float64]:
        """(rows,) as in `View`."""
        return self._own.backlog_s[:, 0]

    @cached_property
    def available(self) -> NDArray[np.bool_]:
        """(rows,) as in `View`."""
        return self._own.available[:, 0]

    def answers(self, nodes: Integers) -> Answers:
        """What the nodes, (rows, k), answer."""
        shape = nodes.shape
        waiting, backlog, bits = np.empty(shape, np.int64), np.empty(shape), np.empty(shape, np.bool_)
        state = self._batch.state
        kernel.answers(state, self.slot, self._episodes, nodes, self._limit, waiting, backlog, bits)
        return Answers(nodes, waiting, backlog, bits)

    @cached_property
    def sending_backlog_s(self) -> NDArray[np.float64]:
        """(rows, N) as in `View`."""
        return self.sending_backlog_to(self.everyone)

    @cached_property
    def receiving(self) -> NDArray[np.int64]:
        """(rows, N) as in `View`."""
        out = np.empty((self.rows, self.nodes), dtype=np.int64)
        kernel.receiving_queues(self._batch.state, self._episodes, self.source, out)
        return out

    def transmission_to(self, nodes: Integers) -> NDArray[np.float64]:
        """(rows, k) as in `View`."""
        out = np.empty(nodes.shape)
        tables.transmissions(self.network.link_rate_bits_per_s, self.source, self.size_bits, nodes, out)
        return out

    def hazard_of(self, nodes: Integers) -> NDArray[np.float64]:
        """(rows, k) as in `View`."""
        out = np.empty(nodes.shape)
        n = self.network
        rates = (n.capacity_hz, n.link_rate_bits_per_s, n.execution_failure_rate, n.link_failure_rate)
        scale = self.rules.failure_rate_scale(self.slot_s)
        tables.hazards(*rates, scale, self.source, self.size_bits, self.cycles, nodes, out)
        return out

    def uniforms(self, draws: int) -> NDArray[np.float64]:
        """(rows, draws) as in `View`."""
        out = np.empty((self.rows, draws))
        tables.uniforms(self.decision_key, self.slot, self.source, out)
        return out

    def execution_at(self, nodes: Integers) -> NDArray[np.float64]:
        """(rows, k) as in `View`."""
        out = np.empty(nodes.shape)
        tables.executions(self.network.capacity_hz, self.cycles, nodes, out)
        return out

    def sending_backlog_to(self, nodes: Integers) -> NDArray[np.float64]:
        """(rows, k) as in `View`."""
        out = np.empty(nodes.shape)
        kernel.sending_backlogs(self._batch.state, self.slot, self._episodes, self.source, nodes, out)
        return out

    def least_completion(self) -> Integers:
        """(rows,) the node at which each task would finish first; for the centralised reference only."""
        out = np.zeros(self.rows, dtype=np.int64)
        kernel.least_completion(self._batch.state, self.slot, self._rows, self._episodes, out)
        return out
