"""Learning: the offline update, one decision, and the conversion, at the size of the paper's simulation setup."""

import statistics
import time
from functools import cache

import numpy as np
import torch

from edgebed.learning.networks import Perceptron, Sizes
from edgebed.learning.sac_cql import SacCql
from edgebed.simulator.rollout import rollout
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.conversion import Attribution, convert
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION
from edgebed.systems.transitions import Transitions
from tests.benchmarks.plain_conversion import plain_convert
from tests.benchmarks.plain_sac_cql import PlainSacCql
from tests.benchmarks.result import Result, alternate, compare, limit

MASK = 0.25
NETWORKS, TASKS = SIMULATION
OBSERVATION = ObservationSpecification.paper(NETWORKS, TASKS)
NETWORK = NETWORKS.draw(1)


@cache
def ratc_log(episodes: int) -> TaskLog:
    """Some episodes of RATC."""
    workload = TASKS.draw(NETWORK, 1, Stream.COLLECT, range(episodes))
    policy = Ratc(PolicyContext(NETWORK, TASKS, Rules(), MASK, 1))
    return rollout([NETWORK], [workload], Rules(), [policy], MASK)[0].log


def transitions(log: TaskLog) -> Transitions:
    """Of such a log."""
    return convert(log, NETWORK, OBSERVATION, Rules(), slot_s=0.5, slots=100, mask_coefficient=MASK)


def bench_offline_update() -> Result:
    """An update of all networks, 128 slots x 20 agents, one thread, against plain PyTorch; a unit test has them equal."""
    torch.set_num_threads(1)
    rows = transitions(ratc_log(200))
    fast, plain = SacCql(rows, seed=1), PlainSacCql(rows)
    updates = 20

    def ours() -> None:
        fast.train(updates)

    def theirs() -> None:
        for _ in range(updates):
            episode, slot = np.divmod(fast.draw_batch(), rows.slots + 1)
            plain.update(torch.from_numpy(episode), torch.from_numpy(slot))

    seconds, baseline = alternate(ours, theirs, runs=7)
    return compare("offline update", "ms", seconds / updates * 1e3, baseline / updates * 1e3, bar=2)


def bench_one_decision() -> Result:
    """One task of one node, numpy only: from the observation to the destination."""
    rng = np.random.default_rng(1)
    sizes = Sizes(OBSERVATION.static_size, OBSERVATION.dynamic_size, 64, 21)
    network = Perceptron(torch.zeros(sizes.count), sizes)
    network.draw(rng)
    actor = ActorWeights(OBSERVATION, network.layers).fold(OBSERVATION.static(NETWORK))
    dynamic = rng.random((100, OBSERVATION.dynamic_size)).astype(np.float32)
    available, uniform, source = (
        rng.random((100, 20)) < 0.7,
        rng.random(100).tolist(),
        rng.integers(0, 20, 100).tolist(),
    )
    cases = [(source[k], dynamic[k], available[k], uniform[k]) for k in range(100)]
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        for i, x, bits, u in cases:
            actor.decide(i, x, bits, u)
        times.append((time.perf_counter() - begin) / len(cases))
    return limit("one decision", "us", statistics.median(times) * 1e6, bar=10)


def bench_conversion() -> list[Result]:
    """10^6 records to transitions; and per record against plain Python loops, which are proved equal in a unit test."""
    log = ratc_log(1160)
    few = log.select(log.episode < 10)

    def plain() -> None:
        plain_convert(
            few,
            NETWORK,
            OBSERVATION,
            Rules(),
            slot_s=0.5,
            slots=100,
            mask_coefficient=MASK,
            attribution=Attribution.COMPLETION,
        )

    seconds, baseline = alternate(lambda: transitions(log), plain, runs=3)
    million, plain_million = seconds / len(log) * 1e6, baseline / len(few) * 1e6
    return [
        limit("conversion of 10^6 records", "s", million, bar=1),
        compare("conversion against plain loops", "s", million, plain_million, bar=10),
    ]
