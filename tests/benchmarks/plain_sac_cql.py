"""Algorithm 1 as one would write it first in PyTorch: modules, concatenated observations, autograd, `torch.optim.Adam`.

The same mathematics as `edgebed.learning.sac_cql`, which is proved equal to this and timed against it. Written after
cleanrl's discrete SAC; Q values of a batch are computed once and serve both losses.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, mse_loss

from edgebed.systems.transitions import Transitions


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with ReLU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class PlainSacCql:
    """Four networks, three targets, two optimisers."""

    def __init__(
        self,
        transitions: Transitions,
        *,
        hidden: int = 64,
        learning_rate: float = 3e-4,
        discount: float = 0.99,
        tau: float = 0.0005,
        temperature: float = 0.05,
        conservatism: float = 0.1,
    ) -> None:
        t = transitions
        n = self.agents = t.agents
        self.discount, self.tau, self.temperature, self.conservatism = discount, tau, temperature, conservatism
        static = np.broadcast_to(t.static, (t.episodes, t.slots + 1, n, t.static.shape[1]))
        self.observation = torch.from_numpy(np.concatenate([static, t.dynamic], axis=3))
        available = np.zeros((t.episodes, t.slots + 1, n, n + 1), dtype=np.bool_)
        task = np.concatenate([t.has_task, np.zeros((t.episodes, 1, n), dtype=np.bool_)], axis=1)
        available[..., :n] = (t.available[:, :, None, :] | np.eye(n, dtype=np.bool_)) & task[..., None]
        available[..., n] = ~task
        self.available = torch.from_numpy(available)
        self.task = torch.from_numpy(task)
        self.action = torch.from_numpy(t.action.astype(np.int64))
        reward = (t.team_reward - t.team_reward.mean()) / t.team_reward.std()
        self.reward = torch.from_numpy(reward.astype(np.float32))
        inputs = self.observation.shape[-1]
        self.actor = perceptron(inputs, hidden, n + 1)
        self.q1, self.q2 = perceptron(inputs, hidden, n + 1), perceptron(inputs, hidden, n + 1)
        self.v = perceptron(inputs, hidden, 1)
        self.q1_target, self.q2_target, self.v_target = copy.deepcopy((self.q1, self.q2, self.v))
        critics = [*self.q1.parameters(), *self.q2.parameters(), *self.v.parameters()]
        self.critic_optimiser = torch.optim.Adam(critics, lr=learning_rate)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=learning_rate)

    def policy(self, observation: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and their logarithms, (rows, N + 1)."""
        logits = self.actor(observation).masked_fill(~available, -1e8)
        log_pi = log_softmax(logits, dim=1)
        return log_pi.exp(), log_pi

    def update(self, episode: Tensor, slot: Tensor, *, measure: bool = False) -> dict[str, float]:
        """One step on a batch of slots, each with all its agents; what `SacCql` measures, if asked."""

        def rows(table: Tensor, at: Tensor) -> Tensor:
            return table[episode, at].flatten(0, 1)

        observation, following = rows(self.observation, slot), rows(self.observation, slot + 1)
        available, available_next = rows(self.available, slot), rows(self.available, slot + 1)
        task = rows(self.task, slot)
        action = rows(self.action, slot)[:, None]
        reward = self.reward[episode, slot].repeat_interleave(self.agents)

        with torch.no_grad():
            pi, log_pi = self.policy(following, available_next)
            q_next = torch.min(self.q1_target(following), self.q2_target(following))
            soft_value = (pi * (q_next - self.temperature * log_pi)).sum(1)
            q_goal = reward + self.discount * soft_value
            v_goal = reward + self.discount * self.v_target(following).squeeze(1)

        considered = available.scatter(1, action, True)
        q1, q2 = self.q1(observation), self.q2(observation)
        critic_loss = 0.5 * mse_loss(self.v(observation).squeeze(1), v_goal)
        for q in (q1, q2):
            chosen = q.gather(1, action).squeeze(1)
            conservative = torch.logsumexp(q.masked_fill(~considered, -1e8), dim=1) - chosen
            critic_loss = critic_loss + 0.5 * mse_loss(chosen, q_goal) + self.conservatism * conservative.mean()

        pi, log_pi = self.policy(observation, available)
        value = torch.min(q1, q2).detach()
        actor_loss = ((pi * (self.temperature * log_pi - value)).sum(1) * task).sum() / task.sum().clamp(min=1)

        measured = {}
        if measure and task.any():
            errors, gaps = [], []
            for q in (q1, q2):
                chosen = q.gather(1, action).squeeze(1)
                errors.append((chosen - q_goal)[task].square().mean())
                gaps.append((torch.logsumexp(q.masked_fill(~considered, -1e8), dim=1) - chosen)[task].mean())
            measured = {
                "policyLoss": actor_loss.item(),
                "criticError": (errors[0] + errors[1]).item() / 2,
                "valueError": (self.v(observation).squeeze(1) - v_goal)[task].square().mean().item(),
                "conservativeGap": (gaps[0] + gaps[1]).item() / 2,
                "entropy": -(pi * log_pi).sum(1)[task].mean().item(),
            }

        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        self.critic_optimiser.step()
        self.actor_optimiser.zero_grad()
        actor_loss.backward()
        self.actor_optimiser.step()
        with torch.no_grad():
            for network, target in ((self.q1, self.q1_target), (self.q2, self.q2_target), (self.v, self.v_target)):
                for parameter, slow in zip(network.parameters(), target.parameters(), strict=True):
                    slow.lerp_(parameter, self.tau)
        return measured
