"""The numpy actor: its two paths agree with each other and with the plain formula, its file is small."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebed.simulator.rollout import rollout
from edgebed.systems.cooperative.actor import MAXIMUM_BYTES, ActorWeights, Array
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.actor import Actor, PaperActor
from edgebed.systems.cooperative.policy import Answers, Integers, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, Rules
from edgebed.systems.cooperative.workload import WorkloadModel

NETWORKS = NetworkModel(
    nodes=8,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0.2, 1),
    execution_failure_rate=Uniform(0, 0.1),
    link_rate_bits_per_s=Uniform(10 * BITS_PER_MB, 40 * BITS_PER_MB),
    link_failure_rate=Uniform(0, 0.03),
)
TASKS = WorkloadModel(
    slot_s=0.5,
    slots=20,
    size_bits=Uniform(1000 * BITS_PER_KB, 8000 * BITS_PER_KB),
    cycles_per_bit=Uniform(800, 2400),
    deadline_s=Constant(4.0),
)
OBSERVATION = ObservationSpecification.paper(NETWORKS, TASKS)
NETWORK = NETWORKS.draw(5)
STATIC = OBSERVATION.static(NETWORK)
Case = tuple[NDArray[np.int64], Array, NDArray[np.bool_], NDArray[np.float64]]


def weights(observation: ObservationSpecification = OBSERVATION, scale: float = 1.0) -> ActorWeights:
    rng = np.random.default_rng(7)
    sizes = (observation.static_size + observation.dynamic_size, 64, 64, observation.nodes + 1)

    def layer(k: int) -> tuple[Array, Array]:
        weight = rng.standard_normal((sizes[k], sizes[k + 1])) * scale / np.sqrt(sizes[k])
        return weight.astype(np.float32), rng.standard_normal(sizes[k + 1]).astype(np.float32)

    return ActorWeights(observation, (layer(0), layer(1), layer(2)))


def case(rows: int) -> Case:
    rng = np.random.default_rng(11)
    n = OBSERVATION.nodes
    dynamic = rng.random((rows, OBSERVATION.dynamic_size)).astype(np.float32)
    return rng.integers(0, n, rows), dynamic, rng.random((rows, n)) < 0.5, rng.random(rows)


def plain(actor: ActorWeights, source: Integers, dynamic: Array, available: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The masked softmax over concatenated observations, in double precision."""
    x = np.concatenate([STATIC[source], dynamic], axis=1).astype(np.float64)
    for weight, bias in actor.layers[:2]:
        x = np.maximum(x @ weight + bias, 0)
    logits = (x @ actor.layers[2][0] + actor.layers[2][1])[:, :-1]
    mask = available | (np.arange(OBSERVATION.nodes) == source[:, None])
    logits = np.where(mask, logits, -np.inf)
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("scale", [1.0, 12.0], ids=["usual", "scores beyond exp"])
def test_probabilities_are_the_masked_softmax(scale: float) -> None:
    """Folding and skipping the "no task" column change nothing but the last digits."""
    actor = weights(scale=scale)
    source, dynamic, available, _ = case(3000)
    got = actor.probabilities(STATIC, dynamic, available, source)
    np.testing.assert_allclose(got, plain(actor, source, dynamic, available), atol=2e-6 * scale**3)


@pytest.mark.parametrize("scale", [1.0, 12.0], ids=["usual", "scores beyond exp"])
def test_one_decision_equals_a_batch(scale: float) -> None:
    """A node that decides alone goes where the simulator sends the same task."""
    folded = weights(scale=scale).fold(STATIC)
    source, dynamic, available, uniform = case(5000)
    node, chance = folded.sample(source, dynamic, available, uniform)
    alone = [
        folded.decide_with_chance(int(source[r]), dynamic[r], available[r], float(uniform[r]))
        for r in range(len(source))
    ]
    same = node == [a for a, _ in alone]
    assert same.mean() > 0.999
    np.testing.assert_allclose(chance[same], np.array([c for _, c in alone])[same], atol=1e-4)


