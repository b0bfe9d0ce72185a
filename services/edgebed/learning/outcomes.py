"""Offline start of the candidate actor: the outcome of a task at a node, by regression on a log, and a softmax of it.

    learner = Outcomes(static, source, dynamic, wanted, outcome, seed, settings)
    learner.train(2000)
    learner.layers                                    # of an actor whose scores are outcomes over the temperature

The loss of a step is the mean over a batch's candidates of (predicted outcome - outcome)^2 / 2. Which candidates have an
outcome is the log's business: with `every` all of a decision's, because the log tells what was in each queue and so what
would have become of the task there (`systems.cooperative.crowding.worth` with eta 0); otherwise the chosen one's.

The temperature keeps nodes that know the same from all choosing the same: near 0 they herd, as the log never shows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebed.learning.candidate_ppo import Judged
from edgebed.learning.networks import Adam, Layers, Perceptron, Sizes, device_named
from edgebed.learning.settings import OutcomesSettings as OutcomesSettings


class Outcomes:
    """Learns what becomes of a task at a candidate."""

    def __init__(
        self, judged: Judged, seed: int, settings: OutcomesSettings | None = None, device: str = "cpu"
    ) -> None:
        """`judged.worth` are the outcomes. Raises ValueError for a log without tasks."""
        self.settings = s = settings or OutcomesSettings()
        self.device = device_named(device)
        self.rng = np.random.default_rng(seed)
        self.updates = 0
        self.measured: dict[str, float] = {}
        """What the latest update has measured: the mean squared error of its batch."""
        if not len(judged.source):
            raise ValueError("judged: no tasks; give a log with arrivals")
        self._judged, self._static = judged, torch.from_numpy(judged.static).to(self.device)
        shape = Sizes(judged.static.shape[1], judged.dynamic.shape[2], s.hidden, 1)
        vector = torch.zeros(shape.count, device=self.device)
        self.network = Perceptron(vector, shape)
        self._gradient = Perceptron(torch.zeros_like(vector), shape)
        self.network.draw(self.rng)
        self.adam = Adam(vector, s.learning_rate, epsilon=1e-5)

    @property
    def layers(self) -> Layers:
        """Of the actor: scores are predicted outcomes over the temperature."""
        first, second, (weight, bias) = self.network.layers
        scale = np.float32(1 / self.settings.temperature)
        return first, second, (weight * scale, bias * scale)

    def train(self, updates: int) -> None:
        """So many gradient steps."""
        judged, network = self._judged, self.network
        rows, n = judged.wanted.shape
        for _ in range(updates):
            part = self.rng.integers(0, rows, min(self.settings.batch, rows))
            if self.settings.every:
                row, column = np.nonzero(judged.wanted[part])
            else:
                row, column = np.arange(len(part)), judged.chosen[part]
            at = part[row]
            x = torch.from_numpy(judged.dynamic[at, column]).to(self.device)
            agent = torch.from_numpy(judged.source[at] * n + column).to(self.device)
            goal = torch.from_numpy(judged.worth[at, column]).to(self.device)
            h1, h2, d1, d2 = torch.empty((4, len(at), self.settings.hidden), device=self.device)
            network.forward(network.fold(self._static), x, agent, h1, h2)
            error = torch.mv(h2, network.weight2[:, 0]).add_(network.bias2).sub_(goal)
            self.measured = {"squaredError": float(error.square().mean())}
            error.div_(len(at))
            torch.mv(h2.t(), error, out=self._gradient.weight2[:, 0])
            torch.sum(error, 0, keepdim=True, out=self._gradient.bias2)
            torch.mul(error[:, None], network.weight2[:, 0], out=d2)
            network.backward(self._gradient, self._static, x, agent, h1, h2, d1, d2)
            self.adam.step(self._gradient.flat)
            self.updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return {"network": self.network.flat}

    def optimisers(self) -> dict[str, Adam]:
        """For checkpoints."""
        return {"network.adam": self.adam}

    def numbers(self) -> dict[str, Any]:
        """For checkpoints: nothing."""
        return {}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """For checkpoints."""
