"""The conversion against what the simulator's policies saw, and against plain loops."""

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebed.simulator.rollout import rollout
from edgebed.systems.cooperative import conversion
from edgebed.systems.cooperative.conversion import Attribution, convert
from edgebed.systems.cooperative.distributions import Choice, Constant, Uniform
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import BITS_PER_KB, BITS_PER_MB, Network, NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import Answers, Integers, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, Horizon, Rules
from edgebed.systems.cooperative.workload import WorkloadModel
from edgebed.systems.transitions import Transitions
from tests.benchmarks.plain_conversion import plain_convert

MASK = 0.5
NETWORKS = NetworkModel(
    nodes=6,
    cores=Choice((4, 8, 16)),
    core_frequency_hz=3e9,
    arrival_probability=Uniform(0.4, 1),
    execution_failure_rate=Uniform(0, 0.1),
    link_rate_bits_per_s=Uniform(5 * BITS_PER_MB, 20 * BITS_PER_MB),
    link_failure_rate=Uniform(0, 0.03),
)
TASKS = WorkloadModel(
    slot_s=0.3,
    slots=30,
    size_bits=Uniform(1000 * BITS_PER_KB, 8000 * BITS_PER_KB),
    cycles_per_bit=Uniform(800, 2400),
    deadline_s=Constant(4.0),
)
OBSERVATION = ObservationSpecification.paper(NETWORKS, TASKS)


class Watching(Ratc):
    """RATC that asks everyone for the bit as well, and remembers what each decision could see."""

    def __init__(self, context: PolicyContext) -> None:
        super().__init__(context)
        self.seen: list[tuple[int, NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]] = []

    def ask(self, view: View) -> Integers:
        return np.concatenate([super().ask(view), view.everyone], axis=1)

    def decide(self, view: View, answers: Answers | None) -> Integers:
        assert answers is not None
        dynamic = OBSERVATION.dynamic(
            view.source, view.waiting, view.receiving, view.size_bits, view.cycles, view.deadline_s
        )
        self.seen.append((view.slot, view.source, dynamic, answers.available[:, 2:]))
        two = Answers(*(getattr(answers, field.name)[:, :2] for field in fields(answers)))
        return super().decide(view, two)


def play(rules: Rules, episodes: int = 1, seed: int = 3) -> tuple[Network, TaskLog, Watching]:
    network = NETWORKS.draw(seed)
    policy = Watching(PolicyContext(network, TASKS, rules, MASK, seed))
    workload = TASKS.draw(network, seed, Stream.COLLECT, range(episodes))
    return network, rollout([network], [workload], rules, [policy], MASK)[0].log, policy


def transitions(
    network: Network, log: TaskLog, rules: Rules, attribution: Attribution = Attribution.COMPLETION
) -> Transitions:
    return convert(
        log,
        network,
        OBSERVATION,
        rules,
        slot_s=TASKS.slot_s,
        slots=TASKS.slots,
        mask_coefficient=MASK,
        attribution=attribution,
    )


def assert_equal(left: Transitions, right: Transitions) -> None:
    for field in fields(Transitions):
        a, b = getattr(left, field.name), getattr(right, field.name)
        assert a.dtype == b.dtype, field.name
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def test_whole_numbers_of_a_specification_are_not_compiled_again() -> None:
    """Machine code that is shipped serves them as well."""
    network, log, _ = play(Rules())
    given = {"slots": TASKS.slots, "mask_coefficient": MASK}
    units = {name: round(getattr(OBSERVATION, name)) for name in ("size_bits", "cycles", "deadline_s")}
    expected = convert(
        log, network, replace(OBSERVATION, **{k: float(v) for k, v in units.items()}), Rules(), slot_s=1.0, **given
    )
    known = len(conversion._convert.signatures)
    assert_equal(convert(log, network, replace(OBSERVATION, **units), Rules(), slot_s=1, **given), expected)
    assert len(conversion._convert.signatures) == known


@pytest.mark.parametrize("order", DecisionOrder)
@pytest.mark.parametrize("drop", DropPolicy)
@pytest.mark.parametrize("failure", FailureTime)
def test_rebuilds_what_every_decision_saw(order: DecisionOrder, drop: DropPolicy, failure: FailureTime) -> None:
    """The rows made from recorded instants equal, bit for bit, what the policy saw when it decided."""
    rules = Rules(drop_policy=drop, decision_order=order, failure_time=failure)
    network, log, policy = play(rules)
    rows = transitions(network, log, rules)
    decisions = 0
    for slot, source, dynamic, available in policy.seen:
        np.testing.assert_array_equal(rows.dynamic[0, slot, source], dynamic)
        if order is DecisionOrder.SIMULTANEOUS:
            np.testing.assert_array_equal(np.broadcast_to(rows.available[0, slot], available.shape), available)
        assert rows.has_task[0, slot, source].all()
        decisions += len(source)
    assert decisions == len(log) == rows.has_task.sum() > 50
    assert (rows.dynamic[..., 1 : OBSERVATION.nodes] > 0).any(), "no queue at any link: the case proves too little"


