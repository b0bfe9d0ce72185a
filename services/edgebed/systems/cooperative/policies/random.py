"""Random: uniform over all nodes."""

import numpy as np

from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, View


class Random(Policy):
    """Every node equally likely, itself included."""

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        return (view.uniforms(1)[:, 0] * view.nodes).astype(np.int64)

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats:
        """1 / N."""
        return np.full(view.rows, 1.0 / view.nodes)
