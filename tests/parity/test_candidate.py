"""`candidate/v1` is the same in the kernel, in node cores and from the log; crowding is what a replay of the episode says.

The matrix of the first: every drop policy, failure time and decision order, over sizes and seeds. The second replays whole
episodes with one decision taken away or changed, on links that never queue, which is what `crowding` supposes.
"""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

from edgebed.learning.judging import decisions_of
from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.candidate import DYNAMIC, STATIC, Ask, CandidateObservation, Known
from edgebed.systems.cooperative.candidate_actor import CandidateWeights, Layer, allowed, observe
from edgebed.systems.cooperative.crowding import crowding, worth
from edgebed.systems.cooperative.distributions import Choice, Uniform
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, NetworkModel
from edgebed.systems.cooperative.policies.candidate import CandidateActor, known_of
from edgebed.systems.cooperative.policies.fixed import FixedDecisions
from edgebed.systems.cooperative.policy import Answers, Integers, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Rules
from edgebed.systems.cooperative.virtual import run_episode
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

MASK = 0.5
RULES = [
    Rules(drop_policy=drop, failure_time=when, decision_order=order, failure_unit=FailureUnit.SLOT)
    for drop, when, order in itertools.product(DropPolicy, FailureTime, DecisionOrder)
]
TASKS = WorkloadModel(
    slot_s=0.5,
    slots=15,
    size_bits=Uniform(1000 * BITS_PER_KB, 6000 * BITS_PER_KB),
    cycles_per_bit=Uniform(800, 2400),
    deadline_s=Uniform(2, 4),
)


def networks(nodes: int, *, failures: float = 0.1, fast: bool = False) -> NetworkModel:
    rate = Uniform(40 * BITS_PER_MB, 80 * BITS_PER_MB) if fast else Uniform(5 * BITS_PER_MB, 20 * BITS_PER_MB)
    return NetworkModel(
        nodes=nodes,
        cores=Choice((4, 8, 16)),
        core_frequency_hz=3e9,
        arrival_probability=Uniform(0.5, 1),
        execution_failure_rate=Uniform(0, failures),
        link_rate_bits_per_s=rate,
        link_failure_rate=Uniform(0, failures),
    )


def case(model: NetworkModel, rules: Rules, seed: int) -> tuple[PolicyContext, Workload]:
    network = model.draw(seed)
    return PolicyContext(network, TASKS, rules, MASK, seed), TASKS.draw(network, seed, Stream.EVALUATE, range(2))


def weights(seed: int = 3, hidden: int = 16) -> CandidateWeights:
    rng = np.random.default_rng(seed)
    sizes = (len(STATIC) + len(DYNAMIC), hidden, hidden, 1)

    def layer(k: int) -> Layer:
        weight = rng.standard_normal((sizes[k], sizes[k + 1])) / np.sqrt(sizes[k])
        return weight.astype(np.float32), rng.standard_normal(sizes[k + 1]).astype(np.float32)

    return CandidateWeights((layer(0), layer(1), layer(2)))


class Recording(CandidateActor):
    """Notes what it knows at every decision, and what it makes of that."""

    def __init__(self, context: PolicyContext, ask: str | int) -> None:
        super().__init__(context, weights(), ask=ask)
        self.seen: list[tuple[int, Known, np.ndarray]] = []

    def decide(self, view: View, answers: Answers | None) -> Integers:
        assert answers is not None
        known = known_of(view, answers)
        self.seen.append((view.slot, known, observe(self.who, self.scorer, known)))
        return super().decide(view, answers)


