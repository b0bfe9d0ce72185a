"""The less busy of the nodes at the fastest links."""

import numpy as np
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Policy


class NearestIdle(Policy):
    """Asks the nodes at the fastest links and takes the one with the shortest backlog, unless its own is no longer."""

    def __init__(self, context, asked=2):
        super().__init__(context)
        if not 1 <= asked < context.network.nodes:
            raise ModelError("asked", asked, "give at least 1 and fewer than all nodes")
        self.asked = asked

    def ask(self, view):
        distance = np.where(view.everyone == view.source[:, None], np.inf, view.transmission_s)
        return np.argsort(distance, axis=1, kind="stable")[:, : self.asked]

    def decide(self, view, answers):
        best = np.argmin(answers.backlog_s, axis=1)
        row = np.arange(view.rows)
        shorter = answers.backlog_s[row, best] < view.backlog_s
        return np.where(shorter, answers.nodes[row, best], view.source)
