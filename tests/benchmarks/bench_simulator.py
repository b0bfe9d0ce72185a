"""The kernel against the node core driven in Python, and both with a trained actor in the loop."""

import itertools

import numpy as np
import torch

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION
from edgebed.systems.cooperative.virtual import run_episode
from tests.benchmarks.result import Result, alternate, compare

MASK = 0.25
NETWORK, TASKS = SIMULATION
EPISODES, BASELINE_EPISODES = 128, 4


def _context() -> PolicyContext:
    return PolicyContext(NETWORK.draw(1), TASKS, Rules(), MASK, 1)


def _speed(name: str, ours: Policy, baseline: Policy, bar: float) -> Result:
    """Milliseconds per episode of 100 slots and 20 nodes."""
    network = _context().network
    workload = TASKS.draw(network, 1, Stream.EVALUATE, range(EPISODES))
    fast, slow = alternate(
        lambda: play(network, workload, Rules(), ours, MASK),
        lambda: [run_episode(network, workload, Rules(), baseline, MASK, e) for e in range(BASELINE_EPISODES)],
    )
    return compare(name, "ms", fast / EPISODES * 1e3, slow / BASELINE_EPISODES * 1e3, bar)


def bench_simulator() -> list[Result]:
    """The same heuristics on the same episodes, kernel against node core."""
    context = _context()
    return [
        _speed("episode, random: kernel / node core", Random(context), Random(context), 70),
        _speed("episode, ratc: kernel / node core", Ratc(context), Ratc(context), 70),
    ]


def weights(seed: int = 0) -> ActorWeights:
    """An actor of the paper's size with random weights: its speed does not depend on what it has learned."""
    rng = np.random.default_rng(seed)
    observation = ObservationSpecification.paper(NETWORK, TASKS)
    sizes = [observation.static_size + observation.dynamic_size, 64, 64, observation.nodes + 1]
    layers = [
        (rng.normal(0, a**-0.5, (a, b)).astype(np.float32), np.zeros(b, dtype=np.float32))
        for a, b in itertools.pairwise(sizes)
    ]
    return ActorWeights(observation, (layers[0], layers[1], layers[2]))


class TorchActor(Policy):
    """The actor as one would write it first: a torch module that decides the tasks of one slot."""

    def __init__(self, context: PolicyContext, model: ActorWeights) -> None:
        super().__init__(context)
        self.observation = model.observation
        self.static = torch.from_numpy(model.observation.static(context.network))
        modules: list[torch.nn.Module] = []
        for weight, bias in model.layers:
            linear = torch.nn.Linear(*weight.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T.copy()))
                linear.bias.copy_(torch.from_numpy(bias))
            modules += [linear, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*modules[:-1])

    def ask(self, view: View) -> Integers:
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        assert answers is not None
        dynamic = self.observation.dynamic(
            view.source, view.waiting, view.receiving, view.size_bits, view.cycles, view.deadline_s
        )
        with torch.no_grad():
            logits = self.network(torch.cat([self.static[view.source], torch.from_numpy(dynamic)], dim=1))
            mask = torch.from_numpy(answers.available | (view.everyone == view.source[:, None]))
            logits = logits[:, :-1].masked_fill(~mask, -torch.inf)
            sampled: Integers = torch.distributions.Categorical(logits=logits).sample().numpy()
            return sampled


def bench_actor_in_the_loop() -> Result:
    """Batched numpy on the kernel against torch per slot on the node core."""
    torch.set_num_threads(1)
    context = _context()
    return _speed(
        "episode, actor: kernel / Python + torch", Actor(context, weights()), TorchActor(context, weights()), 20
    )
