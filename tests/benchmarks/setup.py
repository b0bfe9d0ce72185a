"""The paper's simulation setup, which the benchmarks share."""

from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.workload import WorkloadModel

NETWORK = NetworkModel(
    nodes=20,
    cores=Choice((4, 8, 16, 20, 24, 28, 32)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0, 1),
    execution_failure_rate=Uniform(0, 0.1),
    link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
    link_failure_rate=Uniform(0, 0.03),
)
TASKS = WorkloadModel(0.5, 100, Uniform(1000 * BITS_PER_KB, 8000 * BITS_PER_KB), Uniform(800, 2400), Constant(4.0))
MASK = 0.25
