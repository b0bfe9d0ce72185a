"""The built-in policies on networks of 1, 2 and 3 nodes, and what every policy promises: alone it decides as in a crowd."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.distributions import Choice, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.policies.least_completion import LeastCompletion
from edgebed.systems.cooperative.policies.local import Local
from edgebed.systems.cooperative.policies.price_mask import PriceMask
from edgebed.systems.cooperative.policies.random import Random
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policies.rda import Rda
from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.virtual import run_episode
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

DECENTRALISED = (Random, Local, Rda, Ratc, PriceMask)
TASKS = WorkloadModel(0.5, 30, Uniform(8e6, 5e7), Uniform(800, 2400), Uniform(2, 4))
SIZES = (1, 2, 3)


def setting(nodes: int, seed: int = 1) -> tuple[PolicyContext, Workload]:
    """A loaded network, so that queues form, and two episodes."""
    network = NetworkModel(
        nodes=nodes,
        cores=Choice((4, 8, 16)),
        core_frequency_hz=3e9,
        arrival_probability=Uniform(0.6, 1),
        execution_failure_rate=Uniform(0, 0.2),
        link_rate_bits_per_s=Uniform(4e7, 2e8),
        link_failure_rate=Uniform(0, 0.2),
    ).draw(seed)
    return PolicyContext(network, TASKS, Rules(), 0.25, seed), TASKS.draw(network, seed, Stream.EVALUATE, range(2))


def assert_equal(left: TaskLog, right: TaskLog) -> None:
    for field in fields(TaskLog):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"), field.name


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("kind", [*DECENTRALISED, LeastCompletion], ids=lambda kind: kind.__name__)
def test_destinations_are_nodes(kind: Any, nodes: int) -> None:
    """On every size; and with more than one node, whoever may offload does."""
    context, workload = setting(nodes)
    log = play(context.network, workload, context.rules, kind(context), 0.25).log
    assert len(log) == workload.arrives.sum()
    assert set(log.destination) <= set(range(nodes))
    assert (log.destination != log.source).any() == (nodes > 1 and kind is not Local)


class Alone(Policy):
    """Asks another policy about each task by itself, and checks that it answers as for all of them together."""

    def __init__(self, inner: Policy) -> None:
        super().__init__(inner.context)
        self.inner = inner
        self.largest = 0

    def ask(self, view: View) -> Integers | None:
        together = self.inner.ask(view)
        for row in range(view.rows):
            alone = self.inner.ask(one_row(view, row))
            if together is None:
                assert alone is None
            else:
                assert alone is not None
                assert np.array_equal(alone, together[row : row + 1])
        return together

    def decide(self, view: View, answers: Answers | None) -> Integers:
        self.largest = max(self.largest, view.rows)
        together = self.inner.decide(view, answers)
        alone = [self.inner.decide(one_row(view, row), one_answer(answers, row)) for row in range(view.rows)]
        assert np.array_equal(np.concatenate(alone), together)
        return together

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats | None:
        return self.inner.probability(view, answers, destination)


def one_row(view: View, row: int) -> View:
    per_row = [f.name for f in fields(View) if f.name not in ("network", "rules", "slot", "slot_s")]
    values = {name: getattr(view, name)[row : row + 1] for name in per_row}
    return View(network=view.network, rules=view.rules, slot=view.slot, slot_s=view.slot_s, **values)


def one_answer(answers: Answers | None, row: int) -> Answers | None:
    if answers is None:
        return None
    return replace(answers, **{f.name: getattr(answers, f.name)[row : row + 1] for f in fields(Answers)})


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("kind", DECENTRALISED, ids=lambda kind: kind.__name__)
def test_a_node_alone_decides_what_the_simulator_decides(kind: Any, nodes: int) -> None:
    """One-row views of a node's own making decide exactly what views of all nodes and episodes decide."""
    context, workload = setting(nodes)
    policy = kind(context)
    alone = Alone(policy)
    watched = play(context.network, workload, context.rules, alone, 0.25).log
    assert alone.largest > (2 if nodes > 1 else 1)
    assert_equal(watched, play(context.network, workload, context.rules, policy, 0.25).log)
    cores = [run_episode(context.network, workload, context.rules, Alone(policy), 0.25, episode) for episode in (0, 1)]
    assert_equal(watched, TaskLog.join(cores))


class Probes(Ratc):
    """RATC that remembers whom it asked."""

    def __init__(self, context: PolicyContext, asked: list[Integers]) -> None:
        super().__init__(context)
        self.asked = asked

    def ask(self, view: View) -> Integers:
        self.asked.append(super().ask(view))
        return self.asked[-1]


