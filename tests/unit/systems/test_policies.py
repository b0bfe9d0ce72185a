"""The policies that come with the system: on networks of any size, one by one or many at once, they decide the same."""

import copy
from collections.abc import Callable
from dataclasses import fields
from functools import cache

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
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.virtual import VirtualEpisode
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

DECENTRALISED: list[type[Policy]] = [Random, Local, Rda, Ratc, PriceMask]
TASKS = WorkloadModel(
    slot_s=0.5,
    slots=15,
    size_bits=Uniform(8e6, 6e7),
    cycles_per_bit=Uniform(800, 2400),
    deadline_s=Uniform(1, 4),
)


@cache
def setting(nodes: int) -> tuple[PolicyContext, Workload]:
    """A loaded network of so many nodes and three episodes."""
    model = NetworkModel(
        nodes=nodes,
        cores=Choice((4, 8, 16)),
        core_frequency_hz=3e9,
        arrival_probability=Uniform(0.6, 1),
        execution_failure_rate=Uniform(0, 0.2),
        link_rate_bits_per_s=Uniform(5e7, 2e8),
        link_failure_rate=Uniform(0, 0.2),
    )
    network = model.draw(nodes)
    context = PolicyContext(network, TASKS, Rules(), 0.25, nodes)
    return context, TASKS.draw(network, nodes, Stream.EVALUATE, range(3))


class Busy(VirtualEpisode):
    """An episode that stops at a slot with its queues full."""

    def until(self, policy: Policy, slot: int) -> list[View]:
        """Play the slots before; a view of the slot's tasks together, then one of each alone."""
        for earlier in range(slot):
            self.advance(earlier * self.slot_s)
            if self._arrivals[earlier]:
                self._decide(policy, earlier, self._arrivals[earlier])
        self.advance(slot * self.slot_s)
        tasks = self._arrivals[slot]
        return [self.view(slot, tasks), *(self.view(slot, [task]) for task in tasks)]


def episode(nodes: int) -> Busy:
    """The first episode in virtual time."""
    context, workload = setting(nodes)
    return Busy(context.network, workload, context.rules, context.mask_coefficient)


def decide(policy: Policy, busy: Busy, view: View) -> tuple[Integers, Answers | None]:
    """Ask and decide, as a driver does."""
    asked = policy.ask(view)
    answers = None if asked is None else busy.answers(view.slot, asked)
    return policy.decide(view, answers), answers


def equal(one: TaskLog, other: TaskLog) -> bool:
    """Whether all columns are."""
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=True) for f in fields(TaskLog))


