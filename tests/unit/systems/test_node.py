"""Node cores told anything that can happen, in the order of time: no task is lost, nobody jumps a queue."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
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
    InvalidTransition,
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
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Horizon, Rules

NODES = 3
SLOT_S = 0.5

LUCK = st.sampled_from((1e-6, 0.3, 0.7, 0.95, 1.0))

Summary = tuple[tuple[str, int, float | None], ...]


def network() -> Network:
    """Three nodes; with tasks of whole size and cycles, stages take multiples of a quarter, so instants coincide."""
    return Network(
        capacity_hz=np.array([4.0, 2.0, 1.0]),
        cores=np.ones(NODES),
        arrival_probability=np.ones(NODES),
        execution_failure_rate=np.array([0.0, 0.2, 0.5]),
        link_rate_bits_per_s=np.array([[1.0, 4.0, 2.0], [1.0, 1.0, 4.0], [2.0, 1.0, 1.0]]),
        link_failure_rate=np.array([[0.0, 0.3, 0.0], [0.1, 0.0, 0.5], [0.0, 0.2, 0.0]]),
    )


def cores(rules: Rules) -> list[NodeCore]:
    """A core for each node."""
    return [NodeCore(index, network(), rules, SLOT_S) for index in range(NODES)]


def task(number: int = 0, **values: Any) -> Task:
    """A small task of node 0 that neither fails nor hurries, unless told otherwise."""
    small: dict[str, Any] = {"slot": 0, "source": 0, "size_bits": 4.0, "cycles": 4.0, "deadline_s": 100.0}
    small |= {"arrived_s": 0.0, "u_transmission": 1e-9, "u_execution": 1e-9}
    return Task(number=number, **small | values)


def fresh(old: Task) -> Task:
    """The task as it was before anything happened to it."""
    return Task(
        number=old.number,
        slot=old.slot,
        source=old.source,
        size_bits=old.size_bits,
        cycles=old.cycles,
        deadline_s=old.deadline_s,
        arrived_s=old.arrived_s,
        u_transmission=old.u_transmission,
        u_execution=old.u_execution,
    )


def summary(effects: list[Effect]) -> Summary:
    """Effects as values that can be compared between two runs."""
    return tuple((type(e).__name__, e.task.number, getattr(e, "busy_s", None)) for e in effects)


@dataclass(frozen=True)
class Told:
    """One event that a node was told, and what it answered."""

    now: float
    node: int
    kind: type[Event]
    number: int
    destination: int
    effects: Summary


class Nodes(RuleBasedStateMachine):
    """Three nodes, a clock that only goes forward, and the services and deadlines that are still to be told."""

    @initialize(
        # Abort touches most queues in most ways, so it comes more often.
        drop_policy=st.sampled_from([*DropPolicy, DropPolicy.ABORT_AT_DEADLINE, DropPolicy.ABORT_AT_DEADLINE]),
        failure_time=st.sampled_from(FailureTime),
        horizon=st.sampled_from(Horizon),
        decision_order=st.sampled_from(DecisionOrder),
        failure_unit=st.sampled_from(FailureUnit),
    )
    def start(self, **choices: Any) -> None:
        """Empty nodes under some rules."""
        self.chosen = Rules(**choices)
        self.nodes = cores(self.chosen)
        self.now = 0.0
        self.tasks: list[Task] = []
        self.recorded: list[int] = []
        self.pending: list[tuple[float, int, int, Event]] = []
        self.told: list[Told] = []
        self.entered: dict[tuple[int, int], list[int]] = {}
        self.served: dict[tuple[int, int], list[int]] = {}

    @rule(
        source=st.integers(0, NODES - 1),
        destination=st.integers(0, NODES - 1),
        burst=st.lists(
            st.fixed_dictionaries(
                {
                    "size_bits": st.integers(1, 6).map(float),
                    "cycles": st.integers(1, 6).map(float),
                    "deadline_s": st.integers(1, 60).map(lambda quarters: quarters / 4),
                    "u_transmission": LUCK,
                    "u_execution": LUCK,
                }
            ),
            min_size=1,
            max_size=5,
        ),
    )
    def decide(self, source: int, destination: int, burst: list[dict[str, float]]) -> None:
        """Some tasks arrive at a node and are all sent to one place, so that they queue up."""
        self.tell_up_to(self.now)
        for values in burst:
            born = task(len(self.tasks), source=source, arrived_s=self.now, **values)
            self.tasks.append(born)
            self.tell(source, TaskDecided(born, destination))

    @precondition(lambda self: self.pending)
    @rule()
    def next_event(self) -> None:
        """The earliest of all services ends, or the earliest of all deadlines passes."""
        at, _, _, event = min(self.pending, key=lambda entry: entry[:3])
        self.pending = [entry for entry in self.pending if entry[3] is not event]
        self.now = max(self.now, at)
        state = event.task.state
        if isinstance(event, DeadlinePassed) and state in TERMINAL:
            return
        at_source = state in (TaskState.WAITING_TO_SEND, TaskState.SENDING)
        self.tell(event.task.source if at_source else event.task.destination, event)

    @rule(quarters=st.integers(1, 8))
    def wait(self, quarters: int) -> None:
        """Time passes, and what is due happens."""
        until = self.now + quarters / 4
        self.tell_up_to(until)
        self.now = until

    def tell_up_to(self, until: float) -> None:
        """Everything that is due by then."""
        while any(entry[0] <= until for entry in self.pending):
            self.next_event()

    def tell(self, node: int, event: Event) -> None:
        """Tell a node, remember what it answered, and perform it."""
        mine = event.task
        if isinstance(event, TaskDecided):
            self.entered.setdefault((node, event.destination), []).append(mine.number)
        elif isinstance(event, TaskReceived):
            self.entered.setdefault((node, node), []).append(mine.number)
        effects = self.nodes[node].handle(event, self.now)
        self.told.append(Told(self.now, node, type(event), mine.number, mine.destination, summary(effects)))
        for effect in effects:
            other = effect.task
            match effect:
                case StartTransfer(_, busy_s, fails):
                    self.begin(node, other.destination, other, busy_s, fails, self.nodes[node].transmission_s(other))
                    self.pending.append((self.now + busy_s, 0, other.number, TransferEnded(other)))
                case StartExecution(_, busy_s, fails):
                    self.begin(node, node, other, busy_s, fails, self.nodes[node].execution_s(other))
                    self.pending.append((self.now + busy_s, 0, other.number, ExecutionEnded(other)))
                case WatchDeadline():
                    self.pending.append((other.due_s, 1, other.number, DeadlinePassed(other)))
                case StopService():
                    self.pending = [e for e in self.pending if e[1] == 1 or e[3].task is not other]
                case HandOver():
                    self.tell(other.destination, TaskReceived(other))
                case RecordTask():
                    self.recorded.append(other.number)

    def begin(self, node: int, destination: int, other: Task, busy_s: float, fails: bool, length: float) -> None:
        """A service starts: it lasts as long as the stage, or shorter only if it fails at its instant."""
        self.served.setdefault((node, destination), []).append(other.number)
        assert 0 <= busy_s <= length
        assert busy_s == length or (fails and self.chosen.failure_time is FailureTime.AT_INSTANT)

    @invariant()
    def no_task_is_lost_or_doubled(self) -> None:
        """Every task is held by exactly one node, once, or it has ended and was recorded once."""
        held = [mine.number for node in self.nodes for mine in node.tasks()]
        assert sorted(held + self.recorded) == list(range(len(self.tasks)))
        assert sorted(self.recorded) == [mine.number for mine in self.tasks if mine.state in TERMINAL]

    @invariant()
    def nobody_jumps_a_queue(self) -> None:
        """Of the tasks that a queue served, each entered it after the one before it."""
        for queue, served in self.served.items():
            started = set(served)
            assert [number for number in self.entered[queue] if number in started] == served

    @invariant()
    def time_never_goes_back(self) -> None:
        """A task's story and its instants are in the order of time, and none is later than now."""
        for mine in self.tasks:
            times = [at for at, _ in mine.story]
            assert times == sorted(times)
            instants = [mine.arrived_s, mine.sent_s, mine.received_s, mine.started_s, mine.ended_s]
            reached = [at for at in instants if not math.isnan(at)]
            assert reached == sorted(reached)
            assert max([*times, *reached]) <= self.now
            assert math.isnan(mine.ended_s) == (mine.state not in TERMINAL)

    @invariant()
    def nobody_idles(self) -> None:
        """A task waits only behind one in service."""
        waiting = {TaskState.WAITING_TO_EXECUTE: TaskState.EXECUTING, TaskState.WAITING_TO_SEND: TaskState.SENDING}
        for mine in self.tasks:
            if mine.state in waiting:
                rivals = [o for o in self.tasks if o.state is waiting[mine.state] and o.destination == mine.destination]
                assert any(mine.state is TaskState.WAITING_TO_EXECUTE or o.source == mine.source for o in rivals)

    def teardown(self) -> None:
        """Fresh cores that are told the same events answer the same."""
        if not hasattr(self, "told"):
            return
        again, twins = cores(self.chosen), [fresh(mine) for mine in self.tasks]
        for entry in self.told:
            twin = twins[entry.number]
            event = TaskDecided(twin, entry.destination) if entry.kind is TaskDecided else entry.kind(twin)  # type: ignore[call-arg]
            assert summary(again[entry.node].handle(event, entry.now)) == entry.effects
        assert [twin.story for twin in twins] == [mine.story for mine in self.tasks]