@pytest.mark.parametrize("nodes", SIZES)
def test_the_two_probes_of_ratc_are_distinct(nodes: int) -> None:
    """Every ordered pair of distinct nodes comes up; one node is probed twice."""
    context, workload = setting(nodes)
    asked: list[Integers] = []
    play(context.network, workload, context.rules, Probes(context, asked), 0.25)
    pairs = {tuple(pair) for rows in asked for pair in rows.tolist()}
    distinct = {(i, j) for i in range(nodes) for j in range(nodes) if i != j}
    assert pairs == (distinct or {(0, 0)})


@pytest.mark.parametrize("nodes", SIZES)
def test_rda_asks_others_only(nodes: int) -> None:
    """Two distinct others, as far as there are any: messages say so."""
    context, workload = setting(nodes)
    messages = play(context.network, workload, context.rules, Rda(context), 0.25).messages
    assert set(messages) == {min(nodes - 1, 2)}


def test_rda_stays_at_home_while_its_queue_is_short() -> None:
    """With a coefficient beyond every queue it is local, with 0 it never is."""
    context, workload = setting(3)
    run = partial(play, context.network, workload, context.rules)
    home = run(Rda(context, coefficient=1e9), 0.25).log
    assert (home.destination == home.source).all()
    away = run(Rda(context, coefficient=0), 0.25).log
    assert (away.destination != away.source).all()


@pytest.mark.parametrize("coefficient", [-1, float("nan")])
def test_rda_refuses_coefficients(coefficient: float) -> None:
    """A limit below nothing is a mistake."""
    with pytest.raises(ModelError, match="coefficient"):
        Rda(setting(3)[0], coefficient=coefficient)


@pytest.mark.parametrize(
    "prices",
    [[1, 2], [1, 2, 3, 4], [[1, 2, 3]], [], [1, -1, 0], [1, float("nan"), 0], [1, float("inf"), 0], [1, "two", 3], 5]
    + [[1, [2], 3]],
    ids=repr,
)
def test_price_mask_refuses_prices(prices: Any) -> None:
    """One finite price of at least 0 for each node, or none at all."""
    with pytest.raises(ModelError, match="give 3 finite numbers of at least 0") as caught:
        PriceMask(setting(3)[0], prices=prices)
    assert caught.value.field == "prices"


def test_prices_lead_tasks_away() -> None:
    """A price beyond every chance keeps tasks off a node that is free otherwise."""
    context, workload = setting(3)
    run = partial(play, context.network, workload, context.rules)

    def shares(prices: Sequence[float]) -> list[int]:
        destination = run(PriceMask(context, prices=prices), 1e9).log.destination
        return [int((destination == node).sum()) for node in range(3)]

    free = shares([0, 0, 0])
    best = int(np.argmax(free))
    dear = [0.0, 0.0, 0.0]
    dear[best] = 1e6
    assert shares(dear)[best] < free[best]


def test_prices_are_of_the_network_seed() -> None:
    """Every node computes the same prices by itself."""
    context, _ = setting(3)
    assert np.array_equal(PriceMask(context).prices, PriceMask(context).prices)
    assert not np.array_equal(PriceMask(context).prices, PriceMask(replace(context, network_seed=9)).prices)


def test_least_completion_needs_the_simulator() -> None:
    """A node core cannot know what it knows; the message says where it runs."""
    context, workload = setting(3)
    with pytest.raises(ModelError, match="simulator"):
        run_episode(context.network, workload, context.rules, LeastCompletion(context), 0.25)


class Beyond(Policy):
    """A plug-in's mistake."""

    def decide(self, view: View, answers: Answers | None) -> Integers:
        return np.full(view.rows, view.nodes)


def test_a_policy_that_decides_for_no_node_is_named() -> None:
    """With the destination that it gave and those that there are."""
    context, workload = setting(3)
    with pytest.raises(ModelError, match="policy Beyond: 3 is not allowed; decide must return nodes 0 to 2"):
        play(context.network, workload, context.rules, Beyond(context), 0.25)


def test_probabilities_are_said_where_they_are_known() -> None:
    """Random says 1/N, Local 1; a deterministic choice among random probes says nothing."""
    context, workload = setting(3)
    network: Network = context.network
    run = partial(play, network, workload, context.rules)
    assert np.allclose(run(Random(context), 0.25).log.probability, 1 / 3)
    assert (run(Local(context), 0.25).log.probability == 1).all()
    assert np.isnan(run(Ratc(context), 0.25).log.probability).all()
