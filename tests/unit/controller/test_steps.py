"""Where an experiment is, from what its phases call themselves, and how much there is to play."""

import pytest

from edgebed.controller.steps import STEPS, planned_episodes, step_of
from edgebed.experiment.validation import validate
from tests.unit.controller.world import SMALL

COLLECT = {"policy": "ratc", "episodes": 5}
OFFLINE = {"algorithm": "sac-cql", "updates": 8}
ONLINE = {"algorithm": "ppo", "episodes": 7}


@pytest.mark.parametrize(
    ("label", "state", "step"),
    [
        (None, "running", "Starting"),
        ("network 1: collecting with ratc", "running", "Collecting"),
        ("network 2, seed 3: offline learning", "running", "Training"),
        ("network 1: online learning", "running", "FineTuning"),
        ("network 1: evaluating offline learning", "running", "Evaluating"),
        ("network 1: evaluating ratc: the same in the simulator", "running", "Evaluating"),
        ("network 1: evaluating ratc: deploying", "running", "Deploying"),
        ("writing results and report", "running", "Reporting"),
        ("writing results and report", "finished", "Succeeded"),
        ("network 1: online learning", "failed", "Failed"),
        (None, "stopped", "Suspended"),
    ],
)
def test_a_label_and_a_state_are_a_step(label, state, step):
    assert step_of(label, state) == step
    assert step in STEPS


def planned(methods, **spec):
    return planned_episodes(validate({**SMALL, "spec": {**SMALL["spec"], "methods": methods, **spec}}))


def test_what_methods_share_is_played_once():
    """One log for both that learn; an evaluation of two episodes for each of three methods."""
    methods = [
        {"name": "ratc", "policy": "ratc"},
        {"name": "offline", "collect": COLLECT, "offline": OFFLINE},
        {"name": "o2o", "collect": COLLECT, "offline": OFFLINE, "online": ONLINE},
    ]
    assert planned(methods) == 5 + 7 + 3 * 2


def test_every_network_and_training_seed_is_counted_where_it_matters():
    """A log and a heuristic have no training seed."""
    methods = [{"name": "ratc", "policy": "ratc"}, {"name": "offline", "collect": COLLECT, "offline": OFFLINE}]
    assert planned(methods, replicates=2, trainingSeeds=3) == 2 * (5 + 2 + 3 * 2)