TestNodes = Nodes.TestCase
TestNodes.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_an_impossible_event_carries_the_story() -> None:
    """Ending what is not in service is refused with the task's number, its state and all that happened to it."""
    node = cores(Rules())[0]
    first, second = task(0), task(1)
    node.handle(TaskDecided(first, 0), 0.0)
    node.handle(TaskDecided(second, 0), 0.25)
    with pytest.raises(
        InvalidTransition, match=r"task 1 in state WAITING_TO_EXECUTE cannot end an execution"
    ) as caught:
        node.handle(ExecutionEnded(second), 1.0)
    assert caught.value.story == [(0.25, "decide")]
    assert "(0.25, 'decide')" in str(caught.value)


def test_a_task_is_received_once() -> None:
    """A task that has ended cannot arrive any more, and its story says how it ended."""
    node = cores(Rules())[0]
    mine = task()
    node.handle(TaskDecided(mine, 0), 0.0)
    node.handle(ExecutionEnded(mine), 1.0)
    with pytest.raises(InvalidTransition, match="SUCCEEDED cannot receive") as caught:
        node.handle(TaskReceived(mine), 2.0)
    assert caught.value.story == [(0.0, "decide"), (0.0, "execute"), (1.0, "succeed")]


def test_a_deadline_is_for_who_holds_the_task() -> None:
    """A node refuses the deadline of a task that another node holds."""
    sender, receiver, _ = cores(Rules(DropPolicy.ABORT_AT_DEADLINE))
    mine = task(deadline_s=1.0)
    sender.handle(TaskDecided(mine, 1), 0.0)
    with pytest.raises(InvalidTransition, match="task 0 in state SENDING cannot expire"):
        receiver.handle(DeadlinePassed(mine), 1.0)


