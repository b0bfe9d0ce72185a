"""Replay cases are refused with the field, the value and what would be right; answers keep the author's order."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from edgebed.runner.replay import BACKENDS, replay_case
from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.rules import Rules

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TEXT = (GOLDEN / "never-atEnd-drain.json").read_text(encoding="utf-8")
DOCUMENT = json.loads(TEXT)


def changed(*path: str | int, value: Any) -> dict[str, Any]:
    """A valid document with one value replaced or added."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def without(*path: str | int) -> dict[str, Any]:
    """A valid document with one key taken away."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return document


def refusal(document: object) -> ModelError:
    """How a document is refused."""
    with pytest.raises(ModelError) as caught:
        Case.from_document(document)
    return caught.value


def test_the_document_is_valid() -> None:
    """What the refused documents differ from is accepted."""
    case = Case.from_document(DOCUMENT)
    assert case.network.nodes == 3
    assert len(case.ids) == len(DOCUMENT["tasks"])


NUMBERS: list[tuple[str | int, ...]] = [
    ("slotSeconds",),
    ("capacityHz", 1),
    ("executionFailureRate", 2),
    ("linkRateBitsPerSecond", 0, 1),
    ("linkFailureRate", 2, 0),
    *[("tasks", 1, key) for key in ("sizeBits", "cyclesPerBit", "deadlineSeconds", "uTransmission", "uExecution")],
]
WHOLES: list[tuple[str | int, ...]] = [
    ("nodes",),
    ("slots",),
    *[("tasks", 1, key) for key in ("id", "slot", "source", "destination")],
]


def written(path: tuple[str | int, ...]) -> str:
    """A path as an error writes it, e.g. `tasks[1].slot`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


@pytest.mark.parametrize(
    "value", ["3", True, None, [1], {}, float("nan"), float("inf"), 10**400], ids=lambda value: repr(value)[:9]
)
@pytest.mark.parametrize("path", NUMBERS, ids=written)
def test_what_is_no_number_is_refused(path: tuple[str | int, ...], value: object) -> None:
    """Texts, truth values, nothing, lists and infinite numbers never pass for a number."""
    error = refusal(changed(*path, value=value))
    assert error.field == written(path)
    assert error.remedy.startswith("give a finite number")
    assert repr(value)[:20] in str(error)


@pytest.mark.parametrize("value", ["1", True, None, 1.0, -1, 10**400], ids=lambda value: repr(value)[:9])
@pytest.mark.parametrize("path", WHOLES, ids=written)
def test_what_is_no_whole_number_is_refused(path: tuple[str | int, ...], value: object) -> None:
    """Counts and indices are whole numbers of a range that the error names."""
    error = refusal(changed(*path, value=value))
    assert error.field == written(path)
    assert error.remedy.startswith("give a whole number from ")
    assert repr(value)[:20] in str(error)


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        (("nodes",), 0, "give a whole number from 1 to 1000"),
        (("nodes",), 1001, "give a whole number from 1 to 1000"),
        (("slots",), 0, "give a whole number from 1 to 100000"),
        (("slotSeconds",), 0, "give a finite number over 0"),
        (("name",), "", "give a text"),
        (("name",), 7, "give a text"),
        (("capacityHz", 0), 0, "give a finite number over 0"),
        (("executionFailureRate", 1), -0.1, "give a finite number of at least 0"),
        (("linkRateBitsPerSecond", 1, 2), 0, "give a finite number over 0"),
        (("linkFailureRate", 1, 2), -1, "give a finite number of at least 0"),
        (("tasks", 2, "source"), 3, "give a whole number from 0 to 2"),
        (("tasks", 2, "destination"), 3, "give a whole number from 0 to 2"),
        (("tasks", 2, "slot"), 8, "give a whole number from 0 to 7"),
        (("tasks", 2, "sizeBits"), 0, "give a finite number over 0"),
        (("tasks", 2, "cyclesPerBit"), -4, "give a finite number over 0"),
        (("tasks", 2, "deadlineSeconds"), 0, "give a finite number over 0"),
        (("tasks", 2, "uTransmission"), 0, "give a finite number over 0 and at most 1"),
        (("tasks", 2, "uTransmission"), 1.01, "give a finite number over 0 and at most 1"),
        (("tasks", 2, "uExecution"), 0.0, "give a finite number over 0 and at most 1"),
        (("tasks", 2, "uExecution"), 2, "give a finite number over 0 and at most 1"),
        (("rules", "dropPolicy"), "nevr", "did you mean never? give estimateAtExecution, "),
        (("rules", "failureTime"), "AtEnd", "did you mean atEnd? give atEnd, atInstant"),
        (("rules", "horizon"), "drian", "did you mean drain? give drain, cutDrop, cutIgnore"),
        (("rules", "failureUnit"), "x", "give second, slot"),
        (("rules", "decisionOrder"), None, "give simultaneous, sequential"),
        (("rules", "dropPolicy"), ["never"], "did you mean never? give estimateAtExecution, "),
        (("tasks",), {}, "give a list of tasks"),
        (("expected",), "none", "give a list of answers, or leave it out"),
        (("expected",), [1], "give a list of answers, or leave it out"),
    ],
    ids=lambda value: written(value) if isinstance(value, tuple) else None,
)
def test_what_is_out_of_range_is_refused(path: tuple[str | int, ...], value: object, remedy: str) -> None:
    """The error names the field, shows the value and says what would be right."""
    error = refusal(changed(*path, value=value))
    assert error.field == written(path)
    shown = float(value) if "rate" in remedy or isinstance(error.value, float) else value  # type: ignore[arg-type]
    assert str(error).startswith(f"{written(path)}: {shown!r} is not allowed; {remedy.rstrip()}")


