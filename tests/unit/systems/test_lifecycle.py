"""The lifecycle table, enumerated: nothing in it is unreachable, endless or left unsaid."""

import math

import pytest

from edgebed.systems.cooperative.lifecycle import TERMINAL, TRANSITIONS, TaskState
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import (
    DeadlinePassed,
    Event,
    ExecutionEnded,
    InvalidTransition,
    NodeCore,
    Task,
    TaskDecided,
    TaskReceived,
    TransferEnded,
)
from edgebed.systems.cooperative.rules import DropPolicy, Rules
from scripts.lifecycle import PAGE, written

FIRST = {TaskState.WAITING_TO_SEND, TaskState.WAITING_TO_EXECUTE}


def reached_from(states: set[TaskState]) -> set[TaskState]:
    reached: set[TaskState] = set()
    while states - reached:
        reached |= states
        states = {following for state in reached for following in TRANSITIONS[state].values()}
    return reached


def test_every_state_is_reachable() -> None:
    """From the two states in which a task can start; UNFINISHED is of the log and not of the table."""
    assert reached_from(FIRST) == set(TRANSITIONS) == set(TaskState) - {TaskState.UNFINISHED}


def test_terminal_states_have_no_exits() -> None:
    """They are the three fates, and from every other state one of them can be reached."""
    assert {TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED} == TERMINAL
    for state, events in TRANSITIONS.items():
        assert (state in TERMINAL) == (not events)
        assert reached_from({state}) & TERMINAL


def test_a_task_never_returns() -> None:
    """The table has no cycle: every change brings a task closer to its end."""
    for state, events in TRANSITIONS.items():
        assert state not in reached_from(set(events.values()))


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (TaskState.WAITING_TO_SEND, {"send", "drop"}),
        (TaskState.SENDING, {"receive", "fail", "drop"}),
        (TaskState.WAITING_TO_EXECUTE, {"execute", "drop"}),
        (TaskState.EXECUTING, {"succeed", "fail", "drop"}),
    ],
    ids=lambda value: value.label if isinstance(value, TaskState) else "",
)
def test_what_can_happen(state: TaskState, events: set[str]) -> None:
    """Only a task in service can fail, only an executing one can succeed, and any can be dropped."""
    assert set(TRANSITIONS[state]) == events


def node() -> NodeCore:
    network = Network.from_document(
        {
            "capacityHz": [1e9, 1e9],
            "arrivalProbability": [1, 1],
            "executionFailureRate": [0, 0],
            "linkRateBitsPerSecond": [[1e6, 1e6], [1e6, 1e6]],
            "linkFailureRate": [[0, 0], [0, 0]],
        }
    )
    return NodeCore(0, network, Rules(drop_policy=DropPolicy.NEVER), 0.5)


def task(number: int) -> Task:
    return Task(number, 0, 0, 1e6, 1e9, 5.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "kind", [TransferEnded, ExecutionEnded, TaskReceived, DeadlinePassed], ids=lambda k: k.__name__
)
def test_an_event_that_cannot_happen_carries_the_story(kind: type[Event]) -> None:
    """A task that ended is told something more: the error has all that happened to it, and the node is as before."""
    core, ended, next_one = node(), task(7), task(8)
    core.handle(TaskDecided(ended, 0), 0.0)
    core.handle(TaskDecided(next_one, 0), 0.5)
    core.handle(ExecutionEnded(ended), 1.0)
    with pytest.raises(InvalidTransition, match="task 7 in state SUCCEEDED cannot") as caught:
        core.handle(kind(ended), 2.0)  # type: ignore[call-arg]  # each of them takes a task
    assert caught.value.story == [(0.0, "decide"), (0.0, "execute"), (1.0, "succeed")]
    assert "succeed" in str(caught.value)
    assert [held.number for held in core.tasks()] == [8]
    assert next_one.state is TaskState.EXECUTING
    assert math.isnan(next_one.ended_s)


@pytest.mark.parametrize("kind", [TransferEnded, ExecutionEnded, DeadlinePassed], ids=lambda k: k.__name__)
def test_a_task_that_waits_cannot_end_its_service(kind: type[Event]) -> None:
    """Its turn has not come, or (a deadline) it is held elsewhere."""
    core = node()
    core.handle(TaskDecided(task(1), 1), 0.0)
    waiting = task(2)
    if kind is DeadlinePassed:
        waiting.state, waiting.destination = TaskState.WAITING_TO_SEND, 1  # of another node
    else:
        core.handle(TaskDecided(waiting, 1), 0.0)
    with pytest.raises(InvalidTransition, match="task 2 in state WAITING_TO_SEND"):
        core.handle(kind(waiting), 0.5)  # type: ignore[call-arg]  # each of them takes a task
    assert waiting.state is TaskState.WAITING_TO_SEND


def test_the_model_page_shows_the_table() -> None:
    """docs/model.md holds the diagram that `make generate` writes, and a stale one is replaced by it."""
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page
    assert written(page.replace(": fail\n", "\n")) == page
