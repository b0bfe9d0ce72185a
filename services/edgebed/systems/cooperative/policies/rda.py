"""RDA: local while the own queue is short, otherwise the faster of two random others (paper section V.B)."""

import numpy as np

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Answers, Bits, Integers, Policy, PolicyContext, View


class Rda(Policy):
    """Local iff waiting < coefficient * cores / 4."""

    def __init__(self, context: PolicyContext, coefficient: float = 0.25) -> None:
        super().__init__(context)
        if not coefficient >= 0:
            raise ModelError("coefficient", coefficient, "give a number of at least 0")
        self.limit = coefficient * context.network.cores / 4

    def ask(self, view: View) -> Integers:
        """Two distinct others (of two nodes, the other one), but for a task that stays: itself, which is free."""
        others = view.nodes - 1
        if others < 2:
            nodes = (others - view.source)[:, None]
        else:
            u = view.uniforms(2)
            first = (u[:, 0] * others).astype(np.int64)
            second = (u[:, 1] * (others - 1)).astype(np.int64)
            second += second >= first
            nodes = np.stack([first, second], axis=1)
            nodes += nodes >= view.source[:, None]
        return np.where(self._stays(view)[:, None], view.source[:, None], nodes)

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) the node itself or one of the two asked."""
        assert answers is not None  # the driver answers what `ask` asked
        nodes = answers.nodes
        completion = (
            view.sending_backlog_to(nodes) + view.transmission_to(nodes) + answers.backlog_s + view.execution_at(nodes)
        )
        faster = np.take_along_axis(nodes, completion.argmin(axis=1)[:, None], axis=1)[:, 0]
        return np.where(self._stays(view), view.source, faster)

    def _stays(self, view: View) -> Bits:
        return view.waiting < self.limit[view.source]
