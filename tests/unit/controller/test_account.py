"""The account of an episode: every created task is in the log, or the run fails loudly and says which are not."""

import numpy as np
import pytest

from edgebed.controller.account import NODE_LOST, TasksMissing, account, lost_rows, missing, reasons, result_of
from edgebed.controller.episode import longest_stages_s, plan_of
from edgebed.experiment.costs import Cost, MeasuredTasks
from edgebed.stores.task_log import COLUMNS
from edgebed.systems.cooperative.distributions import Constant
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.setups import TESTBED

NETWORK = TESTBED.network.draw(1)
TASKS = TESTBED.workload.draw(NETWORK, 1, Stream.EVALUATE, range(1))
PLAN = plan_of(TASKS, "run", 3, 10**18, [f"http://h:{port}" for port in range(10)])
TOTAL = len(PLAN.tasks)


def test_the_plan_holds_the_workloads_tasks_in_its_order():
    slot, source = np.nonzero(TASKS.arrives[0])
    assert [task.slot for task in PLAN.tasks] == slot.tolist()
    assert [task.source for task in PLAN.tasks] == source.tolist()
    assert [task.number for task in PLAN.tasks] == list(range(TOTAL))
    for name in ("size_bits", "cycles", "deadline_s", "u_transmission", "u_execution"):
        assert [getattr(task, name) for task in PLAN.tasks] == getattr(TASKS, name)[0][slot, source].tolist()
    assert [task.arrived_s for task in PLAN.tasks] == (slot * TASKS.slot_s).tolist()


def test_the_plan_carries_each_tasks_profile():
    """0 where tasks are of no kind."""
    assert {task.profile for task in PLAN.tasks} == {0}
    costs = (Cost(28, "small", 0.25, 600_000), Cost(3, "large", 2.0, 7_600_001))
    tasks = MeasuredTasks(0.1, 20, costs, 3e9, Constant(1)).draw(NETWORK, 1, Stream.EVALUATE, range(1))
    plan = plan_of(tasks, "run", 3, 10**18, [])
    assert {(task.profile, task.cycles) for task in plan.tasks} == {(28, 0.75e9), (3, 6e9)}


def test_when_all_are_there_nothing_is_said():
    account(PLAN, {"succeeded": TOTAL - 5, "dropped": 2, "failed": 1, "unfinished": 2}, [], [])


def test_missing_tasks_fail_loudly_with_their_numbers_and_the_reasons():
    absent = missing(PLAN, set(range(TOTAL)) - {4, 9})
    emitted = {"failedNodes": [{"node": 2, "tasks": 2, "reason": "refused"}]}
    told = ["task 9 was sent, but node 0 did not confirm it: away"]
    stats = {1: {"fault": "its policy broke", "recordsDelivered": False, "recordsUnsent": 7, "unconfirmed": told}}
    with pytest.raises(TasksMissing) as caught:
        account(PLAN, {"succeeded": TOTAL - 2}, absent, reasons(emitted, stats))
    said = str(caught.value)
    assert f"{TOTAL} tasks were created, but the log has {TOTAL - 2}" in said
    assert "missing are tasks 4, 9 (node 2 did not take 2 tasks: refused; node 1: its policy broke" in said
    assert "node 1 still has 7 records" in said
    assert "node 1: task 9 was sent, but node 0 did not confirm it: away" in said


def test_more_records_than_tasks_fail_too():
    with pytest.raises(TasksMissing):
        account(PLAN, {"succeeded": TOTAL + 1}, [], [])


def test_tasks_of_a_lost_node_are_logged_as_failed_at_their_source():
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in lost_rows(PLAN, [0, TOTAL - 1], 0.5, version=7)]
    assert [row["task"] for row in rows] == [0, TOTAL - 1]
    assert {row["reason"] for row in rows} == {NODE_LOST}
    assert rows[0]["ended_s"] == 0.5
    assert rows[1]["ended_s"] == PLAN.tasks[-1].arrived_s  # it arrived after the node was lost
    assert all(row["destination"] == row["source"] == row["place"] for row in rows)


@pytest.mark.parametrize(("late_s", "reliable"), [([0.001, 0.0099], True), ([0.001, 0.011], False), ([], True)])
def test_a_slot_later_than_a_tenth_of_a_slot_makes_an_episode_unreliable(late_s, reliable):
    result = result_of(PLAN, {}, {"slotLatenessSeconds": late_s}, {}, [], {})
    assert result["reliable"] is reliable


def test_the_longest_service_is_that_of_the_largest_task_on_the_slowest_link_and_node():
    there = TASKS.arrives[0]
    rates = NETWORK.link_rate_bits_per_s[~np.eye(10, dtype=bool)]
    expected = TASKS.size_bits[0][there].max() / rates.min() + TASKS.cycles[0][there].max() / NETWORK.capacity_hz.min()
    assert longest_stages_s(TASKS, NETWORK) == pytest.approx(expected)
