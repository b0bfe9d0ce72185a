"""Least completion: the centralised reference that knows all queues and transfers, but neither future nor failures."""

from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, View


class LeastCompletion(Policy):
    """The node with the earliest predicted finish. It sees what no node can see, so it runs in the simulator only."""

    centralised = True

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        predict = getattr(view, "least_completion", None)
        if predict is None:
            raise ModelError("policy", "least-completion", "a centralised reference runs on the simulator backend only")
        decided: Integers = predict()
        return decided
