"""Workloads: drawing repeats itself, episodes do not depend on each other, and what the decision order lets a policy see."""

from dataclasses import replace

import numpy as np
import pytest

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, Rules
from edgebed.systems.cooperative.virtual import run_episode
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

NETWORK = NetworkModel(
    nodes=3,
    cores=Choice((4, 8)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0.3, 0.9),
    execution_failure_rate=Constant(0.1),
    link_rate_bits_per_s=Constant(1e7),
    link_failure_rate=Constant(0.1),
).draw(1)
TASKS = WorkloadModel(0.5, 40, Uniform(1e6, 2e6), Uniform(500, 900), Uniform(1, 2))


def test_drawing_is_reproducible() -> None:
    """Network seed, stream, index and episode say everything; each of them matters."""
    workload = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(2))
    assert workload.digest == TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(2)).digest
    others = [
        TASKS.draw(NETWORK, 8, Stream.EVALUATE, range(2)),
        TASKS.draw(NETWORK, 7, Stream.COLLECT, range(2)),
        TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(2), 1),
        TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(1, 3)),
    ]
    assert len({other.digest for other in [workload, *others]}) == 5


def test_an_episode_does_not_depend_on_the_others() -> None:
    """Episode 3 drawn alone is episode 3 drawn among ten, whatever the order."""
    together = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(10))
    alone = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(3, 4))
    backwards = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(9, -1, -1))
    assert together.episode(3).digest == alone.digest == backwards.episode(6).digest
    assert len({together.episode(k).digest for k in range(10)}) == 10


def test_no_episodes_are_no_error() -> None:
    """An empty range has the shape of its slots and nodes."""
    empty = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(0))
    assert (empty.episodes, empty.slots, empty.nodes) == (0, 40, 3)


def test_what_is_drawn_has_its_distribution() -> None:
    """Arrivals with each node's probability, values within their spans, uniforms in (0, 1]."""
    workload = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(200))
    rate = workload.arrives.mean(axis=(0, 1))
    deviation = np.sqrt(NETWORK.arrival_probability * (1 - NETWORK.arrival_probability) / (200 * 40))
    assert (np.abs(rate - NETWORK.arrival_probability) < 5 * deviation).all()
    intensity = workload.cycles / workload.size_bits
    assert 1e6 <= workload.size_bits.min() <= workload.size_bits.max() < 2e6
    assert intensity.min() * (1 + 1e-12) >= 500
    assert intensity.max() <= 900 * (1 + 1e-12)
    for u in (workload.u_transmission, workload.u_execution):
        assert 0 < u.min() <= u.max() <= 1
        assert abs(u.mean() - 0.5) < 0.01


def test_parts_join_to_the_whole() -> None:
    """And parts of different shape do not."""
    whole = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(4))
    parts = [whole.select(slice(0, 1)), whole.select(slice(1, 4))]
    assert Workload.join(parts).digest == whole.digest
    other = replace(TASKS, slots=20).draw(NETWORK, 7, Stream.EVALUATE, range(1))
    with pytest.raises(ModelError, match="equal slot, slots and nodes"):
        Workload.join([whole, other])


def test_a_model_around_a_workload_spans_it() -> None:
    """And around no task at all there is none."""
    workload = TASKS.draw(NETWORK, 7, Stream.EVALUATE, range(2))
    around = WorkloadModel.around(workload)
    assert around.size_bits.maximum == workload.size_bits[workload.arrives].max()
    with pytest.raises(ModelError, match="at least one task"):
        WorkloadModel.around(replace(workload, arrives=np.zeros_like(workload.arrives)))


class LeastAtZero(Policy):
    """To node 0 while it has no backlog, else to node 1: what one decision does, the next may see."""

    def ask(self, view: View) -> Integers:
        return np.zeros((view.rows, 1), dtype=np.int64)

    def decide(self, view: View, answers: Answers | None) -> Integers:
        assert answers is not None
        return np.where(answers.backlog_s[:, 0] > 0, 1, 0)


@pytest.mark.parametrize(("order", "destinations"), [("simultaneous", [0, 0]), ("sequential", [0, 1])])
def test_the_decision_order_is_what_a_decision_sees(order: str, destinations: list[int]) -> None:
    """Node 0 keeps its task; node 1 sees that only if the decisions of a slot see the ones before them."""
    two = {"nodes": 2, "slots": 1, "slotSeconds": 0.5, "capacityHz": [1e9] * 2, "executionFailureRate": [0, 0]}
    links = {"linkRateBitsPerSecond": [[1e6] * 2] * 2, "linkFailureRate": [[0] * 2] * 2}
    task = {"slot": 0, "destination": 0, "sizeBits": 1e6, "cyclesPerBit": 1000, "deadlineSeconds": 9}
    luck = {"uTransmission": 0.5, "uExecution": 0.5}
    tasks = [{**task, **luck, "id": i, "source": i} for i in range(2)]
    case = Case.from_document({"name": "order", **two, **links, "rules": {"decisionOrder": order}, "tasks": tasks})
    assert case.rules.decision_order is DecisionOrder(order)
    policy = LeastAtZero(PolicyContext(case.network, WorkloadModel.around(case.workload), case.rules, 0.25, 1))
    fast = play(case.network, case.workload, case.rules, policy, 0.25).log
    slow = run_episode(case.network, case.workload, case.rules, policy, 0.25)
    assert fast.destination.tolist() == slow.destination.tolist() == destinations


def test_the_luck_of_a_task_stays_with_it() -> None:
    """Under other rules the same tasks arrive with the same uniforms."""

    class Home(Policy):
        def decide(self, view: View, answers: Answers | None) -> Integers:
            return view.source

    def uniforms(rules: Rules, network: Network = NETWORK) -> list[float]:
        workload = TASKS.draw(network, 7, Stream.EVALUATE, range(1))
        policy = Home(PolicyContext(network, TASKS, rules, 0.25, 7))
        return list(play(network, workload, rules, policy, 0.25).log.u_execution)

    assert uniforms(Rules()) == uniforms(Rules(drop_policy=DropPolicy.NEVER))
