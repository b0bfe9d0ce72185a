"""The candidate actor as a policy: one model for every network.

It asks every node, for its bit. `ask` says whose seconds of work it uses beside its own: `none`, `all`, or those of so many
nodes, which are the ones that it would have chosen most likely without asking.
"""

import numpy as np

from edgebed.systems.cooperative.candidate import Ask, CandidateObservation, Known
from edgebed.systems.cooperative.candidate_actor import (
    CandidateScorer,
    CandidateWeights,
    allowed,
    chances,
    observe,
    sample,
)
from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, PolicyContext, View


class CandidateActor(Policy):
    """Samples from the masked softmax of the candidates' scores; takes the best with `sample` false."""

    def __init__(
        self, context: PolicyContext, model: CandidateWeights, sample: bool = True, ask: str | int = "none"
    ) -> None:
        super().__init__(context)
        self.sample, self.who = sample, Ask.of(ask)
        self.observation = CandidateObservation(context)
        self.scorer = CandidateScorer(model, self.observation)
        self._decided: tuple[View, Integers, Floats] | None = None

    def ask(self, view: View) -> Integers:
        """Everyone, for the bit."""
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        assert answers is not None  # the driver answers what `ask` asked
        chance = self.chances(view, answers)
        destination = sample(chance, view.uniforms(1)[:, 0]) if self.sample else chance.argmax(axis=1)
        self._decided = (view, destination, chance)
        return destination

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats:
        """(rows,) the masked softmax at the destination; when greedy, 1 where `decide` goes there."""
        assert answers is not None
        decided = self._decided
        chance = decided[2] if decided is not None and decided[0] is view else self.chances(view, answers)
        if not self.sample:
            return np.equal(chance.argmax(axis=1), destination).astype(np.float64)
        found: Floats = np.take_along_axis(chance, destination[:, None], axis=1)[:, 0]
        return found

    def chances(self, view: View, answers: Answers) -> Floats:
        """(rows, N) with which each node is chosen."""
        known = known_of(view, answers)
        dynamic = observe(self.who, self.scorer, known)
        return chances(self.scorer.scores(view.source, dynamic, allowed(known)))


def known_of(view: View, answers: Answers) -> Known:
    """What a node knows when all have answered; whose seconds of work it may use is not decided yet."""
    return Known(
        source=view.source,
        size_bits=view.size_bits,
        cycles=view.cycles,
        deadline_s=view.deadline_s,
        sending_backlog_s=view.sending_backlog_s,
        available=answers.available,
        backlog_s=answers.backlog_s,
        told=None,
    )
