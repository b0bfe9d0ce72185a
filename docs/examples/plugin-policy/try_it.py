import numpy as np
from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.network import NetworkModel
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.virtual import run_episode
from edgebed.systems.cooperative.workload import WorkloadModel
from nearest_idle import NearestIdle

network = NetworkModel(
    nodes=5,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0.2, 1),
    execution_failure_rate=Constant(0.05),
    link_rate_bits_per_s=Uniform(80e6, 320e6),
    link_failure_rate=Constant(0.01),
).draw(seed=1)
tasks = WorkloadModel(
    slot_s=0.5, slots=20, size_bits=Uniform(8e6, 64e6), cycles_per_bit=Uniform(800, 2400), deadline_s=Constant(4)
)
policy = NearestIdle(PolicyContext(network, tasks, Rules(), 0.25, network_seed=1), asked=3)
episodes = tasks.draw(network, 1, Stream.EVALUATE, range(10))

played = play(network, episodes, Rules(), policy, 0.25)
alone = run_episode(network, episodes.select(slice(0, 1)), Rules(), policy, 0.25)
assert np.array_equal(played.log.destination[played.log.episode == 0], alone.destination)
print(f"offloaded {np.mean(played.log.destination != played.log.source):.0%}, {played.messages.mean():.1f} messages per task")