def test_samples_follow_the_probabilities() -> None:
    """Sampling one decision often reproduces its probabilities; unavailable nodes are never chosen."""
    actor = weights()
    folded = actor.fold(STATIC)
    source, dynamic, available, _ = case(1)
    rows = 100_000
    node, chance = folded.sample(
        np.repeat(source, rows),
        np.repeat(dynamic, rows, axis=0),
        np.repeat(available, rows, axis=0),
        (np.arange(rows) + 0.5) / rows,
    )
    expected = plain(actor, source, dynamic, available)[0]
    np.testing.assert_allclose(np.bincount(node, minlength=OBSERVATION.nodes) / rows, expected, atol=3e-5)
    np.testing.assert_allclose(chance, expected[node], rtol=1e-4)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_when_only_itself_is_left(uniform: float) -> None:
    """With every bit down a task stays where it is, at either end of the uniform's range."""
    folded = weights().fold(STATIC)
    n = OBSERVATION.nodes
    dynamic = case(n)[1]
    nobody = np.zeros((n, n), dtype=np.bool_)
    everyone = np.arange(n)
    np.testing.assert_array_equal(folded.sample(everyone, dynamic, nobody, np.full(n, uniform))[0], everyone)
    assert [folded.decide(i, dynamic[i], nobody[i], uniform) for i in range(n)] == list(range(n))
    np.testing.assert_array_equal(folded.greedy(everyone, dynamic, nobody), everyone)


def test_its_file_is_small_and_gives_the_same_actor() -> None:
    """Below 100 KB at the paper's largest networks of 40 nodes, and read back exactly."""
    actor = weights(replace(OBSERVATION, nodes=40))
    data = actor.to_bytes()
    assert len(data) < MAXIMUM_BYTES
    again = ActorWeights.from_bytes(data)
    assert again.observation == actor.observation
    assert again.to_bytes() == data


@pytest.mark.parametrize("damage", ["truncated", "header", "empty", "format"])
def test_a_damaged_file_is_refused(damage: str) -> None:
    """Every kind of damage is a ModelError that says what to do."""
    data = weights().to_bytes()
    broken = {
        "truncated": data[:-9],
        "header": data[:12] + b"?" + data[13:],
        "empty": b"",
        "format": data.replace(b"edgebed-actor/v1", b"edgebed-actor/v9"),
    }[damage]
    with pytest.raises(ModelError, match="actor"):
        ActorWeights.from_bytes(broken)


def test_another_observation_is_refused_by_name() -> None:
    """The first field that differs is named."""
    with pytest.raises(ModelError, match=r"observation\.queue_length: 9\.0 .* trained with 8\.0"):
        weights().require(replace(OBSERVATION, queue_length=9.0))


class Checked(PaperActor):
    """Compares the path for one row with the path for many at every decision."""

    def decide(self, view: View, answers: Answers | None) -> Integers:
        assert answers is not None
        destination = super().decide(view, answers)
        chances = self.folded.probabilities(view.source, self._observe(view), answers.available)
        for r in range(view.rows):
            assert answers.available[r, destination[r]] or destination[r] == view.source[r]
        if view.rows == 1:
            np.testing.assert_array_equal(self._observe_one(view, int(view.source[0])), self._observe(view)[0])
        expected = chances[np.arange(view.rows), destination]
        np.testing.assert_allclose(self.probability(view, answers, destination), expected, rtol=1e-4)
        return destination


@pytest.mark.parametrize("order", DecisionOrder)
@pytest.mark.parametrize("sample", [True, False])
def test_the_policy_plays(order: DecisionOrder, sample: bool) -> None:
    """In the simulator it obeys the mask, and says with which probability it chose."""
    rules = Rules(decision_order=order)
    policy = (Checked if sample else Actor)(PolicyContext(NETWORK, TASKS, rules, 0.25, 5), weights(), sample=sample)
    workload = TASKS.draw(NETWORK, 5, Stream.EVALUATE, range(2))
    log = rollout([NETWORK], [workload], rules, [policy], 0.25)[0].log
    assert len(log) > 100
    assert ((log.probability > 0) & (log.probability <= 1)).all()
    assert sample or (log.probability == 1).all()


def test_a_network_of_another_size_is_refused() -> None:
    """An actor knows its N."""
    with pytest.raises(ModelError, match=r"8 nodes.*3 nodes"):
        Actor(PolicyContext(NETWORK, TASKS, Rules(), 0.25, 5), weights(replace(OBSERVATION, nodes=3)))


def test_a_node_needs_neither_torch_nor_numba() -> None:
    """Importing actor and policy loads numpy and safetensors only."""
    code = (
        "import sys, edgebed.systems.cooperative.policies.actor\n"
        "assert not {'torch', 'numba', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={"PYTHONPATH": ":".join(sys.path)})
