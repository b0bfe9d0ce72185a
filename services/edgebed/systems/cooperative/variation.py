"""Domain randomisation: networks around a setup, so that what is learned on them holds beyond it.

A variation multiplies quantities of a whole network by factors, one draw of each per network: the nodes of one network keep
their proportions, and networks differ from each other in load, in speed or in how often they fail. Task sizes, cycles and
deadlines have no factors of their own, because only ratios reach a candidate actor: tasks of half the cycles are nodes twice as
fast.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from edgebed.systems.cooperative.distributions import Constant, Distribution
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.workload import WorkloadModel

_SAME = Constant(1.0)


@dataclass(frozen=True)
class Factors:
    """What one network's quantities are multiplied by."""

    arrival_probability: float = 1.0
    core_frequency: float = 1.0
    execution_failure_rate: float = 1.0
    link_rate: float = 1.0
    link_failure_rate: float = 1.0
    slot_length: float = 1.0

    def network(self, network: Network) -> Network:
        """The network with its quantities multiplied; no arrival probability goes beyond 1."""
        return replace(
            network,
            capacity_hz=network.capacity_hz * self.core_frequency,
            arrival_probability=np.minimum(network.arrival_probability * self.arrival_probability, 1.0),
            execution_failure_rate=network.execution_failure_rate * self.execution_failure_rate,
            link_rate_bits_per_s=network.link_rate_bits_per_s * self.link_rate,
            link_failure_rate=network.link_failure_rate * self.link_failure_rate,
        )

    def workload(self, model: WorkloadModel) -> WorkloadModel:
        """The tasks with slots of another length; their number per slot is the network's."""
        return replace(model, slot_s=model.slot_s * self.slot_length)


UNVARIED = Factors()


@dataclass(frozen=True)
class Variation:
    """How networks are varied."""

    share: float = 1.0
    """Chance that a network is varied; the others stay as they are."""
    arrival_probability: Distribution = _SAME
    core_frequency: Distribution = _SAME
    execution_failure_rate: Distribution = _SAME
    link_rate: Distribution = _SAME
    link_failure_rate: Distribution = _SAME
    slot_length: Distribution = _SAME

    def draw(self, rng: np.random.Generator) -> Factors:
        """The factors of one network."""
        if rng.random() >= self.share:
            return UNVARIED
        return Factors(**{f.name: float(getattr(self, f.name).draw(rng, ())) for f in fields(Factors)})
