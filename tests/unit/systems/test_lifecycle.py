"""The table of states is closed and leads to an end, and the tasks of whole episodes never leave it."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebed.systems.cooperative.diagram import BEGIN, END, diagram, written_into
from edgebed.systems.cooperative.distributions import Choice, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TERMINAL, TRANSITIONS, TaskState
from edgebed.systems.cooperative.network import NetworkModel
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Horizon, Rules
from edgebed.systems.cooperative.virtual import VirtualEpisode
from edgebed.systems.cooperative.workload import WorkloadModel

STARTING = {TaskState.WAITING_TO_SEND, TaskState.WAITING_TO_EXECUTE}
NETWORKS = NetworkModel(
    nodes=3,
    cores=Choice((4, 8)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0.5, 1),
    execution_failure_rate=Uniform(0, 0.4),
    link_rate_bits_per_s=Uniform(1e7, 1e8),
    link_failure_rate=Uniform(0, 0.4),
)
TASKS = WorkloadModel(
    slot_s=0.5,
    slots=12,
    size_bits=Uniform(4e6, 4e7),
    cycles_per_bit=Uniform(400, 1600),
    deadline_s=Uniform(0.5, 4),
)


def reachable(*states: TaskState) -> set[TaskState]:
    """Every state that some events lead to, the given ones included."""
    found = set(states)
    todo = list(states)
    while todo:
        following = set(TRANSITIONS[todo.pop()].values()) - found
        found |= following
        todo += following
    return found


def walk(start: TaskState, events: list[str]) -> list[TaskState]:
    """The states that a task passes; fails for an event that the table does not have there."""
    states = [start]
    for event in events:
        assert event in TRANSITIONS[states[-1]], f"{states[-1].name} has no {event}"
        states.append(TRANSITIONS[states[-1]][event])
    return states


def test_every_state_is_reached_from_a_start() -> None:
    """A task can come to every state except unfinished, which only a log knows."""
    assert reachable(*STARTING) == set(TaskState) - {TaskState.UNFINISHED} == set(TRANSITIONS)


@pytest.mark.parametrize("state", TRANSITIONS, ids=lambda state: state.label)
def test_every_state_leads_to_an_end(state: TaskState) -> None:
    """From every state an ending is reachable, and an ending has no exits."""
    assert reachable(state) & TERMINAL
    if state in TERMINAL:
        assert reachable(state) == {state}


def test_the_endings_are_the_statuses() -> None:
    """Succeeded, dropped and failed end a task, under the numbers that stored logs use."""
    assert {TaskState.SUCCEEDED, TaskState.DROPPED, TaskState.FAILED} == TERMINAL
    assert [int(state) for state in sorted({*TERMINAL, TaskState.UNFINISHED})] == [0, 1, 2, 3]
    assert [TaskState(code).label for code in range(4)] == ["unfinished", "succeeded", "dropped", "failed"]


def test_no_state_is_visited_twice() -> None:
    """The table has no cycle, so every task ends after at most five events."""
    for state, events in TRANSITIONS.items():
        for following in events.values():
            assert state not in reachable(following)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rules=st.builds(
        Rules,
        st.sampled_from(DropPolicy),
        st.sampled_from(FailureTime),
        st.sampled_from(Horizon),
        st.sampled_from(DecisionOrder),
        st.sampled_from(FailureUnit),
    ),
)
def test_tasks_of_an_episode_follow_the_table(seed: int, rules: Rules) -> None:
    """Every story starts with the decision, takes edges of the table only, and leads to the task's status."""
    network = NETWORKS.draw(seed)
    workload = TASKS.draw(network, seed, Stream.EVALUATE, range(1))
    episode = VirtualEpisode(network, workload, rules, 0.25)
    log = episode.run(Random(PolicyContext(network, TASKS, rules, 0.25, seed)))
    assert len(log) == len(episode.tasks) == workload.arrives.sum()
    for task, status in zip(episode.tasks, log.status.tolist(), strict=True):
        assert task.story[0] == (task.arrived_s, "decide")
        local = task.destination == task.source
        start = TaskState.WAITING_TO_EXECUTE if local else TaskState.WAITING_TO_SEND
        states = walk(start, [event for _, event in task.story[1:]])
        assert states[-1] is task.state
        assert status == (task.state if task.state in TERMINAL else TaskState.UNFINISHED)
        assert all(earlier[0] <= later[0] for earlier, later in itertools.pairwise(task.story))
        if rules.horizon is Horizon.DRAIN:
            assert task.state in TERMINAL


def test_the_page_is_current() -> None:
    """docs/model.md shows what `python -m edgebed.systems.cooperative.diagram docs/model.md` writes."""
    page = (Path(__file__).parents[3] / "docs" / "model.md").read_text(encoding="utf-8")
    assert written_into(page) == page


def test_the_diagram_has_every_edge_of_the_table() -> None:
    """Every event is an arrow, and beside them there are only two beginnings and the ends."""
    arrows = [line.strip() for line in diagram().splitlines() if "-->" in line]
    for state, events in TRANSITIONS.items():
        for event, following in events.items():
            assert f"{state.label} --> {following.label}: {event}" in arrows
    assert len(arrows) == sum(len(events) for events in TRANSITIONS.values()) + len(STARTING) + len(TERMINAL)


@pytest.mark.parametrize("page", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {END} {BEGIN} {END}", f"{BEGIN} {END} {END}"])
def test_a_page_without_one_place_is_refused(page: str) -> None:
    """Nothing is written over where the markers do not say one place."""
    with pytest.raises(ModelError, match=f"give one {BEGIN} before one {END}"):
        written_into(page)
