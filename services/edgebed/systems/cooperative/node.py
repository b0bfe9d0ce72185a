"""One edge node as a pure state machine: told what happened and when, it returns what to do.

    effects = node.handle(event, now)

`now` is in seconds from the start of the episode. The node owns one FIFO execution queue and, for every other node,
one FIFO sending queue; it touches no clock, no socket and no random number. Whoever drives it performs the effects: on
the wall clock in the testbed, in virtual time in `virtual`. The array kernel does the same arithmetic in the same order.

Events are told in the order in which they happened; at one instant completions first, then deadlines, then decisions.
What cannot have happened (a task decided twice, received elsewhere, an earlier time) is refused before anything changes.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from edgebed.systems.cooperative.lifecycle import TRANSITIONS, TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime, Rules


@dataclass(slots=True)
class Task:
    """A task, the luck that it carries, and what happened to it; times in seconds from the episode's start."""

    number: int
    slot: int
    source: int
    size_bits: float
    cycles: float
    deadline_s: float
    arrived_s: float
    u_transmission: float
    u_execution: float
    destination: int = -1
    state: TaskState = TaskState.UNFINISHED
    sent_s: float = math.nan
    received_s: float = math.nan
    started_s: float = math.nan
    ended_s: float = math.nan
    probability: float = math.nan
    transmission_s: float = 0.0
    """Tt to its destination (eq. 2), once it waits for that link."""
    story: list[tuple[float, str]] = field(default_factory=list)
    """(time, event) of every change of state."""

    @property
    def due_s(self) -> float:
        """The absolute deadline."""
        return self.arrived_s + self.deadline_s


class InvalidTransition(Exception):
    """A task was told something that the lifecycle table does not allow in its state; a bug of the driver or the node."""

    def __init__(self, task: Task, event: str) -> None:
        self.story = list(task.story)
        super().__init__(f"task {task.number} in state {task.state.name} cannot {event}; its story: {self.story}")


@dataclass(frozen=True, slots=True)
class TaskDecided:
    """A task arrived at this node and its destination was decided."""

    task: Task
    destination: int


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """The transfer of a task from this node to another came to its end, or to its failure."""

    task: Task


@dataclass(frozen=True, slots=True)
class TaskReceived:
    """A task from another node arrived completely."""

    task: Task


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
    """The execution of a task came to its end, or to its failure."""

    task: Task


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The deadline of a task that this node holds passed (told under abortAtDeadline only)."""

    task: Task


Event = TaskDecided | TransferEnded | TaskReceived | ExecutionEnded | DeadlinePassed


@dataclass(frozen=True, slots=True)
class StartTransfer:
    """Send the task's bytes; tell `TransferEnded` after `busy_s`."""

    task: Task
    busy_s: float
    """Tt, or the time until the failure instant."""
    fails: bool


@dataclass(frozen=True, slots=True)
class StartExecution:
    """Run the task; tell `ExecutionEnded` after `busy_s`."""

    task: Task
    busy_s: float
    fails: bool


@dataclass(frozen=True, slots=True)
class StopService:
    """Stop the transfer or execution of the task; its end must not be told any more."""

    task: Task


@dataclass(frozen=True, slots=True)
class WatchDeadline:
    """Tell `DeadlinePassed` at the task's deadline to the node that holds it then."""

    task: Task


@dataclass(frozen=True, slots=True)
class HandOver:
    """The transfer succeeded: tell `TaskReceived` to the destination at this very instant."""

    task: Task


@dataclass(frozen=True, slots=True)
class RecordTask:
    """The task ended; `task.state` is its status."""

    task: Task


Effect = StartTransfer | StartExecution | StopService | WatchDeadline | HandOver | RecordTask


