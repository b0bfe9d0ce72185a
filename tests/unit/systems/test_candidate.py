"""The candidate actor's file, its two paths, the ranges that it knows, and what it refuses."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from edgebed.edge_node.view import NodeSurroundings, NodeView
from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.actor import MAXIMUM_BYTES
from edgebed.systems.cooperative.candidate import (
    DYNAMIC,
    STATIC,
    Ask,
    CandidateObservation,
    CandidateSpecification,
)
from edgebed.systems.cooperative.candidate_actor import (
    CandidateScorer,
    CandidateWeights,
    Layer,
    LoneScorer,
    about_of,
    allowed,
    chances,
    observe,
    sample,
)
from edgebed.systems.cooperative.candidate_log import decisions
from edgebed.systems.cooperative.candidate_ranges import OutsideTraining, joined, outside, ranges
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.models import read_model
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.node import NodeCore, Task, TaskDecided
from edgebed.systems.cooperative.policies.actor import Actor
from edgebed.systems.cooperative.policies.candidate import CandidateActor
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import SIMULATION, TESTBED

MASK = 0.25


def weights(seed: int = 3, hidden: int = 48, scale: float = 1.0) -> CandidateWeights:
    rng = np.random.default_rng(seed)
    sizes = (len(STATIC) + len(DYNAMIC), hidden, hidden, 1)

    def layer(k: int) -> Layer:
        weight = scale * rng.standard_normal((sizes[k], sizes[k + 1])) / np.sqrt(sizes[k])
        return weight.astype(np.float32), rng.standard_normal(sizes[k + 1]).astype(np.float32)

    return CandidateWeights((layer(0), layer(1), layer(2)))


def context(seed: int = 1, nodes: int = 20) -> PolicyContext:
    network = replace(SIMULATION.network, nodes=nodes).draw(seed)
    return PolicyContext(network, SIMULATION.workload, Rules(), MASK, seed)


@pytest.mark.parametrize("ask", ["none", 3, "all"])
def test_a_node_alone_decides_as_the_simulator_does(ask: str | int) -> None:
    """The path for one task sees the same numbers, chooses the same nodes and says the same chances as that for many."""
    here, model, who = context(), weights(), Ask.of(ask)
    tasks = here.workload.draw(here.network, 1, Stream.EVALUATE, range(2))
    log = play(here.network, tasks, Rules(), Ratc(here), MASK).log
    known = decisions(log, here.network, Rules(), slot_s=0.5, slots=100, mask_coefficient=MASK).known
    observation = CandidateObservation(here)
    scorer = CandidateScorer(model, observation)
    dynamic = observe(who, scorer, known)
    chance = chances(scorer.scores(known.source, dynamic, allowed(known)))
    uniform = np.random.default_rng(2).random(len(known.source))
    together = sample(chance, uniform)
    lone = [LoneScorer(model, observation, i) for i in range(20)]
    same = 0
    for r in range(len(known.source)):
        one = lone[known.source[r]]
        task = (known.size_bits[r], known.cycles[r], known.deadline_s[r])
        arguments = (task, known.sending_backlog_s[r].tolist(), known.available[r], known.backlog_s[r])
        node, probability = one.decide(who, *arguments, float(uniform[r]))
        np.testing.assert_allclose(one.seen, dynamic[r], atol=2e-5)
        same += node == together[r]
        if node == together[r]:
            assert probability == pytest.approx(chance[r, node], abs=1e-4)
        best, _ = one.decide(who, *arguments, None)
        assert chance[r, best] == pytest.approx(chance[r].max(), abs=1e-4)
    assert same > 0.999 * len(known.source)


def test_a_node_core_and_its_view_give_the_same_decision_as_a_batch() -> None:
    """A real node's view of its core, with answers from everyone, leads to the decision of the batch path."""
    here = context(4)
    actor, n = CandidateActor(here, weights(), ask="all"), 20
    core = NodeCore(3, here.network, Rules(), 0.5)
    for number in range(40):
        core.handle(TaskDecided(Task(number, 0, 3, 2e7, 3e10, 4.0, 0.0, 0.5, 0.5), number % n), 0.0)
    around = NodeSurroundings(core, here.network, 0.5, MASK * here.network.cores[3] / 4, 77)
    view = NodeView(around, Task(99, 1, 3, 3e7, 4e10, 4.0, 0.5, 0.5, 0.5), 0.25)
    rng = np.random.default_rng(1)
    backlog = rng.random((1, n))
    backlog[0, 3] = core.backlog_s(0.25)
    answers = Answers(view.everyone, np.ones((1, n), dtype=np.int64), backlog, rng.random((1, n)) < 0.5)
    chosen = actor.decide(view, answers)
    said = actor.probability(view, answers, chosen)
    chance = actor.chances(view, answers)
    assert chosen[0] == sample(chance, view.uniforms(1)[:, 0])[0]
    assert said[0] == pytest.approx(chance[0, chosen[0]], abs=1e-4)


