"""Replay cases: what a case file may say, what is refused and with which words, and the answer in the author's terms."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policies.fixed import FixedDecisions
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureUnit, Horizon, Rules
from edgebed.systems.cooperative.virtual import run_episode

Document = dict[str, Any]
DELETE = object()


def task(number: int, slot: int, source: int, destination: int) -> Document:
    """1000 bits of 2 cycles each, with all the luck there is."""
    return {
        "id": number,
        "slot": slot,
        "source": source,
        "destination": destination,
        "sizeBits": 1000,
        "cyclesPerBit": 2.0,
        "deadlineSeconds": 10,
        "uTransmission": 0.5,
        "uExecution": 0.5,
    }


def document() -> Document:
    """Two nodes of 1000 cycles/s, two slots, tasks that end after 2, 4 and (sent for 1 s) 4.5 seconds."""
    return {
        "name": "small",
        "nodes": 2,
        "slots": 2,
        "slotSeconds": 0.5,
        "capacityHz": [1000.0, 1000.0],
        "executionFailureRate": [0, 0],
        "linkRateBitsPerSecond": [[1, 1000], [1000, 1]],
        "linkFailureRate": [[0, 0], [0, 0]],
        "rules": {"dropPolicy": "never"},
        "tasks": [task(70, 1, 0, 1), task(5, 0, 0, 0), task(6, 0, 1, 0)],
    }


def with_value(path: str, value: object) -> Document:
    """The document with the value at a path such as `tasks[1].slot` replaced, or taken away."""
    changed = copy.deepcopy(document())
    place: Any = changed
    *steps, last = [
        int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")
    ]
    for step in steps:
        place = place[step]
    if value is DELETE:
        del place[last]
    else:
        place[last] = value
    return changed


def run(case: Case) -> Document:
    return case.answer(run_episode(case.network, case.workload, case.rules, FixedDecisions(case.decisions), 1.0))


def test_a_case_is_what_it_says() -> None:
    """Arrays are where tasks arrive, cycles are intensity times size, cores follow from the capacity."""
    case = Case.from_document(document())
    assert case.name == "small"
    assert case.network.nodes == 2
    assert case.network.cores.tolist() == [1000 / 3e9] * 2
    assert (case.workload.episodes, case.workload.slots, case.workload.slot_s) == (1, 2, 0.5)
    assert np.argwhere(case.workload.arrives[0]).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert case.workload.cycles[0, 1, 0] == 2000
    assert case.decisions == {(1, 0): 1, (0, 0): 0, (0, 1): 0}
    assert case.rules == Rules(drop_policy=DropPolicy.NEVER)
    assert case.expected is None


def test_every_rule_is_read() -> None:
    """Also the one that the golden cases leave out."""
    rules = {
        "dropPolicy": "abortAtDeadline",
        "horizon": "cutIgnore",
        "decisionOrder": "sequential",
        "failureUnit": "slot",
    }
    case = Case.from_document({**document(), "rules": rules, "cores": [4, 8]})
    assert case.rules == Rules(
        drop_policy=DropPolicy.ABORT_AT_DEADLINE,
        horizon=Horizon.CUT_IGNORE,
        decision_order=DecisionOrder.SEQUENTIAL,
        failure_unit=FailureUnit.SLOT,
    )
    assert case.network.cores.tolist() == [4, 8]


def test_answers_keep_the_authors_ids_and_order() -> None:
    """Not the order in which the tasks arrive; the times follow by hand."""
    assert run(Case.from_document(document())) == {
        "name": "small",
        "tasks": [
            {"id": 70, "status": "succeeded", "endSeconds": 3.5},
            {"id": 5, "status": "succeeded", "endSeconds": 2.0},
            {"id": 6, "status": "succeeded", "endSeconds": 4.0},
        ],
    }


@pytest.mark.parametrize(("horizon", "status"), [("cutDrop", "dropped"), ("cutIgnore", "unfinished")])
def test_what_the_horizon_cuts_off_has_no_end(horizon: str, status: str) -> None:
    """After one second nothing has ended."""
    answer = run(Case.from_document(with_value("rules.horizon", horizon)))
    assert [(t["status"], t["endSeconds"]) for t in answer["tasks"]] == [(status, None)] * 3


ANSWERS = [{"id": number, "status": "succeeded", "endSeconds": 1.0} for number in (70, 5, 6)]

BAD: list[tuple[str, object, str]] = [
    # (path of the bad value, the value, part of the remedy)
    ("name", DELETE, "keys are"),
    ("tasks", DELETE, "keys are"),
    ("nmae", "x", "did you mean name?"),
    ("zzz", 1, "the keys are"),
    ("tasks[1].destinaton", 1, "did you mean destination?"),
    ("tasks[1].sizeBits", DELETE, "keys are"),
    ("rules.dropPolicies", "never", "did you mean dropPolicy?"),
    ("name", 3, "text"),
    ("name", "", "text"),
    ("nodes", 0, "whole number from 1"),
    ("nodes", -2, "whole number from 1"),
    ("nodes", 2.0, "whole number"),
    ("nodes", "2", "whole number"),
    ("nodes", True, "whole number"),
    ("slots", 0, "whole number from 1"),
    ("slots", 10**12, "whole number from 1"),
    ("slotSeconds", 0, "over 0"),
    ("slotSeconds", "0.5", "number"),
    ("slotSeconds", math.nan, "finite"),
    ("slotSeconds", math.inf, "finite"),
    ("capacityHz", 1000, "list of 2"),
    ("capacityHz", [1000], "list of 2"),
    ("capacityHz[1]", "1000", "number"),
    ("capacityHz[1]", True, "number"),
    ("capacityHz[1]", None, "number"),
    ("capacityHz[1]", 0, "over 0"),
    ("capacityHz[1]", -1.0, "over 0"),
    ("capacityHz[1]", math.nan, "finite"),
    ("cores", [1, 2, 3], "list of 2"),
    ("executionFailureRate[0]", -0.1, "at least 0"),
    ("executionFailureRate[0]", 10**400, "finite"),
    ("linkRateBitsPerSecond", [[1, 1]], "2 rows"),
    ("linkRateBitsPerSecond", "fast", "2 rows"),
    ("linkRateBitsPerSecond[1]", [1, 2, 3], "list of 2"),
    ("linkRateBitsPerSecond[0][1]", 0, "over 0"),
    ("linkFailureRate[0][1]", -1, "at least 0"),
    ("linkFailureRate[0][1]", math.inf, "finite"),
    ("rules", ["never"], "mapping"),
    ("rules.dropPolicy", "estimateAtExecutoin", "did you mean estimateAtExecution?"),
    ("rules.failureTime", "atend", "did you mean atEnd?"),
    ("rules.horizon", "cutdrop", "did you mean cutDrop?"),
    ("rules.decisionOrder", "sequentiel", "did you mean sequential?"),
    ("rules.failureUnit", 1, "second, slot"),
    ("rules.failureUnit", ["slot"], "second, slot"),
    ("tasks", {}, "list"),
    ("tasks[0]", 7, "mapping"),
    ("tasks[2].id", 5, "of its own"),
    ("tasks[2].id", "six", "whole number"),
    ("tasks[1].slot", 2, "from 0 to 1"),
    ("tasks[1].slot", -1, "from 0 to 1"),
    ("tasks[1].slot", 0.5, "whole number"),
    ("tasks[0].slot", True, "whole number"),
    ("tasks[1].source", 2, "from 0 to 1"),
    ("tasks[2].destination", 2, "from 0 to 1"),
    ("tasks[2].destination", -1, "from 0 to 1"),
    ("tasks[0].sizeBits", 0, "over 0"),
    ("tasks[0].sizeBits", True, "number"),
    ("tasks[0].cyclesPerBit", -1, "over 0"),
    ("tasks[0].deadlineSeconds", 0, "over 0"),
    ("tasks[0].deadlineSeconds", math.inf, "finite"),
    ("tasks[0].uTransmission", 0, "at most 1"),
    ("tasks[0].uExecution", 1.5, "at most 1"),
    ("tasks[0].uExecution", math.nan, "at most 1"),
    ("tasks[0].sizeBits", 1e300, "finite"),
    ("expected", 3, "list of 3 answers"),
    ("expected", ANSWERS[:2], "list of 3 answers"),
    ("expected", {}, "list of 3 answers"),
]


@pytest.mark.parametrize(("path", "value", "remedy"), BAD, ids=lambda v: "missing" if v is DELETE else repr(v)[:40])
def test_bad_values_are_named(path: str, value: object, remedy: str) -> None:
    """The error has the path of the field, what is there, and what would be right."""
    with pytest.raises(ModelError) as caught:
        Case.from_document(with_value(path, value))
    assert caught.value.field == path
    assert remedy in caught.value.remedy
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        ({"id": 6}, "expected[1].id", "task 5 is due"),
        ({"status": "suceeded"}, "expected[1].status", "did you mean succeeded?"),
        ({"status": "executing"}, "expected[1].status", "unfinished"),
        ({"endSeconds": math.nan}, "expected[1].endSeconds", "finite"),
        ({"endSecond": 1.0}, "expected[1].endSecond", "did you mean endSeconds?"),
    ],
)
def test_bad_answers_are_named(change: Document, field: str, remedy: str) -> None:
    """The answers that come with a case are held to the same strictness."""
    assert Case.from_document({**document(), "expected": ANSWERS}).expected == tuple(ANSWERS)
    bad = [ANSWERS[0], {**ANSWERS[1], **change}, ANSWERS[2]]
    with pytest.raises(ModelError) as caught:
        Case.from_document({**document(), "expected": bad})
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_cycles_beyond_numbers_are_refused() -> None:
    """Size and intensity may each be a number, and their product none."""
    with pytest.raises(ModelError, match=r"tasks\[0\]\.cyclesPerBit"):
        Case.from_document({**document(), "tasks": [{**task(1, 0, 0, 0), "sizeBits": 1e200, "cyclesPerBit": 1e200}]})


def test_two_tasks_of_one_node_in_one_slot_are_refused() -> None:
    """The message names the task that is there already."""
    with pytest.raises(ModelError, match=r"tasks\[2\]\.slot: 0 .* task 5 is there already"):
        Case.from_document(with_value("tasks[2].source", 0))


@pytest.mark.parametrize("value", [None, [], "case", 3])
def test_a_case_is_a_mapping(value: object) -> None:
    """Anything else is refused with the keys that a case has."""
    with pytest.raises(ModelError, match="slotSeconds"):
        Case.from_document(value)


def cut(text: str) -> str:
    return text[: text.index('"tasks"') + 30]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "line {last}: the text ends too early"),
        (lambda _: "", "line 1"),
        (lambda _: "name: small\n", "line 1"),
        (lambda text: text.replace('"slots": 2,', '"slots": 2'), "line 5"),
        (lambda text: text.replace("0.5", "NaN", 1), "small.json: slotSeconds: nan"),
        (lambda text: text.replace("0.5", "-Infinity", 1), "small.json: slotSeconds: -inf"),
        (lambda _: "[" * 100_000, "nested"),
        (lambda text: text + "}", "line {last}"),
        (lambda text: text.replace("1000.0", "1" * 5000, 1), "digits"),
    ],
    ids=["truncated", "empty", "YAML", "comma", "NaN", "Infinity", "deep", "more", "digits"],
)
def test_text_that_is_no_case(change: Callable[[str], str], words: str) -> None:
    """The error names the file and, where JSON ends, the line."""
    text = json.dumps(document(), indent=1)
    assert Case.from_text(text, "small.json").name == "small"
    changed = change(text)
    with pytest.raises(ModelError) as caught:
        Case.from_text(changed, "small.json")
    assert "small.json" in str(caught.value)
    assert words.format(last=changed.count("\n") + 1) in str(caught.value)
    assert caught.value.remedy


def test_a_key_that_is_given_twice_is_refused() -> None:
    """JSON would take the last one silently."""
    text = '{"name": "a", "name": "b"}'
    with pytest.raises(ModelError, match=r"twice.json: name: 'given twice' is not allowed; keep one of the two"):
        Case.from_text(text, "twice.json")
