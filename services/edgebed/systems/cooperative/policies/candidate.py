"""The candidate actor as a policy: one model for every network.

It asks every node, for its bit. `ask` says whose seconds of work it uses beside its own: `none`, `all`, or those of so many
nodes, which are the ones that it would have chosen most likely without asking.
"""

import warnings

import numpy as np

from edgebed.systems.cooperative.candidate import Ask, CandidateObservation, Known
from edgebed.systems.cooperative.candidate_actor import (
    CandidateScorer,
    CandidateWeights,
    LoneScorer,
    allowed,
    chances,
    observe,
    sample,
)
from edgebed.systems.cooperative.candidate_ranges import OutsideTraining, outside
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Answers, Floats, Integers, Policy, PolicyContext, View


class CandidateActor(Policy):
    """Samples from the masked softmax of the candidates' scores; takes the best with `sample` false."""

    def __init__(
        self, context: PolicyContext, model: CandidateWeights, sample: bool = True, ask: str | int | None = None
    ) -> None:
        """Asks whom the model learned to ask, unless `ask` says otherwise."""
        super().__init__(context)
        self.sample, self.who = sample, Ask.of(model.ask if ask is None else ask)
        self.observation = CandidateObservation(context)
        for line in outside(model.ranges, self.observation):
            warnings.warn(line, OutsideTraining, stacklevel=2)
        self.scorer = CandidateScorer(model, self.observation)
        self._weights = model
        self._alone: dict[int, LoneScorer] = {}
        self._decided: tuple[View, Integers, Floats] | None = None

    def ask(self, view: View) -> Integers:
        """Everyone, for the bit."""
        return view.everyone

    def decide(self, view: View, answers: Answers | None) -> Integers:
        """(rows,) node indices."""
        assert answers is not None  # the driver answers what `ask` asked
        if view.rows == 1:
            destination, probability = self._decide_alone(view, answers)
        else:
            chance = self.chances(view, answers)
            destination = sample(chance, view.uniforms(1)[:, 0]) if self.sample else chance.argmax(axis=1)
            probability = self._probability(chance, destination)
        self._decided = (view, destination, probability)  # a driver asks for the probability of what was just decided
        return destination

    def _decide_alone(self, view: View, answers: Answers) -> tuple[Integers, Floats]:
        i = int(view.source[0])
        if i not in self._alone:
            self._alone[i] = LoneScorer(self._weights, self.observation, i)
        task, sending_backlog_s, uniform = view.alone()
        node, chance = self._alone[i].decide(
            self.who,
            task,
            sending_backlog_s,
            answers.available[0],
            answers.backlog_s[0],
            uniform if self.sample else None,
        )
        return view.everyone[0, node : node + 1], np.array([chance if self.sample else 1.0])

    def probability(self, view: View, answers: Answers | None, destination: Integers) -> Floats:
        """(rows,) the masked softmax at the destination; when greedy, 1 where `decide` goes there."""
        assert answers is not None
        decided = self._decided
        if (
            decided is not None
            and decided[0] is view
            and (decided[1] is destination or np.array_equal(decided[1], destination))
        ):
            return decided[2]
        return self._probability(self.chances(view, answers), destination)

    def _probability(self, chance: Floats, destination: Integers) -> Floats:
        if not self.sample:
            best: Floats = np.equal(chance.argmax(axis=1), destination).astype(np.float64)
            return best
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


class Generalist(CandidateActor):
    """The model that comes along: trained on random networks, used on any."""

    def __init__(
        self,
        context: PolicyContext,
        model: CandidateWeights | None = None,
        sample: bool = True,
        ask: str | int | None = None,
    ) -> None:
        """Whoever builds it reads the model, because policies read no files."""
        if model is None:
            raise ModelError("model", None, "build it with the weights that come along (edgebed.experiment.shipped)")
        super().__init__(context, model, sample, ask)
