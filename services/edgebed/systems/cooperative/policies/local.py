"""Local: every task stays where it arrived."""

import numpy as np

from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, View


class Local(Policy):
    """The node itself."""

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) the deciding nodes."""
        return view.source

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats:
        """Always 1."""
        return np.ones(view.rows)
