"""Algorithm 1: discrete soft actor-critic with conservative Q-learning and an additional critic, offline from a log.

    y   = r + gamma * sum_a' pi(a'|o') (min_k Q'_k(o', a') - alpha * log pi(a'|o'))
    Q_k : mean of (Q_k(o, a) - y)^2 / 2 + lambda_c * (logsumexp_{a in A} Q_k(o, a) - Q_k(o, a))      k = 1, 2
    V   : mean of (V(o) - r - gamma * V'(o'))^2 / 2                                 the critic that PPO will start from
    pi  : mean over rows with a task of sum_a pi(a|o) (alpha * log pi(a|o) - min_k Q_k(o, a))

A row is one agent in one slot; the reward is the team's, normalised. One actor and one set of critics serve all agents
(the observation holds a one-hot). A is what the mask leaves, and the logged action, which its policy may have chosen
without regard for the mask. The episode's end is a truncation: its last row bootstraps from the state after it.

A row without a task has one action, "no task": its value is one output, it has no policy gradient and no conservative
term, and where tasks may go, "no task" is masked. So rows are sorted by whether they have a task, and each kind
computes what it needs: N outputs, or one. And without a task an observation is queue lengths only, so most such rows
of a batch are copies of a few: copies are computed once, and count as often as they occur. Both change nothing but the
order of summation.

    batch:   [ now, no task | now, task | next, task | next, no task ]
    critics:  <---------------------->
    actor:                   <---------------------->
    targets:                             <------------------------->
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebed.learning.networks import Adam, Perceptron, Sizes, device_named
from edgebed.learning.settings import SacCqlSettings as SacCqlSettings
from edgebed.systems.transitions import Transitions

NEVER = -1e4
"""Added to the score of an action that is not available: its probability is exactly 0. (-1e8 makes softmax slow.)"""


class SacCql:
    """Trains on one log; `update` is one step of everything."""

    def __init__(
        self, transitions: Transitions, seed: int, settings: SacCqlSettings | None = None, device: str = "cpu"
    ) -> None:
        self.settings = s = settings or SacCqlSettings()
        self.device = device_named(device)
        self.rng = np.random.default_rng(seed)
        self.updates = 0
        self.measured: dict[str, float] = {}
        """Of the latest update that was measured, over the batch's rows with a task: `policyLoss`, `criticError` and
        `valueError` (mean squares, before the step), `conservativeGap` (what is logsumexp Q over Q(o, a)), `entropy`.
        """
        self._load(transitions)

        # Everything that is trained is one vector: [Q1 | Q2 | V | actor]; the targets follow its first part.
        q = Sizes(transitions.static.shape[1], transitions.dynamic.shape[3], s.hidden, self.agents + 1)
        v = Sizes(q.static, q.dynamic, s.hidden, 1)
        counts = [q.count, q.count, v.count, q.count]
        self.parameters = torch.zeros(sum(counts), device=self.device)
        self.gradient = torch.zeros_like(self.parameters)
        self.targets = torch.zeros(sum(counts[:3]), device=self.device)
        shapes = (q, q, v, q)
        self.q1, self.q2, self.v, self.actor = map(Perceptron, torch.split(self.parameters, counts), shapes)
        self._q1, self._q2, self._v, self._actor = map(Perceptron, torch.split(self.gradient, counts), shapes)
        self.q1_target, self.q2_target, self.v_target = map(
            Perceptron, torch.split(self.targets, counts[:3]), shapes[:3]
        )
        for network in (self.q1, self.q2, self.v, self.actor):
            network.draw(self.rng)
        self.targets.copy_(self.parameters[: len(self.targets)])
        self.adam = Adam(self.parameters, s.learning_rate)

        rows = s.batch_slots * self.agents

        def space(*shape: int) -> Tensor:
            return torch.empty(shape, device=self.device)

        self._dynamic = space(2 * rows, q.dynamic)
        self._actor_h1, self._actor_h2 = space(2 * rows, s.hidden), space(2 * rows, s.hidden)
        self._h1, self._h2, self._d1, self._d2 = (space(rows, s.hidden) for _ in range(4))
        self._q = space(2, rows, self.agents)

    def _load(self, t: Transitions) -> None:
        """Tables with a row per slot (of T + 1 per episode); what only indexing needs stays in numpy."""
        if t.episodes == 0:
            raise ValueError("transitions: no episodes; collect a log first")
        self.agents, self.slots, self.episodes = t.agents, t.slots, t.episodes
        after = np.zeros((t.episodes, 1, t.agents))  # the row after the last slot
        self._has_task = np.concatenate([t.has_task, after.astype(np.bool_)], axis=1).reshape(-1)
        self._action = np.concatenate([t.action, after.astype(np.int16)], axis=1).reshape(-1)
        self._state = _numbered_states(t.dynamic.reshape(-1, t.dynamic.shape[3]), t.agents, ~self._has_task)
        self._seen = np.empty(int(self._state.max()) + 1, dtype=np.int64)
        self.reward_mean = float(t.team_reward.mean(dtype=np.float64))
        self.reward_std = float(t.team_reward.std(dtype=np.float64)) or 1.0
        reward = np.concatenate([(t.team_reward - self.reward_mean) / self.reward_std, after[:, :, 0]], axis=1)
        self._reward = torch.from_numpy(reward.astype(np.float32).reshape(-1)).to(self.device)
        self._static = torch.from_numpy(t.static).to(self.device)
        self._rows = torch.from_numpy(t.dynamic.reshape(-1, t.dynamic.shape[3])).to(self.device)
        penalty = np.where(t.available, np.float32(0), np.float32(NEVER)).reshape(-1, t.agents)
        self._penalty = torch.from_numpy(penalty).to(self.device)

    def train(self, updates: int, progress: Callable[[int], None] | None = None) -> None:
        """So many updates, the last of them measured; `progress` is called after each with the number of all so far."""
        for number in range(1, updates + 1):
            self.update(self.draw_batch(), measure=number == updates)
            if progress is not None:
                progress(self.updates)

    def draw_batch(self) -> NDArray[np.int64]:
        """(batch_slots,) slots of the log, uniformly with replacement: episode * (slots + 1) + slot."""
        drawn = self.rng.integers(0, self.episodes * self.slots, self.settings.batch_slots)
        return drawn + drawn // self.slots

    def update(self, slot: NDArray[np.int64], *, measure: bool = False) -> None:
        """One step of critics, actor and targets on these slots; measuring it costs a few percent, and changes nothing."""
        s, n = self.settings, self.agents
        rows = len(slot) * n

        # Which rows of the tables, in which order, and where each of the batch's rows is among them.
        every = (slot[:, None] * n + np.arange(n)).reshape(-1)
        distinct, tasks_now, place_now = self._merge(every)
        distinct_next, tasks_next, place_next = self._merge(every + n)
        idle, busy, busy_next = len(distinct), len(tasks_now), len(tasks_next)
        place_next = (place_next - len(distinct_next)) % max(
            len(distinct_next) + busy_next, 1
        )  # there tasks come first
        index = np.concatenate([distinct, tasks_now, tasks_next, distinct_next])
        current, tasks = slice(0, idle + busy), slice(idle, idle + busy + busy_next)
        count = self._tensor(np.bincount(place_now, minlength=idle + busy).astype(np.float32))
        action = self._tensor(self._action[tasks_now].astype(np.int64))[:, None]
        agent_of = index % n
        place_of_self = self._tensor(np.arange(busy + busy_next) * n + agent_of[tasks])
        agent, before, following = self._tensor(agent_of), self._tensor(place_now), self._tensor(place_next)

        dynamic = torch.index_select(self._rows, 0, self._tensor(index), out=self._dynamic[: len(index)])
        reward = torch.index_select(self._reward, 0, self._tensor(slot)).repeat_interleave(n)
        penalty = torch.index_select(self._penalty, 0, self._tensor(index[tasks] // n))
        penalty.view(-1).index_fill_(0, place_of_self, 0)  # a node is always available to itself

        # The actor, on the tasks of now and next.
        actor_h1, actor_h2 = self._actor_h1[: busy + busy_next], self._actor_h2[: busy + busy_next]
        self.actor.forward(self.actor.fold(self._static), dynamic[tasks], agent[tasks], actor_h1, actor_h2)
        logits = torch.addmm(self.actor.bias2[:n], actor_h2, self.actor.weight2[:, :n]).add_(penalty)
        log_pi, pi = torch.log_softmax(logits, 1), torch.softmax(logits, 1)  # exp is slow where it underflows

        # What the next rows are worth, by the targets; and the goals of the batch's rows, summed over copies.
        x, who = dynamic[idle + busy :], agent[idle + busy :]
        h1, h2 = self._h1[: len(x)], self._h2[: len(x)]
        worth_task, worth_none = [], []
        for network in (self.q1_target, self.q2_target):
            network.forward(network.fold(self._static), x, who, h1, h2)
            worth_task.append(torch.addmm(network.bias2[:n], h2[:busy_next], network.weight2[:, :n]))
            worth_none.append(torch.mv(h2[busy_next:], network.weight2[:, n]).add_(network.bias2[n]))
        soft = torch.minimum(*worth_task).sub_(log_pi[busy:], alpha=s.temperature).mul_(pi[busy:]).sum(1)
        q_next = torch.cat([soft, torch.minimum(*worth_none)])
        self.v_target.forward(self.v_target.fold(self._static), x, who, h1, h2)
        v_next = torch.mv(h2, self.v_target.weight2[:, 0]).add_(self.v_target.bias2)
        q_goals, v_goals = (
            torch.zeros_like(count).index_add_(
                0, before, torch.index_select(after, 0, following).mul_(s.discount).add_(reward)
            )
            for after in (q_next, v_next)
        )

        # The critics: forward, the loss's gradient by the outputs, backward; one after another, in the same buffers.
        x, who = dynamic[current], agent[current]
        h1, h2, d1, d2 = (buffer[: len(x)] for buffer in (self._h1, self._h2, self._d1, self._d2))
        considered = penalty[:busy].scatter(1, action, 0)
        measure = measure and busy > 0
        errors, gaps = [], []
        for network, gradient, q_task in (
            (self.q1, self._q1, self._q[0, :busy]),
            (self.q2, self._q2, self._q[1, :busy]),
        ):
            network.forward(network.fold(self._static), x, who, h1, h2)
            torch.addmm(network.bias2[:n], h2[idle:], network.weight2[:, :n], out=q_task)
            q_none = torch.mv(h2[:idle], network.weight2[:, n]).add_(network.bias2[n])
            error = q_task.gather(1, action).sub_(q_goals[idle:, None])
            if measure:
                errors.append(float(error.square().mean()))
                over = torch.logsumexp(considered + q_task, 1, keepdim=True) - q_task.gather(1, action)
                gaps.append(float(over.mean()))
            d_none = q_none.mul_(count[:idle]).sub_(q_goals[:idle]).div_(rows)
            d_task = torch.softmax(considered + q_task, 1).mul_(s.conservatism / rows)
            d_task.scatter_add_(1, action, error.sub_(s.conservatism).div_(rows))
            torch.mm(h2[idle:].t(), d_task, out=gradient.weight2[:, :n])
            torch.mv(h2[:idle].t(), d_none, out=gradient.weight2[:, n])
            torch.sum(d_task, 0, out=gradient.bias2[:n])
            torch.sum(d_none, 0, out=gradient.bias2[n])
            torch.mm(d_task, network.weight2[:, :n].t(), out=d2[idle:])
            torch.mul(d_none[:, None], network.weight2[:, n], out=d2[:idle])
            network.backward(gradient, self._static, x, who, h1, h2, d1, d2)
        self.v.forward(self.v.fold(self._static), x, who, h1, h2)
        d_value = torch.mv(h2, self.v.weight2[:, 0]).add_(self.v.bias2).mul_(count).sub_(v_goals).div_(rows)
        torch.mv(h2.t(), d_value, out=self._v.weight2[:, 0])
        torch.sum(d_value, 0, keepdim=True, out=self._v.bias2)
        torch.mul(d_value[:, None], self.v.weight2[:, 0], out=d2)
        self.v.backward(self._v, self._static, x, who, h1, h2, d1, d2)

        # The actor: only tasks of now have a gradient; the column of "no task" never gets one.
        pi, log_pi = pi[:busy], log_pi[:busy]
        entropy = -float((pi * log_pi).sum(1).mean()) if measure else 0.0
        cost = log_pi.mul_(s.temperature).sub_(torch.minimum(self._q[0, :busy], self._q[1, :busy]))
        if measure:
            self.measured = {
                "policyLoss": float((pi * cost).sum(1).mean()),
                "criticError": sum(errors) / 2,
                "valueError": float((d_value[idle:] * rows).square().mean()),
                "conservativeGap": sum(gaps) / 2,
                "entropy": entropy,
            }
        d_logits = (cost - (pi * cost).sum(1, keepdim=True)).mul_(pi).div_(max(busy, 1))
        h1, h2, d1, d2 = actor_h1[:busy], actor_h2[:busy], d1[:busy], d2[:busy]
        torch.mm(h2.t(), d_logits, out=self._actor.weight2[:, :n])
        torch.sum(d_logits, 0, out=self._actor.bias2[:n])
        torch.mm(d_logits, self.actor.weight2[:, :n].t(), out=d2)
        self.actor.backward(self._actor, self._static, x[idle:], who[idle:], h1, h2, d1, d2)

        self.adam.step(self.gradient)
        self.targets.lerp_(self.parameters[: len(self.targets)], s.tau)
        self.updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return {"parameters": self.parameters, "targets": self.targets}

    def optimisers(self) -> dict[str, Adam]:
        """For checkpoints."""
        return {"adam": self.adam}

    def numbers(self) -> dict[str, Any]:
        """For checkpoints: nothing, since the rewards' scale follows from the transitions."""
        return {}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """For checkpoints."""

    def _merge(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Distinct rows without a task; rows with one; and for each of `rows` its place in the two, one after the other."""
        task = self._has_task[rows]
        none, busy = np.flatnonzero(~task), rows[task]
        state, numbers = self._state[rows[none]], np.arange(len(none))
        self._seen[state] = numbers  # of copies, the last stays
        kept = self._seen[state] == numbers
        distinct = rows[none[kept]]
        self._seen[state[kept]] = np.arange(len(distinct))
        place = np.empty(len(rows), dtype=np.int64)
        place[none] = self._seen[state]
        place[task] = np.arange(len(busy)) + len(distinct)
        return distinct, busy, place

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _numbered_states(rows: NDArray[np.float32], agents: int, wanted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(rows,) a number that wanted rows share iff they are the same observation of the same agent; 0 for the others.

    Rows are compared by a 64-bit hash, and then in full: a row that only shares the hash gets a number of its own.
    """
    where = np.flatnonzero(wanted)
    factors = np.random.default_rng(0).integers(0, 2**64, rows.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    key = np.empty(len(where), dtype=np.uint64)
    for part in np.array_split(np.arange(len(where)), len(where) // 50_000 + 1):
        bits = rows[where[part]].view(np.uint32).astype(np.uint64)
        key[part] = bits @ factors[1:] + (where[part] % agents).astype(np.uint64) * factors[0]
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    for part in np.array_split(np.arange(len(where)), len(where) // 50_000 + 1):
        mine, model = where[part], where[first[number[part]]]
        other = (mine % agents != model % agents) | (rows[mine] != rows[model]).any(axis=1)
        number[part[other]] = len(where) + part[other]
    out = np.zeros(len(rows), dtype=np.int32)
    out[where] = number
    return out
