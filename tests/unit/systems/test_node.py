"""Node cores under random decisions: tasks are conserved, queues are FIFO, time goes on, a replay repeats itself.

The machine drives three cores with an agenda of its own, the plainest that keeps the contract of `node`: at one
instant completions come first, then deadlines, then decisions. Beside the cores it keeps what must be true of them.
"""

import math
from collections import deque
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgebed.systems.cooperative.lifecycle import TERMINAL, TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import (
    DeadlinePassed,
    Effect,
    Event,
    ExecutionEnded,
    HandOver,
    NodeCore,
    RecordTask,
    StartExecution,
    StartTransfer,
    StopService,
    Task,
    TaskDecided,
    TaskReceived,
    TransferEnded,
    WatchDeadline,
)
from edgebed.systems.cooperative.rules import DropPolicy, FailureTime, FailureUnit, Rules

NODES = 3
SLOT_S = 0.5
NETWORK = Network.from_document(
    {
        "capacityHz": [1e9, 2e9, 2e9],
        "arrivalProbability": [1] * NODES,
        "executionFailureRate": [0.0, 0.2, 0.5],
        "linkRateBitsPerSecond": [[1e6, 1e6, 2e6], [2e6, 1e6, 1e6], [1e6, 4e6, 1e6]],
        "linkFailureRate": [[0.0, 0.1, 0.4], [0.5, 0.0, 0.0], [0.0, 0.3, 0.0]],
    }
)
# Few values, and binary fractions, so that ends, deadlines and arrivals often coincide.
SIZES = st.sampled_from((0.25e6, 0.5e6, 1e6, 1.3e6))
CYCLES = st.sampled_from((0.25e9, 0.5e9, 1e9, 1.7e9))
DEADLINES = st.sampled_from((0.25, 0.5, 1.0, 2.0, 2.9))
UNIFORMS = st.floats(0.01, 1.0)


def described(effects: list[Effect]) -> list[tuple[Any, ...]]:
    """Effects by value, with a task as it is now."""
    return [
        (type(effect).__name__, effect.task.number, effect.task.state)
        + ((effect.busy_s, effect.fails) if isinstance(effect, StartTransfer | StartExecution) else ())
        for effect in effects
    ]


