"""Actor: samples from the masked softmax of a trained actor (paper section IV.C).

It asks every node for its one bit. With `sample: false` it takes the likeliest node instead, which herds: nodes that
see the same bits choose the same node.

A model is the paper's actor, of one network, or a candidate actor, of any; the file says which.
"""

import numpy as np
from numpy.typing import NDArray

from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.candidate_actor import CandidateWeights
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policies.candidate import CandidateActor
from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, PolicyContext, View


class Actor(Policy):
    """A trained actor of either kind."""

    def __init__(
        self,
        context: PolicyContext,
        model: ActorWeights | CandidateWeights,
        sample: bool = True,
        ask: str | int | None = None,
    ) -> None:
        super().__init__(context)
        if isinstance(model, CandidateWeights):
            self._kind: Policy = CandidateActor(context, model, sample, ask)
        elif ask is None:
            self._kind = PaperActor(context, model, sample)
        else:
            raise ModelError("ask", ask, "only a candidate actor asks for more than bits; take it out")

    def ask(self, view: View) -> Integers | None:
        """Everyone, for the bit."""
        return self._kind.ask(view)

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        return self._kind.decide(view, answers)

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats | None:
        """(rows,) the masked softmax at the destination; when greedy, 1 where `decide` goes there."""
        return self._kind.probability(view, answers, destination)


class PaperActor(Policy):
    """The trained actor of one network."""

    def __init__(self, context: PolicyContext, model: ActorWeights, sample: bool = True) -> None:
        super().__init__(context)
        if model.nodes != context.network.nodes:
            remedy = f"the actor serves networks of {model.nodes} nodes; train one for this network"
            raise ModelError("model", f"{context.network.nodes} nodes", remedy)
        self.sample = sample
        self.observation = model.observation
        self.folded = model.fold(model.observation.static(context.network))
        # Queue lengths are small integers: look up what `ObservationSpecification.dynamic` would compute.
        lengths = np.arange(int(np.ceil(self.observation.queue_length)) + 1)
        self._length = np.minimum(lengths / self.observation.queue_length, 1.0).astype(np.float32)
        self._others = [np.delete(np.arange(model.nodes), i) for i in range(model.nodes)]
        self._dynamic = np.empty(self.observation.dynamic_size, dtype=np.float32)
        self._decided: tuple[View, Integers, Floats] | None = None

    def ask(self, view: View) -> Integers:
        """Everyone, for the bit."""
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        assert answers is not None  # the driver answers what `ask` asked
        if not self.sample:
            return self.folded.greedy(view.source, self._observe(view), answers.available)
        uniform = view.uniforms(1)[:, 0]
        if view.rows == 1:
            i = int(view.source[0])
            node, chance = self.folded.decide_with_chance(
                i, self._observe_one(view, i), answers.available[0], float(uniform[0])
            )
            destination, probability = np.array([node]), np.array([chance])
        else:
            destination, probability = self.folded.sample(view.source, self._observe(view), answers.available, uniform)
        self._decided = (view, destination, probability)  # a driver asks for the probability of what was just decided
        return destination

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats:
        """(rows,) the masked softmax at the destination; when greedy, 1 where `decide` goes there."""
        decided = self._decided
        if (
            decided is not None
            and decided[0] is view
            and (decided[1] is destination or np.array_equal(decided[1], destination))
        ):
            return decided[2]
        assert answers is not None
        if not self.sample:
            return np.equal(self.decide(view, answers), destination).astype(np.float64)
        chances = self.folded.probabilities(view.source, self._observe(view), answers.available)
        chance: Floats = np.take_along_axis(chances, destination[:, None], axis=1)[:, 0].astype(np.float64)
        return chance

    def _observe(self, view: View) -> NDArray[np.float32]:
        return self.observation.dynamic(
            view.source, view.waiting, view.receiving, view.size_bits, view.cycles, view.deadline_s
        )

    def _observe_one(self, view: View, i: int) -> NDArray[np.float32]:
        """(D,) what `_observe` gives for one row, in a buffer of its own."""
        o, x, n = self.observation, self._dynamic, view.nodes
        last = len(self._length) - 1
        x[0] = self._length[min(int(view.waiting[0]), last)]
        self._length.take(view.receiving[0].take(self._others[i]), out=x[1:n], mode="clip")
        x[n] = view.size_bits[0] / o.size_bits
        x[n + 1] = view.cycles[0] / o.cycles
        x[n + 2] = view.deadline_s[0] / o.deadline_s
        return x
