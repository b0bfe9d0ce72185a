"""Why offline learning loses with a loose mask: one node gains by following the learned actor, all nodes together do not.

    python -m scripts.herding

On networks of the testbed setup whose nodes play RATC, more and more nodes follow the actor that was learned from RATC's
log instead, on the same tasks and the same luck. Prints a row of docs/reproduction.md for each network and mask.
"""

import numpy as np
import torch

from edgebed.experiment.inputs import read_inputs
from edgebed.experiment.reading import load
from edgebed.experiment.sweep import expand
from edgebed.learning.sac_cql import SacCql
from edgebed.runner.setting import Setting
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.conversion import Attribution
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, View
from edgebed.systems.cooperative.randomness import Stream
from scripts.paper import ROOT

NETWORKS, SEEDS, UPDATES, LOGGED, PLAYED = (0, 2), (1, 2, 3), 1000, 200, 30


class Mixed(Policy):
    """The actor at some nodes, RATC at the others."""

    def __init__(self, ratc: Ratc, actor: Actor, followers: Integers) -> None:
        super().__init__(ratc.context)
        self.ratc, self.actor = ratc, actor
        self.follows = np.isin(np.arange(ratc.context.network.nodes), followers)

    def ask(self, view: View) -> Integers:
        """Everyone: the actor wants all bits, and RATC's two probes are among them."""
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """What the node's own policy decides."""
        assert answers is not None
        probed = self.ratc.ask(view)
        two = Answers(
            nodes=probed,
            waiting=np.take_along_axis(answers.waiting, probed, axis=1),
            backlog_s=np.take_along_axis(answers.backlog_s, probed, axis=1),
            available=np.take_along_axis(answers.available, probed, axis=1),
        )
        return np.where(self.follows[view.source], self.actor.decide(view, answers), self.ratc.decide(view, two))


def learned(setting: Setting, seed: int) -> Actor:
    """Algorithm 1 on a log of RATC."""
    log = setting.play(Ratc(setting.context), setting.tasks(Stream.COLLECT, range(LOGGED))).log
    learner = SacCql(setting.transitions(log, Attribution.COMPLETION), seed=seed)
    learner.train(UPDATES)
    return Actor(setting.context, ActorWeights(setting.observation, learner.actor.layers))


def rates(setting: Setting, seed: int) -> tuple[float, float, float, float]:
    """Success with nobody following, what a lone follower gains for its own tasks, and success with half and all."""
    actor, ratc, tasks = learned(setting, seed), Ratc(setting.context), setting.tasks(Stream.EVALUATE, range(PLAYED))
    everyone = np.arange(setting.network.nodes, dtype=np.int64)

    def play(followers: Integers) -> TaskLog:
        return setting.play(Mixed(ratc, actor, followers), tasks).log

    def succeeded(log: TaskLog, source: int | None = None) -> int:
        return int((log.status[slice(None) if source is None else log.source == source] == TaskState.SUCCEEDED).sum())

    nobody = play(everyone[:0])
    alone = sum(succeeded(play(everyone[i : i + 1]), i) for i in range(len(everyone))) - succeeded(nobody)
    counts = succeeded(nobody), alone, succeeded(play(everyone[::2])), succeeded(play(everyone))
    first, second, third, fourth = (100 * count / len(nobody) for count in counts)
    return first, second, third, fourth


def row(setting: Setting) -> list[str]:
    """Means over the training seeds, and each seed's success with all following."""
    found = [rates(setting, seed) for seed in SEEDS]
    nobody, alone, half, everybody = (float(np.mean(column)) for column in zip(*found, strict=True))
    each = ", ".join(f"{last:.1f}" for *_, last in found)
    return [f"{nobody:.1f}", f"{alone:+.1f}", f"{half:.1f}", f"{everybody:.1f} ({each})"]


def main() -> None:
    """Print the rows."""
    torch.set_num_threads(1)
    for mask, experiment in expand(load(ROOT / "deploy" / "experiments" / "testbed-mask.yaml")):
        inputs = read_inputs(experiment)
        for network in NETWORKS:
            cells = row(Setting.of(experiment, network, inputs))
            print(f"| {network + 1} | {mask} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
