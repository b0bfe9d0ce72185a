"""Replay cases: a small network, tasks with their luck and their decisions, and perhaps the exact answers.

    case = Case.from_text(text, "never-atEnd-drain.json")
    case.answer(log)        # what `edgebed replay` prints

A case leaves nothing to chance, so every backend must give the same answer; `tests/data/golden` holds some.
"""

import difflib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.log import TaskLog
from edgebed.systems.cooperative.network import CORE_HZ, Network
from edgebed.systems.cooperative.rules import DecisionOrder, DropPolicy, FailureTime, FailureUnit, Horizon, Rules
from edgebed.systems.cooperative.workload import Workload

_REQUIRED = ("name", "nodes", "slots", "slotSeconds", "capacityHz", "executionFailureRate") + (
    "linkRateBitsPerSecond",
    "linkFailureRate",
    "rules",
    "tasks",
)
_OPTIONAL = ("cores", "expected")
_RULES: dict[str, tuple[str, type[StrEnum]]] = {
    "dropPolicy": ("drop_policy", DropPolicy),
    "failureTime": ("failure_time", FailureTime),
    "horizon": ("horizon", Horizon),
    "decisionOrder": ("decision_order", DecisionOrder),
    "failureUnit": ("failure_unit", FailureUnit),
}
_TASK = ("id", "slot", "source", "destination", "sizeBits", "cyclesPerBit", "deadlineSeconds") + (
    "uTransmission",
    "uExecution",
)
_MOST_SLOTS = 100_000
_MOST_ID = 2**53


class _Status(StrEnum):
    """The statuses of an answer."""

    SUCCEEDED = TaskState.SUCCEEDED.label
    DROPPED = TaskState.DROPPED.label
    FAILED = TaskState.FAILED.label
    UNFINISHED = TaskState.UNFINISHED.label


Value = TypeVar("Value", bound=StrEnum)


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that determines the fate of some tasks."""

    name: str
    network: Network
    workload: Workload
    """One episode."""
    rules: Rules
    decisions: dict[tuple[int, int], int]
    """(slot, source) to destination."""
    ids: dict[tuple[int, int], int]
    """(slot, source) to the author's number of the task, in the author's order."""
    expected: tuple[Mapping[str, Any], ...] | None
    """The answers that came with the case."""

    @classmethod
    def from_text(cls, text: str, origin: str) -> "Case":
        """A case from JSON. Raises ModelError that names `origin`, the field, its value and what would be right."""
        try:
            # NaN and Infinity are refused below, by the field in which they stand.
            document = json.loads(text, object_pairs_hook=_once)
        except ModelError as error:
            raise _at(origin, error) from error
        except json.JSONDecodeError as error:
            cut = error.pos >= len(text.rstrip()) - 1
            found = f"line {error.lineno}: {'the text ends too early' if cut else error.msg}"
            raise ModelError(origin, found, "a case is one JSON document; write the file again") from error
        except (RecursionError, ValueError) as error:
            found = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ModelError(origin, found, "a case is one JSON document; write the file again") from error
        try:
            return cls.from_document(document)
        except ModelError as error:
            raise _at(origin, error) from error

    @classmethod
    def from_document(cls, document: object) -> "Case":
        """A case from plain values. Raises ModelError."""
        case = _mapping("case", document, _REQUIRED, _OPTIONAL)
        name = case["name"]
        if not isinstance(name, str) or not name:
            raise ModelError("name", name, "give a text")
        nodes, slots = _whole("nodes", case["nodes"], 1, 1000), _whole("slots", case["slots"], 1, _MOST_SLOTS)
        slot_s = _number("slotSeconds", case["slotSeconds"], above=0)
        capacity = _numbers("capacityHz", case["capacityHz"], nodes)
        network = Network.from_document(
            {
                "capacityHz": capacity,
                "cores": _numbers("cores", case.get("cores", [hz / CORE_HZ for hz in capacity]), nodes),
                "arrivalProbability": [1.0] * nodes,
                "executionFailureRate": _numbers("executionFailureRate", case["executionFailureRate"], nodes),
                "linkRateBitsPerSecond": _rows("linkRateBitsPerSecond", case["linkRateBitsPerSecond"], nodes),
                "linkFailureRate": _rows("linkFailureRate", case["linkFailureRate"], nodes),
            }
        )
        given = _mapping("rules", case["rules"], (), tuple(_RULES))
        chosen: dict[str, Any] = {
            _RULES[key][0]: _member(f"rules.{key}", value, _RULES[key][1]) for key, value in given.items()
        }
        rules = Rules(**chosen)
        arrays = np.ones((5, 1, slots, nodes))
        arrives = np.zeros((1, slots, nodes), dtype=np.bool_)
        decisions: dict[tuple[int, int], int] = {}
        ids: dict[tuple[int, int], int] = {}
        if not isinstance(case["tasks"], list):
            raise ModelError("tasks", case["tasks"], "give a list of tasks")
        for index, entry in enumerate(case["tasks"]):
            at = f"tasks[{index}]"
            task = _mapping(at, entry, _TASK, ())
            number = _whole(f"{at}.id", task["id"], 0, _MOST_ID)
            slot = _whole(f"{at}.slot", task["slot"], 0, slots - 1)
            source = _whole(f"{at}.source", task["source"], 0, nodes - 1)
            if number in ids.values():
                raise ModelError(f"{at}.id", number, "give every task a number of its own")
            if (slot, source) in ids:
                remedy = f"a node receives at most one task in a slot, and task {ids[slot, source]} is there already"
                raise ModelError(f"{at}.slot", slot, remedy)
            size = _number(f"{at}.sizeBits", task["sizeBits"], above=0)
            intensity = _number(f"{at}.cyclesPerBit", task["cyclesPerBit"], above=0)
            if not 0 < intensity * size < math.inf:
                raise ModelError(f"{at}.cyclesPerBit", intensity, f"times {size:g} bits it must be a finite number")
            arrives[0, slot, source] = True
            arrays[:, 0, slot, source] = (
                size,
                intensity * size,
                _number(f"{at}.deadlineSeconds", task["deadlineSeconds"], above=0),
                _number(f"{at}.uTransmission", task["uTransmission"], above=0, most=1),
                _number(f"{at}.uExecution", task["uExecution"], above=0, most=1),
            )
            ids[slot, source] = number
            decisions[slot, source] = _whole(f"{at}.destination", task["destination"], 0, nodes - 1)
        expected = None if case.get("expected") is None else _expected(case["expected"], list(ids.values()))
        size_bits, cycles, deadline_s, u_transmission, u_execution = arrays
        workload = Workload(
            slot_s=slot_s,
            arrives=arrives,
            size_bits=size_bits,
            cycles=cycles,
            deadline_s=deadline_s,
            u_transmission=u_transmission,
            u_execution=u_execution,
            decision_key=np.zeros(1, dtype=np.uint64),
        )
        return cls(name, network, workload, rules, decisions, ids, expected)

    def answer(self, log: TaskLog) -> dict[str, Any]:
        """Name and, in the author's order, every task's id, status and end in seconds from the episode's start.

        What the horizon cut off has no end time; under cutDrop it counts as dropped.
        """
        cut = TaskState.DROPPED if self.rules.horizon is Horizon.CUT_DROP else TaskState.UNFINISHED
        fates = {}
        for slot, source, status, end in zip(log.slot, log.source, log.status, log.ended_s, strict=True):
            state = TaskState(int(status))
            state = cut if state is TaskState.UNFINISHED else state
            fates[int(slot), int(source)] = {"status": state.label, "endSeconds": None if np.isnan(end) else float(end)}
        return {"name": self.name, "tasks": [{"id": number, **fates[place]} for place, number in self.ids.items()]}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused when it has a key twice, because nobody knows which of the two is meant."""
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(twice, "given twice", "keep one of the two")
    return document