@pytest.mark.parametrize(
    ("path", "value", "field", "remedy"),
    [
        ((), [], "case", "give a mapping with the keys name, nodes, "),
        ((), None, "case", "give a mapping with the keys name, nodes, "),
        (("rules",), "never", "rules", "give a mapping with the keys dropPolicy, "),
        (("tasks", 0), 5, "tasks[0]", "give a mapping with the keys id, "),
        (("capacityHz",), [1e9, 1e9], "capacityHz", "give a list of 3 numbers, one for each node"),
        (("capacityHz",), 1e9, "capacityHz", "give a list of 3 numbers, one for each node"),
        (("cores",), [1, 1, 1, 1], "cores", "give a list of 3 numbers, one for each node"),
        (("linkFailureRate",), [[0, 0, 0]], "linkFailureRate", "give 3 rows, one for each sender"),
        (("linkFailureRate",), "none", "linkFailureRate", "give 3 rows, one for each sender"),
        (("linkRateBitsPerSecond", 1), [1, 1], "linkRateBitsPerSecond[1]", "give a list of 3 numbers"),
        (("linkRateBitsPerSecond", 1), 8, "linkRateBitsPerSecond[1]", "give a list of 3 numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_has_another_shape_is_refused(path: tuple[str | int, ...], value: object, field: str, remedy: str) -> None:
    """Shapes are compared with the number of nodes, and the error says which shape is right."""
    error = refusal(changed(*path, value=value) if path else value)
    assert error.field == field
    assert error.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        (("slotSecond",), "slotSeconds"),
        (("capacityHZ",), "capacityHz"),
        (("rules", "dropPolicies"), "dropPolicy"),
        (("tasks", 1, "size_bits"), "sizeBits"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_unknown_key_is_refused_with_the_nearest(path: tuple[str | int, ...], near: str) -> None:
    """A misspelt key is named with its place, and so is the key that was probably meant."""
    error = refusal(changed(*path, value=1))
    assert error.field == written(path)
    assert str(error) == f"{written(path)}: 'unknown key' is not allowed; did you mean {near}?"


def test_an_unknown_key_like_no_other_is_refused_with_the_keys() -> None:
    """Where nothing is near, the error lists what there is."""
    assert refusal(changed("rules", "qqq", value=1)).remedy.startswith("the keys are dropPolicy, failureTime, ")


@pytest.mark.parametrize("path", [(key,) for key in DOCUMENT if key != "expected"], ids=written)
def test_a_missing_key_is_refused(path: tuple[str, ...]) -> None:
    """Nothing but the answers and the cores may be left out."""
    error = refusal(without(*path))
    assert (error.field, error.value) == (path[0], "missing")


@pytest.mark.parametrize("key", DOCUMENT["tasks"][0])
def test_a_missing_key_of_a_task_is_refused(key: str) -> None:
    """A task has no defaults; the error says which task."""
    error = refusal(without("tasks", 3, key))
    assert (error.field, error.value) == (f"tasks[3].{key}", "missing")


def test_two_tasks_of_a_node_in_a_slot_are_refused() -> None:
    """The error points at the second of the two and names the first."""
    first, second = DOCUMENT["tasks"][0], {**DOCUMENT["tasks"][0], "id": 999}
    error = refusal(changed("tasks", value=[first, second]))
    assert error.field == "tasks[1].slot"
    assert f"task {first['id']} is there already" in error.remedy


def test_two_tasks_of_one_number_are_refused() -> None:
    """An answer could not be told from the other's."""
    error = refusal(changed("tasks", 4, "id", value=DOCUMENT["tasks"][2]["id"]))
    assert (error.field, error.value) == ("tasks[4].id", DOCUMENT["tasks"][2]["id"])
    assert error.remedy == "give every task a number of its own"


def test_cycles_that_overflow_are_refused() -> None:
    """Two finite factors whose product is infinite would make an execution that never ends."""
    document = changed("tasks", 0, "sizeBits", value=1e200)
    document["tasks"][0]["cyclesPerBit"] = 1e200
    error = refusal(document)
    assert error.field == "tasks[0].cyclesPerBit"
    assert error.value == 1e200


@pytest.mark.parametrize("cut", range(1, len(TEXT.rstrip()), 97))
def test_a_truncated_text_is_refused(cut: int) -> None:
    """Wherever a file was cut off, the error names the file and a line."""
    with pytest.raises(
        ModelError, match=r"^cut\.json: .*line \d+: .*; a case is one JSON document; write the file again$"
    ):
        Case.from_text(TEXT[:cut], "cut.json")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "ends too early"),
        ("nodes: 3\n", "line 1: Expecting value"),
        (TEXT + TEXT, "Extra data"),
        ("[" * 100_000, "nested too deeply"),
        ('{"nodes": NaN}', "'NaN' is not allowed; give finite numbers"),
        ('{"nodes": -Infinity}', "'-Infinity' is not allowed; give finite numbers"),
        ('{"nodes": ' + "9" * 5000 + "}", "not allowed"),
        ('{"nodes": 3}', "mine.json: name: 'missing' is not allowed"),
        ('{"nodez": 3}', "mine.json: nodez: 'unknown key' is not allowed; did you mean nodes?"),
        ("7", "mine.json: case: 7 is not allowed; give a mapping"),
    ],
    ids=["empty", "yaml", "twice", "deep", "nan", "infinity", "digits", "missing", "unknown", "number"],
)
def test_a_text_that_is_no_case_is_refused(text: str, found: str) -> None:
    """The error names the file and what is wrong in it."""
    with pytest.raises(ModelError) as caught:
        Case.from_text(text, "mine.json")
    assert str(caught.value).startswith("mine.json")
    assert found in str(caught.value)


def test_what_is_left_out_has_defaults() -> None:
    """Without rules the model's defaults hold; without cores a core has the paper's frequency."""
    document = changed("rules", value={})
    del document["expected"]
    case = Case.from_document(document)
    assert case.rules == Rules()
    assert case.expected is None
    assert case.network.cores.tolist() == [hz / 3e9 for hz in DOCUMENT["capacityHz"]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("horizon", "status"), [("cutIgnore", "unfinished"), ("cutDrop", "dropped")])
def test_what_the_horizon_cut_has_no_end(horizon: str, status: str, backend: str) -> None:
    """A task that the end of the slots cut off is answered as such, without an end time; the others keep their fate."""
    drained = {task["id"]: task for task in replay_case(Case.from_document(DOCUMENT), backend)["tasks"]}
    answered = replay_case(Case.from_document(changed("rules", "horizon", value=horizon)), backend)["tasks"]
    end_s = DOCUMENT["slots"] * DOCUMENT["slotSeconds"]
    cut = [task for task in answered if task["endSeconds"] is None]
    assert cut
    assert {task["status"] for task in cut} == {status}
    for task in answered:
        assert (task in cut) == (drained[task["id"]]["endSeconds"] > end_s)
        if task not in cut:
            assert task == drained[task["id"]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_answers_come_in_the_order_of_the_author(backend: str) -> None:
    """Neither the order of the tasks in the file nor their numbers change anything but the order of the answers."""
    plain = replay_case(Case.from_document(DOCUMENT), backend)["tasks"]
    shuffled = changed("tasks", value=[{**task, "id": 1000 - task["id"]} for task in DOCUMENT["tasks"][::-1]])
    answered = replay_case(Case.from_document(shuffled), backend)["tasks"]
    assert [task["id"] for task in answered] == [1000 - task["id"] for task in DOCUMENT["tasks"][::-1]]
    assert [{**task, "id": 1000 - task["id"]} for task in answered[::-1]] == plain
