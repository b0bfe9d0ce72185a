"""Rollouts: a policy per network, many episodes at once, one task log per network.

    logs = rollout([network], [workload], rules, [policy], mask_coefficient=0.25)

The policy meets one `View` per network and slot with the tasks of all episodes (decision order simultaneous), or one
per network, slot and node (sequential).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative import kernel
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, View
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, Horizon, Rules
from edgebed.systems.cooperative.workload import Workload


EPISODES_AT_ONCE = 64
"""Fewer leave more to Python's overhead per slot, more leave the cache."""

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


@dataclass(frozen=True, eq=False)
class Rollout:
    """What E episodes of one network left behind."""

    log: TaskLog
    messages: NDArray[np.int32]
    """(R,) nodes other than itself that the deciding node asked for each task."""


class BatchView(View):
    """A view on the kernel's state that looks at links only when asked to, because most policies do not."""

    def __init__(self, batch: "_Batch", rows: Integers, episodes: Integers, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_batch", batch)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_episodes", episodes)

    @cached_property
    def sending_backlog_s(self) -> NDArray[np.float64]:  # type: ignore[override]  # computed when first read
        """(rows, N) as in `View`."""
        return self.sending_backlog_to(self.everyone)

    @cached_property
    def receiving(self) -> NDArray[np.int64]:  # type: ignore[override]  # computed when first read
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
    batch = _Batch(networks, workloads, rules)
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
    horizon = np.inf if rules.horizon is Horizon.DRAIN else batch.slots * batch.state.slot_s
    kernel.finish(batch.state, horizon)
    return [batch.take(group.begin, group.end, messages) for group in groups]


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
    for begin in range(0, workload.episodes, EPISODES_AT_ONCE):
        part = workload.select(slice(begin, begin + EPISODES_AT_ONCE))
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
        batch: "_Batch",
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
        self.rows = np.empty((end - begin) * n, dtype=np.int64)
        self.episodes = np.empty((end - begin) * n, dtype=np.int64)
        self.waiting = np.empty((end - begin, n), dtype=np.int64)
        self.backlog = np.empty((end - begin, n))

    def decide(self, slot: int, *, sequential: bool) -> None:
        state = self.batch.state
        count = kernel.slot_rows(state, slot, self.begin, self.end, self.rows, self.episodes)
        rows, episodes = self.rows[:count], self.episodes[:count]
        if not sequential:
            self._decide(slot, rows, episodes)
            return
        source = self.batch.source[rows]
        for node in range(self.network.nodes):
            mine = source == node
            self._decide(slot, rows[mine], episodes[mine])

    def _decide(self, slot: int, rows: Integers, episodes: Integers) -> None:
        if len(rows) == 0:
            return
        state, network = self.batch.state, self.network
        kernel.execution_queues(state, slot, self.begin, self.end, self.waiting, self.backlog)
        at = episodes - self.begin
        batch = self.batch
        source = batch.source[rows]
        waiting = self.waiting[at, source]
        view = BatchView(
            self.batch,
            rows,
            episodes,
            {
                "network": network,
                "rules": self.batch.rules,
                "slot": slot,
                "slot_s": state.slot_s,
                "source": source,
                "size_bits": batch.size_bits[rows],
                "cycles": batch.cycles[rows],
                "deadline_s": self.batch.deadline_s[rows],
                "waiting": waiting,
                "backlog_s": self.backlog[at, source],
                "available": waiting < self.limit[source],
                "decision_key": self.batch.decision_key[episodes],
            },
        )
        nodes = self.policy.ask(view)
        answers = None
        if nodes is not None:
            here = at[:, None]
            answered = self.waiting[here, nodes]
            answers = Answers(nodes, answered, self.backlog[here, nodes], answered < self.limit[nodes])
            self.messages[rows] = (nodes != source[:, None]).sum(axis=1)
        destination = np.asarray(self.policy.decide(view, answers), dtype=np.int64)
        if destination.shape != (len(rows),):
            name = type(self.policy).__name__
            raise ModelError(f"policy {name}", destination.shape, f"decide must return shape ({len(rows)},)")
        probability = self.policy.probability(view, answers, destination)
        if probability is not None:
            self.batch.probability[rows] = probability
        bad = kernel.assign(state, slot, rows, episodes, destination)
        if bad >= 0:
            name = type(self.policy).__name__
            raise ModelError(f"policy {name}", int(destination[bad]), f"decide must return nodes 0 to {network.nodes - 1}")


class _Batch:
    """The kernel's state for some networks and workloads."""

    def __init__(self, networks: Sequence[Network], workloads: Sequence[Workload], rules: Rules) -> None:
        if len(networks) != len(workloads) or not networks:
            raise ModelError("workloads", len(workloads), f"give one for each of the {len(networks)} networks")
        n, slots, slot_s = networks[0].nodes, workloads[0].slots, workloads[0].slot_s
        for network, workload in zip(networks, workloads, strict=True):
            if (network.nodes, workload.nodes, workload.slots, workload.slot_s) != (n, n, slots, slot_s):
                raise ModelError("workload", f"{workload.nodes} nodes", f"networks and workloads must agree on {n} nodes")
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

    def take(self, begin: int, end: int, messages: NDArray[np.int32]) -> Rollout:
        """The log of episodes begin to end, numbered from 0."""
        s = self.state
        part = slice(int(s.first[begin, 0]) if end > begin else 0, int(s.first[end - 1, -1]) if end > begin else 0)
        episode = self.episode[part] - np.int32(begin)
        starts = s.first[begin:end, 0] - part.start
        task = np.arange(part.stop - part.start, dtype=np.int32) - starts[episode].astype(np.int32)
        records = s.records[part]
        log = TaskLog(
            episode=episode,
            task=task,
            slot=self.slot[part],
            deadline_s=self.deadline_s[part],
            probability=self.probability[part],
            **{name: np.ascontiguousarray(records[name]) for name in _COLUMNS},
        )
        return Rollout(log, messages[part])