class Nodes(RuleBasedStateMachine):
    """Three cores and a clock."""

    @initialize(
        # Abort touches most queues in most ways, so it comes more often.
        drop_policy=st.sampled_from([*DropPolicy, DropPolicy.ABORT_AT_DEADLINE, DropPolicy.ABORT_AT_DEADLINE]),
        failure_time=st.sampled_from(FailureTime),
        failure_unit=st.sampled_from(FailureUnit),
    )
    def start(self, drop_policy: DropPolicy, failure_time: FailureTime, failure_unit: FailureUnit) -> None:
        self.rules_ = Rules(drop_policy=drop_policy, failure_time=failure_time, failure_unit=failure_unit)
        self.cores = [NodeCore(i, NETWORK, self.rules_, SLOT_S) for i in range(NODES)]
        self.now = 0.0
        self.tasks: list[Task] = []
        self.as_created: list[Task] = []
        self.agenda: list[tuple[float, int, int, Event]] = []
        self.recorded: list[int] = []
        self.history: list[tuple[int, type[Event], int, int, float, list[tuple[Any, ...]]]] = []
        # (source, destination) of a link, or (node, node) of an execution queue -> numbers in order of entry
        self.entered: dict[tuple[int, int], deque[int]] = {(i, j): deque() for i in range(NODES) for j in range(NODES)}

    @rule(
        source=st.integers(0, NODES - 1),
        destination=st.integers(0, NODES - 1),
        size_bits=SIZES,
        cycles=CYCLES,
        deadline_s=DEADLINES,
        u_transmission=UNIFORMS,
        u_execution=UNIFORMS,
    )
    def decide(self, source: int, destination: int, **values: float) -> None:
        """A task arrives, now."""
        number = len(self.tasks)
        task = Task(number=number, slot=0, source=source, arrived_s=self.now, **values)
        self.tasks.append(task)
        self.as_created.append(deepcopy(task))
        self.tell(source, TaskDecided(task, destination))

    @precondition(lambda self: self.agenda)
    @rule()
    def next_instant(self) -> None:
        """All that is due at the next instant at which something is due."""
        self.advance(min(self.agenda)[0])

    @rule(seconds=st.sampled_from((0.125, 0.5, 1.0)))
    def wait(self, seconds: float) -> None:
        """Some time passes."""
        self.advance(self.now + seconds)

    def advance(self, until: float) -> None:
        while self.agenda and min(self.agenda)[0] <= until:
            first = min(self.agenda, key=lambda entry: entry[:3])
            self.agenda.remove(first)
            at, _, _, event = first
            assert at >= self.now
            self.now = at
            task = event.task
            if isinstance(event, DeadlinePassed):
                if task.state not in TERMINAL:
                    on_the_way = task.state in (TaskState.WAITING_TO_SEND, TaskState.SENDING)
                    self.tell(task.source if on_the_way else task.destination, event)
            else:
                self.tell(task.source if isinstance(event, TransferEnded) else task.destination, event)
        self.now = until

    def tell(self, node: int, event: Event) -> None:
        task = event.task
        at = (node, type(event), task.number, task.destination)
        if isinstance(event, TaskDecided):
            at = (*at[:3], event.destination)
            self.entered[node, event.destination].append(task.number)
        elif isinstance(event, TaskReceived):
            self.entered[node, node].append(task.number)
        effects = self.cores[node].handle(event, self.now)
        self.history.append((*at, self.now, described(effects)))
        for effect in effects:
            self.perform(node, effect)

    def perform(self, node: int, effect: Effect) -> None:
        task = effect.task
        match effect:
            case StartTransfer(busy_s=busy_s):
                self.serve(node, task.destination, task)
                self.schedule(busy_s, 0, TransferEnded(task))
            case StartExecution(busy_s=busy_s):
                assert node == task.destination
                self.serve(node, node, task)
                self.schedule(busy_s, 0, ExecutionEnded(task))
            case WatchDeadline():
                assert self.rules_.drop_policy is DropPolicy.ABORT_AT_DEADLINE
                self.schedule(task.due_s - self.now, 1, DeadlinePassed(task))
            case StopService():
                before = len(self.agenda)
                self.agenda = [entry for entry in self.agenda if entry[1] == 1 or entry[3].task is not task]
                assert len(self.agenda) == before - 1
            case HandOver():
                self.tell(task.destination, TaskReceived(task))
            case RecordTask():
                assert task.state in TERMINAL
                self.recorded.append(task.number)

    def serve(self, i: int, j: int, task: Task) -> None:
        """FIFO: whoever entered before has been served or has ended."""
        queue = self.entered[i, j]
        while queue[0] != task.number:
            assert self.tasks[queue.popleft()].state in TERMINAL
        queue.popleft()

    def schedule(self, seconds: float, kind: int, event: Event) -> None:
        assert seconds >= 0
        self.agenda.append((self.now + seconds, kind, event.task.number, event))

    @invariant()
    def tasks_are_conserved(self) -> None:
        """Created = waiting + in service + ended, each in exactly one place; on the way is in service at a link."""
        held = [task.number for core in self.cores for task in core.tasks()]
        assert sorted(held + self.recorded) == list(range(len(self.tasks)))
        for core in self.cores:
            for task in core.tasks():
                sending = task.state in (TaskState.WAITING_TO_SEND, TaskState.SENDING)
                assert task.state not in TERMINAL
                assert core.index == (task.source if sending else task.destination)
        assert all(self.tasks[number].state in TERMINAL for number in self.recorded)

    @invariant()
    def nobody_waits_for_an_idle_server(self) -> None:
        """A queue with a waiting task has one in service, and none has two."""
        states = [task for core in self.cores for task in core.tasks()]
        for node in range(NODES):
            here = [t.state for t in states if t.destination == node and t.state >= TaskState.WAITING_TO_EXECUTE]
            assert here.count(TaskState.EXECUTING) == min(1, len(here))
            assert self.cores[node].waiting == here.count(TaskState.WAITING_TO_EXECUTE)
            for other in range(NODES):
                link = [t.state for t in states if (t.source, t.destination) == (node, other)]
                link = [state for state in link if state in (TaskState.WAITING_TO_SEND, TaskState.SENDING)]
                assert link.count(TaskState.SENDING) == min(1, len(link))
                if other != node:
                    assert self.cores[node].waiting_to(other) == link.count(TaskState.WAITING_TO_SEND)

    @invariant()
    def time_never_goes_back(self) -> None:
        """Neither in a task's story nor between its recorded instants, and none of them lies ahead."""
        for task in self.tasks:
            story = [at for at, _ in task.story]
            instants = [task.arrived_s, task.sent_s, task.received_s, task.started_s, task.ended_s]
            known = [at for at in instants if not math.isnan(at)]
            assert story == sorted(story)
            assert known == sorted(known)
            assert max(known + story) <= self.now
            assert math.isnan(task.ended_s) == (task.state not in TERMINAL)

    @invariant()
    def fates_follow_the_rules(self) -> None:
        """In time is at most the deadline; only a late or given-up task is dropped; abort leaves nobody overdue."""
        for task in self.tasks:
            if task.state in (TaskState.SUCCEEDED, TaskState.FAILED):
                assert task.ended_s <= task.due_s
            if self.rules_.drop_policy is DropPolicy.ABORT_AT_DEADLINE:
                assert (task.ended_s if task.state in TERMINAL else self.now) <= task.due_s
            if task.state is TaskState.DROPPED and self.rules_.drop_policy is DropPolicy.NEVER:
                assert task.ended_s > task.due_s

    @invariant()
    def backlogs_are_work(self) -> None:
        """Never less than nothing, and nothing where there is no task."""
        for core in self.cores:
            busy = any(task.state >= TaskState.WAITING_TO_EXECUTE for task in core.tasks())
            backlogs = {core.index: core.backlog_s(self.now)} if not busy else {}
            for j in set(range(NODES)) - {core.index}:
                if not any((task.source, task.destination) == (core.index, j) for task in core.tasks()):
                    backlogs[j] = core.sending_backlog_s(j, self.now)
            assert set(backlogs.values()) <= {0.0}
            assert core.backlog_s(self.now) >= -1e-9

    def teardown(self) -> None:
        """Drain what is left, then tell fresh cores the same events about fresh tasks: the effects are the same."""
        if not hasattr(self, "cores"):
            return
        while self.agenda:
            self.next_instant()
        assert sorted(self.recorded) == list(range(len(self.tasks)))
        cores = [NodeCore(i, NETWORK, self.rules_, SLOT_S) for i in range(NODES)]
        tasks = self.as_created
        for node, kind, number, destination, now, effects in self.history:
            task = tasks[number]
            event = TaskDecided(task, destination) if kind is TaskDecided else kind(task)  # type: ignore[call-arg]
            assert described(cores[node].handle(event, now)) == effects
        assert [(t.state, t.story) for t in tasks] == [(t.state, t.story) for t in self.tasks]


Nodes.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestNodes = Nodes.TestCase


def test_an_aborted_service_gives_way_to_the_next() -> None:
    """The deadline of the task in execution passes: it is stopped and recorded, and the one behind it begins."""
    core = NodeCore(0, NETWORK, Rules(drop_policy=DropPolicy.ABORT_AT_DEADLINE), SLOT_S)
    first, second = (Task(k, k, 0, 1e6, 4e9, deadline, k * SLOT_S, 1.0, 1.0) for k, deadline in enumerate((1.0, 5.0)))
    core.handle(TaskDecided(first, 0), 0.0)
    core.handle(TaskDecided(second, 0), 0.5)
    assert core.handle(DeadlinePassed(first), 1.0) == [
        StopService(first),
        RecordTask(first),
        StartExecution(second, 4.0, fails=False),
    ]
    assert (first.state, second.state) == (TaskState.DROPPED, TaskState.EXECUTING)
