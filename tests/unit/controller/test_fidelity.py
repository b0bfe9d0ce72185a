"""Fidelity of an evaluation: a perfect testbed is perfect, and what went away with its node is counted apart."""

from dataclasses import replace

import numpy as np
import pytest

from edgebed.controller.fidelity import fidelity, messages_of, replay
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.validation import validate
from edgebed.runner.setting import Setting
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.randomness import Stream
from tests.unit.controller.world import SMALL

EXPERIMENT = validate(SMALL)
SETTING = Setting.of(EXPERIMENT, 0, read_inputs(EXPERIMENT))
TASKS = SETTING.tasks(Stream.EVALUATE, range(3))
PLAYED = SETTING.play(Ratc(SETTING.context), TASKS)


def result(probes=None, lost=()):
    return {
        "probes": probes or {},
        "probeBytes": 10,
        "probeLatencyP50Seconds": 0.001,
        "slotLatenessSeconds": [0.001],
        "priorities": ["usual"],
        "lostTasks": list(lost),
    }


def test_the_decisions_of_a_log_replayed_give_the_log():
    again = replay(SETTING, TASKS, PLAYED.log)
    for name in ("episode", "slot", "source", "destination", "status"):
        assert (getattr(again, name) == getattr(PLAYED.log, name)).all()
    assert np.allclose(again.ended_s, PLAYED.log.ended_s, equal_nan=True)


def test_a_perfect_testbed_is_perfect():
    found = fidelity(SETTING, Ratc(SETTING.context), TASKS, PLAYED, [result()] * 3)
    assert found["sameStatus"] == found["tasks"] == len(PLAYED.log)
    assert max(map(abs, found["endErrorSeconds"])) == 0
    assert found["successRate"] == found["simulatedSuccessRate"]
    assert found["slotLatenessSeconds"] == [0.001] * 3
    assert found["lost"] == 0


def test_tasks_that_were_lost_are_not_compared():
    status = PLAYED.log.status.copy()
    second = np.flatnonzero(PLAYED.log.episode == 1)
    status[second[[0, 2]]] = 3
    lost = replace(PLAYED, log=replace(PLAYED.log, status=status))
    found = fidelity(SETTING, Ratc(SETTING.context), TASKS, lost, [result(), result(lost=[0, 2]), result()])
    assert found["lost"] == 2
    assert found["tasks"] == len(PLAYED.log) - 2
    assert found["sameStatus"] == found["tasks"]
    assert found["successRate"] < found["simulatedSuccessRate"]


def test_questions_are_spread_over_a_nodes_tasks_and_keep_their_sum():
    counts = [{"0": 7, "2": 1}, {"1": 5}, {}]
    messages = messages_of(PLAYED.log, [result(probes) for probes in counts])
    log = PLAYED.log
    for episode, probes in enumerate(counts):
        for node in range(3):
            own = (log.episode == episode) & (log.source == node)
            assert messages[own].sum() == probes.get(str(node), 0)
            assert np.ptp(messages[own]) <= 1


def test_a_log_of_other_tasks_is_refused():
    with pytest.raises((ValueError, KeyError)):
        fidelity(SETTING, Ratc(SETTING.context), SETTING.tasks(Stream.COLLECT, range(3)), PLAYED, [result()] * 3)
