"""The model a third time, as short as it can be said: every queue by itself, task after task.

    answer(document)        # what `expected` of a case document should say

No event list, no state machine, and nothing imported from what it checks. It rests on one observation: with given
decisions a link never waits for an execution queue. So each link can be worked off first, from its first task to its
last, then each execution queue, in the order in which tasks reach it. A task begins when it has come and the server is
free (Lindley's recursion); what happens after the last slot is cut off at the end.

`python -m tests.parity.brute_force` writes the project's own cases, tests/data/cases, from a seed.
"""

import itertools
import json
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "data" / "cases"
POLICIES = ("estimateAtExecution", "estimateAtBoth", "abortAtDeadline", "expiredAtDequeue", "never")


class Fate(NamedTuple):
    status: str
    end: float


def answer(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Id, status and end time of every task of a case, in the order of the case."""
    rules, slot_s = document["rules"], document["slotSeconds"]
    per_second = 1 / slot_s if rules.get("failureUnit") == "slot" else 1.0
    numbered = sorted(document["tasks"], key=lambda task: (task["slot"], task["source"]))
    fates: dict[int, Fate] = {}
    links: dict[tuple[int, int], list[tuple[float, dict[str, Any]]]] = defaultdict(list)
    queues: dict[int, list[tuple[float, bool, int, dict[str, Any]]]] = defaultdict(list)
    for number, task in enumerate(numbered):
        arrived = task["slot"] * slot_s
        if task["source"] == task["destination"]:
            # The last of the sort keys: at one instant what was sent comes before what arrives.
            queues[task["destination"]].append((arrived, True, number, task))
        else:
            links[task["source"], task["destination"]].append((arrived, {**task, "number": number}))
    for (i, j), tasks in links.items():
        rate, beta = document["linkRateBitsPerSecond"][i][j], document["linkFailureRate"][i][j] * per_second
        free = 0.0
        for came, task in tasks:
            length = task["sizeBits"] / rate
            after = task["sizeBits"] * task["cyclesPerBit"] / document["capacityHz"][j]
            estimate = length + after if rules["dropPolicy"] == "estimateAtBoth" else None
            free, fate = serve(rules, task, slot_s, max(came, free), length, beta, task["uTransmission"], estimate)
            if fate.status == "succeeded":
                queues[j].append((fate.end, False, task["number"], task))
            else:
                fates[task["id"]] = fate
    for j, reached in queues.items():
        alpha, free = document["executionFailureRate"][j] * per_second, 0.0
        for came, _, _, task in sorted(reached, key=lambda entry: entry[:3]):
            length = task["sizeBits"] * task["cyclesPerBit"] / document["capacityHz"][j]
            estimate = length if rules["dropPolicy"].startswith("estimate") else None
            free, fate = serve(rules, task, slot_s, max(came, free), length, alpha, task["uExecution"], estimate)
            if fate.status == "succeeded" and fate.end > due(task, slot_s):
                fate = Fate("dropped", fate.end)
            fates[task["id"]] = fate
    end = math.inf if rules["horizon"] == "drain" else document["slots"] * slot_s
    cut = "dropped" if rules["horizon"] == "cutDrop" else "unfinished"
    return [
        {"id": task["id"], "status": fate.status, "endSeconds": fate.end}
        if (fate := fates[task["id"]]).end <= end
        else {"id": task["id"], "status": cut, "endSeconds": None}
        for task in document["tasks"]
    ]


def due(task: dict[str, Any], slot_s: float) -> float:
    """The absolute deadline."""
    return float(task["slot"] * slot_s + task["deadlineSeconds"])


def serve(
    rules: dict[str, str],
    task: dict[str, Any],
    slot_s: float,
    begin: float,
    length: float,
    failures_per_s: float,
    u: float,
    estimate: float | None,
) -> tuple[float, Fate]:
    """One stage of a task that could begin at `begin`: when the server is free again, and how the stage ended.

    A stage that ends late without a failure has "succeeded": whether that is too late is for the caller to say.
    """
    limit, policy = due(task, slot_s), rules["dropPolicy"]
    if estimate is not None and begin + estimate > limit:
        return begin, Fate("dropped", begin)
    if policy == "expiredAtDequeue" and begin > limit:
        return begin, Fate("dropped", begin)
    if policy == "abortAtDeadline" and begin >= limit:
        return begin, Fate("dropped", limit)  # it left the queue before its turn
    fails = u > math.exp(-length * failures_per_s)
    end = begin + (-math.log(u) / failures_per_s if fails and rules["failureTime"] == "atInstant" else length)
    if policy == "abortAtDeadline" and end > limit:
        return limit, Fate("dropped", limit)
    if fails:
        return end, Fate("dropped" if end > limit else "failed", end)
    return end, Fate("succeeded", end)


def draw(rng: random.Random, nodes: int, slots: int, rules: dict[str, str], *, even: bool = False) -> dict[str, Any]:
    """A case document without its answers, loaded so that every status occurs.

    `even` takes all numbers from a few binary fractions, so that many things happen at exactly the same instant.
    """

    def number(low: float, high: float) -> float:
        return rng.choice((low, (low + high) / 2, high)) if even else rng.uniform(low, high)

    tasks = [
        {
            "id": 0,
            "slot": slot,
            "source": node,
            "destination": rng.randrange(nodes),
            "sizeBits": number(1e6, 3e6),
            "cyclesPerBit": number(1000, 2000),
            "deadlineSeconds": number(1, 2),
            "uTransmission": 1 - rng.random() * 0.6,
            "uExecution": 1 - rng.random() * 0.6,
        }
        for slot, node in itertools.product(range(slots), range(nodes))
        if rng.random() < 0.9
    ]
    for task, number_of_author in zip(tasks, rng.sample(range(100), len(tasks)), strict=True):
        task["id"] = number_of_author
    rng.shuffle(tasks)
    return {
        "name": "",
        "nodes": nodes,
        "slots": slots,
        "slotSeconds": 0.5,
        "capacityHz": [number(4e9, 8e9) for _ in range(nodes)],
        "executionFailureRate": [number(0, 0.5) for _ in range(nodes)],
        "linkRateBitsPerSecond": [[number(2e6, 4e6) for _ in range(nodes)] for _ in range(nodes)],
        "linkFailureRate": [[number(0, 0.5) for _ in range(nodes)] for _ in range(nodes)],
        "rules": rules,
        "tasks": tasks,
    }


def own_cases() -> dict[str, dict[str, Any]]:
    """Name -> case with answers: what the golden cases leave out."""
    rng = random.Random("the project's own cases")
    cases = {}
    choices = itertools.product((1, 2, 4), POLICIES)
    for index, (nodes, policy) in enumerate(choices):
        rules = {
            "dropPolicy": policy,
            "failureTime": ("atEnd", "atInstant")[index % 2],
            "horizon": ("cutIgnore", "drain", "cutIgnore", "cutDrop")[index % 4],
            "decisionOrder": ("sequential", "simultaneous", "sequential")[index % 3],
            "failureUnit": ("slot", "slot", "second")[(index + nodes) % 3],
        }
        even = index % 5 in (2, 3)
        document = draw(rng, nodes, 5, rules, even=even)
        document["name"] = f"{nodes}-" + "-".join(rules.values()) + ("-even" if even else "")
        cases[document["name"]] = {**document, "expected": answer(document)}
    return cases


def text(document: dict[str, Any]) -> str:
    """JSON with a line for each task and each answer."""
    lines = []
    for key, value in document.items():
        shown = json.dumps(value)
        if key in ("tasks", "expected"):
            shown = "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {shown}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, case in own_cases().items():
        (FOLDER / f"{name}.json").write_text(text(case), encoding="utf-8")
