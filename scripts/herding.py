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

NETWORKS, UPDATES, LOGGED, PLAYED = (0, 2), 1000, 200, 40


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


def learned(setting: Setting) -> Actor:
    """Algorithm 1 on a log of RATC."""
    log = setting.play(Ratc(setting.context), setting.tasks(Stream.COLLECT, range(LOGGED))).log
    learner = SacCql(setting.transitions(log, Attribution.COMPLETION), seed=1)
    learner.train(UPDATES)
    return Actor(setting.context, ActorWeights(setting.observation, learner.actor.layers))


def row(setting: Setting) -> list[str]:
    """Success with nobody following, what a lone follower gains for its own tasks, and success with half and all."""
    actor, ratc, tasks = learned(setting), Ratc(setting.context), setting.tasks(Stream.EVALUATE, range(PLAYED))
    everyone = np.arange(setting.network.nodes, dtype=np.int64)

    def play(followers: Integers) -> TaskLog:
        return setting.play(Mixed(ratc, actor, followers), tasks).log

    def rate(log: TaskLog, source: int | None = None) -> float:
        of = log.status if source is None else log.status[log.source == source]
        return 100 * float((of == TaskState.SUCCEEDED).mean())

    nobody = play(everyone[:0])
    share = np.bincount(nobody.source, minlength=len(everyone)) / len(nobody)
    gains = [rate(play(everyone[i : i + 1]), i) - rate(nobody, i) if share[i] else 0.0 for i in range(len(everyone))]
    alone = float(share @ np.array(gains))
    return [f"{rate(nobody):.1f}", f"{alone:+.1f}", f"{rate(play(everyone[::2])):.1f}", f"{rate(play(everyone)):.1f}"]


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