@pytest.mark.parametrize("nodes", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", [*DECENTRALISED, LeastCompletion], ids=lambda kind: kind.__name__)
def test_a_policy_plays_a_network_of_any_size(kind: type[Policy], nodes: int) -> None:
    """Every task goes to a node that exists, and a second run leaves the same log and messages."""
    context, workload = setting(nodes)
    first, second = (play(context.network, workload, context.rules, kind(context), 0.25) for _ in range(2))
    assert len(first.log) == workload.arrives.sum()
    assert ((first.log.destination >= 0) & (first.log.destination < nodes)).all()
    assert ((first.messages >= 0) & (first.messages < nodes)).all()
    assert equal(first.log, second.log)
    assert np.array_equal(first.messages, second.messages)


@pytest.mark.parametrize("nodes", [2, 3, 8])
@pytest.mark.parametrize("kind", DECENTRALISED, ids=lambda kind: kind.__name__)
def test_one_row_decides_what_many_rows_decide(kind: type[Policy], nodes: int) -> None:
    """A node that decides alone asks and decides as the simulator does for all nodes at once."""
    context, _ = setting(nodes)
    decided = 0
    for slot in range(0, TASKS.slots, 3):
        busy, policy = episode(nodes), kind(context)
        together, *alone = busy.until(policy, slot)
        if together.rows == 0:
            continue
        destinations, answers = decide(policy, busy, together)
        chances = policy.probability(together, answers, destinations)
        for row, view in enumerate(alone):
            assert view.rows == 1
            asked, asked_alone = policy.ask(together), policy.ask(view)
            assert (asked is None) == (asked_alone is None)
            if asked is not None and asked_alone is not None:
                assert asked_alone[0].tolist() == asked[row].tolist()
            destination, answer = decide(policy, busy, view)
            assert destination.tolist() == [destinations[row]]
            chance = policy.probability(view, answer, destination)
            assert (chance is None) == (chances is None)
            if chance is not None and chances is not None:
                assert chance.tolist() == [chances[row]]
            decided += 1
    assert decided >= nodes


@pytest.mark.parametrize("nodes", [2, 3, 8])
def test_ratc_probes_two_nodes(nodes: int) -> None:
    """The two probes are distinct, and over the slots every ordered pair of nodes is probed."""
    pairs = _asked(Ratc, nodes)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert ((pairs >= 0) & (pairs < nodes)).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == nodes * (nodes - 1)


@pytest.mark.parametrize("nodes", [2, 3, 8])
def test_rda_asks_two_others_for_a_task_that_may_leave(nodes: int) -> None:
    """It asks two distinct others, or the only other once; with a coefficient of 0 no task is sure to stay."""
    asked = _asked(lambda context: Rda(context, coefficient=0), nodes)
    own = np.tile(np.arange(nodes), len(asked) // nodes)
    assert (asked != own[:, None]).all()
    assert ((asked >= 0) & (asked < nodes)).all()
    assert asked.shape[1] == min(nodes - 1, 2)
    assert all(len(set(row)) == len(row) for row in asked.tolist())


def test_rda_asks_nobody_for_a_task_that_stays() -> None:
    """A node that is idle asks itself, which is no message."""
    asked = _asked(Rda, 8)
    assert (asked == np.tile(np.arange(8), len(asked) // 8)[:, None]).all()


@pytest.mark.parametrize("kind", [Ratc, Rda], ids=lambda kind: kind.__name__)
def test_a_node_alone_keeps_its_tasks(kind: type[Policy]) -> None:
    """In a network of one node there is nobody else to ask."""
    context, workload = setting(1)
    played = play(context.network, workload, context.rules, kind(context), 0.25)
    assert (played.log.destination == 0).all()
    assert (played.messages == 0).all()


def _asked(kind: Callable[[PolicyContext], Policy], nodes: int) -> Integers:
    """What the nodes ask in 200 slots, a row per slot and node."""
    context, workload = setting(nodes)
    policy, rows = kind(context), []
    source = np.arange(nodes)
    zeros, square = np.zeros(nodes), np.zeros((nodes, nodes))
    for slot in range(200):
        view = View(
            network=context.network,
            rules=context.rules,
            slot=slot,
            slot_s=0.5,
            source=source,
            size_bits=zeros,
            cycles=zeros,
            deadline_s=zeros,
            waiting=source * 0,
            backlog_s=zeros,
            sending_backlog_s=square,
            receiving=square.astype(np.int64),
            available=source >= 0,
            decision_key=np.broadcast_to(workload.decision_key[0], (nodes,)),
        )
        asked = policy.ask(view)
        assert asked is not None
        rows.append(asked)
    return np.concatenate(rows)


def test_local_stays_and_random_goes_everywhere() -> None:
    """Local never offloads; random uses every node about equally often and says with which chance."""
    context, workload = setting(8)
    local = play(context.network, workload, context.rules, Local(context), 0.25).log
    assert np.array_equal(local.destination, local.source)
    assert (local.probability == 1).all()
    random = play(context.network, workload, context.rules, Random(context), 0.25).log
    counts = np.bincount(random.destination, minlength=8)
    assert abs(counts - len(random) / 8).max() < 5 * np.sqrt(len(random) / 8)
    assert (random.probability == 1 / 8).all()


def test_rda_stays_while_its_queue_is_short() -> None:
    """With a coefficient that no queue reaches it is local, with 0 it never is."""
    context, workload = setting(3)
    patient = play(context.network, workload, context.rules, Rda(context, coefficient=1e9), 0.25).log
    assert np.array_equal(patient.destination, patient.source)
    restless = play(context.network, workload, context.rules, Rda(context, coefficient=0), 0.25).log
    assert (restless.destination != restless.source).all()


@pytest.mark.parametrize("coefficient", [-0.1, float("nan")])
def test_rda_refuses_a_negative_coefficient(coefficient: float) -> None:
    """The error names the parameter and what would be right."""
    with pytest.raises(ModelError, match=r"coefficient: .* is not allowed; give a number of at least 0"):
        Rda(setting(3)[0], coefficient=coefficient)


@pytest.mark.parametrize(
    "prices",
    [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [], [1.0, -0.1, 0.0], [1.0, float("nan"), 0.0], [1.0, float("inf"), 0.0]],
    ids=["few", "many", "none", "negative", "nan", "infinite"],
)
def test_price_mask_refuses_prices_that_do_not_fit(prices: list[float]) -> None:
    """One finite price of at least 0 per node, or the error says so."""
    with pytest.raises(ModelError, match=r"prices: .* is not allowed; give 3 finite numbers of at least 0"):
        PriceMask(setting(3)[0], prices=prices)


def test_price_mask_takes_its_prices_from_the_seed() -> None:
    """Without prices it computes some, not negative, the same for the same network seed."""
    context, _ = setting(3)
    first, second = PriceMask(context), PriceMask(copy.copy(context))
    assert np.array_equal(first.prices, second.prices)
    assert first.prices.shape == (3,)
    assert (first.prices >= 0).all()


def test_price_mask_follows_prices_and_bits() -> None:
    """A price no task is worth empties a node; without a bit elsewhere the own node is taken, available or not."""
    context, _ = setting(3)
    busy = episode(3)
    view = busy.until(Local(context), 0)[0]
    everyone = view.everyone
    none, open_ = np.zeros(everyone.shape, dtype=np.bool_), np.ones(everyone.shape, dtype=np.bool_)
    empty = np.zeros(everyone.shape)

    def answers(available: np.ndarray) -> Answers:
        return Answers(everyone, empty.astype(np.int64), empty, available)

    for node in range(3):
        prices = [1e9] * 3
        prices[node] = 0.0
        policy = PriceMask(context, prices=prices)
        in_time = (view.transmission_s + view.execution_s <= view.deadline_s[:, None])[:, node]
        assert (policy.decide(view, answers(open_))[in_time] == node).all()
        own_in_time = view.execution_s[np.arange(view.rows), view.source] <= view.deadline_s
        assert np.array_equal(policy.decide(view, answers(none))[own_in_time], view.source[own_in_time])


def test_least_completion_runs_in_the_simulator_only() -> None:
    """What no node can see is refused where nodes decide, by the name of the policy."""
    context, _ = setting(3)
    with pytest.raises(ModelError, match=r"'least-completion' is not allowed; .* the simulator backend only"):
        episode(3).run(LeastCompletion(context))


def test_least_completion_takes_the_fastest_of_idle_nodes() -> None:
    """The first task of an empty network goes where transmission and execution together end first."""
    context, workload = setting(8)
    log = play(context.network, workload, context.rules, LeastCompletion(context), 0.25).log
    network: Network = context.network
    for number in range(workload.episodes):
        first = log.select(np.flatnonzero(log.episode == number)[:1])
        source = int(first.source[0])
        transmission = first.size_bits[0] / network.link_rate_bits_per_s[source]
        transmission[source] = 0.0
        assert first.destination[0] == np.argmin(transmission + first.cycles[0] / network.capacity_hz)