def _at(origin: str, error: ModelError) -> ModelError:
    return ModelError(f"{origin}: {error.field}", error.value, error.remedy)


def _expected(value: object, ids: list[int]) -> tuple[Mapping[str, Any], ...]:
    """The answers that came with a case: one for each task, in the order of the tasks."""
    if not isinstance(value, list) or len(value) != len(ids):
        found = f"{len(value)} answers" if isinstance(value, list) else value
        raise ModelError("expected", found, f"give a list of {len(ids)} answers, one for each task, or leave it out")
    for index, (entry, number) in enumerate(zip(value, ids, strict=True)):
        at = f"expected[{index}]"
        answer = _mapping(at, entry, ("id", "status", "endSeconds"), ())
        if _whole(f"{at}.id", answer["id"], 0, _MOST_ID) != number:
            raise ModelError(
                f"{at}.id", answer["id"], f"answers have the order of the tasks; here task {number} is due"
            )
        _member(f"{at}.status", answer["status"], _Status)
        if answer["endSeconds"] is not None:
            _number(f"{at}.endSeconds", answer["endSeconds"])
    return tuple(value)


def _mapping(field: str, value: object, required: Collection[str], optional: Collection[str]) -> Mapping[str, Any]:
    names = [*required, *optional]
    if not isinstance(value, dict):
        raise ModelError(field, value, f"give a mapping with the keys {', '.join(names)}")
    prefix = "" if field == "case" else f"{field}."
    for key in value:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(names)}"
            raise ModelError(f"{prefix}{key}", "unknown key", remedy)
    for key in required:
        if key not in value:
            raise ModelError(f"{prefix}{key}", "missing", f"the keys are {', '.join(names)}")
    return value


def _number(field: str, value: object, *, above: float = -math.inf, most: float = math.inf) -> float:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if not fine or not above < float(value) <= most:  # type: ignore[arg-type]  # a number, or not fine
        span = (f" over {above:g}" if math.isfinite(above) else "") + (
            f" and at most {most:g}" if most < math.inf else ""
        )
        raise ModelError(field, value, f"give a finite number{span}")
    return float(value)  # type: ignore[arg-type]  # a number


def _whole(field: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ModelError(field, value, f"give a whole number from {low} to {high}")
    return value


def _numbers(field: str, value: object, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        found = f"{len(value)} values" if isinstance(value, list) else value
        raise ModelError(field, found, f"give a list of {count} numbers, one for each node")
    return [_number(f"{field}[{index}]", item) for index, item in enumerate(value)]


def _rows(field: str, value: object, count: int) -> list[list[float]]:
    if not isinstance(value, list) or len(value) != count:
        found = f"{len(value)} rows" if isinstance(value, list) else value
        raise ModelError(field, found, f"give {count} rows, one for each sender")
    return [_numbers(f"{field}[{index}]", row, count) for index, row in enumerate(value)]


def _member(field: str, value: object, kind: type[Value]) -> Value:
    names = [str(member) for member in kind]
    if value not in names:
        near = difflib.get_close_matches(str(value), names, n=1)
        raise ModelError(field, value, (f"did you mean {near[0]}? " if near else "") + f"give {', '.join(names)}")
    return kind(str(value))
