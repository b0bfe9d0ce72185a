"""What a rollout says to a policy that breaks its promises, before compiled code believes it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policies.local import Local
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, PolicyContext, View
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED

NETWORK = TESTBED.network.draw(1)
CONTEXT = PolicyContext(NETWORK, TESTBED.workload, Rules(), 0.25, 1)
TASKS = TESTBED.workload.draw(NETWORK, 1, Stream.EVALUATE, range(2))


class Given(Policy):
    """Asks and decides what the test says."""

    def __init__(self, asked: Any = None, decided: Any = None) -> None:
        super().__init__(CONTEXT)
        self.asked, self.decided = asked, decided

    def ask(self, view: View) -> Integers | None:
        found: Integers | None = self.asked(view) if self.asked else None
        return found

    def decide(self, view: View, answers: Answers | None) -> Integers:
        found: Integers = self.decided(view) if self.decided else view.source
        return found


@pytest.mark.parametrize(
    ("policy", "step", "said"),
    [
        (Given(asked=lambda v: np.full((v.rows, 2), 10)), "ask", "10 is not allowed; it must return nodes 0 to 9"),
        (Given(asked=lambda v: np.full((v.rows, 1), -1)), "ask", "-1 is not allowed"),
        (Given(asked=lambda v: v.source), "ask", "a row per task"),
        (Given(asked=lambda _: np.zeros((1, 2, 3), dtype=int)), "ask", "a row per task"),
        (Given(asked=lambda v: np.ones((v.rows, 1))), "ask", "it must return whole numbers"),
        (Given(decided=lambda v: v.source + 1000), "decide", "it must return nodes 0 to 9"),
        (Given(decided=lambda v: v.source - 1000), "decide", "it must return nodes 0 to 9"),
        (Given(decided=lambda v: v.source[:1]), "decide", "a row per task"),
        (Given(decided=lambda v: v.uniforms(1)[:, 0]), "decide", "it must return whole numbers"),
    ],
)
def test_a_broken_promise_is_named(policy: Policy, step: str, said: str) -> None:
    """The message has the policy, the step, what it returned and what it must return."""
    with pytest.raises(ModelError) as refused:
        play(NETWORK, TASKS, Rules(), policy, 0.25)
    assert refused.value.field == f"policy Given.{step}"
    assert said in str(refused.value)


def test_an_error_in_a_policy_names_its_place() -> None:
    """Whoever wrote the policy is told where to look."""

    def divide(view: View) -> Integers:
        return view.source * (1 // len(view.source[:0]))

    with pytest.raises(ModelError, match=r"policy Given \(test_rollout.py:\d+\).*ZeroDivisionError"):
        play(NETWORK, TASKS, Rules(), Given(decided=divide), 0.25)


def test_many_episodes_in_parts_are_the_same() -> None:
    """`play` splits a long workload; what one asks and whom is counted all the same."""
    policy = Given(asked=lambda v: (v.source[:, None] + np.array([0, 1])) % 10)
    many = TESTBED.workload.draw(NETWORK, 1, Stream.EVALUATE, range(300))
    played = play(NETWORK, many, Rules(), policy, 0.25)
    assert len(played.log) == many.arrives.sum()
    assert played.log.episode.max() == 299
    assert set(played.messages) == {1}  # asking oneself is free
    last = play(NETWORK, many.episode(299), Rules(), policy, 0.25)
    assert np.array_equal(played.log.select(played.log.episode == 299).ended_s, last.log.ended_s, equal_nan=True)


def test_a_thousand_nodes_fit_into_memory() -> None:
    """The largest network that is allowed is played, few episodes at a time."""
    model = replace(TESTBED.network, nodes=1000)
    network, short = model.draw(1), replace(TESTBED.workload, slots=2)
    tasks = short.draw(network, 1, Stream.EVALUATE, range(9))
    context = PolicyContext(network, short, Rules(), 0.25, 1)
    seen: list[int] = []
    log = play(network, tasks, Rules(), Local(context), 0.25, progress=seen.append).log
    assert len(log) == tasks.arrives.sum()
    assert seen == [8, 9]
    assert play(network, tasks, Rules(), Local(context), 0.25).log.status.tolist() == log.status.tolist()
