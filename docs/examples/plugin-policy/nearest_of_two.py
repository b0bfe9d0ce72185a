"""Ask one random other node how busy it is, and send the task there when that is sooner than staying."""

import numpy as np
from edgebed.systems.cooperative.policy import Policy


class NearestOfTwo(Policy):
    """One probe: here, or the one random other node, whichever ends the task sooner."""

    def ask(self, view):
        draws = view.uniforms(1) * (view.nodes - 1)
        return (view.source[:, None] + 1 + draws.astype(np.int64)) % view.nodes

    def decide(self, view, answers):
        here = view.backlog_s + view.execution_at(view.source[:, None])[:, 0]
        there = view.sending_backlog_to(answers.nodes) + view.transmission_to(answers.nodes)
        there = (there + answers.backlog_s + view.execution_at(answers.nodes))[:, 0]
        return np.where(there < here, answers.nodes[:, 0], view.source)
