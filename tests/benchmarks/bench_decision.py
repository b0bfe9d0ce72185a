"""How long a node thinks about one task, probes excluded: the view, the policy, and nothing else.

Policies take turns, ten rounds each; of a policy's medians the least counts, because a host that takes the processor away, or
slows it down, only ever adds.
"""

import statistics
import time
import warnings
from itertools import pairwise

import numpy as np

from edgebed.edge_node.view import NodeSurroundings, NodeView
from edgebed.experiment.shipped import shipped_model
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.candidate_actor import CandidateWeights
from edgebed.systems.cooperative.candidate_ranges import OutsideTraining
from edgebed.systems.cooperative.node import NodeCore, Task, TaskDecided
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.candidate import Generalist
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, Policy, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED
from tests.benchmarks.result import Result, limit

NODES, TASKS, ROUNDS = 20, 600, 10


def bench_decision() -> list[Result]:
    """Ask and decide at a node with full queues, of twenty."""
    network = TESTBED.network.__class__(**{**vars(TESTBED.network), "nodes": NODES}).draw(1)
    context = PolicyContext(network, TESTBED.workload, Rules(), 0.25, 1)
    observation = ObservationSpecification.paper(
        TESTBED.network.__class__(**{**vars(TESTBED.network), "nodes": NODES}), TESTBED.workload
    )
    rng = np.random.default_rng(1)
    sizes = [observation.static_size + observation.dynamic_size, 64, 64, NODES + 1]
    layers = tuple(
        (rng.normal(0, 0.1, (a, b)).astype(np.float32), np.zeros(b, dtype=np.float32)) for a, b in pairwise(sizes)
    )
    actor = Actor(context, ActorWeights(observation, layers))
    with warnings.catch_warnings(action="ignore", category=OutsideTraining):
        generalist = Generalist(context, CandidateWeights.from_bytes(shipped_model().read_bytes()))
    policies = {"the actor": actor, "the generalist": generalist, "ratc": Ratc(context)}
    bars = {"the actor": 50, "the generalist": 40, "ratc": 50}
    rounds = [{name: _median_us(policy, context) for name, policy in policies.items()} for _ in range(ROUNDS)]
    return [
        limit(f"decision of {name} on a node of {NODES}, p50", "us", min(one[name] for one in rounds), bar)
        for name, bar in bars.items()
    ]


def _median_us(policy: Policy, context: PolicyContext) -> float:
    network, slot_s = context.network, context.workload.slot_s
    core = NodeCore(3, network, Rules(), slot_s)
    workload = TESTBED.workload.draw(network, 1, Stream.EVALUATE, range(1))
    for number in range(40):
        core.handle(TaskDecided(_task(number, workload), number % NODES), 0.0)
    around = NodeSurroundings(core, network, slot_s, 2.0, 12345)
    times = []
    for number in range(TASKS):
        task = _task(number, workload)
        begin = time.perf_counter()
        view = NodeView(around, task, 0.01)
        asked = policy.ask(view)
        assert asked is not None
        middle = time.perf_counter()
        k = asked.shape[1]
        answers = Answers(asked, np.ones((1, k), dtype=np.int64), np.full((1, k), 0.1), np.ones((1, k), dtype=np.bool_))
        again = time.perf_counter()
        chosen = policy.decide(view, answers)
        policy.probability(view, answers, chosen)
        times.append(time.perf_counter() - again + middle - begin)
    return statistics.median(times) * 1e6


def _task(number: int, workload: object) -> Task:
    slot = number % 50
    return Task(number, slot, 3, 1.2e7, 7e9, 1.0, slot * 0.1, 0.5, 0.5)