def test_file_is_small_and_comes_back() -> None:
    """Weights, ranges and whom to ask survive the file, whose bytes are the same at every writing."""
    model = replace(weights(), ranges={"nodes": (5.0, 20.0)}, ask=3)
    data = model.to_bytes()
    again = read_model(data)
    assert isinstance(again, CandidateWeights)
    assert (again.ranges, again.ask, again.observation) == ({"nodes": (5.0, 20.0)}, 3, CandidateSpecification())
    for mine, theirs in zip(model.layers, again.layers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert model.to_bytes() == data
    assert len(data) < MAXIMUM_BYTES / 4


def changed(data: bytes, **about: object) -> bytes:
    return bytes(save(load(data), {"edgebed": json.dumps({**about_of(data), **about})}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "edgebed-candidate-actor/v9"}, "actor.format: 'edgebed-candidate-actor/v9' is not allowed"),
        ({"observation": {"version": "candidate/v2"}}, "this version of edgebed knows 'candidate/v1'"),
        ({"observation": {}}, "observationDigest"),
        ({"observation": None}, "damaged"),
        ({"observationDigest": "0" * 64}, "train the model again"),
        ({"ask": "some"}, "give none, all, or how many nodes to ask"),
        ({"ranges": [1]}, "damaged"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_file_that_means_something_else_is_refused(change: dict[str, object], words: str) -> None:
    """Another format, observation or version says what it is and what to do."""
    if change == {"observation": {}}:
        change = {"observation": {}, "observationDigest": "1"}
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        read_model(changed(weights().to_bytes(), **change))


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 64, weights().to_bytes()[:-8]])
def test_a_damaged_file_is_refused(data: bytes) -> None:
    """Bytes that are no actor are refused with a remedy."""
    with pytest.raises(ModelError, match="fetch or train it again"):
        read_model(data)


def test_wrong_layers_are_refused() -> None:
    """Shapes, types and numbers that no actor has are named by layer."""
    first, second, third = weights().layers
    with pytest.raises(ModelError, match=r"layers\[0\]"):
        CandidateWeights(((first[0][1:], first[1]), second, third))
    with pytest.raises(ModelError, match="give float32"):
        CandidateWeights((first, (second[0].astype(np.float64), second[1]), third))
    with pytest.raises(ModelError, match="diverged"):
        CandidateWeights((first, second, (third[0] * np.float32(np.nan), third[1])))


@pytest.mark.parametrize("ask", ["some", 0, -1, 1001, True, 2.5, None])
def test_whom_to_ask_is_checked(ask: object) -> None:
    """none, all, or a number of nodes."""
    with pytest.raises(ModelError, match="give none, all, or how many nodes to ask, 1 to 1000"):
        Ask.of(ask)


def test_more_than_there_are_is_everyone() -> None:
    """A number to ask of at least all others is the same as all."""
    here, model = context(2, nodes=4), weights()
    tasks = here.workload.draw(here.network, 1, Stream.EVALUATE, range(1))
    logs = [play(here.network, tasks, Rules(), CandidateActor(here, model, ask=ask), MASK).log for ask in ("all", 3, 9)]
    assert all(np.array_equal(logs[0].destination, log.destination) for log in logs)


def test_one_node_has_nothing_to_choose() -> None:
    """A network of one node is refused."""
    one = Network(np.ones(1), np.ones(1), np.ones(1), np.ones(1), np.ones((1, 1)), np.ones((1, 1)))
    with pytest.raises(ModelError, match="1 node"):
        CandidateActor(replace(context(), network=one), weights())


def test_what_was_not_trained_on_is_named() -> None:
    """A network outside of the training's ranges is used with a warning that names the quantity and the range."""
    here = context()
    known = ranges(CandidateObservation(here))
    model = replace(weights(), ranges=known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CandidateActor(here, model)
    other = replace(here, network=replace(here.network, execution_failure_rate=here.network.execution_failure_rate * 9))
    with pytest.warns(OutsideTraining, match=r"executionFailureRate \* deadline: .* trained on .* to "):
        CandidateActor(other, model)
    assert list(outside({}, CandidateObservation(other))) == []


def test_ranges_are_joined_and_without_dimension() -> None:
    """Ranges of two networks hold both; another slot and deadline with everything in proportion is the same range."""
    one, two = (ranges(CandidateObservation(context(seed))) for seed in (1, 2))
    both = joined([one, two])
    assert all(both[k][0] <= min(one[k][0], two[k][0]) and both[k][1] >= max(one[k][1], two[k][1]) for k in both)
    bed = PolicyContext(TESTBED.network.draw(1), TESTBED.workload, Rules(), MASK, 1)
    assert ranges(CandidateObservation(bed))["slotSeconds / deadline"] == pytest.approx((0.1, 0.1))


def test_actor_serves_both_kinds() -> None:
    """`policy: actor` with a candidate actor is that, and `ask` is for it alone."""
    here = context(3, nodes=5)
    tasks = here.workload.draw(here.network, 1, Stream.EVALUATE, range(1))
    same = [
        play(here.network, tasks, Rules(), policy, MASK).log.destination
        for policy in (Actor(here, weights(), ask="all"), CandidateActor(here, weights(), ask="all"))
    ]
    assert np.array_equal(*same)
