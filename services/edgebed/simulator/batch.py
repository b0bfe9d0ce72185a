"""A batch: the kernel's state for some networks and workloads, and the policies' views on it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative import kernel
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import Integers, View
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime, Horizon, Rules
from edgebed.systems.cooperative.workload import Workload

_COLUMNS = (
    "source",
    "destination",
    "status",
    "size_bits",
    "cycles",
    "arrived_s",
    "sent_s",
    "received_s",
    "started_s",
    "ended_s",
    "u_transmission",
    "u_execution",
)
"""Columns of the log that are fields of the kernel's records."""


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
        joined = Workload.join(workloads)
        self.rules, self.slots = rules, slots
        episode, slot, source = np.nonzero(joined.arrives)
        records, episodes = len(episode), joined.episodes
        counts = joined.arrives.sum(axis=2)
        first = np.zeros((episodes, slots + 1), dtype=np.int64)
        first[:, 1:] = np.cumsum(counts, axis=1)
        first += np.concatenate([[0], np.cumsum(counts.sum(axis=1))[:-1]])[:, None]
        scale = rules.failure_rate_scale(slot_s)
        arrived = slot * slot_s
        self.deadline_s = joined.deadline_s[episode, slot, source]
        self.episode, self.slot = episode.astype(np.int32), slot.astype(np.int32)
        self.decision_key = joined.decision_key
        self.probability = np.full(records, np.nan)
        servers = n + n * n
        # One completion per server, and one expiry per task that can be under way at once.
        events = servers + (n * slots if rules.drop_policy is DropPolicy.ABORT_AT_DEADLINE else 0)
        # A server's void completion can outlive its task under abortAtDeadline, so there it may have one per task.
        events += n * slots * 2 if rules.drop_policy is DropPolicy.ABORT_AT_DEADLINE else 0

        tasks = np.zeros(records, dtype=kernel.RECORD)
        # The policies' views read these whole, the kernel reads a task at a time, so both have a copy of their own.
        self.source = source
        self.size_bits = tasks["size_bits"] = joined.size_bits[episode, slot, source]
        self.cycles = tasks["cycles"] = joined.cycles[episode, slot, source]
        tasks["arrived_s"] = arrived
        tasks["due_s"] = arrived + self.deadline_s
        tasks["u_transmission"] = joined.u_transmission[episode, slot, source]
        tasks["u_execution"] = joined.u_execution[episode, slot, source]
        for name in ("sent_s", "received_s", "started_s", "ended_s"):
            tasks[name] = np.nan
        tasks["source"] = source
        tasks["destination"] = -1
        tasks["status"] = TaskState.UNFINISHED
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
        records = s.records[part]
        return TaskLog(
            episode=episode,
            task=task,
            slot=self.slot[part],
            deadline_s=self.deadline_s[part],
            probability=self.probability[part],
            **{name: np.ascontiguousarray(records[name]) for name in _COLUMNS},
        )


class BatchView(View):
    """A view on the kernel's state that looks at links only when asked to, because most policies do not."""

    _batch: Batch
    _rows: Integers
    _episodes: Integers

    def __init__(self, batch: "Batch", rows: Integers, episodes: Integers, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_batch", batch)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_episodes", episodes)

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
