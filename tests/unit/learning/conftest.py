"""A small log of RATC, and fresh episodes of an actor, for every test of learning."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from edgebed.learning.networks import Layers
from edgebed.simulator.rollout import rollout
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.conversion import Attribution, convert
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Policy, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.workload import WorkloadModel
from edgebed.systems.transitions import Transitions

MASK = 0.5


@dataclass(frozen=True)
class Setting:
    """One network of six nodes; episodes of 25 slots."""

    networks: NetworkModel
    tasks: WorkloadModel
    observation: ObservationSpecification

    def transitions(self, log: TaskLog, attribution: Attribution = Attribution.COMPLETION) -> Transitions:
        """Of a log of `play`."""
        return convert(
            log,
            self.networks.draw(3),
            self.observation,
            Rules(),
            slot_s=self.tasks.slot_s,
            slots=self.tasks.slots,
            mask_coefficient=MASK,
            attribution=attribution,
        )

    def play(self, make: Callable[[PolicyContext], Policy], stream: Stream, episodes: range) -> TaskLog:
        """Some episodes of a policy."""
        network = self.networks.draw(3)
        policy = make(PolicyContext(network, self.tasks, Rules(), MASK, 3))
        workload = self.tasks.draw(network, 3, stream, episodes)
        return rollout([network], [workload], Rules(), [policy], MASK)[0].log

    def act(self, layers: Layers, stream: Stream, episodes: range) -> TaskLog:
        """Some episodes of an actor."""
        weights = ActorWeights(self.observation, layers)
        return self.play(lambda context: Actor(context, weights), stream, episodes)


@pytest.fixture(scope="session")
def setting() -> Setting:
    torch.set_num_threads(1)
    networks = NetworkModel(
        nodes=6,
        cores=Choice((4, 8, 16)),
        core_frequency_hz=3e9,
        arrival_probability=Uniform(0.2, 1),
        execution_failure_rate=Uniform(0, 0.1),
        link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
        link_failure_rate=Uniform(0, 0.03),
    )
    tasks = WorkloadModel(
        slot_s=0.5,
        slots=25,
        size_bits=Uniform(1000 * BITS_PER_KB, 4000 * BITS_PER_KB),
        cycles_per_bit=Uniform(800, 2400),
        deadline_s=Constant(4.0),
    )
    return Setting(networks, tasks, ObservationSpecification.paper(networks, tasks))


@pytest.fixture(scope="session")
def log(setting: Setting) -> Transitions:
    """Forty episodes of RATC, which ignores the mask."""
    return setting.transitions(setting.play(Ratc, Stream.COLLECT, range(40)))
