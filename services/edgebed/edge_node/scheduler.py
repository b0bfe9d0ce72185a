"""Decides where a task goes: asks the nodes that the policy wants to ask, then decides with their answers.

A question is a real message, counted with its bytes and its latency. A node that does not answer within the limit counts
as unavailable, with a backlog that no task would choose; so a silent neighbour costs a decision the limit and no more.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from edgebed.edge_node.episode import LiveTask, NodeEpisode
from edgebed.edge_node.measurements import Measurements
from edgebed.edge_node.view import NodeSurroundings, NodeView
from edgebed.live.documents import EdgeNodeSettings
from edgebed.live.in_use import InUse
from edgebed.systems.cooperative.errors import ModelError
from edgebed.systems.cooperative.policy import Answers, Integers, Policy, policy_errors
from edgebed.wire.client import Peer
from edgebed.wire.errors import PeerError
from edgebed.wire.generated import testbed_pb2 as pb

AWAY_BACKLOG_S = 1e9
"""What a node that does not answer is taken to have before it."""


class Scheduler:
    """One policy in use at one node."""

    def __init__(
        self,
        policy: Policy,
        version: int,
        kind: str,
        peers: Sequence[Peer | None],
        settings: InUse[EdgeNodeSettings],
    ) -> None:
        self.policy, self.version, self.kind, self.peers = policy, version, kind, peers
        self._settings = settings

    def decide_alone(
        self, around: NodeSurroundings, episode: NodeEpisode, task: LiveTask, measured: Measurements
    ) -> Integers | None:
        """Decides at once where nobody else needs to be asked; else returns whom to ask, shape (1, k)."""
        begin = time.perf_counter()
        view = NodeView(around, task, episode.now_s())
        with policy_errors(self.policy):
            asked = self.policy.ask(view)
        if asked is not None and (asked[0] != around.core.index).any():
            return np.asarray(asked, dtype=np.int64)
        answers = None if asked is None else self._answers(around, episode, asked, {})
        self._decide(view, episode, task, answers)
        measured.decision_s.add(time.perf_counter() - begin)
        return None

    async def decide_with(
        self,
        around: NodeSurroundings,
        episode: NodeEpisode,
        task: LiveTask,
        asked: Integers,
        measured: Measurements,
    ) -> None:
        """Asks, waits for the answers, decides."""
        probe = pb.Probe(run=episode.run, episode=episode.episode, slot=task.slot, asker=around.core.index)
        body = probe.SerializeToString()
        nodes = sorted({int(j) for j in asked[0]} - {around.core.index})
        found = await asyncio.gather(*(self._probe(j, body, measured) for j in nodes))
        heard = {answer.node: answer for answer in found if answer is not None}
        for j, answer in heard.items():
            around.receiving[j] = answer.waiting_to_asker
        begin = time.perf_counter()
        view = NodeView(around, task, episode.now_s())
        self._decide(view, episode, task, self._answers(around, episode, asked, heard))
        measured.decision_s.add(time.perf_counter() - begin)

    def _decide(self, view: NodeView, episode: NodeEpisode, task: LiveTask, answers: Answers | None) -> None:
        with policy_errors(self.policy):
            chosen = self.policy.decide(view, answers)
            probability = self.policy.probability(view, answers, chosen)
        destination = int(chosen[0])
        if not 0 <= destination < view.nodes:
            field = f"policy {type(self.policy).__name__}.decide"
            raise ModelError(field, destination, f"it must return nodes 0 to {view.nodes - 1}")
        episode.decide(task, destination, None if probability is None else float(probability[0]), self.version)

    async def _probe(self, node: int, body: bytes, measured: Measurements) -> pb.ProbeAnswer | None:
        peer = self.peers[node]
        assert peer is not None  # nobody probes itself
        begin = time.perf_counter()
        measured.probes += 1
        measured.probe_bytes += len(body)
        try:
            content = await peer.post("/v1/probe", body, timeout_s=self._settings.values.probe_timeout_seconds)
            answer = pb.ProbeAnswer.FromString(content)
        except (PeerError, DecodeError):
            measured.probes_failed += 1
            return None
        took = time.perf_counter() - begin
        measured.probe_latency_s.add(took)
        measured.probe_s.add(took)
        measured.probe_bytes += len(content)
        answer.node = node
        return answer

    @staticmethod
    def _answers(
        around: NodeSurroundings, episode: NodeEpisode, asked: Any, heard: Mapping[int, pb.ProbeAnswer]
    ) -> Answers:
        """The answers in the shape of the question; a node answers its own question itself."""
        core = around.core
        waiting, backlog, available = [], [], []
        for j in asked[0].tolist():
            if j == core.index:
                waiting.append(core.waiting)
                backlog.append(core.backlog_s(episode.now_s()))
                available.append(core.waiting < around.limit)
            elif (answer := heard.get(j)) is not None:
                waiting.append(answer.waiting)
                backlog.append(answer.backlog_s)
                available.append(answer.available)
            else:
                waiting.append(2**31)
                backlog.append(AWAY_BACKLOG_S)
                available.append(False)
        return Answers(asked, np.array([waiting]), np.array([backlog]), np.array([available], dtype=np.bool_))
