"""The array kernel equals the node core driven in virtual time, task by task and bit by bit.

The matrix: every drop policy, failure time, horizon, decision order and failure unit, over sizes, loads and seeds, with
a policy that asks nobody and one that needs every part of a view. Compared are all columns of the log.
"""

import itertools
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from edgebed.simulator.rollout import play, rollout
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, Network, NetworkModel
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policies.rda import Rda
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Horizon, Rules
from edgebed.systems.cooperative.virtual import run_episode
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

RULES = [Rules(*choice) for choice in itertools.product(DropPolicy, FailureTime, Horizon, DecisionOrder, FailureUnit)]


def case(nodes: int, seed: int, *, equal: bool = False) -> tuple[Network, WorkloadModel, Workload]:
    """A small, loaded, failing network and three episodes; `equal` makes many things happen at the same instants."""
    model = NetworkModel(
        nodes=nodes,
        cores=Constant(8) if equal else Choice((4, 8, 16)),
        core_frequency_hz=3e9,
        arrival_probability=Uniform(0.5, 1),
        execution_failure_rate=Uniform(0, 0.2),
        link_rate_bits_per_s=Constant(16 * BITS_PER_KB * 100) if equal else Uniform(5 * BITS_PER_MB, 20 * BITS_PER_MB),
        link_failure_rate=Uniform(0, 0.2),
    )
    tasks = WorkloadModel(
        slot_s=0.5,
        slots=15,
        size_bits=Constant(800 * BITS_PER_KB) if equal else Uniform(1000 * BITS_PER_KB, 6000 * BITS_PER_KB),
        cycles_per_bit=Constant(24e9 / (800 * BITS_PER_KB)) if equal else Uniform(800, 2400),
        deadline_s=Constant(2.0) if equal else Uniform(2, 4),
    )
    network = model.draw(seed)
    return network, tasks, tasks.draw(network, seed, Stream.EVALUATE, range(3))


def assert_equal(fast: TaskLog, reference: TaskLog, context: object) -> None:
    for field in fields(TaskLog):
        ours, theirs = getattr(fast, field.name), getattr(reference, field.name)
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"), (field.name, context)


@pytest.mark.parametrize("rules", RULES, ids=lambda r: "-".join(str(getattr(r, f.name)) for f in fields(r)))
def test_kernel_equals_node_core(rules: Rules) -> None:
    """Every rule, three sizes, two seeds, two policies."""
    for nodes, seed, kind in itertools.product((1, 2, 5), (1, 2), (Random, Ratc)):
        network, tasks, workload = case(nodes, seed)
        check(rules, network, tasks, workload, kind)


@pytest.mark.parametrize("rules", RULES[::4], ids=str)
def test_kernel_equals_node_core_where_everything_happens_at_once(rules: Rules) -> None:
    """Equal tasks, nodes and links make completions, deadlines and arrivals coincide."""
    network, tasks, workload = case(4, 3, equal=True)
    for kind in (Random, Rda):
        check(rules, network, tasks, workload, kind)


def check(rules: Rules, network: Network, tasks: WorkloadModel, workload: Workload, kind: Any) -> None:
    policy = kind(PolicyContext(network, tasks, rules, 0.25, 1))
    fast = play(network, workload, rules, policy, 0.25).log
    slow = TaskLog.join([run_episode(network, workload, rules, policy, 0.25, e) for e in range(workload.episodes)])
    assert_equal(fast, slow, (rules, network.nodes, kind))


def test_networks_in_one_batch_do_not_meet() -> None:
    """Several networks at once give what each gives alone."""
    rules = Rules()
    cases = [case(5, seed) for seed in (1, 2, 3)]
    policies = [Ratc(PolicyContext(network, tasks, rules, 0.25, 1)) for network, tasks, _ in cases]
    together = rollout([c[0] for c in cases], [c[2] for c in cases], rules, policies, 0.25)
    for (network, _, workload), policy, played in zip(cases, policies, together, strict=True):
        assert_equal(played.log, play(network, workload, rules, policy, 0.25).log, network)
