"""Algorithm 2: proximal policy optimisation with generalised advantages, online from fresh episodes.

    learner = Ppo(static, dynamic_size, seed, settings, actor=offline.actor.layers, critic=offline.v.layers)
    while ...:
        metrics = learner.update(episodes acted by learner.actor.layers)      # the caller owns the loop

One update, on the batch of episodes that the present actor acted:

    d_t = r_t + gamma * V(o_t+1) - V(o_t)        A_t = d_t + gamma * lambda * A_t+1        R_t = A_t + V(o_t)
    pi:  mean over rows with a task of  -min(rho A, clip(rho, 1 - c, 1 + c) A) - entropy * H(pi)
    V:   mean of (V(o) - R)^2 / 2

A row is one agent in one slot, as in `sac_cql`; rho is the ratio of the new probability of what was chosen to the old.
"No task" is forced, so its ratio is 1 and only rows with a task have a policy gradient. The old probabilities are those
of the actor at the start of the update, which acted. The episode's end is a truncation: it bootstraps.

Two recipes: the paper's (the team's reward, gamma 0.99), and `own_reward` with gamma 0, where a decision is judged by
the outcome of its own task and rows without a task are not needed at all.

So that tuning does not begin with a dip, the critic learns the values of the policy that it finds before the policy
moves: `warmup_epochs` on the first batch, because the critic of the log has learned those of the log's policy.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebed.learning.networks import Adam, Layers, Perceptron, Sizes, device_named
from edgebed.learning.sac_cql import NEVER
from edgebed.learning.settings import PpoSettings as PpoSettings
from edgebed.systems.transitions import Transitions


class Ppo:
    """Improves an actor with batches of episodes that it acted."""

    def __init__(
        self,
        static: NDArray[np.float32],
        dynamic_size: int,
        seed: int,
        settings: PpoSettings | None = None,
        *,
        actor: Layers | None = None,
        critic: Layers | None = None,
        reward_scale: tuple[float, float] | None = None,
        device: str = "cpu",
    ) -> None:
        """`static` has shape (N, S). Without `actor` or `critic` these start from scratch.

        `reward_scale` is the mean and standard deviation with which the critic's rewards were normalised; without it,
        those of the first batch (for the team's reward; a task's own is 1 or -1 already).
        """
        self.settings = s = settings or PpoSettings()
        self.device = device_named(device)
        self.rng = np.random.default_rng(seed)
        self.updates = 0
        self.reward_scale = (0.0, 1.0) if s.own_reward else reward_scale
        self.agents = int(static.shape[0])
        self._static = torch.from_numpy(static).to(self.device)
        shapes = [Sizes(static.shape[1], dynamic_size, s.hidden, outputs) for outputs in (self.agents + 1, 1)]
        vectors = [torch.zeros(shape.count, device=self.device) for shape in shapes]
        self.actor, self.critic = map(Perceptron, vectors, shapes)
        self._actor, self._critic = map(Perceptron, map(torch.zeros_like, vectors), shapes)
        for network, layers in ((self.actor, actor), (self.critic, critic)):
            network.draw(self.rng)
            if layers is not None:
                network.layers = layers
        self.actor_adam, self.critic_adam = (Adam(vector, s.learning_rate, epsilon=1e-5) for vector in vectors)
        self._space = torch.empty((4, 0, s.hidden), device=self.device)

    def update(self, transitions: Transitions) -> dict[str, float]:
        """Learn from episodes that the present actor acted, and measure how.

        `reward`: mean outcome of a task; `valueError`: the critic's mean squared error before it learns from the batch;
        `advantage` and `advantageDeviation`: mean and standard deviation of A over decisions, before it is normalised;
        `policyLoss`: the mean clipped objective over all steps, negative; `entropy`: of the actor that acted; `divergence`: how
        far it moved from there, the mean of rho - 1 - log rho; `clipped`: share of decisions whose rho left the clip.
        """
        s, t, n = self.settings, transitions, transitions.agents
        task = t.has_task.reshape(-1)
        if not task.any():
            raise ValueError("transitions: no tasks; give a batch of episodes with arrivals")
        for adam in (self.actor_adam, self.critic_adam):
            adam.learning_rate = s.learning_rate * (max(0.0, 1 - self.updates / s.falls_over) if s.falls_over else 1.0)

        # The rows that are needed, as places in (E, T, N), those with a task first; and where their observations are in
        # the tables of T + 1 slots.
        place = np.flatnonzero(task)
        busy = len(place)
        if s.discount > 0:
            place = np.concatenate([place, np.flatnonzero(~task)])
        row = place + place // (t.slots * n) * n
        table = self._tensor(t.dynamic.reshape(-1, t.dynamic.shape[3]))
        dynamic, agent = torch.index_select(table, 0, self._tensor(row)), self._tensor(row % n)
        action = self._tensor(t.action.reshape(-1)[place[:busy]].astype(np.int64))[:, None]
        penalty = self._tensor(np.where(t.available, np.float32(0), np.float32(NEVER)).reshape(-1, n)[row[:busy] // n])
        # The node itself and what was chosen are always available.
        penalty.scatter_(1, agent[:busy, None], 0).scatter_(1, action, 0)
        reward = self._tensor(self._rewards(t))

        # The values of the policy as it is; before its first step the critic gets to know them.
        goal, advantage = self._judge(t, reward, table, dynamic, agent, place)
        value_error = float((goal - self._values(dynamic, agent)).square().mean())
        for _ in range(0 if self.updates else s.warmup_epochs):
            for part in self._minibatches(len(place)):
                index = self._tensor(part)
                self._step_critic(*(torch.index_select(column, 0, index) for column in (dynamic, agent, goal)))
            goal, advantage = self._judge(t, reward, table, dynamic, agent, place)
        advantage = advantage[:busy]
        mean_advantage, deviation = float(advantage.mean()), float(advantage.std(correction=0))
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)

        # The old probabilities.
        old = torch.empty((busy, 1), device=self.device)
        entropy = 0.0
        for chunk in _chunks(busy):
            h1, h2, _, _ = self._buffers(chunk.stop - chunk.start)
            self.actor.forward(self.actor.fold(self._static), dynamic[chunk], agent[chunk], h1, h2)
            log_pi, pi = self._policy(h2, penalty[chunk])
            torch.gather(log_pi, 1, action[chunk], out=old[chunk])
            entropy -= float((pi * log_pi).sum())

        # Epochs of minibatches; the actor learns from the rows of each that have a task.
        divergence = clipped = loss = 0.0
        for _ in range(s.epochs):
            for part in self._minibatches(len(place)):
                index = self._tensor(part[part < busy])
                x, who = torch.index_select(dynamic, 0, index), torch.index_select(agent, 0, index)
                if len(index):
                    columns = (penalty, action, old, advantage)
                    moved, left, lost = self._step_actor(x, who, *(torch.index_select(c, 0, index) for c in columns))
                    divergence, clipped, loss = divergence + moved, clipped + left, loss + lost
                if len(index) < len(part):
                    index = self._tensor(part)
                    x, who = torch.index_select(dynamic, 0, index), torch.index_select(agent, 0, index)
                self._step_critic(x, who, torch.index_select(goal, 0, index))
        self.updates += 1
        decisions = busy * max(s.epochs, 1)
        return {
            "reward": float(t.own_reward.sum() / busy),
            "valueError": value_error,
            "advantage": mean_advantage,
            "advantageDeviation": deviation,
            "policyLoss": loss / decisions,
            "entropy": entropy / busy,
            "divergence": divergence / decisions,
            "clipped": clipped / decisions,
        }

    def tensors(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return {"actor": self.actor.flat, "critic": self.critic.flat}

    def optimisers(self) -> dict[str, Adam]:
        """For checkpoints."""
        return {"actor.adam": self.actor_adam, "critic.adam": self.critic_adam}

    def numbers(self) -> dict[str, Any]:
        """For checkpoints: the rewards' scale, which the first batch may have fixed."""
        return {"rewardScale": self.reward_scale}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """For checkpoints."""
        scale = numbers["rewardScale"]
        self.reward_scale = None if scale is None else (float(scale[0]), float(scale[1]))

    def _rewards(self, t: Transitions) -> NDArray[np.float32]:
        """(E, T, N) what each agent gets in each slot, normalised."""
        if self.reward_scale is None:
            self.reward_scale = (
                float(t.team_reward.mean(dtype=np.float64)),
                float(t.team_reward.std(dtype=np.float64)) or 1.0,
            )
        if self.settings.own_reward:
            return t.own_reward
        mean, std = self.reward_scale
        team = ((t.team_reward - mean) / std).astype(np.float32)
        return np.repeat(team[:, :, None], t.agents, axis=2)

    def _judge(
        self, t: Transitions, reward: Tensor, table: Tensor, dynamic: Tensor, agent: Tensor, place: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Returns, which are the critic's goal, and advantages of the rows at `place`, by the critic as it is."""
        s, at = self.settings, self._tensor(place)
        if s.discount == 0:
            goal = reward.view(-1)[at]
            return goal, goal - self._values(dynamic, agent)
        every = torch.arange(t.agents, device=self.device).repeat(len(table) // t.agents)
        values = self._values(table, every).view(t.episodes, t.slots + 1, t.agents)
        advantage = torch.empty_like(reward)
        ahead = torch.zeros_like(reward[:, 0])
        for k in reversed(range(t.slots)):  # not terminated at the end: the last row's value is bootstrapped
            surprise = reward[:, k] + s.discount * values[:, k + 1] - values[:, k]
            ahead = surprise + s.discount * s.gae * ahead
            advantage[:, k] = ahead
        return (advantage + values[:, :-1]).reshape(-1)[at], advantage.view(-1)[at]

    def _values(self, dynamic: Tensor, agent: Tensor) -> Tensor:
        """(rows,) V."""
        out = torch.empty(len(dynamic), device=self.device)
        folded = self.critic.fold(self._static)
        for part in _chunks(len(dynamic)):
            h1, h2, _, _ = self._buffers(part.stop - part.start)
            self.critic.forward(folded, dynamic[part], agent[part], h1, h2)
            torch.mv(h2, self.critic.weight2[:, 0], out=out[part])
        return out.add_(self.critic.bias2)

    def _minibatches(self, rows: int) -> list[NDArray[np.int64]]:
        return np.array_split(self.rng.permutation(rows), self.settings.minibatches)

    def _policy(self, h2: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the masked probabilities, and these, (rows, N)."""
        n = self.agents
        logits = torch.addmm(self.actor.bias2[:n], h2, self.actor.weight2[:, :n]).add_(penalty)
        return torch.log_softmax(logits, 1), torch.softmax(logits, 1)

    def _step_actor(
        self, dynamic: Tensor, agent: Tensor, penalty: Tensor, action: Tensor, old: Tensor, advantage: Tensor
    ) -> tuple[float, float, float]:
        """One step of the clipped objective; sums over the rows of rho - 1 - log rho, of leaving the clip, and of the loss."""
        s, n, m = self.settings, self.agents, len(dynamic)
        h1, h2, d1, d2 = self._buffers(m)
        self.actor.forward(self.actor.fold(self._static), dynamic, agent, h1, h2)
        log_pi, pi = self._policy(h2, penalty)
        log_rho = log_pi.gather(1, action).sub_(old)[:, 0]
        rho = log_rho.exp()
        # min(rho A, clip(rho) A) has no gradient where rho is already beyond the clip on the side that A wants.
        beyond = torch.where(advantage > 0, rho > 1 + s.clip, rho < 1 - s.clip)
        pull = (advantage * rho).masked_fill_(beyond, 0).div_(-m)[:, None]  # the loss's gradient by log pi(a)
        d_logits = pi * -pull
        if s.entropy:
            h = (pi * log_pi).sum(1, keepdim=True)
            d_logits.add_(pi * (log_pi - h), alpha=s.entropy / m)
        d_logits.scatter_add_(1, action, pull)
        torch.mm(h2.t(), d_logits, out=self._actor.weight2[:, :n])
        torch.sum(d_logits, 0, out=self._actor.bias2[:n])
        torch.mm(d_logits, self.actor.weight2[:, :n].t(), out=d2)
        self.actor.backward(self._actor, self._static, dynamic, agent, h1, h2, d1, d2)
        self.actor_adam.step(self._actor.flat)
        gain = torch.minimum(advantage * rho, advantage * rho.clamp(1 - s.clip, 1 + s.clip))
        return float((rho - 1 - log_rho).sum()), float(((rho - 1).abs() > s.clip).sum()), -float(gain.sum())

    def _step_critic(self, dynamic: Tensor, agent: Tensor, goal: Tensor) -> None:
        """One step towards the returns."""
        h1, h2, d1, d2 = self._buffers(len(dynamic))
        self.critic.forward(self.critic.fold(self._static), dynamic, agent, h1, h2)
        error = torch.mv(h2, self.critic.weight2[:, 0]).add_(self.critic.bias2).sub_(goal).div_(len(dynamic))
        torch.mv(h2.t(), error, out=self._critic.weight2[:, 0])
        torch.sum(error, 0, keepdim=True, out=self._critic.bias2)
        torch.mul(error[:, None], self.critic.weight2[:, 0], out=d2)
        self.critic.backward(self._critic, self._static, dynamic, agent, h1, h2, d1, d2)
        self.critic_adam.step(self._critic.flat)

    def _buffers(self, rows: int) -> tuple[Tensor, ...]:
        """Four of shape (rows, H), overwritten at every call."""
        if self._space.shape[1] < rows:
            self._space = torch.empty((4, rows, self.settings.hidden), device=self.device)
        return tuple(self._space[:, :rows])

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _chunks(rows: int, size: int = 2048) -> list[slice]:
    """Slices of so few rows that their activations stay in the cache."""
    return [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
