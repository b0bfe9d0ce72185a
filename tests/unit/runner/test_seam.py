"""The phases ask a ground to play and a teacher to learn; what a testbed's ground is told, and what becomes of its curve."""

from collections import Counter

import pytest
import torch

from edgebed.experiment.folder import open_run_folder
from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.runner.ground import SimulatorGround
from edgebed.runner.progress import Silent
from edgebed.runner.setting import Setting
from edgebed.runner.stages import outcome_of
from edgebed.runner.teacher import LocalTeacher
from edgebed.runner.units import VERSIONS, Unit, run_methods
from edgebed.systems.cooperative.randomness import Stream

EXPERIMENT = """
apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: tiny}
spec:
  network: {nodes: 3, cores: {choice: [4, 8]}, arrivalProbability: 0.7, executionFailureRate: 0.1, linkRateMBps: 20,
    linkFailureRate: 0.01}
  workload: {slotSeconds: 0.1, slots: 12, sizeKB: 1000, cyclesPerBit: 600, deadlineSeconds: 1}
  methods:
    - {name: ratc, policy: ratc}
    - {name: online, online: {algorithm: ppo, episodes: 5, episodesPerUpdate: 2, hidden: 8}}
    - name: o2o
      collect: {policy: ratc, episodes: 4}
      offline: {algorithm: sac-cql, updates: 4, batchSlots: 8, hidden: 8}
      online: {algorithm: ppo, episodes: 5, episodesPerUpdate: 2, hidden: 8}
  evaluation: {episodes: 3, every: 2, curveEpisodes: 2}
"""


class RealGround(SimulatorGround):
    """Plays in the simulator, but under the terms of a testbed; notes what it is asked."""

    plays_curve = False

    def __init__(self, setting, name="real"):
        super().__init__(setting)
        self.name, self.asked = name, []

    def fingerprint(self):
        return {"ground": self.name}

    def play(self, decider, request, progress):
        played = super().play(decider, request, progress)
        self.asked.append((request, outcome_of(played, len(request.episodes))))
        return played


@pytest.fixture
def run(tmp_path):
    torch.set_num_threads(1)
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    return open_run_folder(tmp_path / "run", load(tmp_path / "tiny.yaml"), VERSIONS)


def play(run, ground, setting):
    unit = Unit(0, 0, 0, "network 1", run.experiment)
    return run_methods(unit, ground, LocalTeacher(setting), run.stages, Silent())


def stages(run):
    return {path.name for path in run.stages.root.glob("*-*") if path.is_dir()}


def test_every_episode_of_a_phase_is_asked_for_once(run):
    """So a ground may know an episode by phase and number; a phase is the stage that it makes."""
    setting = Setting.of(run.experiment, 0, read_inputs(run.experiment))
    ground = RealGround(setting)
    play(run, ground, setting)
    asked = Counter((request.phase, episode) for request, _ in ground.asked for episode in request.episodes)
    assert set(asked.values()) == {1}
    phases = {phase for phase, _ in asked}
    assert phases == {name for name in stages(run) if not name.startswith("offline")}
    of = {phase: sum(1 for other, _ in asked if other == phase) for phase in phases}
    assert sorted((phase.split("-")[0], count) for phase, count in of.items()) == [
        ("collect", 4),
        *[("evaluate", 3)] * 3,
        *[("online", 5)] * 2,
    ]
    assert {request.method for request, _ in ground.asked} == {"", "ratc", "online", "o2o"}  # a log serves all methods
    assert not any(request.stream is Stream.CURVE for request, _ in ground.asked)


@pytest.mark.parametrize("method", ["online", "o2o"])
def test_where_time_is_real_the_online_episodes_are_the_curve(run, method):
    setting = Setting.of(run.experiment, 0, read_inputs(run.experiment))
    ground = RealGround(setting)
    curve = play(run, ground, setting)[method, 0, 0].curve
    horizon = setting.rules.horizon
    rates = [
        outcome.success_rates(horizon)
        for request, outcome in ground.asked
        if request.stream is Stream.ONLINE and request.method == method
    ]
    assert [len(part) for part in rates] == [2, 2, 1]
    # The first two were played before anything was learned: they are the start, and the first point.
    assert [point.success_rates for point in curve] == [tuple(part) for part in (rates[0], *rates)]
    assert [point.online_episodes for point in curve] == [0, 2, 4, 5]


def test_stages_of_different_grounds_never_mix(run):
    """Only what is learned from a log may be shared, since it is known by the log."""
    setting = Setting.of(run.experiment, 0, read_inputs(run.experiment))
    play(run, SimulatorGround(setting), setting)
    simulated = stages(run)
    play(run, RealGround(setting), setting)
    real = stages(run) - simulated
    again = RealGround(setting, "other")
    play(run, again, setting)
    assert {name.split("-")[0] for name in real} >= {"collect", "online", "evaluate"}
    assert sum(len(request.episodes) for request, _ in again.asked) == 4 + 3 * 3 + 2 * 5  # all played anew


def test_what_is_there_is_not_played_again(run):
    setting = Setting.of(run.experiment, 0, read_inputs(run.experiment))
    first, second = RealGround(setting), RealGround(setting)
    assert play(run, first, setting) == play(run, second, setting)
    assert first.asked
    assert second.asked == []