def in_order(seen: list[tuple[int, Known, np.ndarray]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All decisions of one episode by slot and source: what was known, by field, and what the actor saw of it."""
    slot = np.concatenate([np.full(len(known.source), k) for k, known, _ in seen])
    source = np.concatenate([known.source for _, known, _ in seen])
    order = np.lexsort((source, slot))
    names = [field.name for field in fields(Known) if field.name != "told"]
    known = {name: np.concatenate([getattr(k, name) for _, k, _ in seen])[order] for name in names}
    return known, np.concatenate([dynamic for _, _, dynamic in seen])[order]


@pytest.mark.parametrize("ask", ["none", 2, "all"])
@pytest.mark.parametrize("rules", RULES, ids=lambda r: f"{r.drop_policy}-{r.failure_time}-{r.decision_order}")
def test_three_ways_to_the_same_numbers(rules: Rules, ask: str | int) -> None:
    """What a decision knows and the actor sees is the same in the simulator, in node cores and from the log."""
    for nodes, seed in ((2, 1), (5, 2)):
        context, tasks = case(networks(nodes), rules, seed)
        for episode in range(tasks.episodes):
            one = tasks.episode(episode)
            fast, slow = Recording(context, ask), Recording(context, ask)
            log = play(context.network, one, rules, fast, MASK).log
            reference = run_episode(context.network, one, rules, slow, MASK)
            assert np.array_equal(log.destination, reference.destination), (nodes, seed, episode)
            known, dynamic = in_order(fast.seen)
            again, dynamic_again = in_order(slow.seen)
            decided = decisions_of(log, context)
            for name, values in known.items():
                told = f"{name} of {nodes} nodes, seed {seed}, episode {episode}"
                np.testing.assert_allclose(again[name], values, rtol=1e-12, atol=1e-12, err_msg=told)
                np.testing.assert_allclose(getattr(decided.known, name), values, rtol=1e-9, atol=1e-9, err_msg=told)
            np.testing.assert_allclose(dynamic_again, dynamic, atol=1e-6)
            from_log = observe(fast.who, fast.scorer, decided.known)
            np.testing.assert_allclose(from_log, dynamic, atol=1e-6)
            assert np.array_equal(decided.destination, log.destination)


def outcomes(log: TaskLog) -> dict[tuple[int, int], int]:
    return {
        (slot, source): 1 if status == TaskState.SUCCEEDED else -1
        for slot, source, status in zip(log.slot.tolist(), log.source.tolist(), log.status.tolist(), strict=True)
    }


@pytest.mark.parametrize("rules", RULES[::2], ids=lambda r: f"{r.drop_policy}-{r.failure_time}")
def test_crowding_is_the_difference_that_a_replay_shows(rules: Rules) -> None:
    """Without the task, its place empty, the others' outcomes differ by its crowding."""
    context, tasks = case(networks(4, fast=True), rules, 5)
    one = tasks.episode(0)
    log = play(context.network, one, rules, CandidateActor(context, weights()), MASK).log
    decided_there = decisions_of(log, context)
    found = crowding(decided_there.episode, decided_there.columns, context.network, rules, TASKS.slot_s)
    before = outcomes(log)
    places = list(before)
    decided = FixedDecisions(dict(zip(places, log.destination.tolist(), strict=True)))
    for r, (slot, source) in enumerate(places):
        arrives = one.arrives.copy()
        arrives[0, slot, source] = False
        after = outcomes(play(context.network, replace(one, arrives=arrives), rules, decided, MASK).log)
        assert found[r] == sum(before[place] - after[place] for place in after), (slot, source)
    assert (found < 0).any()


@pytest.mark.parametrize("drop", DropPolicy)
def test_worth_is_what_a_replay_with_the_other_decision_shows(drop: DropPolicy) -> None:
    """Without failures, a candidate's worth is its task's outcome there and the difference that it makes to the others."""
    rules = Rules(drop_policy=drop)
    context, tasks = case(networks(4, failures=1e-12, fast=True), rules, 6)
    one, n = tasks.episode(1), context.network.nodes
    log = play(context.network, one, rules, CandidateActor(context, weights()), MASK).log
    decided = decisions_of(log, context)
    everyone = np.ones((len(log), n), dtype=np.bool_)
    found = worth(decided, context.network, rules, TASKS.slot_s, everyone, 0.5)
    places = list(outcomes(log))
    chosen = dict(zip(places, log.destination.tolist(), strict=True))
    for r, (slot, source) in enumerate(places):
        arrives = one.arrives.copy()
        arrives[0, slot, source] = False
        alone = replace(one, arrives=arrives)
        without = outcomes(play(context.network, alone, rules, FixedDecisions(chosen), MASK).log)
        for j in range(n):
            other = FixedDecisions({**chosen, (slot, source): j})
            after = outcomes(play(context.network, one, rules, other, MASK).log)
            change = sum(after[place] - without[place] for place in without)
            assert found[r, j] == pytest.approx(after[slot, source] + 0.5 * change, abs=1e-6), (slot, source, j)


def test_renumbering_the_nodes_renumbers_the_choice() -> None:
    """The scores of a network whose nodes have other numbers are the same scores in the other order."""
    context, tasks = case(networks(6), Rules(), 8)
    actor = CandidateActor(context, weights())
    log = play(context.network, tasks, Rules(), actor, MASK).log
    known = decisions_of(log, context).known
    order = np.random.default_rng(1).permutation(6)
    place = np.argsort(order)  # node i is called place[i] now
    network = context.network
    other = replace(
        network,
        **{f.name: getattr(network, f.name)[order] for f in fields(network) if getattr(network, f.name).ndim == 1},
        link_rate_bits_per_s=network.link_rate_bits_per_s[np.ix_(order, order)],
        link_failure_rate=network.link_failure_rate[np.ix_(order, order)],
    )
    renamed = replace(
        known,
        source=place[known.source],
        **{name: getattr(known, name)[:, order] for name in ("sending_backlog_s", "available", "backlog_s")},
    )
    again = CandidateActor(replace(context, network=other), weights())
    for ask in (Ask(0), Ask(2), Ask.of("all")):
        one = actor.scorer.scores(known.source, observe(ask, actor.scorer, known), allowed(known))
        two = again.scorer.scores(renamed.source, observe(ask, again.scorer, renamed), allowed(renamed))
        np.testing.assert_allclose(two, one[:, order], atol=2e-5)


def test_static_part_is_finite() -> None:
    """Of a network without work, links or failures to speak of, the static numbers are small and finite."""
    context, _ = case(networks(3, failures=0.0), Rules(), 1)
    static = np.stack([CandidateObservation(context).static(i) for i in range(3)])
    assert static.shape == (3, 3, len(STATIC))
    assert np.isfinite(static).all()
    assert np.array_equal(static[:, :, 0], np.eye(3))
    assert (static[:, :, 3:5] == 0).all()
