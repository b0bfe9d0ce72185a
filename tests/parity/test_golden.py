"""Cases with exact answers: statuses equal, end times within 1e-9 s, in the kernel and in the node core.

The golden cases come from an independent event-driven reference; the project's own, for the rules that those leave
out, from `brute_force`, which must also give the golden answers.
"""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebed.runner.replay import BACKENDS, read_case, replay_case
from edgebed.systems.cooperative.cases import Case
from tests.parity import brute_force

GOLDEN = sorted((Path(__file__).parents[1] / "data" / "golden").glob("*.json"))
OWN = sorted(brute_force.FOLDER.glob("*.json"))


def assert_same(answered: Any, expected: Any) -> None:
    for task, wanted in zip(answered, expected, strict=True):
        assert (task["id"], task["status"]) == (wanted["id"], wanted["status"])
        if wanted["endSeconds"] is None:
            assert task["endSeconds"] is None
        else:
            assert task["endSeconds"] == pytest.approx(wanted["endSeconds"], rel=0, abs=1e-9)


def test_the_cases_are_there() -> None:
    """Golden: every drop policy with every failure time, drained and cut. Own: what these leave out, for 1, 2, 4 nodes."""
    assert len(GOLDEN) == 20
    own = [json.loads(path.read_text()) for path in OWN]
    assert {case["nodes"] for case in own} == {1, 2, 4}
    rules = {value for case in own for value in case["rules"].values()}
    assert rules >= {"cutIgnore", "slot", "sequential", *brute_force.POLICIES}
    statuses = {task["status"] for case in own for task in case["expected"]}
    assert statuses == {"succeeded", "dropped", "failed", "unfinished"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", GOLDEN + OWN, ids=lambda path: path.stem)
def test_replay_is_exact(path: Path, backend: str) -> None:
    """The kernel and the node core give every task the fate that the reference gave it."""
    case = read_case(path)
    assert case.expected is not None
    answered = replay_case(case, backend)
    assert answered["name"] == path.stem
    assert_same(answered["tasks"], case.expected)


@pytest.mark.parametrize("path", GOLDEN + OWN, ids=lambda path: path.stem)
def test_brute_force_gives_the_answers_of_the_file(path: Path) -> None:
    """Two references that share no line agree."""
    document = json.loads(path.read_text())
    assert_same(brute_force.answer(document), document["expected"])


def test_own_cases_can_be_made_again() -> None:
    """`python -m tests.parity.brute_force` writes exactly the files that are there."""
    assert {path.stem: json.loads(path.read_text()) for path in OWN} == brute_force.own_cases()


RULES: dict[str, tuple[str, ...]] = {
    "dropPolicy": brute_force.POLICIES,
    "failureTime": ("atEnd", "atInstant"),
    "horizon": ("drain", "cutDrop", "cutIgnore"),
    "decisionOrder": ("simultaneous", "sequential"),
    "failureUnit": ("second", "slot"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("even", [False, True], ids=["any instants", "equal instants"])
def test_every_combination_of_rules_is_answered_alike(even: bool, backend: str) -> None:
    """None of the 120 is left to chance: each on 1 to 4 nodes against brute force, and every status occurs."""
    statuses = set()
    for choice, nodes in itertools.product(itertools.product(*RULES.values()), (1, 2, 3, 4)):
        rules = dict(zip(RULES, choice, strict=True))
        document = brute_force.draw(random.Random(f"{choice} {nodes}"), nodes, 6, rules, even=even)
        document["name"] = "drawn"
        expected = brute_force.answer(document)
        assert_same(replay_case(Case.from_document(document), backend)["tasks"], expected)
        statuses |= {task["status"] for task in expected}
    assert statuses == {"succeeded", "dropped", "failed", "unfinished"}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    nodes=st.integers(1, 4),
    slots=st.integers(1, 6),
    even=st.booleans(),
    rules=st.fixed_dictionaries({field: st.sampled_from(values) for field, values in RULES.items()}),
)
def test_any_case_is_answered_alike(seed: int, nodes: int, slots: int, even: bool, rules: dict[str, str]) -> None:
    """Kernel, node core and brute force agree on random cases under all rules, ties included."""
    document = brute_force.draw(random.Random(seed), nodes, slots, rules, even=even)
    document["name"] = "drawn"
    case = Case.from_document(document)
    for backend in BACKENDS:
        assert_same(replay_case(case, backend)["tasks"], brute_force.answer(document))