@pytest.mark.parametrize("destination", [0, 1], ids=["local", "sent"])
@pytest.mark.parametrize("ended", [False, True], ids=["held", "ended"])
def test_a_task_is_decided_once(destination: int, ended: bool) -> None:
    """A second decision is refused in whatever state the task is; nothing is held twice, and no ended task returns."""
    node = cores(Rules())[0]
    mine = task()
    node.handle(TaskDecided(mine, 0), 0.0)
    if ended:
        node.handle(ExecutionEnded(mine), 1.0)
    state, story = mine.state, list(mine.story)
    with pytest.raises(InvalidTransition, match=f"task 0 in state {state.name} cannot be decided by node 0") as caught:
        node.handle(TaskDecided(mine, destination), 2.0)
    assert caught.value.story == story
    assert (mine.state, mine.story, mine.destination) == (state, story, 0)
    assert node.tasks() == ([] if ended else [mine])


@pytest.mark.parametrize(("source", "destination"), [(0, NODES), (0, -1), (1, 0), (1, 1), (1, 2)])
def test_a_node_decides_for_itself_and_to_nodes_that_exist(source: int, destination: int) -> None:
    """Another node's task and a destination outside the network are refused, and nothing is held."""
    node = cores(Rules())[0]
    mine = task(source=source)
    with pytest.raises(InvalidTransition, match=rf"cannot be decided by node 0 \(of node {source}, to {destination}\)"):
        node.handle(TaskDecided(mine, destination), 0.0)
    assert node.tasks() == []
    assert mine.state is TaskState.UNFINISHED


@pytest.mark.parametrize("wrong", [0, 2], ids=["back at its source", "a third node"])
def test_a_task_is_received_where_it_was_sent(wrong: int) -> None:
    """Nobody but the destination takes it, and the destination still can."""
    nodes = cores(Rules())
    mine = task()
    nodes[0].handle(TaskDecided(mine, 1), 0.0)
    nodes[0].handle(TransferEnded(mine), 1.0)
    with pytest.raises(InvalidTransition, match=f"SENDING cannot be received by node {wrong}, it is bound for 1"):
        nodes[wrong].handle(TaskReceived(mine), 1.0)
    assert nodes[wrong].tasks() == []
    nodes[1].handle(TaskReceived(mine), 1.0)
    assert nodes[1].tasks() == [mine]


