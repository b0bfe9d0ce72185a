"""The cooperative system as a PettingZoo parallel environment, for learners from outside.

    environment = CooperativeEnvironment(network, workload_model)
    observations, _ = environment.reset(seed=1)
    while environment.agents:
        actions = {agent: environment.action_space(agent).sample(observations[agent]["action_mask"]) ...}
        observations, rewards, terminations, truncations, infos = environment.step(actions)

Every node is an agent, a step is a slot. An observation is the paper's (`observation.py`) with an action mask; action
j < N sends the node's task to j, action N is "no task". An action that the mask forbids is an error, because a learner
that gets away with one learns from tasks that went elsewhere. The episode ends by truncation after the last slot.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from edgebed.simulator.batch import Batch
from edgebed.systems.cooperative import kernel
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.lifecycle import TaskState
from edgebed.systems.cooperative.network import Network, NetworkModel
from edgebed.systems.cooperative.observation import ObservationSpecification
from edgebed.systems.cooperative.randomness import Stream
from edgebed.systems.cooperative.rules import DecisionOrder, Horizon, Rules
from edgebed.systems.cooperative.workload import WorkloadModel

Observation = dict[str, NDArray[Any]]


class CooperativeEnvironment(ParallelEnv[str, Observation, int]):  # type: ignore[misc]  # untyped base class
    """One network; every reset draws the tasks of a new episode.

    `network_model` says what the observation is scaled by (the network's own largest values when not given). The
    reward is the team's, in the slot in which a task ended (paper section IV.B); the last step's
    `infos[agent]["own_rewards"]` holds, per slot, the outcome of the task that the agent decided there.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "edgebed_cooperative_v1",
        "render_modes": [],
        "is_parallelizable": True,
    }

    def __init__(
        self,
        network: Network,
        workload_model: WorkloadModel,
        rules: Rules | None = None,
        *,
        mask_coefficient: float = 0.25,
        network_model: NetworkModel | None = None,
    ) -> None:
        self.network, self.workload_model, self.rules = network, workload_model, rules or Rules()
        if self.rules.decision_order is DecisionOrder.SEQUENTIAL:
            raise ModelError("decisionOrder", "sequential", "in a parallel environment all nodes decide at once")
        self.observation = ObservationSpecification.paper(network_model or NetworkModel.around(network), workload_model)
        self._limit = mask_coefficient * network.cores / 4
        n = network.nodes
        self.possible_agents = [f"node_{i}" for i in range(n)]
        self.agents: list[str] = []
        size = self.observation.static_size + self.observation.dynamic_size
        self._spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(0.0, 1.0, (size,), np.float32),
                    "action_mask": spaces.MultiBinary(n + 1),
                }
            )
            for agent in self.possible_agents
        }
        self._actions = {agent: spaces.Discrete(n + 1) for agent in self.possible_agents}
        self._static = self.observation.static(network)
        self._episode = 0
        self._seed = 0

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """A dictionary of `observation`, (S + D,) in [0, 1], and `action_mask`, (N + 1,)."""
        return self._spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """N nodes, then "no task"."""
        return self._actions[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begin an episode: the first of `seed`, or without a seed the next one of the seed before."""
        self._seed, self._episode = (self._seed, self._episode + 1) if seed is None else (seed, 0)
        episodes = range(self._episode, self._episode + 1)
        workload = self.workload_model.draw(self.network, self._seed, Stream.ENVIRONMENT, episodes)
        self._batch = Batch([self.network], [workload], self.rules)
        self._slot = 0
        self._counted = np.zeros(len(self._batch.state.records), dtype=np.bool_)
        self.agents = list(self.possible_agents)
        kernel.advance(self._batch.state, 0)
        return self._observe(), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Decide one slot. Every reward is the team's: successes less drops and failures that ended since."""
        rows = self._rows()
        source = self._batch.source[rows]
        destination = np.empty(len(rows), dtype=np.int64)
        for index, agent in enumerate(self.agents):
            action, mask = int(actions[agent]), self._masks[index]
            if not (0 <= action < len(mask)) or not mask[action]:
                allowed = ", ".join(str(a) for a in np.flatnonzero(mask))
                raise ModelError(f"actions[{agent!r}]", action, f"the action mask allows {allowed}")
            destination[source == index] = action
        kernel.assign(self._batch.state, self._slot, rows, np.zeros(len(rows), dtype=np.int64), destination)
        self._slot += 1
        last = self._slot == self._batch.slots
        if last:
            self._batch.finish()
        else:
            kernel.advance(self._batch.state, self._slot)
        reward = self._reward(last=last)
        observations = self._observe()
        rewards = dict.fromkeys(self.agents, reward)
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        if last:
            own = self._own_rewards()
            infos = {agent: {"own_rewards": own[:, i]} for i, agent in enumerate(self.agents)}
        terminations = dict.fromkeys(self.agents, False)
        truncations = dict.fromkeys(self.agents, last)
        if last:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def _rows(self) -> NDArray[np.int64]:
        """Records that arrive in this slot; none after the last."""
        first = self._batch.state.first[0]
        return np.arange(first[self._slot], first[min(self._slot + 1, self._batch.slots)])

    def _observe(self) -> dict[str, Observation]:
        batch, n = self._batch, self.network.nodes
        waiting, backlog = np.empty((1, n), dtype=np.int64), np.empty((1, n))
        kernel.execution_queues(batch.state, self._slot, 0, 1, waiting, backlog)
        nodes = np.arange(n)
        receiving = np.empty((n, n), dtype=np.int64)
        kernel.receiving_queues(batch.state, np.zeros(n, dtype=np.int64), nodes, receiving)
        size, cycles, deadline = np.zeros((3, n))
        rows = self._rows()
        source = batch.source[rows]
        tasks = batch.state.records[rows]
        size[source], cycles[source] = tasks["size_bits"], tasks["cycles"]
        deadline[source] = tasks["deadline_s"]
        dynamic = self.observation.dynamic(nodes, waiting[0], receiving, size, cycles, deadline)
        whole = np.concatenate([self._static, dynamic], axis=1)
        self._masks = np.zeros((n, n + 1), dtype=np.int8)
        self._masks[:, n] = 1
        self._masks[source, :n] = waiting[0] < self._limit
        self._masks[source, source] = 1
        self._masks[source, n] = 0
        agents = self.agents or self.possible_agents
        return {agent: {"observation": whole[i], "action_mask": self._masks[i]} for i, agent in enumerate(agents)}

    def _reward(self, *, last: bool) -> float:
        status = self._batch.state.records["status"]
        ended = (status != TaskState.UNFINISHED) & ~self._counted
        self._counted |= ended
        value = float((status[ended] == TaskState.SUCCEEDED).sum()) * 2 - float(ended.sum())
        if last and self.rules.horizon is Horizon.CUT_DROP:
            value -= float((status == TaskState.UNFINISHED).sum())
        return value

    def _own_rewards(self) -> NDArray[np.float32]:
        """(T, N) +1 or -1 for the task that each node decided in each slot, 0 where there was none."""
        own = np.zeros((self._batch.slots, self.network.nodes), dtype=np.float32)
        status = self._batch.state.records["status"]
        unfinished = -1.0 if self.rules.horizon is Horizon.CUT_DROP else 0.0
        value = np.where(status == TaskState.SUCCEEDED, 1.0, np.where(status == TaskState.UNFINISHED, unfinished, -1.0))
        own[self._batch.slot, self._batch.source] = value
        return own
