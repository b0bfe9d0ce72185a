"""Node cores driven in virtual time: the reference that everything faster is proved against.

    log = run_episode(network, workload, rules, policy, mask_coefficient=0.25)

An agenda of events ordered by time, then completions before deadlines, then the task's number; the slots' decisions
come after both. The first task to be numbered is the first of the first slot.
"""

import heapq
import math
from dataclasses import replace
from typing import Any

import numpy as np

from edgebed.systems.cooperative.lifecycle import TERMINAL, TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import (
    DeadlinePassed,
    Event,
    ExecutionEnded,
    HandOver,
    NodeCore,
    StartExecution,
    StartTransfer,
    StopService,
    Task,
    TaskDecided,
    TaskReceived,
    TransferEnded,
    WatchDeadline,
)
from edgebed.systems.cooperative.policy import Answers, Policy, View
from edgebed.systems.cooperative.rules import DecisionOrder, Horizon, Rules
from edgebed.systems.cooperative.workload import Workload

_COMPLETION, _EXPIRY = 0, 1


class VirtualEpisode:
    """One episode of a workload, slot by slot."""

    def __init__(
        self, network: Network, workload: Workload, rules: Rules, mask_coefficient: float, episode: int = 0
    ) -> None:
        self.network, self.rules, self.slots, self.slot_s = network, rules, workload.slots, workload.slot_s
        self.nodes = [NodeCore(i, network, rules, workload.slot_s) for i in range(network.nodes)]
        self.key = workload.decision_key[episode : episode + 1]
        self.tasks: list[Task] = []
        self._limit = mask_coefficient * network.cores / 4
        self._agenda: list[tuple[float, int, int, Event, int]] = []
        self._arrivals: list[list[Task]] = [[] for _ in range(workload.slots)]
        for number, (slot, node) in enumerate(np.argwhere(workload.arrives[episode]).tolist()):
            at = (episode, slot, node)
            task = Task(
                number=number,
                slot=slot,
                source=node,
                size_bits=float(workload.size_bits[at]),
                cycles=float(workload.cycles[at]),
                deadline_s=float(workload.deadline_s[at]),
                arrived_s=slot * workload.slot_s,
                u_transmission=float(workload.u_transmission[at]),
                u_execution=float(workload.u_execution[at]),
            )
            self.tasks.append(task)
            self._arrivals[slot].append(task)

    def run(self, policy: Policy) -> TaskLog:
        """Play all slots and what the horizon leaves after them."""
        one_by_one = self.rules.decision_order is DecisionOrder.SEQUENTIAL or policy.centralised
        for slot in range(self.slots):
            self.advance(slot * self.slot_s)
            arrivals = self._arrivals[slot]
            for group in [[task] for task in arrivals] if one_by_one else [arrivals] if arrivals else []:
                self._decide(policy, slot, group)
        self.advance(math.inf if self.rules.horizon is Horizon.DRAIN else self.slots * self.slot_s)
        return self.log()

    def advance(self, until: float) -> None:
        """Everything that happens up to and at `until`."""
        while self._agenda and self._agenda[0][0] <= until:
            now, kind, _, event, node = heapq.heappop(self._agenda)
            if kind == _EXPIRY:
                task = event.task
                if task.state in TERMINAL:
                    continue
                on_the_way = task.state in (TaskState.WAITING_TO_SEND, TaskState.SENDING)
                node = task.source if on_the_way else task.destination
            self._tell(node, event, now)

    def _tell(self, node: int, event: Event, now: float) -> None:
        for effect in self.nodes[node].handle(event, now):
            match effect:
                case StartTransfer(task, busy_s, _):
                    self._schedule(now + busy_s, _COMPLETION, TransferEnded(task), node)
                case StartExecution(task, busy_s, _):
                    self._schedule(now + busy_s, _COMPLETION, ExecutionEnded(task), node)
                case WatchDeadline(task):
                    self._schedule(task.due_s, _EXPIRY, DeadlinePassed(task), node)
                case StopService(task):
                    self._agenda = [e for e in self._agenda if not (e[1] == _COMPLETION and e[3].task is task)]
                    heapq.heapify(self._agenda)
                case HandOver(task):
                    self._tell(task.destination, TaskReceived(task), now)
                case _:
                    pass  # the record of an ended task is the task itself

    def _schedule(self, at: float, kind: int, event: Event, node: int) -> None:
        heapq.heappush(self._agenda, (at, kind, event.task.number, event, node))

    def view(self, slot: int, tasks: list[Task]) -> View:
        """What the deciding nodes of some tasks know at the start of a slot."""
        now, n = slot * self.slot_s, self.network.nodes
        source = np.array([task.source for task in tasks], dtype=np.int64)
        owners = [self.nodes[i] for i in source]
        waiting = np.array([node.waiting for node in owners], dtype=np.int64)
        others = self.nodes
        return View(
            network=self.network,
            rules=self.rules,
            slot=slot,
            slot_s=self.slot_s,
            source=source,
            size_bits=np.array([task.size_bits for task in tasks]),
            cycles=np.array([task.cycles for task in tasks]),
            deadline_s=np.array([task.deadline_s for task in tasks]),
            waiting=waiting,
            backlog_s=np.array([node.backlog_s(now) for node in owners]),
            sending_backlog_s=np.array([node.sending_backlogs_s(now) for node in owners]),
            receiving=np.array([[0 if j == i else others[j].waiting_to(i) for j in range(n)] for i in source.tolist()]),
            available=waiting < self._limit[source],
            decision_key=np.broadcast_to(self.key, (len(tasks),)),
        )

    def answers(self, slot: int, nodes: Any) -> Answers:
        """What the asked nodes answer at the start of a slot."""
        now = slot * self.slot_s
        waiting = np.array([[self.nodes[j].waiting for j in row] for row in nodes.tolist()], dtype=np.int64)
        backlog = np.array([[self.nodes[j].backlog_s(now) for j in row] for row in nodes.tolist()])
        return Answers(nodes, waiting, backlog, waiting < self._limit[nodes])

    def _decide(self, policy: Policy, slot: int, tasks: list[Task]) -> None:
        view = self.view(slot, tasks)
        asked = policy.ask(view)
        answers = None if asked is None else self.answers(slot, asked)
        destinations = policy.decide(view, answers)
        probability = policy.probability(view, answers, destinations)
        for row, task in enumerate(tasks):
            if probability is not None:
                task.probability = float(probability[row])
            self._tell(task.source, TaskDecided(task, int(destinations[row])), slot * self.slot_s)

    def log(self) -> TaskLog:
        """One record per task, in the order of slot and source."""
        tasks = self.tasks

        def column(name: str, kind: Any = np.float64) -> Any:
            return np.array([getattr(task, name) for task in tasks], dtype=kind)

        status = [task.state if task.state in TERMINAL else TaskState.UNFINISHED for task in tasks]
        return TaskLog(
            episode=np.zeros(len(tasks), dtype=np.int32),
            task=column("number", np.int32),
            slot=column("slot", np.int32),
            source=column("source", np.int32),
            destination=column("destination", np.int32),
            status=np.array(status, dtype=np.int8),
            **{
                name: column(name)
                for name in ("size_bits", "cycles", "deadline_s", "arrived_s", "sent_s", "received_s", "started_s")
                + ("ended_s", "u_transmission", "u_execution", "probability")
            },
        )


def run_episode(
    network: Network,
    workload: Workload,
    rules: Rules,
    policy: Policy,
    mask_coefficient: float,
    episode: int = 0,
) -> TaskLog:
    """One episode of a workload; the log numbers it `episode`."""
    log = VirtualEpisode(network, workload, rules, mask_coefficient, episode).run(policy)
    return replace(log, episode=np.full(len(log), episode, dtype=np.int32))