class _Server:
    """A FIFO queue and at most one task in service."""

    __slots__ = ("serving", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()
        self.serving: Task | None = None


class NodeCore:
    """Node `index` of a network under some rules."""

    def __init__(self, index: int, network: Network, rules: Rules, slot_s: float) -> None:
        self.index, self.rules = index, rules
        scale = rules.failure_rate_scale(slot_s)
        self._capacity_hz = network.capacity_hz.tolist()
        self._rate = network.link_rate_bits_per_s[index].tolist()
        self._alpha = float(network.execution_failure_rate[index] * scale)
        self._beta = (network.link_failure_rate[index] * scale).tolist()
        self._execution = _Server()
        self._links = {j: _Server() for j in range(network.nodes) if j != index}
        self._drop_policy = rules.drop_policy
        self._at_instant = rules.failure_time is FailureTime.AT_INSTANT
        self._now = -math.inf

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What to do about an event that happened at `now`. Raises InvalidTransition for one that cannot happen."""
        if not now >= self._now:  # so that NaN is refused too
            raise InvalidTransition(event.task, f"go back from {self._now} to {now}")
        self._now = now
        effects: list[Effect] = []
        match event:
            case TaskDecided(task, destination):
                self._decided(task, destination, now, effects)
            case TransferEnded(task):
                self._transferred(task, now, effects)
            case TaskReceived(task):
                if task.destination != self.index:
                    raise InvalidTransition(
                        task, f"be received by node {self.index}, it is bound for {task.destination}"
                    )
                self._change(task, "receive", now)
                task.received_s = now
                self._execution.waiting.append(task)
                self._serve_execution(now, effects)
            case ExecutionEnded(task):
                self._executed(task, now, effects)
            case DeadlinePassed(task):
                self._expired(task, now, effects)
        return effects

    @property
    def now(self) -> float:
        """The latest instant that this node was told; -inf before the first."""
        return self._now

    @property
    def executing(self) -> bool:
        """Whether a task is in execution."""
        return self._execution.serving is not None

    def sending_to(self, destination: int) -> bool:
        """Whether a task is on the link to another node."""
        return self._links[destination].serving is not None

    @property
    def waiting(self) -> int:
        """Tasks waiting in the execution queue."""
        return len(self._execution.waiting)

    def waiting_to(self, destination: int) -> int:
        """Tasks waiting for the link to another node: what this node has announced to it."""
        return len(self._links[destination].waiting)

    def backlog_s(self, now: float) -> float:
        """Seconds of work in the execution queue, with what is left of the service as planned."""
        task = self._execution.serving
        total = 0.0 if task is None else task.started_s + self.execution_s(task) - now
        for task in self._execution.waiting:
            total += self.execution_s(task)
        return total

    def sending_backlog_s(self, destination: int, now: float) -> float:
        """Seconds of work for the link to another node, with what is left of the transfer as planned; 0 to itself."""
        if destination == self.index:
            return 0.0
        link = self._links[destination]
        task = link.serving
        total = 0.0 if task is None else task.sent_s + self.transmission_s(task) - now
        for task in link.waiting:
            total += self.transmission_s(task)
        return total

    def sending_backlogs_s(self, now: float) -> list[float]:
        """(N,) `sending_backlog_s` to every node."""
        found = [0.0] * len(self._rate)
        for j, link in self._links.items():
            task = link.serving
            if task is not None:  # else nothing waits
                total = task.sent_s + task.transmission_s - now
                if link.waiting:
                    for task in link.waiting:
                        total += task.transmission_s
                found[j] = total
        return found

    def execution_s(self, task: Task) -> float:
        """Tc at the task's destination (eq. 1)."""
        return float(task.cycles / self._capacity_hz[task.destination])

    def transmission_s(self, task: Task) -> float:
        """Tt to the task's destination (eq. 2)."""
        return float(task.size_bits / self._rate[task.destination])

    def execution_fails(self, task: Task) -> bool:
        """Whether the execution here fails (eq. 4)."""
        return task.u_execution > math.exp(-self.execution_s(task) * self._alpha)

    def transmission_fails(self, task: Task) -> bool:
        """Whether the transfer from here fails (eq. 5)."""
        return task.u_transmission > math.exp(-self.transmission_s(task) * self._beta[task.destination])

    def tasks(self) -> list[Task]:
        """Every task that this node holds, in service or waiting."""
        servers = [self._execution, *self._links.values()]
        return [task for s in servers for task in ([s.serving] if s.serving is not None else []) + list(s.waiting)]

    def _decided(self, task: Task, destination: int, now: float, effects: list[Effect]) -> None:
        local = destination == self.index
        new = task.state is TaskState.UNFINISHED and task.source == self.index
        if not new or not (local or destination in self._links):
            given = f"be decided by node {self.index} (of node {task.source}, to {destination})"
            raise InvalidTransition(task, given)
        task.destination = destination
        task.state = TaskState.WAITING_TO_EXECUTE if local else TaskState.WAITING_TO_SEND
        task.story.append((now, "decide"))
        if self._drop_policy is DropPolicy.ABORT_AT_DEADLINE:
            effects.append(WatchDeadline(task))
        if local:
            self._execution.waiting.append(task)
            self._serve_execution(now, effects)
        else:
            link = self._links[destination]
            task.transmission_s = self.transmission_s(task)
            link.waiting.append(task)
            self._serve_link(link, now, effects)

    def _serve_execution(self, now: float, effects: list[Effect]) -> None:
        """If idle, start the first waiting task that the drop policy does not give up."""
        server, policy = self._execution, self._drop_policy
        while server.serving is None and server.waiting:
            task = server.waiting.popleft()
            length = self.execution_s(task)
            estimates = policy is DropPolicy.ESTIMATE_AT_EXECUTION or policy is DropPolicy.ESTIMATE_AT_BOTH
            if (estimates and now + length > task.due_s) or (
                policy is DropPolicy.EXPIRED_AT_DEQUEUE and now > task.due_s
            ):
                self._end(task, "drop", now, effects)
                continue
            self._change(task, "execute", now)
            task.started_s = now
            server.serving = task
            fails = self.execution_fails(task)
            busy = -math.log(task.u_execution) / self._alpha if fails and self._at_instant else length
            effects.append(StartExecution(task, busy, fails))

    def _serve_link(self, link: _Server, now: float, effects: list[Effect]) -> None:
        """If idle, send the first waiting task that the drop policy does not give up."""
        policy = self._drop_policy
        while link.serving is None and link.waiting:
            task = link.waiting.popleft()
            length = self.transmission_s(task)
            if (policy is DropPolicy.ESTIMATE_AT_BOTH and now + length + self.execution_s(task) > task.due_s) or (
                policy is DropPolicy.EXPIRED_AT_DEQUEUE and now > task.due_s
            ):
                self._end(task, "drop", now, effects)
                continue
            self._change(task, "send", now)
            task.sent_s = now
            link.serving = task
            fails = self.transmission_fails(task)
            beta = self._beta[task.destination]
            busy = -math.log(task.u_transmission) / beta if fails and self._at_instant else length
            effects.append(StartTransfer(task, busy, fails))

    def _transferred(self, task: Task, now: float, effects: list[Effect]) -> None:
        link = self._links.get(task.destination)
        self._require(task, link is not None and link.serving is task, "end a transfer")
        assert link is not None  # required
        link.serving = None
        if self.transmission_fails(task):
            self._end(task, "drop" if now > task.due_s else "fail", now, effects)
        else:
            effects.append(HandOver(task))
        self._serve_link(link, now, effects)

    def _executed(self, task: Task, now: float, effects: list[Effect]) -> None:
        self._require(task, self._execution.serving is task, "end an execution")
        self._execution.serving = None
        outcome = "drop" if now > task.due_s else "fail" if self.execution_fails(task) else "succeed"
        self._end(task, outcome, now, effects)
        self._serve_execution(now, effects)

    def _expired(self, task: Task, now: float, effects: list[Effect]) -> None:
        """abortAtDeadline: take the task away wherever it is."""
        here = task.state in (TaskState.WAITING_TO_EXECUTE, TaskState.EXECUTING)
        server = self._execution if here else self._links.get(task.destination)
        held = server is not None and (server.serving is task or any(other is task for other in server.waiting))
        self._require(task, held, "expire")
        assert server is not None  # held
        if server.serving is task:
            server.serving = None
            effects.append(StopService(task))
        else:
            # By identity: two tasks may be equal in every value.
            server.waiting = deque(other for other in server.waiting if other is not task)
        self._end(task, "drop", now, effects)
        if here:
            self._serve_execution(now, effects)
        else:
            self._serve_link(server, now, effects)

    def _end(self, task: Task, event: str, now: float, effects: list[Effect]) -> None:
        self._change(task, event, now)
        task.ended_s = now
        effects.append(RecordTask(task))

    @staticmethod
    def _change(task: Task, event: str, now: float) -> None:
        following = TRANSITIONS.get(task.state, {}).get(event)
        if following is None:
            raise InvalidTransition(task, event)
        task.state = following
        task.story.append((now, event))

    @staticmethod
    def _require(task: Task, condition: bool, event: str) -> None:
        if not condition:
            raise InvalidTransition(task, event)
