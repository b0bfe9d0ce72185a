"""Episodes on real nodes: every task is accounted for, whatever goes away meanwhile."""

import threading
import time

import numpy as np
import pytest

from edgebed.controller.deployment import Order
from edgebed.controller.directory import Stopped
from edgebed.controller.testbed import NodeLost
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.randomness import Stream

RATC = Order("ratc")
SYNTHETIC = {"kind": "synthetic"}


def tasks_of(world, episode=0):
    return world.setting.tasks(Stream.EVALUATE, range(episode, episode + 1))


def opened(world):
    world.testbed.open(world.setting, SYNTHETIC)
    world.testbed.deploy(RATC)
    return world.testbed


def test_every_task_of_an_episode_is_in_the_log(world):
    testbed, tasks = opened(world), tasks_of(world)
    number = testbed.play(tasks, "phase", 0).episode
    log = world.store.read("run-1", [number])
    slot, source = np.nonzero(tasks.arrives[0])
    assert log.slot.tolist() == slot.tolist()
    assert log.source.tolist() == source.tolist()
    assert set(log.status.tolist()) <= {1, 2, 3}
    assert log.size_bits.tolist() == tasks.size_bits[0][slot, source].tolist()
    row = testbed.played("phase")[0]
    assert row.episode == number
    assert sum(row.result["counts"].values()) == row.result["tasks"] == len(log)
    assert row.result["lostNodes"] == {}
    assert len(row.result["slotLatenessSeconds"]) == len(set(slot.tolist()))
    assert sum(row.result["probes"].values()) > 0


def test_a_scheduler_is_told_once_and_again_when_it_changes(world):
    testbed = opened(world)
    first = testbed.deploy(RATC)
    assert testbed.deploy(Order("ratc")) == first
    assert testbed.deploy(Order("local")) == first + 1
    assert {node.scheduler.version for node in world.alive.values()} == {first + 1}
    number = testbed.play(tasks_of(world), "phase", 0).episode
    log = world.store.read("run-1", [number])
    assert (log.source == log.destination).all()


def test_a_lost_node_stops_the_experiment_and_is_named(make_world):
    world = make_world(loss_s=0.5)
    testbed = opened(world)
    timer = threading.Timer(0.4, world.kill, [1])
    timer.start()
    with pytest.raises(NodeLost, match=r"1 of 3 nodes went away: node 1, node-1 .*onNodeLoss"):
        testbed.play(tasks_of(world), "phase", 0)
    timer.join()
    assert testbed.played("phase") == {}


def test_with_continue_a_lost_nodes_tasks_fail_and_it_goes_on(make_world):
    world = make_world(loss_s=0.5, on_node_loss="continue")
    testbed, tasks = opened(world), tasks_of(world)
    timer = threading.Timer(0.4, world.kill, [1])
    timer.start()
    number = testbed.play(tasks, "phase", 0).episode
    timer.join()
    log = world.store.read("run-1", [number])
    assert len(log) == int(tasks.arrives.sum())
    lost = world.store.reasons("run-1", [number])["nodeLost"]
    assert lost > 0
    assert (log.status == TaskState.FAILED).sum() >= lost
    assert list(testbed.played("phase")[0].result["lostNodes"]) == ["1"]
    again = testbed.play(tasks_of(world, 1), "phase", 1).episode  # without it from the start
    assert len(world.store.read("run-1", [again])) == int(tasks_of(world, 1).arrives.sum())
    world.start_again(1)
    third = testbed.play(tasks_of(world, 2), "phase", 2).episode
    assert world.store.reasons("run-1", [third]) == {}
    assert testbed.lost() == {}


def test_a_node_that_was_started_again_between_episodes_is_told_anew(world):
    testbed = opened(world)
    testbed.play(tasks_of(world), "phase", 0)
    world.kill(2)
    world.start_again(2)
    number = testbed.play(tasks_of(world, 1), "phase", 1).episode
    assert len(world.store.read("run-1", [number])) == int(tasks_of(world, 1).arrives.sum())
    assert world.store.reasons("run-1", [number]) == {}


def test_a_node_that_came_back_at_another_address_is_found_there_and_all_nodes_know(make_world):
    """As a pod does. With `continue` the episode in which it went away goes on without it."""
    world = make_world(loss_s=0.5, on_node_loss="continue")
    testbed = opened(world)
    timer = threading.Timer(0.3, world.kill, [1])
    timer.start()
    testbed.play(tasks_of(world), "phase", 0)
    timer.join()
    assert list(testbed.lost()) == [1]
    before = world.nodes[1].address
    world.start_elsewhere(1)
    assert world.nodes[1].address != before
    number = testbed.play(tasks_of(world, 1), "phase", 1).episode
    assert world.store.reasons("run-1", [number]) == {}
    assert testbed.lost() == {}
    assert {node.configuration.addresses[1] for node in world.alive.values()} == {world.nodes[1].address}


def test_a_node_that_moved_between_episodes_is_no_lost_node(world):
    """Also where a lost node would end the run, and where the nodes are first told of something else."""
    testbed = opened(world)
    testbed.play(tasks_of(world), "phase", 0)
    world.kill(2)
    world.start_elsewhere(2)
    testbed.deploy(Order("local"))
    number = testbed.play(tasks_of(world, 1), "phase", 1).episode
    assert world.store.reasons("run-1", [number]) == {}
    log = world.store.read("run-1", [number])
    assert (log.source == log.destination).all()
    assert len(log) == int(tasks_of(world, 1).arrives.sum())


@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_episode_whose_generator_went_away_is_played_anew(world, elsewhere):
    testbed = opened(world)

    def restart():
        world.kill_generator()
        world.start_generator(elsewhere=elsewhere)

    timer = threading.Timer(0.45, restart)
    timer.start()
    row = testbed.play(tasks_of(world), "phase", 0)
    timer.join()
    assert row.episode > 0  # the first one does not count
    assert sum(row.result["counts"].values()) == int(tasks_of(world).arrives.sum())
    assert testbed.played("phase")[0].episode == row.episode
    assert world.store.reasons("run-1", [row.episode]) == {}


def test_stopping_ends_the_episode_everywhere(world):
    testbed = opened(world)
    threading.Timer(0.4, world.stop.set).start()
    begin = time.monotonic()
    with pytest.raises(Stopped):
        testbed.play(tasks_of(world), "phase", 0)
    assert time.monotonic() - begin < 3
    assert world.generator.emission.stopped
    assert all(node.episode.closed for node in world.alive.values())


def test_a_new_controller_finds_nodes_in_the_middle_of_an_episode(world):
    """One that was killed leaves its episode running; the next one ends it, and plays its own."""
    opened(world)
    nodes = [world.caller.to(served.name, served.address) for served in world.nodes]
    body = {"run": "run-0", "episode": 7, "startsAtUnixNs": time.time_ns() + 10**8, "slots": 100, "decisionKey": "5"}
    for node in nodes:
        node.post("/v1/episodes", body)
    other = world.make_testbed()
    other.open(world.setting, SYNTHETIC)
    other.deploy(RATC)
    number = other.play(tasks_of(world), "phase", 0).episode
    other.close()
    assert len(world.store.read("run-1", [number])) == int(tasks_of(world).arrives.sum())
