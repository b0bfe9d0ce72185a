"""What the tasks of an application cost, measured: a file that `edgebed calibrate` writes and an experiment draws tasks from.

    {"application": "ffmpeg",
     "manifest": {"ffmpeg": "...", "processor": "...", ...},
     "profiles": [{"profile": 28, "name": "720p30-480p30-2s", "cpuSeconds": 0.21, "inputBytes": 640000}, ...]}

A profile is a kind of work: the number names it to a node, the name to people. A task of it has s = bytes read and
c = processor seconds x frequency of a core, so on a node with one core it is to take as long as it was measured.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebed.experiment.errors import Problem, UserError, shown
from edgebed.experiment.quantities import MAXIMUM_NUMBER
from edgebed.systems.cooperative.distributions import Choice, Distribution
from edgebed.systems.cooperative.network import Network
from edgebed.systems.cooperative.randomness import Stream, generator
from edgebed.systems.cooperative.workload import Workload, WorkloadModel

MAXIMUM_PROFILE = 2**16 - 1


@dataclass(frozen=True)
class Cost:
    """What a task of one profile needs."""

    profile: int
    """Its number, from 1."""
    name: str
    cpu_s: float
    """Seconds of processor time."""
    input_bytes: int


@dataclass(frozen=True)
class Costs:
    """The content of a file of costs."""

    application: str
    manifest: Mapping[str, Any]
    """What the costs depend on: processor, version of the program."""
    profiles: tuple[Cost, ...]

    def to_bytes(self) -> bytes:
        """The file."""
        rows = [
            {"profile": cost.profile, "name": cost.name, "cpuSeconds": cost.cpu_s, "inputBytes": cost.input_bytes}
            for cost in self.profiles
        ]
        document = {"application": self.application, "manifest": self.manifest, "profiles": rows}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class MeasuredTasks:
    """Tasks drawn from profiles, all equally likely, with deadlines and luck as `WorkloadModel` draws them."""

    slot_s: float
    slots: int
    costs: tuple[Cost, ...]
    core_hz: float
    """Frequency of a core, which makes processor seconds into cycles."""
    deadline_s: Distribution

    def model(self) -> WorkloadModel:
        """Independent distributions with these values: what normalises inputs, and what sample tasks are drawn from."""
        size = [8.0 * cost.input_bytes for cost in self.costs]
        intensity = [cost.cpu_s * self.core_hz / bits for cost, bits in zip(self.costs, size, strict=True)]
        return WorkloadModel(
            self.slot_s,
            self.slots,
            size_bits=Choice(tuple(size)),
            cycles_per_bit=Choice(tuple(intensity)),
            deadline_s=self.deadline_s,
        )

    def draw(self, network: Network, seed: int, stream: Stream, episodes: range, *index: int) -> Workload:
        """Some episodes of one stream, as `WorkloadModel.draw`, each task with its profile."""
        numbers = np.array([cost.profile for cost in self.costs], dtype=np.uint16)
        sizes = np.array([8.0 * cost.input_bytes for cost in self.costs])
        cycles = np.array([cost.cpu_s * self.core_hz for cost in self.costs])
        shape = (len(episodes), self.slots, network.nodes)
        arrivals, deadline, u_transmission, u_execution = np.empty((4, *shape))
        which = np.empty(shape, dtype=np.intp)
        keys = np.empty(len(episodes), dtype=np.uint64)
        for row, episode in enumerate(episodes):
            rng = generator(seed, stream, *index, episode)
            arrivals[row], luck_sent, luck_done = rng.random((3, *shape[1:]))
            which[row] = rng.integers(len(self.costs), size=shape[1:])
            deadline[row] = self.deadline_s.draw(rng, shape[1:])
            # random() is in [0, 1); a uniform of 0 would put the failure instant at infinity.
            u_transmission[row], u_execution[row] = 1.0 - luck_sent, 1.0 - luck_done
            keys[row] = rng.integers(0, 2**64, dtype=np.uint64)
        return Workload(
            slot_s=self.slot_s,
            arrives=arrivals < network.arrival_probability,
            size_bits=sizes[which],
            cycles=cycles[which],
            deadline_s=deadline,
            u_transmission=u_transmission,
            u_execution=u_execution,
            decision_key=keys,
            profile=numbers[which],
        )


def parse_costs(document: object, source: str) -> Costs:
    """The costs of a file's JSON. Raises UserError naming entry, field and value."""
    problems: list[Problem] = []
    if not isinstance(document, dict) or not isinstance(document.get("profiles"), list):
        raise UserError(Problem("", "is not a file of costs", "make one with edgebed calibrate"), source)
    known = {"application", "manifest", "profiles"}
    problems += [Problem(str(key), "is unknown", "take it out") for key in document if key not in known]
    if not isinstance(document.get("application"), str):
        found = f"{shown(document.get('application'))} is not allowed"
        problems.append(Problem("application", found, "give the name of an application, such as ffmpeg"))
    if not document["profiles"]:
        problems.append(Problem("profiles", "is empty", "calibrate at least one profile"))
    costs: list[Cost] = []
    for position, row in enumerate(document["profiles"]):
        at = f"profiles[{position}]"
        wrong = _problems(row, at)
        problems += wrong
        if wrong:
            continue
        cost = Cost(row["profile"], row["name"], float(row["cpuSeconds"]), row["inputBytes"])
        if any(cost.profile == other.profile for other in costs):
            problems.append(Problem(f"{at}.profile", f"{cost.profile} is given twice", "take one of them out"))
        costs.append(cost)
    if problems:
        raise UserError(problems, source)
    return Costs(document["application"], document.get("manifest") or {}, tuple(costs))


_WANTED = {
    "profile": f"a whole number from 1 to {MAXIMUM_PROFILE}",
    "name": "a name",
    "cpuSeconds": "a number over 0",
    "inputBytes": "a whole number over 0",
}


def _problems(row: object, at: str) -> list[Problem]:
    """What is wrong with one profile."""
    if not isinstance(row, dict):
        return [Problem(at, f"{shown(row)} is not allowed", f"give a mapping with {', '.join(_WANTED)}")]
    problems = [Problem(f"{at}.{key}", "is unknown", "take it out") for key in row if key not in _WANTED]
    for key, wanted in _WANTED.items():
        if key not in row:
            problems.append(Problem(f"{at}.{key}", "is missing", f"give {wanted}"))
        elif not _fits(key, row[key]):
            problems.append(Problem(f"{at}.{key}", f"{shown(row[key])} is not allowed", f"give {wanted}"))
    return problems


def _fits(key: str, value: object) -> bool:
    if key == "name":
        return isinstance(value, str) and value != ""
    if isinstance(value, bool) or not isinstance(value, int if key != "cpuSeconds" else int | float):
        return False
    most = MAXIMUM_PROFILE if key == "profile" else MAXIMUM_NUMBER
    return 0 < value <= most and math.isfinite(value)
