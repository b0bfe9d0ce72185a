"""Transitions of one network as arrays: what every system's conversion makes and every algorithm reads.

An observation has a part that never changes within a network (an agent's parameters, its one-hot) and a part that
does (queue lengths, the task). They are kept apart: a first layer then folds the static part into one bias per agent,
which is a third of the work at N = 20, and 10^6 records take a third of the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Transitions:
    """E episodes of T slots for N agents of one network. Agent i in slot t observes `static[i]` then `dynamic[:, t, i]`."""

    static: NDArray[np.float32]
    """(N, S)"""
    dynamic: NDArray[np.float32]
    """(E, T + 1, N, D); the last row is the state in which the episode was cut off (a truncation: it bootstraps)."""
    available: NDArray[np.bool_]
    """(E, T + 1, N) the mask bit of each node; an agent's own node is always available to it."""
    has_task: NDArray[np.bool_]
    """(E, T, N) without a task, "no task" (action N) is the only available action."""
    action: NDArray[np.int16]
    """(E, T, N) the chosen node, or N for "no task"."""
    probability: NDArray[np.float32]
    """(E, T, N) of the chosen action under the behaviour policy; 1 for "no task", NaN where unknown."""
    team_reward: NDArray[np.float32]
    """(E, T) sum over all nodes, in the slot that the attribution says."""
    own_reward: NDArray[np.float32]
    """(E, T, N) outcome of the task that the agent decided in that slot: +1, -1, or 0 without a task."""

    @property
    def episodes(self) -> int:
        """E."""
        return int(self.action.shape[0])

    @property
    def slots(self) -> int:
        """T."""
        return int(self.action.shape[1])

    @property
    def agents(self) -> int:
        """N."""
        return int(self.action.shape[2])

    @staticmethod
    def join(parts: Sequence["Transitions"]) -> "Transitions":
        """All episodes of several parts of one network, in order."""
        names = [field.name for field in fields(Transitions) if field.name != "static"]
        return replace(parts[0], **{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})
