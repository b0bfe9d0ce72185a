"""Proximal policy optimisation of the candidate actor, with every candidate judged.

    learner = CandidatePpo(seed, settings)
    while ...:
        metrics = learner.update([judged, ...])     # decisions of the present actor, on one network or several

A decision is a contextual bandit here: what it is worth is known from the log, for the candidate that was chosen and for
those that were not (`systems.cooperative.crowding.worth`: the own outcome plus eta times what it does to others). So the
policy gradient needs no sampling of actions, no critic and no bootstrapping: with w_j the worth of candidate j,

    A_j = (w_j - sum_l pi_old,l w_l) / s        rho_j = pi_j / pi_old,j        s: one number for the batch
    maximise   mean over decisions of   sum_j pi_old,j min(rho_j A_j, clip(rho_j, 1 - c, 1 + c) A_j) + entropy * H(pi)

The clip matters more than usual. Each worth supposes that all others decide as they did; they learn at the same time, and
without small steps all of them would move to the node that was free.

With a temperature tau over 0 it learns by regression instead, so that scores are worth over tau, up to a number that all
candidates of a decision have in common:

    minimise   mean over decisions of   sum_j q_j (e_j - sum_l q_l e_l)^2 / 2        e_j = s_j - w_j / tau_k
    q_j = focus * pi_old,j + (1 - focus) / number of candidates
    tau_k = tau * load^x                                    load: of the decision's network, cut at 0.6 and 1

With `focus` it is more exact about candidates that are chosen than about those that are not. With an exponent x the choice is
sharper in networks that have less to do: where all others would go to the same node, but none of them fills it, little is lost.

It is better from scratch and with more knowledge; the objective above is meant for tuning. We suppose, and have not shown, that
this is because the gradient of a softmax dies where a probability does, while a regression goes on learning about everyone.

With `every` false only the chosen candidate is judged, which is PPO as it is usually written, with the expected worth as
its baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebed.learning.networks import Adam, Layers, Perceptron, Sizes, device_named
from edgebed.learning.settings import CandidatePpoSettings as CandidatePpoSettings

SMALLEST_LOAD = 0.6
"""Networks with less to do than this are not told apart by the temperature."""


@dataclass(frozen=True, eq=False)
class Judged:
    """R decisions on one network of N nodes, and what every candidate was worth."""

    static: NDArray[np.float32]
    """(N * N, S) static part of every pair, by source and candidate."""
    source: NDArray[np.int64]
    """(R,)"""
    dynamic: NDArray[np.float32]
    """(R, N, D)"""
    wanted: NDArray[np.bool_]
    """(R, N) which candidates could be chosen."""
    chosen: NDArray[np.int64]
    """(R,)"""
    worth: NDArray[np.float32]
    """(R, N)"""
    succeeded: float
    """Share of the tasks that succeeded."""
    load: float = 1.0
    """Seconds of work that arrive per second, over the nodes that could do it."""


class CandidatePpo:
    """Improves a candidate actor with decisions that it made."""

    def __init__(
        self,
        static_size: int,
        dynamic_size: int,
        seed: int,
        settings: CandidatePpoSettings | None = None,
        *,
        actor: Layers | None = None,
        device: str = "cpu",
    ) -> None:
        """Without `actor` it starts from scratch, at a nearly uniform choice."""
        self.settings = s = settings or CandidatePpoSettings()
        self.regresses = s.temperature > 0
        self.device = device_named(device)
        self.rng = np.random.default_rng(seed)
        self.updates = 0
        shape = Sizes(static_size, dynamic_size, s.hidden, 1)
        vector = torch.zeros(shape.count, device=self.device)
        self.actor = Perceptron(vector, shape)
        self._gradient = Perceptron(torch.zeros_like(vector), shape)
        self.actor.draw(self.rng)
        if actor is not None:
            self.actor.layers = actor
        self.adam = Adam(vector, s.learning_rate, epsilon=1e-5)
        self._space = torch.empty((4, 0, s.hidden), device=self.device)

    def update(self, parts: Sequence[Judged]) -> dict[str, float]:
        """Learn from decisions of the present actor; all parts are of networks with equally many nodes.

        Returns `reward`: mean outcome of a task; `worth`: what the policy expects to bring; `entropy`: of the actor that acted;
        `divergence`: how far it moved from there, the mean of rho - 1 - log rho of the chosen; `clipped`: share of the
        probability whose rho left the clip.
        """
        s, n = self.settings, parts[0].wanted.shape[1]
        rows = sum(len(part.source) for part in parts)
        if rows == 0:
            raise ValueError("parts: no tasks; give a batch of episodes with arrivals")
        self.adam.learning_rate = s.learning_rate * (max(0.0, 1 - self.updates / s.falls_over) if s.falls_over else 1.0)
        static = self._tensor(np.concatenate([part.static for part in parts]))
        pair = np.concatenate([part.source * n + k * n * n for k, part in enumerate(parts)])
        dynamic = self._tensor(np.concatenate([part.dynamic for part in parts]).reshape(rows * n, -1))
        wanted = np.concatenate([part.wanted for part in parts])
        worth = self._tensor(np.concatenate([part.worth for part in parts]))
        # What the regression approaches: to divide the temperature is to multiply the worth.
        sharpness = [np.full((len(part.source), 1), self._sharpness(part.load), np.float32) for part in parts]
        goal = worth * self._tensor(np.concatenate(sharpness))
        chosen = self._tensor(np.concatenate([part.chosen for part in parts]))[:, None]

        old = torch.empty((rows, n), device=self.device)
        for part in np.array_split(np.arange(rows), max(1, rows // 256)):
            old[part[0] : part[-1] + 1] = torch.softmax(self._scores(static, pair, dynamic, wanted, part)[0], 1)
        expected = (old * worth).sum(1, keepdim=True)
        advantage = worth - expected
        advantage /= ((old * advantage.square()).sum() / rows).sqrt() + 1e-8
        if not s.every:
            only = torch.zeros_like(advantage)
            advantage = only.scatter_(1, chosen, advantage.gather(1, chosen) / old.gather(1, chosen))
        entropy = -float((old * torch.log(old.clamp_min(1e-30))).sum()) / rows

        divergence = clipped = 0.0
        for _ in range(s.epochs):
            for part in np.array_split(self.rng.permutation(rows), s.minibatches):
                if len(part):
                    moved, left = self._step(static, pair, dynamic, wanted, part, old, advantage, goal, chosen)
                    divergence, clipped = divergence + moved, clipped + left
        self.updates += 1
        count = rows * max(s.epochs, 1)
        return {
            "reward": float(np.average([2 * p.succeeded - 1 for p in parts], weights=[len(p.source) for p in parts])),
            "worth": float(expected.mean()),
            "entropy": entropy,
            "divergence": divergence / count,
            "clipped": clipped / count,
        }

    def tensors(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return {"actor": self.actor.flat}

    def optimisers(self) -> dict[str, Adam]:
        """For checkpoints."""
        return {"actor.adam": self.adam}

    def numbers(self) -> dict[str, Any]:
        """For checkpoints: nothing."""
        return {}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """For checkpoints."""

    def _scores(
        self,
        static: Tensor,
        pair: NDArray[np.int64],
        dynamic: Tensor,
        wanted: NDArray[np.bool_],
        part: NDArray[np.int64],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(rows, N) scores of some decisions, -inf where not wanted; and what the way back needs."""
        n = wanted.shape[1]
        row, column = np.nonzero(wanted[part])
        place = self._tensor(row * n + column)
        agent = self._tensor(pair[part][row] + column)
        x = torch.index_select(dynamic, 0, self._tensor(part[row] * n + column))
        h1, h2, d1, d2 = self._buffers(len(row))
        self.actor.forward(self.actor.fold(static), x, agent, h1, h2)
        scores = torch.full((len(part), n), -torch.inf, device=self.device)
        scores.view(-1)[place] = torch.mv(h2, self.actor.weight2[:, 0]).add_(self.actor.bias2)
        return scores, (place, agent, x, h1, h2, d1, d2)

    def _step(
        self,
        static: Tensor,
        pair: NDArray[np.int64],
        dynamic: Tensor,
        wanted: NDArray[np.bool_],
        part: NDArray[np.int64],
        old: Tensor,
        advantage: Tensor,
        goal: Tensor,
        chosen: Tensor,
    ) -> tuple[float, float]:
        """One step; sums of rho - 1 - log rho of the chosen, and of leaving the clip."""
        s, index = self.settings, self._tensor(part)
        scores, (place, agent, x, h1, h2, d1, d2) = self._scores(static, pair, dynamic, wanted, part)
        log_pi = torch.log_softmax(scores, 1)
        pi, a = log_pi.exp(), advantage[index]
        rho = pi / old[index].clamp_min(1e-30)
        beyond = torch.where(a > 0, rho > 1 + s.clip, rho < 1 - s.clip)
        if self.regresses:
            gradient = self._towards(goal[index], scores, old[index], self._tensor(wanted[part]))
        else:
            # min(rho A, clip(rho) A) has no gradient where rho is already beyond the clip on the side that A wants.
            pull = a.masked_fill(beyond, 0) - s.entropy * log_pi.clamp_min(-30)
            gradient = pi * ((pi * pull).sum(1, keepdim=True) - pull)
        d_score = gradient.view(-1)[place] / len(part)  # the loss's gradient by the scores
        torch.mv(h2.t(), d_score, out=self._gradient.weight2[:, 0])
        torch.sum(d_score, 0, keepdim=True, out=self._gradient.bias2)
        torch.mul(d_score[:, None], self.actor.weight2[:, 0], out=d2)
        self.actor.backward(self._gradient, static, x, agent, h1, h2, d1, d2)
        self.adam.step(self._gradient.flat)
        ratio = rho.gather(1, chosen[index])
        return float((ratio - 1 - ratio.clamp_min(1e-30).log()).sum()), float((pi * beyond).sum())

    def _towards(self, goal: Tensor, scores: Tensor, old: Tensor, wanted: Tensor) -> Tensor:
        """(rows, N) gradient of the regression's loss by the scores: differences within a decision, and nothing else."""
        s = self.settings
        weight = s.focus * old + (1 - s.focus) * wanted / wanted.sum(1, keepdim=True)
        error = (scores * s.temperature - goal).masked_fill(~wanted, 0)
        return weight * (error - (weight * error).sum(1, keepdim=True))

    def _sharpness(self, load: float) -> float:
        """What the temperature is divided by in a network of such a load."""
        return float(min(1.0, max(load, SMALLEST_LOAD)) ** -self.settings.load_exponent)

    def _buffers(self, rows: int) -> tuple[Tensor, ...]:
        """Four of shape (rows, H), overwritten at every call."""
        if self._space.shape[1] < rows:
            self._space = torch.empty((4, rows, self.settings.hidden), device=self.device)
        return tuple(self._space[:, :rows])

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)
