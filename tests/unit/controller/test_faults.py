"""Faults around an episode: each is named, nothing is counted that did not happen, and the run can go on afterwards."""

import asyncio
import sqlite3
import threading

import numpy as np
import pytest

from edgebed.controller.account import TasksMissing
from edgebed.controller.deployment import Order
from edgebed.controller.remote import RemoteRefused
from edgebed.experiment.errors import EnvironmentFault
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.randomness import Stream

SYNTHETIC = {"kind": "synthetic"}


def tasks_of(world, episode=0):
    return world.setting.tasks(Stream.EVALUATE, range(episode, episode + 1))


@pytest.fixture
def testbed(world):
    world.testbed.open(world.setting, SYNTHETIC)
    world.testbed.deploy(Order("ratc"))
    return world.testbed


def test_a_record_that_never_comes_fails_the_episode_with_its_number(world, testbed):
    """A node that forgets a record is found out, by the number of the task."""
    node = world.alive["node-1"]
    forget: list[int] = []
    put = node.recorder.put

    def lossy(record):
        if not forget:
            forget.append(record.task.number)
            node.recorder.delivered += 1
        else:
            put(record)

    node.recorder.put = lossy
    with pytest.raises(TasksMissing) as caught:
        testbed.play(tasks_of(world), "phase", 0)
    assert f"missing are tasks {forget[0]}." in str(caught.value)
    assert testbed.played("phase") == {}
    node.recorder.put = put
    testbed.play(tasks_of(world), "phase", 0)  # and then it goes on


def test_a_policy_that_breaks_on_a_node_ends_the_episode_with_its_words(world, testbed, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("no rate")

    monkeypatch.setattr(Ratc, "decide", broken)
    with pytest.raises(EnvironmentFault, match=r"node \d.*Ratc.*ZeroDivisionError: no rate"):
        testbed.play(tasks_of(world), "phase", 0)
    assert testbed.played("phase") == {}


def test_a_locked_database_ends_the_episode_and_leaves_it_resumable(world, testbed, monkeypatch):
    monkeypatch.setattr("edgebed.controller.testbed.FLUSH_S", 1.0)
    lock = sqlite3.connect(world.folder / "tasks.db", check_same_thread=False)

    def hold():
        lock.execute("begin immediate")

    threading.Timer(0.3, hold).start()
    with pytest.raises(EnvironmentFault, match=r"tasks\.db.*locked"):
        testbed.play(tasks_of(world), "phase", 0)
    lock.rollback()
    lock.close()
    row = testbed.play(tasks_of(world), "phase", 0)
    assert sum(row.result["counts"].values()) == int(tasks_of(world).arrives.sum())


def test_a_configuration_that_nodes_refuse_is_told_with_their_reason(world):
    with pytest.raises(RemoteRefused, match=r"node \d.*application"):
        world.testbed.open(world.setting, {"kind": "juggling"})


def test_a_silent_generator_is_named(world, testbed, monkeypatch):
    monkeypatch.setattr("edgebed.controller.testbed.GENERATOR_S", 0.5)

    async def stop():
        await world.generator_at.server.stop(0.0)

    world.call(stop())
    with pytest.raises(EnvironmentFault, match="task-generator"):
        testbed.play(tasks_of(world), "phase", 0)


def test_a_busy_event_loop_makes_an_episode_unreliable(world, testbed):
    """The generator is held up for 40 ms in the middle; a slot is 50 ms."""

    async def hold_up():
        await asyncio.sleep(0)
        end = world.loop.time() + 0.08
        while world.loop.time() < end:
            pass

    def during():
        world.call(hold_up())

    threading.Timer(0.45, during).start()
    row = testbed.play(tasks_of(world), "phase", 0)
    assert not row.result["reliable"]
    assert max(row.result["slotLatenessSeconds"]) > 0.005


@pytest.mark.parametrize("horizon", ["cutDrop", "cutIgnore"])
def test_a_horizon_that_cuts_leaves_unfinished_tasks_in_the_log(make_world, horizon):
    from tests.unit.controller.world import SMALL

    spec = {**SMALL["spec"], "rules": {"horizon": horizon, "dropPolicy": "never"}}
    spec["workload"] = {**spec["workload"], "cyclesPerBit": 4000}  # far too much work
    world = make_world(document={**SMALL, "spec": spec})
    world.testbed.open(world.setting, SYNTHETIC)
    world.testbed.deploy(Order("local"))
    tasks = tasks_of(world)
    row = world.testbed.play(tasks, "phase", 0)
    log = world.store.read("run-1", [row.episode])
    assert len(log) == int(tasks.arrives.sum())
    unfinished = log.status == TaskState.UNFINISHED
    assert unfinished.any()
    assert np.isnan(log.ended_s[unfinished]).all()
    assert row.result["counts"]["unfinished"] == int(unfinished.sum())
