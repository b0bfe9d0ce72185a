"""The paper's two setups as models to draw from: simulation (section V.A) and testbed (section VI.C)."""

from typing import NamedTuple

from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, CORE_HZ, NetworkModel
from edgebed.systems.cooperative.workload import WorkloadModel


class Setup(NamedTuple):
    """Networks and tasks to draw."""

    network: NetworkModel
    workload: WorkloadModel


SIMULATION = Setup(
    NetworkModel(
        nodes=20,
        cores=Choice((4, 8, 16, 20, 24, 28, 32)),
        core_frequency_hz=CORE_HZ,
        arrival_probability=Uniform(0, 1),
        execution_failure_rate=Uniform(0, 0.1),
        link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
        link_failure_rate=Uniform(0, 0.03),
    ),
    WorkloadModel(
        slot_s=0.5,
        slots=100,
        size_bits=Uniform(1000 * BITS_PER_KB, 8000 * BITS_PER_KB),
        cycles_per_bit=Uniform(800, 2400),
        deadline_s=Constant(4.0),
    ),
)
"""Section V.A: 20 nodes, 100 slots of 0.5 s."""

TESTBED = Setup(
    NetworkModel(
        nodes=10,
        cores=Choice((4, 8, 12, 16, 20, 24, 28, 32)),
        core_frequency_hz=CORE_HZ,
        arrival_probability=Uniform(0, 1),
        execution_failure_rate=Uniform(0, 0.4),
        link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
        link_failure_rate=Uniform(0, 0.03),
    ),
    WorkloadModel(
        slot_s=0.1,
        slots=50,
        size_bits=Uniform(500 * BITS_PER_KB, 2500 * BITS_PER_KB),
        cycles_per_bit=Uniform(400, 800),
        deadline_s=Constant(1.0),
    ),
)
"""Section VI.C: 10 nodes, 50 slots of 0.1 s."""
