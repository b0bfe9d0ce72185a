"""RATC, reliability-aware task completion: probe two nodes, take the better (paper section V.B).

Of two distinct nodes of all N, drawn at random, it estimates the completion time of the task: backlog of the sending
queue, transmission, backlog of the execution queue, execution. If both are in time, the more reliable one is taken,
otherwise the faster.
"""

import numpy as np

from edgebed.systems.cooperative.policy import Answers, Integers, Policy, View


class Ratc(Policy):
    """Two probes per task."""

    def ask(self, view: View) -> Integers:
        """Two distinct nodes of all N (of one node, that node twice)."""
        u = view.uniforms(2)
        n = view.nodes
        first = (u[:, 0] * n).astype(np.int64)
        second = (u[:, 1] * max(n - 1, 1)).astype(np.int64)
        second += (second >= first) & (n > 1)
        return np.stack([first, second], axis=1)

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) one of the two probed nodes."""
        assert answers is not None  # the driver answers what `ask` asked
        nodes = answers.nodes
        completion = (
            view.sending_backlog_to(nodes) + view.transmission_to(nodes) + answers.backlog_s + view.execution_at(nodes)
        )
        both_in_time = (completion <= view.deadline_s[:, None]).all(axis=1)
        hazard = view.hazard_of(nodes)
        second = np.where(both_in_time, hazard[:, 1] < hazard[:, 0], completion[:, 1] < completion[:, 0])
        return np.where(second, nodes[:, 1], nodes[:, 0])
