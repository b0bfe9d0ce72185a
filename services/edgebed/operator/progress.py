"""How far a run is, in the words of the status: from a controller's state document, or from what a simulation prints.

    found = mirrored(run, need)          # {"phase": "Evaluating", "progress": "63 %", "methods": […], …}

Phases are the steps of the controller; while it has none, it tells the nodes what they are. A test holds what a simulation
prints to the runner.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgebed.controller.steps import DEPLOYING, step_of
from edgebed.operator.demand import Demand

_EVALUATING = re.compile(rf": evaluating (.+?)({DEPLOYING}|: the same in the simulator|: [0-9.]+ s.*)?$")
_STAGE = re.compile(r"(collecting with|offline learning|online learning|: evaluating ).*: [0-9.]+ s")
LARGEST = 99
"""Per cent of what is not over."""

Status = dict[str, Any]


def phase_of(label: str | None) -> str:
    """The phase in which a stage of this name is at work; before the first stage the nodes are being told."""
    step = step_of(label)
    return "Deploying" if step == "Starting" else step


def mirrored(run: Mapping[str, Any], need: Demand) -> Status:
    """The status of a run that is at work, from the state document of its controller."""
    label = run.get("phase")
    phase = phase_of(label)
    told: Mapping[str, Mapping[str, Any]] = run.get("methods") or {}
    played = int(run.get("episodesKnown") or 0)
    percent = _percent(played, need.episodes)
    method = _at_work(label, phase, told, need)
    methods = [
        {"name": name, "successRate": _mean(told, name)} for name in need.methods if _mean(told, name) is not None
    ]
    found: Status = {
        "phase": phase,
        "progress": f"{percent} %",
        "progressPercent": percent,
        "episodes": {"played": played, "planned": need.episodes},
        "methods": methods,
    }
    if method is not None:
        found["method"] = method
        streams = told.get(method, {})
        rates = [streams[stream].get("successRate") for stream in ("evaluate", "online") if stream in streams]
        if rates and rates[0] is not None:
            found["successRate"] = shown(rates[0])
    return found


def simulated(lines: Sequence[str], need: Demand) -> Status:
    """The same from what a simulation has printed: a line for every stage that is done."""
    done = [line for line in lines if _STAGE.search(line)]
    percent = _percent(len(done), need.stages)
    found: Status = {
        "phase": phase_of(done[-1]) if done else "Deploying",
        "progress": f"{percent} %",
        "progressPercent": percent,
        "methods": [],
    }
    evaluated = _EVALUATING.search(done[-1]) if done else None
    if evaluated is not None:
        found["method"] = evaluated[1]
    return found


def concluded(results: Mapping[str, Any] | None, need: Demand) -> Status:
    """The status of a run that is over, from its `results.json`: the best method, and what is known of all."""
    found: Status = {"progress": "100 %", "progressPercent": 100}
    methods = _results(results or {}, need)
    if not methods:
        return found
    best = max(methods, key=lambda method: method["successRate"])
    return found | {"methods": methods, "method": best["name"], "successRate": shown(best["successRate"])}


def shown(rate: float) -> str:
    """87.8 %."""
    return f"{rate * 100:.1f} %"


def _results(results: Mapping[str, Any], need: Demand) -> list[Status]:
    points = (results.get("sweep") or {}).get("points") or [results]
    found = []
    for name in need.methods:
        rates = [point["methods"][name]["successRate"] for point in points if name in point.get("methods", {})]
        means = [rate["mean"] for rate in rates if rate.get("mean") is not None]
        if not means:
            continue
        one: Status = {"name": name, "successRate": _rounded(sum(means) / len(means))}
        interval = rates[0].get("ci95")
        if len(rates) == 1 and interval and None not in interval:  # an interval over a sweep would mean nothing
            one["ci95"] = [_rounded(min(1.0, max(0.0, bound))) for bound in interval]  # a share is nowhere else
        found.append(one)
    return found


def _at_work(label: str | None, phase: str, told: Mapping[str, Mapping[str, Any]], need: Demand) -> str | None:
    evaluated = _EVALUATING.search(label or "")
    if evaluated is not None:
        return evaluated[1]
    if phase == "FineTuning":
        played = {name: told.get(name, {}).get("online", {}).get("episodes", 0) for name in need.online}
        return next((name for name, wanted in need.online.items() if played[name] < wanted), None)
    return None


def _mean(told: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    rate = told.get(name, {}).get("evaluate", {}).get("successRate")
    return None if rate is None else _rounded(rate)


def _percent(done: float, planned: float) -> int:
    return max(0, min(LARGEST, int(100 * done / planned))) if planned else 0


def _rounded(rate: float) -> float:
    return round(float(rate), 6)