@pytest.mark.parametrize(("horizon", "order", "attribution"), list(product(Horizon, DecisionOrder, Attribution)))
def test_equals_plain_loops(horizon: Horizon, order: DecisionOrder, attribution: Attribution) -> None:
    """Every array equals that of plain Python loops over records and slots."""
    rules = Rules(drop_policy=DropPolicy.ESTIMATE_AT_BOTH, horizon=horizon, decision_order=order)
    network, log, _ = play(rules, episodes=3)
    plain = plain_convert(
        log,
        network,
        OBSERVATION,
        rules,
        slot_s=TASKS.slot_s,
        slots=TASKS.slots,
        mask_coefficient=MASK,
        attribution=attribution,
    )
    assert_equal(transitions(network, log, rules, attribution), plain)


def test_order_of_records_does_not_matter() -> None:
    """Shuffled records under other episode numbers give the same episodes, in order of appearance."""
    network, log, _ = play(Rules(), episodes=3)
    names = np.array([40, 7, 19], dtype=np.int32)
    renamed = replace(log, episode=names[log.episode])
    assert_equal(transitions(network, renamed, Rules()), transitions(network, log, Rules()))
    mixed = np.random.default_rng(0).permutation(len(log))
    shuffled = renamed.select(mixed)
    appearance = list(dict.fromkeys(shuffled.episode.tolist()))
    expected = TaskLog.join([renamed.select(renamed.episode == name) for name in appearance])
    assert_equal(transitions(network, shuffled, Rules()), transitions(network, expected, Rules()))


def test_several_threads_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is long enough for three threads is converted like each of its thirds."""
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr(conversion, "THREAD_EPISODES", 2)
    network, log, _ = play(Rules(), episodes=5)
    rows = transitions(network, log, Rules())
    single = [transitions(network, log.select(log.episode == e), Rules()) for e in range(5)]
    for field in fields(Transitions):
        if field.name != "static":
            expected = np.concatenate([getattr(one, field.name) for one in single])
            np.testing.assert_array_equal(getattr(rows, field.name), expected, err_msg=field.name)


def test_rewards_are_conserved() -> None:
    """Whatever the attribution, an episode's rewards sum to successes less losses; a node's own crowding comes on top."""
    network, log, _ = play(Rules(), episodes=4)
    outcome = np.where(log.status == 1, 1, -1)
    expected = np.bincount(log.episode, weights=outcome)
    for attribution in Attribution:
        rows = transitions(network, log, Rules(), attribution)
        np.testing.assert_array_equal(rows.team_reward.sum(axis=1), expected)
        if attribution is not Attribution.CROWDING:
            np.testing.assert_array_equal(rows.own_reward.sum(axis=(1, 2)), expected)


def test_unfinished_tasks_count_by_the_horizon() -> None:
    """What the horizon cut off is a loss in the last slot under cutDrop, and nothing under cutIgnore."""
    for horizon, reward in ((Horizon.CUT_DROP, -1), (Horizon.CUT_IGNORE, 0)):
        rules = Rules(horizon=horizon)
        network, log, _ = play(rules)
        cut = log.status == 0
        assert cut.any()
        rows = transitions(network, log, rules)
        assert (rows.own_reward[0, log.slot[cut], log.source[cut]] == reward).all()
        assert rows.team_reward.sum() == (log.status == 1).sum() - (log.status > 1).sum() + reward * cut.sum()


def test_an_empty_log_has_no_episodes() -> None:
    """No records, no episodes, and no error."""
    network, log, _ = play(Rules())
    assert transitions(network, log.select(slice(0, 0)), Rules()).episodes == 0


def test_records_of_another_network_are_refused() -> None:
    """The message names the record and what would be right."""
    network, log, _ = play(Rules())
    wrong = log.destination.copy()
    wrong[5] = 6
    with pytest.raises(ModelError, match=r"log\.destination\[5\]: 6 .* nodes 0 to 5"):
        transitions(network, replace(log, destination=wrong), Rules())
    with pytest.raises(ModelError, match=r"log\.slot\[\d+\]: 20 .* slots 0 to 19"):
        convert(log, network, OBSERVATION, Rules(), slot_s=TASKS.slot_s, slots=20, mask_coefficient=MASK)
