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
        n = view.nodes
        if view.rows == 1:  # as below, in plain numbers: a node has few microseconds for its one task
            u, v = view.uniforms(2)[0].tolist()
            first, second = int(u * n), int(v * max(n - 1, 1))
            return np.array([[first, second + (n > 1 and second >= first)]], dtype=np.int64)
        nodes = (view.uniforms(2) * (float(n), float(max(n - 1, 1)))).astype(np.int64)
        if n > 1:
            nodes[:, 1] += nodes[:, 1] >= nodes[:, 0]
        return nodes

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) one of the two probed nodes."""
        assert answers is not None  # the driver answers what `ask` asked
        nodes = answers.nodes
        completion = (
            view.sending_backlog_to(nodes) + view.transmission_to(nodes) + answers.backlog_s + view.execution_at(nodes)
        )
        both_in_time = completion.max(axis=1) <= view.deadline_s
        if view.rows == 1:
            first, second = (view.hazard_of(nodes) if both_in_time[0] else completion)[0].tolist()
            return nodes[:, 1] if second < first else nodes[:, 0]
        by = np.where(both_in_time[:, None], view.hazard_of(nodes), completion)
        return np.where(by[:, 1] < by[:, 0], nodes[:, 1], nodes[:, 0])
