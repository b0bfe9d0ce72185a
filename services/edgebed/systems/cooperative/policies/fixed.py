"""Fixed decisions: replays given destinations, for cases whose outcome is known."""

from collections.abc import Mapping

import numpy as np

from edgebed.systems.cooperative.policy import Answers, Integers, Policy, View


class FixedDecisions(Policy):
    """Where each task goes, by (slot, node). Built from decisions rather than from a context; not to be named in YAML."""

    def __init__(self, decisions: Mapping[tuple[int, int], int]) -> None:
        self.decisions = decisions

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) the given destinations."""
        return np.array([self.decisions[view.slot, node] for node in view.source.tolist()], dtype=np.int64)
