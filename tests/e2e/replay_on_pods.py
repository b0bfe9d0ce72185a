"""Runs in a pod with the controller's image: `python - ADDRESS...` with this on its standard input.

Replays cases, with the decisions that RATC takes in the simulator, on nodes at these addresses; the last is the generator's.
Prints a JSON document: how many tasks, how many with the simulator's status, and by how much their ends differ, in seconds.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgebed.processes.replay import Stand
from edgebed.runner.replay import replay_case
from edgebed.simulator.rollout import play
from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.policies.ratc import Ratc
from edgebed.systems.cooperative.policy import PolicyContext
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import Rules
from edgebed.systems.cooperative.setups import TESTBED

SEEDS = (1, 2, 3, 4)
ROUNDS = 3
"""Each case is played so often. Some tasks come to a node within 0.3 ms of another; where two change places, both end at
another time by a whole execution, and a busy moment of the machine may change more. A hundredth of one round is four such
pairs, so rounds differ; what each had is told beside what all had.
"""


class There(Stand):
    """Services at addresses that are given."""

    def __init__(self, folder: Path, addresses: Sequence[str]) -> None:
        super().__init__(folder, host=os.environ["POD_IP"])
        self._addresses = addresses

    def services(self, stack: ExitStack) -> tuple[Sequence[str], str]:
        """As given."""
        return self._addresses[:-1], self._addresses[-1]


def drawn_case(nodes: int, seed: int, slots: int = TESTBED.workload.slots) -> Case:
    """An episode of the testbed setup with the decisions that RATC takes in the simulator."""
    network = replace(TESTBED.network, nodes=nodes).draw(seed)
    workload = replace(TESTBED.workload, slots=slots).draw(network, seed, Stream.EVALUATE, range(1))
    policy = Ratc(PolicyContext(network, TESTBED.workload, Rules(), 0.25, seed))
    log = play(network, workload, Rules(), policy, 0.25).log
    places = list(zip(log.slot.tolist(), log.source.tolist(), strict=True))
    return Case(
        name=f"testbed-{nodes}-{seed}",
        network=network,
        workload=workload,
        rules=Rules(),
        decisions=dict(zip(places, log.destination.tolist(), strict=True)),
        ids={place: number for number, place in enumerate(places)},
        expected=None,
    )


def compared(stand: Stand, cases: Iterable[Case]) -> tuple[int, int, list[float]]:
    """Tasks, how many have the simulator's status, and by how many seconds their ends differ, where both have one."""
    tasks = same = 0
    errors: list[float] = []
    for case in cases:
        expected = replay_case(case, "simulator")["tasks"]
        measured = case.answer(stand.play(case))["tasks"]
        for there, here in zip(expected, measured, strict=True):
            tasks += 1
            if there["status"] == here["status"]:
                same += 1
                if there["endSeconds"] is not None and here["endSeconds"] is not None:
                    errors.append(abs(here["endSeconds"] - there["endSeconds"]))
    return tasks, same, errors


def main(addresses: Sequence[str]) -> None:
    """Prints what came out."""
    with tempfile.TemporaryDirectory() as folder, There(Path(folder), addresses) as stand:
        cases = [drawn_case(len(addresses) - 1, seed) for seed in SEEDS]
        rounds = [compared(stand, cases) for _ in range(ROUNDS)]
    tasks, same = sum(found[0] for found in rounds), sum(found[1] for found in rounds)
    p50, p99 = np.percentile(np.concatenate([errors for *_, errors in rounds]), (50, 99))
    each = [float(np.percentile(errors, 99)) for *_, errors in rounds]
    print(json.dumps({"tasks": tasks, "same": same, "p50": float(p50), "p99": float(p99), "p99OfEach": each}))


if __name__ == "__main__":
    main(sys.argv[1:])