@pytest.mark.parametrize("now", [0.75, -math.inf, math.nan])
def test_a_node_refuses_a_time_before_the_last(now: float) -> None:
    """It would give a task an end before its start; the same instant is fine."""
    node = cores(Rules())[0]
    mine = task()
    node.handle(TaskDecided(mine, 0), 1.0)
    with pytest.raises(InvalidTransition, match=f"task 0 in state EXECUTING cannot go back from 1.0 to {now}"):
        node.handle(ExecutionEnded(mine), now)
    assert node.tasks() == [mine]
    node.handle(ExecutionEnded(mine), 1.0)
    assert mine.state is TaskState.SUCCEEDED


@pytest.mark.parametrize(("destination", "start"), [(0, StartExecution), (1, StartTransfer)], ids=["cpu", "link"])
def test_abort_frees_the_server(destination: int, start: type[Effect]) -> None:
    """Taking away the task in service stops it, records it as dropped and starts the next at the same instant."""
    node = cores(Rules(DropPolicy.ABORT_AT_DEADLINE))[0]
    first, second = task(0, deadline_s=0.5), task(1)
    assert summary(node.handle(TaskDecided(first, destination), 0.0))[0][0] == "WatchDeadline"
    node.handle(TaskDecided(second, destination), 0.25)
    effects = node.handle(DeadlinePassed(first), 0.5)
    assert [(type(e), e.task.number) for e in effects] == [(StopService, 0), (RecordTask, 0), (start, 1)]
    assert first.state is TaskState.DROPPED
    assert first.ended_s == 0.5
    assert node.tasks() == [second]


def test_abort_of_a_waiting_task_leaves_the_server_alone() -> None:
    """A task that expires in the queue goes; the task in service and its twin of equal values stay."""
    node = cores(Rules(DropPolicy.ABORT_AT_DEADLINE))[0]
    serving, twin, expiring = task(0), task(1, deadline_s=0.5), task(1, deadline_s=0.5)
    for mine in (serving, twin, expiring):
        node.handle(TaskDecided(mine, 0), 0.0)
    assert summary(node.handle(DeadlinePassed(expiring), 0.5)) == (("RecordTask", 1, None),)
    held = node.tasks()
    assert len(held) == 2
    assert held[0] is serving
    assert held[1] is twin


@pytest.mark.parametrize(("destination", "end"), [(0, ExecutionEnded), (1, TransferEnded)], ids=["cpu", "link"])
def test_first_come_first_served(destination: int, end: type[ExecutionEnded | TransferEnded]) -> None:
    """Tasks are served in the order in which they came, each at the instant at which the one before it ends."""
    node = cores(Rules())[0]
    tasks = [task(number) for number in (4, 1, 3, 0)]
    for mine in tasks:
        node.handle(TaskDecided(mine, destination), 0.0)
    for now, mine in enumerate(tasks, start=1):
        assert node.tasks()[0] is mine
        node.handle(end(mine), float(now))
    starts = [mine.sent_s if destination else mine.started_s for mine in tasks]
    assert starts == [0.0, 1.0, 2.0, 3.0]


def test_backlogs_are_planned_work() -> None:
    """A backlog is what is left of the service as planned plus what waits; towards itself a node sends nothing."""
    node = cores(Rules())[0]
    for number in range(3):
        node.handle(TaskDecided(task(number), 0), 0.0)
        node.handle(TaskDecided(task(10 + number), 2), 0.0)
    assert (node.waiting, node.waiting_to(2), node.waiting_to(1)) == (2, 2, 0)
    assert node.backlog_s(0.25) == 2.75
    assert node.sending_backlog_s(2, 0.25) == 5.75
    assert node.sending_backlog_s(0, 0.25) == 0.0


@pytest.mark.parametrize(
    ("late", "u_execution", "state"),
    [
        (False, 1e-9, TaskState.SUCCEEDED),
        (False, 1.0, TaskState.FAILED),
        (True, 1e-9, TaskState.DROPPED),
        (True, 1.0, TaskState.DROPPED),
    ],
)
def test_late_and_failed_is_dropped(late: bool, u_execution: float, state: TaskState) -> None:
    """An end exactly at the deadline is in time; after it even a failure counts as a drop."""
    node = cores(Rules(DropPolicy.NEVER))[1]
    mine = task(source=1, cycles=2.0, deadline_s=0.75 if late else 1.0, u_execution=u_execution)
    node.handle(TaskDecided(mine, 1), 0.0)
    node.handle(ExecutionEnded(mine), 1.0)
    assert mine.state is state
