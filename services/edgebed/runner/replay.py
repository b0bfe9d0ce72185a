"""Replay a case: tasks with given decisions to their exact fates, in the kernel or in the node core."""

from pathlib import Path
from typing import Any

from edgebed.systems.cooperative.cases import Case
from edgebed.systems.cooperative.policies.fixed import FixedDecisions
from edgebed.systems.cooperative.virtual import run_episode

BACKENDS = ("simulator", "virtual")


def read_case(path: Path) -> Case:
    """The case of a file. Raises ModelError for what it says wrongly, OSError when it cannot be read."""
    return Case.from_text(path.read_text(encoding="utf-8", errors="replace"), str(path))


def replay_case(case: Case, backend: str) -> dict[str, Any]:
    """Name and tasks with id, status and end time in seconds."""
    policy = FixedDecisions(case.decisions)
    if backend == "virtual":
        log = run_episode(case.network, case.workload, case.rules, policy, 1.0)
    else:
        # the kernel needs numba; the node core does without
        from edgebed.simulator.rollout import play

        log = play(case.network, case.workload, case.rules, policy, 1.0).log
    return case.answer(log)
